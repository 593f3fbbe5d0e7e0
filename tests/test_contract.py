"""The contract is whole, its data dictionary is current, and the store refuses what breaks it."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import contract
from pipeline.bundle import sealed
from pipeline.bundle.tables import conform
from pipeline.contract.tables import EMBEDDINGS, EXAMPLES, TABLES, THUMBNAILS, Table, as_markdown

ROOT = Path(__file__).parents[1]
EVERY = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
UNITS_OF = (pa.types.is_floating, pa.types.is_binary)
WITHOUT_UNIT = {("embeddings", "vector")}
"""Numbers that have none: a unit vector."""


@EVERY
def test_key_and_order_are_columns_without_nulls(table: Table) -> None:
    required = {field.name for field in table.schema if not field.nullable}
    assert table.key
    assert set(table.key) <= required
    assert {name.removeprefix("-") for name in table.sort} <= required
    assert len(set(table.schema.names)) == len(table.schema.names)


@EVERY
def test_rows_of_equal_order_cannot_differ_in_key(table: Table) -> None:
    """Otherwise the order of rows, and with it the file's bytes, would be left open."""
    assert set(table.key) <= {name.removeprefix("-") for name in table.sort}


@EVERY
def test_references_lead_to_keys(table: Table) -> None:
    for columns, target in table.references:
        assert set(columns) <= set(table.schema.names)
        assert len(columns) == len(TABLES[target].key)
        for column, key in zip(columns, TABLES[target].key, strict=True):
            assert table.schema.field(column).type == TABLES[target].schema.field(key).type


@EVERY
def test_every_table_and_column_says_what_it_means(table: Table) -> None:
    assert table.doc.endswith(".")
    for field in table.schema:
        assert field.metadata[b"doc"].strip(), f"{table.name}.{field.name} has no doc"
        assert b"unit" in field.metadata
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        needs = any(of(kind) for of in UNITS_OF) and (table.name, field.name) not in WITHOUT_UNIT
        assert field.metadata[b"unit"] or not needs, f"{table.name}.{field.name} has no unit"


@EVERY
def test_lists_hold_no_nulls(table: Table) -> None:
    for field in table.schema:
        if pa.types.is_list(field.type):
            assert not field.type.value_field.nullable


def test_names_are_those_of_the_tables() -> None:
    assert all(name == table.name for name, table in TABLES.items())
    assert EXAMPLES.file == "examples.parquet"
    assert contract.dictionary_id("m", "vision.1.resid_post", "d") == "m/vision.1.resid_post/d"


def test_the_data_dictionary_is_current() -> None:
    file = ROOT / "docs" / "data-dictionary.md"
    assert file.read_text(encoding="utf-8") == as_markdown(), (
        "docs/data-dictionary.md is out of date; run: python -m pipeline docs"
    )


def test_the_data_dictionary_names_every_column() -> None:
    text = as_markdown()
    for table in TABLES.values():
        assert f"\n## {table.name}\n" in text
        section = text.split(f"\n## {table.name}\n")[1].split("\n## ")[0]
        for field in table.schema:
            assert f"| `{field.name}` |" in section
        assert all(line.count("|") == 5 for line in section.splitlines() if line.startswith("|"))


GOOD = {"example_id": [1, 2], "image": [b"a", b"b"]}


def conformed(**columns: object) -> pa.Table:
    return conform(THUMBNAILS, pa.table(columns))


def test_what_fits_is_cast_to_the_schema() -> None:
    table = conformed(
        image=pa.array([b"a"], pa.large_binary()), example_id=pa.array([1], pa.int8())
    )
    assert table.schema.equals(THUMBNAILS.schema, check_metadata=True)


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(sealed.StoreError, match=r"thumbnails.*missing.*image"):
        conformed(example_id=[1])


def test_a_missing_nullable_column_is_null() -> None:
    row = {"example_id": [1], "uri": ["a"], "split": ["val"], "width": [1], "height": [1]}
    lists = dict.fromkeys(("captions", "taxonomy", "tags"), pa.array([[]], pa.list_(pa.string())))
    table = conform(EXAMPLES, pa.table(row | lists | {"sha256": ["0"]}))
    assert table["label"].to_pylist() == [None]


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(sealed.StoreError, match=r"thumbnails.*not in the contract.*colour"):
        conformed(**GOOD, colour=["red", "blue"])


def test_a_null_is_refused() -> None:
    with pytest.raises(sealed.StoreError, match=r"thumbnails.*1 nulls in image"):
        conformed(**GOOD | {"image": [b"a", None]})


@pytest.mark.parametrize("ids", [["one", "two"], [1.5, 2.0], [[1], [2]]])
def test_a_wrong_type_is_refused(ids: list[object]) -> None:
    with pytest.raises(sealed.StoreError, match=r"thumbnails, column example_id"):
        conformed(**GOOD | {"example_id": ids})


def test_a_null_within_a_list_is_refused() -> None:
    row = {"encoder": ["e"], "example_id": [1], "vector": pa.array([[0.5, None]])}
    with pytest.raises(sealed.StoreError, match="embeddings"):
        conform(EMBEDDINGS, pa.table(row))


def test_a_number_out_of_range_is_refused() -> None:
    rows = {"example_id": [1], "image": [b"a"]}
    too_big = pa.array([2**63], pa.uint64())
    with pytest.raises(sealed.StoreError, match="example_id"):
        conformed(**rows | {"example_id": too_big})
