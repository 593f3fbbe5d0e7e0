"""A run whose model judges itself: refused unless it is meant, and then marked wherever MS goes."""

import html
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from dashboard import queries
from dashboard.exports.card import card_png
from dashboard.exports.document import feature_json
from dashboard.exports.neuronpedia import neuronpedia_json
from dashboard.exports.report import report
from dashboard.exports.tables import csv_bytes
from pipeline.__main__ import app
from pipeline.bundle import opening
from pipeline.bundle.verify import faults

CONFIG = """
name = "itself"
[examples]
shard_size = 30
[examples.source]
kind = "scenes"
count = 60
[models.clip]
id = "{clip}"
hooks = ["vision.projection"]
[encoders.own]
id = "{clip}"
{meant}
[dictionaries.sae]
kind = "batchtopk"
k = 3
training = {{ samples = 1000, batch = 128 }}
[relations]
maps = false
[machine]
device = "cpu"
"""
LINE = "MS by own is a model's judgement of itself"


def run(folder: Path, clip: Path, *, meant: str = "") -> str:
    file = folder / "itself.toml"
    file.write_text(CONFIG.format(clip=clip, meant=meant), encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(file), "--out", str(folder / "run")])
    return f"{result.exit_code}: {result.output}"


@pytest.fixture(scope="module")
def meant(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("itself")
    return folder / "run", run(folder, tiny_clip, meant="judges_itself = true")


def test_it_is_refused_before_anything_is_collected(tmp_path: Path, tiny_clip: Path) -> None:
    told = run(tmp_path, tiny_clip)
    assert told.startswith("2: ")
    assert "encoders.own: has the image tower of models.clip" in told
    assert not list((tmp_path / "run").glob("parts/collect/*"))


def test_its_summary_and_its_bundle_say_so(meant: tuple[Path, str]) -> None:
    place, told = meant
    assert told.startswith("0: ")
    assert f"note: {LINE}" in told
    assert "note: The val split has" in told
    assert list(faults(place)) == []


def test_every_file_of_a_feature_says_so(meant: tuple[Path, str]) -> None:
    bundle = opening.open_bundle(meant[0])
    connection = duckdb.connect(str(bundle.database), read_only=True)
    (line,) = queries.judged_alone(connection)
    assert line.startswith(LINE)
    (of,) = queries.dictionaries(connection)
    assert of.ms_judged_by_itself
    key = (of.dictionary_id, 0)
    (score,) = queries.scores(connection, *key)
    assert score.judges_itself
    (profile,) = queries.profiles(connection, [key])
    assert LINE in html.unescape(
        report([profile], manifest=bundle.manifest, made=datetime.now(UTC)).decode()
    )
    assert json.loads(feature_json(profile, manifest=bundle.manifest))["notes"] == [line]
    assert json.loads(neuronpedia_json(profile))["loupe"]["ms_judged_by_itself"] is True
    table = queries.table(connection, [key])
    assert table["ms_judged_by_itself"].to_pylist() == [True]
    assert b"ms_judged_by_itself" in csv_bytes(table)
    assert b"ms_judged_by_itself" in csv_bytes([of])


def test_the_card_says_so(meant: tuple[Path, str]) -> None:
    bundle = opening.open_bundle(meant[0])
    connection = duckdb.connect(str(bundle.database), read_only=True)
    (of,) = queries.dictionaries(connection)
    (profile,) = queries.profiles(connection, [(of.dictionary_id, 0)])
    marked = card_png(profile, run="x")
    scores = [replace(score, judges_itself=False) for score in profile.scores]
    assert marked != card_png(replace(profile, scores=scores), run="x")
