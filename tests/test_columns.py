"""A column of features is one record: where it shows, and that a new one needs no more."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from databases import connection
from pages import data, open_page, said
from synthetic import make_bundle

from dashboard import queries
from dashboard.exports.document import feature_json
from dashboard.exports.report import report
from dashboard.exports.tables import csv_bytes
from dashboard.records import columns
from dashboard.records.features import Card, Filter
from pipeline.bundle import opening as bundle_opening
from pipeline.contract.tables import FEATURES

SAE = "clip-demo/vision.0.resid_post/matryoshka"
HERE = {"hook": "vision.0", "name": "matryoshka", "least": "0 images"}
NOVEL = columns.Column(
    "novelty", "novelty score", "How new the feature is.", range=(0.0, 1.0), since="9.9",
    in_head=True, in_report=True,
)  # fmt: skip


def value(feature_id: int) -> float | None:
    """A made-up score, which some features lack."""
    return None if feature_id % 5 == 4 else (feature_id % 10) / 10


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose pipeline gives each feature one score more."""
    folder = make_bundle(tmp_path_factory.mktemp("runs") / "demo")
    with duckdb.connect(str(bundle_opening.open_bundle(folder).database)) as db:
        for table in ("features", "cards"):
            db.execute(f"ALTER TABLE {table} ADD COLUMN novelty FLOAT")
            db.execute(
                f"UPDATE {table} SET novelty = (feature_id % 10) / 10 WHERE feature_id % 5 <> 4"
            )
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one record of the new column."""
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, NOVEL))


@pytest.fixture
def db(run: Path) -> duckdb.DuckDBPyConnection:
    return connection(run)


def test_every_column_of_the_contract_has_a_record() -> None:
    assert [column.name for column in columns.COLUMNS] == FEATURES.schema.names
    assert all(column.title and column.about for column in columns.COLUMNS)
    keys = [column.key for column in columns.COLUMNS]
    assert len(set(keys)) == len(keys)


def test_what_lists_show_stands_in_their_order() -> None:
    assert [c.title for c in columns.sortable()] == [
        "MS", "density", "active on", "max activation", "mean activation", "label", "label score",
        "level", "feature id", "modality score", "pair correlation", "steering score",
    ]  # fmt: skip
    assert [c.short for c in columns.tabled()] == [
        "feature", "label", "MS", "modality", "pairs", "steering", "density", "active on", "max",
        "mean", "label score",
    ]  # fmt: skip
    assert [c.short for c in columns.heading()] == ["density", "active on", "mean", "max", "level"]


@pytest.mark.usefixtures("known")
def test_a_new_column_is_sorted_and_filtered_by(db: duckdb.DuckDBPyConnection) -> None:
    every = queries.page(db, [SAE], Filter(n_active=0), sort="novelty", limit=200)
    values = [card.value("novelty") for card in every]
    assert values == pytest.approx(
        [*sorted((v for v in map(value, range(48)) if v is not None), reverse=True), *[None] * 9]
    )
    high = Filter(n_active=0, ranges=(("novelty", (0.65, None)),))
    found = queries.page(db, [SAE], high, limit=200)
    assert {card.feature_id for card in found} == {i for i in range(48) if (value(i) or 0) > 0.65}


@pytest.mark.usefixtures("known")
def test_a_new_column_is_in_browse(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = open_page(monkeypatch, run, "browse", **HERE, view="table", sort="novelty score")
    shown = data(at, "table")
    head = shown["columns"][-1]
    assert (head["title"], head["sort"]) == ("novelty score", "novelty score")
    assert head["help"] == NOVEL.about
    assert shown["order"] == {"by": "novelty score", "descending": True}
    told = [row[head["key"]] for row in shown["rows"]]
    assert told[0] == "0.80" and told[-1] == "", "the highest first, what is not known last"
    at.slider(key="novelty").set_value((0.65, 1.0)).run()
    assert {row["novelty"] for row in data(at, "table")["rows"]} == {"0.70", "0.80"}


@pytest.mark.usefixtures("known")
def test_a_new_column_is_in_the_head_of_a_feature(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {}
    for number in ("7", "4"):
        at = open_page(monkeypatch, run, "feature", dictionary=SAE, feature=number)
        told[number] = {fact["name"]: fact for fact in data(at, "featurebar")["facts"]}
    fact = {"name": "novelty score", "text": "0.70", "help": NOVEL.about}
    assert told["7"]["novelty score"] == fact
    assert "novelty score" not in told["4"], "it has none"


@pytest.mark.usefixtures("known")
def test_a_new_column_is_in_files(db: duckdb.DuckDBPyConnection) -> None:
    rows = csv_bytes(queries.table(db, [(SAE, 7), (SAE, 4)])).decode("utf-8-sig")
    told = [row["novelty"] for row in csv.DictReader(io.StringIO(rows, newline=""))]
    assert told == ["0.699999988079071", ""]
    (one,) = queries.profiles(db, [(SAE, 7)])
    made = json.loads(feature_json(one, manifest={}))
    assert made["feature"]["novelty"] == pytest.approx(0.7)
    assert "more" not in made["feature"]
    page = report([one], manifest={}, made=datetime(2026, 1, 1, tzinfo=UTC)).decode()
    assert "<dt>novelty score</dt><dd>0.70</dd>" in page
    assert f"<dt>novelty score</dt><dd>{NOVEL.about}</dd>" in page


def test_what_is_not_exported_is_in_no_file(
    db: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tuple(replace(c, exported=c.name != "mean") for c in columns.COLUMNS)
    monkeypatch.setattr(columns, "COLUMNS", kept)
    assert "mean" not in queries.table(db, [(SAE, 7)]).column_names
    (one,) = queries.profiles(db, [(SAE, 7)])
    assert "mean" not in json.loads(feature_json(one, manifest={}))["feature"]


@pytest.mark.usefixtures("known")
def test_older_bundles_lack_a_new_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = make_bundle(tmp_path / "older")
    at = open_page(monkeypatch, older, "browse", **HERE, view="table")
    assert "novelty" not in [column["key"] for column in data(at, "table")["columns"]]
    at = open_page(monkeypatch, older, "feature", dictionary=SAE, feature="7")
    assert "novelty score" not in [fact["name"] for fact in data(at, "featurebar")["facts"]]
    assert said(at)


def test_a_card_knows_its_columns_by_name() -> None:
    one = Card("a", 1, None, 3, 0.1, 2.0, 1.0, None, None, None, None, more={"novelty": 0.5})
    assert (one.value("n_active"), one.value("novelty"), one.value("other")) == (3, 0.5, None)
