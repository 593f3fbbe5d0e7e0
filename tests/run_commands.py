"""A config of a tiny run, the commands, and what a run's folder holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import tiny  # noqa: F401, sets torch's threads
from typer.testing import CliRunner, Result

from pipeline.__main__ import app
from pipeline.bundle import opening
from pipeline.contract.tables import TABLES

ROOT = Path(__file__).parents[1]
COUNT, SHARD = 120, 20
LAYER = "clip/vision.1.resid_post"
SCENES = f'kind = "scenes"\ncount = {COUNT}\nseed = 5'


def toml(**change: object) -> str:
    """A run's config; `change` gives its models and replaces parts of it."""
    parts = {
        "name": "tiny", "source": SCENES, "batch": 16, "k": 4, "shard": SHARD,
        "hooks": '"vision.1.resid_post", "vision.-1.resid_post", '
        '"vision.projection"', "tokens": "patches", "title": "Tiny",
    } | change  # fmt: skip
    return """
name = "{name}"
title = "{title}"
[examples]
shard_size = {shard}
training_tokens = 4
thumbnail = 32
[examples.source]
{source}
[models.clip]
id = "{clip}"
hooks = [{hooks}]
[encoders.judge]
id = "{encoder}"
[encoders.own]
id = "{clip}"
judges_itself = true
[dictionaries.batchtopk]
kind = "batchtopk"
k = {k}
tokens = "{tokens}"
training = {{ samples = 2000, batch = 128 }}
[dictionaries.matryoshka]
kind = "matryoshka"
k = {k}
hooks = ["vision.1.resid_post"]
pooling = "mean"
training = {{ samples = 2000, batch = 128 }}
[dictionaries.neurons]
kind = "neurons"
[machine]
device = "cpu"
batch_size = {batch}
""".format(**parts)


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def done(*arguments: object) -> Result:
    """A command that must succeed."""
    result = command(*arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def rows(bundle: Path, table: str, **where: object) -> list[dict[str, Any]]:
    root = opening.open_bundle(bundle).root
    found = pq.read_table(root / f"{table}.parquet").to_pylist()
    return [row for row in found if all(row[key] == value for key, value in where.items())]


def tables(bundle: Path) -> dict[str, bytes]:
    root = opening.open_bundle(bundle).root
    return {name: (root / f"{name}.parquet").read_bytes() for name in TABLES}


def assert_same(one: Mapping[str, bytes], two: Mapping[str, bytes]) -> None:
    assert [name for name in TABLES if one[name] != two[name]] == [], "tables whose bytes differ"


def assert_one_line(result: Result, *named: object, faults: int = 1) -> None:
    """The command failed, and said why in one line a fault without a traceback."""
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == faults
    assert result.stderr.splitlines()[-faults:] == lines
    assert "Traceback" not in result.output
    for line in lines:
        for name in named:
            assert str(name) in line
