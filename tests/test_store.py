"""What is on disk is whole or not there: keys, parts, locks, tables, bundles."""

import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import contract, store
from pipeline.store import StoreError, Workspace, content_key

ROOT = Path(__file__).parents[1]


def test_a_content_key_ignores_the_order_of_dicts_only() -> None:
    assert content_key({"a": 1, "b": 2}) == content_key(OrderedDict(b=2, a=1))
    assert content_key([1, 2]) != content_key([2, 1])
    assert content_key({"a": 1}, 2) != content_key({"a": 1})
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key(None) != content_key("None")


def test_a_content_key_is_the_same_in_every_process() -> None:
    """This one was noted down: a change would make every run anew."""
    assert content_key("collect", 1, {"b": [1, 2.5, None], "a": "ä"}) == "6741dc72ecc05908"


def test_a_fingerprint_follows_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(b"weights")
    (tmp_path / "notes.txt").write_text("x")
    patterns = ("*.json", "*.bin")

    def now() -> str:
        return store.fingerprint_files(tmp_path, patterns=patterns)

    first = now()
    os.utime(tmp_path / "a.json", (0, 0))
    (tmp_path / "notes.txt").write_text("y")
    assert now() == first
    (tmp_path / "sub" / "w.bin").write_bytes(b"weightz")
    changed = now()
    assert changed != first
    (tmp_path / "sub" / "w.bin").rename(tmp_path / "sub" / "v.bin")
    assert now() not in (first, changed)


def test_a_part_is_there_with_its_facts_only_when_it_is_whole(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.making("collect", "k") as (folder, facts):
        (folder / "data").write_text("x")
        facts["n"] = 3
        assert not workspace.has("collect", "k")
        assert not workspace.part("collect", "k").exists()
    assert workspace.has("collect", "k")
    assert workspace.facts("collect", "k") == {"n": 3}
    assert (workspace.part("collect", "k") / "data").read_text() == "x"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    workspace = Workspace(tmp_path)

    def fail() -> None:
        with workspace.making("collect", "k") as (folder, _):
            (folder / "data").write_text("x")
            raise error

    with pytest.raises(error):
        fail()
    assert not workspace.has("collect", "k")
    assert list((tmp_path / "parts" / "collect").iterdir()) == []


def test_what_a_killed_process_left_is_not_read_and_goes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    left = tmp_path / "parts" / "collect" / ".tmp-99999-k"
    left.mkdir(parents=True)
    (left / "part.json").write_text("{}")
    (tmp_path / ".tmp-99999-bundle").symlink_to("nowhere")
    bare = tmp_path / "parts" / "collect" / "bare"
    bare.mkdir()
    (bare / "data").write_text("x")
    assert not workspace.has("collect", "k")
    assert not workspace.has("collect", "bare"), "a folder without part.json is not a part"
    with workspace.locked():
        assert not left.exists()
        assert not (tmp_path / ".tmp-99999-bundle").is_symlink()
    with workspace.making("collect", "bare") as (folder, _):
        (folder / "new").write_text("y")
    assert [p.name for p in sorted(bare.iterdir())] == ["new", "part.json"]


def test_a_damaged_part_says_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = workspace.part("collect", "k")
    folder.mkdir(parents=True)
    (folder / "part.json").write_text('{"n": ')
    with pytest.raises(StoreError, match=r"part\.json: cannot be read"):
        workspace.facts("collect", "k")


def test_a_manifest_is_replaced_whole(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.manifest("collect") is None
    workspace.write_manifest("collect", {"key": "one"})
    workspace.write_manifest("collect", {"key": "two"})
    assert workspace.manifest("collect") == {"key": "two"}
    assert [p.name for p in (tmp_path / "manifests").iterdir()] == ["collect.json"]


def test_a_second_process_is_locked_out(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.store import Workspace, StoreError\n"
        "try:\n"
        "    with Workspace(Path(sys.argv[1])).locked(): print('got it')\n"
        "except StoreError as error: print(error)\n"
    )

    def other() -> str:
        command = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    with Workspace(tmp_path).locked():
        assert other() == f"{tmp_path}: another process is running this; wait for it"
    assert other() == "got it"


def test_the_bundle_link_is_swapped_and_older_parts_go(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "run")
    for key in ("one", "two"):
        with workspace.making("publish", key) as (folder, _):
            (folder / "manifest.json").write_text(
                json.dumps({"contract": contract.VERSION, "key": key})
            )
        workspace.expose("publish", key)
        assert store.open_bundle(workspace.root).manifest["key"] == key
        assert store.open_bundle(workspace.root / "bundle").manifest["key"] == key
    assert [p.name for p in (tmp_path / "run" / "parts" / "publish").iterdir()] == ["two"]
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert store.open_bundle(moved).manifest["key"] == "two", "the link must be relative"


def test_open_bundle_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere: no such folder; name a run"):
        store.open_bundle(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"holds no bundle; make one with: python -m pipeline run"):
        store.open_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"manifest\.json: cannot be read"):
        store.open_bundle(tmp_path)


@pytest.mark.parametrize("made_for", [f"{contract.MAJOR + 1}.0", "0.9", None])
def test_another_major_version_is_refused(tmp_path: Path, made_for: str | None) -> None:
    manifest = {"contract": made_for} if made_for else {}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"made for contract .*; make it again with: python -m"):
        store.open_bundle(tmp_path)


def test_another_minor_version_opens(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"contract": f"{contract.MAJOR}.999"}))
    assert store.open_bundle(tmp_path).root == tmp_path.resolve()


def activations() -> pa.Table:
    rng = np.random.default_rng(0)
    n = 500
    return pa.table(
        {
            "dictionary_id": [f"m/h/{i % 3}" for i in range(n)],
            "modality": ["image"] * n,
            "feature_id": rng.integers(5, size=n),
            "example_id": rng.permutation(n),
            "activation": rng.integers(1, 6, size=n).astype(np.float64),
        }
    )


def test_a_table_comes_back_sorted_and_whole(tmp_path: Path) -> None:
    data = activations()
    store.write_table(contract.ACTIVATIONS, data, tmp_path)
    read = pq.read_table(tmp_path / "activations.parquet")
    assert read.schema.equals(contract.ACTIVATIONS.schema)
    rows = [tuple(row.values()) for row in read.to_pylist()]
    given = [tuple(row.values()) for row in data.to_pylist()]
    assert rows == sorted(given, key=lambda r: (r[0], r[1], r[2], -r[4], r[3]))
    column = pq.ParquetFile(tmp_path / "activations.parquet").metadata.row_group(0).column(4)
    assert column.compression == "ZSTD"
    assert column.physical_type == "FLOAT"


def test_the_order_of_what_is_written_does_not_change_the_bytes(tmp_path: Path) -> None:
    data = activations()
    for name, rows in (("a", data), ("b", data.take(np.random.default_rng(1).permutation(500)))):
        (tmp_path / name).mkdir()
        store.write_table(contract.ACTIVATIONS, rows, tmp_path / name)
    one, two = ((tmp_path / name / "activations.parquet").read_bytes() for name in "ab")
    assert one == two


def test_an_empty_table_is_written(tmp_path: Path) -> None:
    empty = contract.SKIPPED.schema.empty_table()
    store.write_table(contract.SKIPPED, empty, tmp_path)
    assert pq.read_table(tmp_path / "skipped.parquet").num_rows == 0
