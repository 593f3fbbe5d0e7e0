"""What must not change by accident: the keys of the demo's units and what the tables are.

A changed key makes finished work anew on every machine; a changed table makes old bundles
unreadable or reads them wrongly. Where a change is meant, raise the step's number or the contract's
version and write the pins anew: `python tests/test_pinned.py`.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from synthetic import make_bundle

from pipeline import config
from pipeline.contract.tables import TABLES
from pipeline.inputs import listing, readers
from pipeline.run import plan

ROOT = Path(__file__).parents[1]
PINS = Path(__file__).parent / "pinned.json"
CONFIGS = ["demo", "demo-llava"]


def keys(name: str) -> dict[str, str]:
    """Of each step the key over all of its units' keys."""
    run = config.load(ROOT / "pipeline" / "configs" / f"{name}.toml")
    found = listing.listing(run.examples, source=readers.reader(run.examples.source))
    plans = plan.plans(run, found)
    return {step: made.key for step, made in plans.items()}


def definitions() -> dict[str, str]:
    """Of each table a hash of its columns, their types, order and meanings."""
    found = {}
    for name, table in TABLES.items():
        columns = [
            (f.name, str(f.type), f.nullable, sorted((f.metadata or {}).items()))
            for f in table.schema
        ]
        facts = (name, table.doc, table.key, table.sort, table.references, columns)
        found[name] = digest(repr(facts).encode())
    return found


def written(folder: Path) -> dict[str, str]:
    """Of each table of a made-up bundle, whose numbers come from a seed, a hash of its rows."""
    make_bundle(folder)
    found = {}
    for name, table in TABLES.items():
        file = folder / table.file
        if file.exists() and name != "thumbnails":  # pictures are as the library packs them
            rows = pq.read_table(file)
            found[name] = digest(json.dumps(rows.to_pylist(), default=str).encode())
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def pins(folder: Path) -> dict[str, dict[str, str]]:
    """All that is pinned."""
    return {f"keys of {name}": keys(name) for name in CONFIGS} | {
        "definitions": definitions(),
        "rows": written(folder),
    }


def test_nothing_is_made_anew_or_written_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # the configs name files from there
    pinned = json.loads(PINS.read_text(encoding="utf-8"))
    assert pins(tmp_path / "bundle") == pinned, "write them anew only where a change is meant"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        text = json.dumps(pins(Path(made) / "bundle"), indent=1, sort_keys=True)
    PINS.write_text(text + "\n", encoding="utf-8")
