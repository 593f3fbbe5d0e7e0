"""Tables as CSV and Parquet: lists of records, or a pyarrow table."""

import csv
import io
import json
import types
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.csv_cells import guarded

SIMPLE: dict[Any, pa.DataType] = {
    int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_(), bytes: pa.binary(),
}  # fmt: skip


def csv_bytes(rows: Sequence[Any] | pa.Table) -> bytes:
    """`rows` as CSV: UTF-8 with a byte order mark, without which spreadsheets misread every letter
    beyond ASCII; the readers of pandas, pyarrow and DuckDB skip it.

    Numbers have all their digits. Text that a spreadsheet would run as a formula has an apostrophe
    before it. Lists and records within a row are JSON. What is not known is empty.

    Raises:
        ValueError: `rows` are no records, or a column holds bytes, which only Parquet can.
    """
    table = as_table(rows)
    for field in table.schema:
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            raise ValueError(f"column {field.name}: holds bytes; take Parquet, or leave it out")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180
    writer.writerow(_cell(name) for name in table.column_names)
    for batch in table.to_batches(max_chunksize=10_000):
        columns = [column.to_pylist() for column in batch.columns]
        writer.writerows([_cell(value) for value in row] for row in zip(*columns, strict=True))
    return buffer.getvalue().encode("utf-8-sig", errors="replace")


def parquet_bytes(rows: Sequence[Any] | pa.Table) -> bytes:
    """`rows` as Parquet, every value and type as it is.

    Raises:
        ValueError: `rows` are no records, or a column mixes kinds of values.
    """
    buffer = io.BytesIO()
    pq.write_table(as_table(rows), buffer, compression="zstd")
    return buffer.getvalue()


def as_table(rows: Sequence[Any] | pa.Table) -> pa.Table:
    """Records of one kind as a table with their fields as columns, also where all are None.

    Raises:
        ValueError: `rows` are no records of one kind, or a value is not of its field's kind.
    """
    if isinstance(rows, pa.Table):
        return rows
    kinds = {type(row) for row in rows}
    if len(kinds) != 1 or not is_dataclass(kind := next(iter(kinds))):
        names = ", ".join(sorted(k.__name__ for k in kinds)) or "no rows"
        raise ValueError(f"a table is made of records of one kind; here are {names}")
    hints = get_type_hints(kind)
    try:
        schema = pa.schema([(f.name, _type(hints[f.name])) for f in fields(kind)])
        return pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{kind.__name__}: no table can be made of these: {error}") from error


def _type(hint: Any) -> pa.DataType:
    """The column type of a field's type hint."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    of = get_args(hint)
    if get_origin(hint) in (types.UnionType, Union):
        return _type(next(each for each in of if each is not types.NoneType))
    if get_origin(hint) in (list, tuple):
        return pa.list_(_type(of[0]))
    if get_origin(hint) is dict:
        return pa.map_(_type(of[0]), _type(of[1]))
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return pa.struct([(f.name, _type(hints[f.name])) for f in fields(hint)])
    raise pa.ArrowTypeError(f"no column type for {hint}")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guarded(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, ensure_ascii=False)
    return value
