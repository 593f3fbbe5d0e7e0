"""What is on disk is whole or not there: keys, parts, locks, tables, bundles."""

import json
import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import contract
from pipeline.bundle import opening
from pipeline.bundle.sealed import StoreError
from pipeline.bundle.tables import write_table
from pipeline.contract.tables import ACTIVATIONS, SKIPPED
from pipeline.fingerprints import remembered
from pipeline.fingerprints.keys import _REMEMBERED, content_key, fingerprint_files
from pipeline.run import identity
from pipeline.run.workspace import Workspace

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
        return fingerprint_files(tmp_path, patterns=patterns)

    first = now()
    os.utime(tmp_path / "a.json", (0, 0))
    (tmp_path / "notes.txt").write_text("y")
    assert now() == first
    (tmp_path / "sub" / "w.bin").write_bytes(b"weightz")
    changed = now()
    assert changed != first
    (tmp_path / "sub" / "w.bin").rename(tmp_path / "sub" / "v.bin")
    assert now() not in (first, changed)


def test_every_byte_of_a_large_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model fine-tuned in place keeps its size, and perhaps its first and last bytes."""
    monkeypatch.setenv("LOUPE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(_REMEMBERED + 10))
    first = identity.model_identity(str(tmp_path), None)
    with file.open("r+b") as opened:
        opened.seek(_REMEMBERED // 2)
        opened.write(b"x")
    assert identity.model_identity(str(tmp_path), None) != first


def test_the_hash_of_a_large_file_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOUPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered, "_SETTLED", -60.0)
    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    asked: list[None] = []

    def now(made: str = "abc") -> str:
        return remembered.digest([file], tmp_path, lambda: asked.append(None) or made)  # type: ignore[func-returns-value]

    assert [now(), now(), now()] == ["abc"] * 3
    assert len(asked) == 1
    kept = next((tmp_path / "cache" / "hashes").iterdir())
    for damage in (b"", b"abd " + kept.read_bytes()[4:], b"\xff", b"abc", b"abc\n"):
        kept.write_bytes(damage)
        assert now() == "abc"
        assert now() == "abc"
    assert len(asked) == 6
    mode = file.stat()
    file.write_bytes(b"weightz")
    os.utime(file, ns=(mode.st_atime_ns, mode.st_mtime_ns))
    assert now("def") == "def", "a time that was set back"


def test_the_cache_of_hashes_may_be_lost_or_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_SETTLED", -60.0)
    (tmp_path / "weights").write_bytes(b"weights")
    for place in ("/proc/none", str(tmp_path / "weights"), str(tmp_path / ("x" * 300))):
        monkeypatch.setenv("LOUPE_CACHE", place)
        assert remembered.digest([tmp_path / "weights"], tmp_path, lambda: "abc") == "abc"


def test_a_file_just_written_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOUPE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "weights").write_bytes(b"weights")
    remembered.digest([tmp_path / "weights"], tmp_path, lambda: "abc")
    assert not (tmp_path / "cache").exists()


def test_only_what_is_read_of_a_models_folder_counts(tmp_path: Path) -> None:
    read = ("config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json",
            "vocab.json", "merges.txt", "shards/one.safetensors")  # fmt: skip
    (tmp_path / "shards").mkdir()
    for name in read:
        (tmp_path / name).write_text("one")
    named = {"a": "shards/one.safetensors", "b": "lost", "c": "/etc/hostname", "d": 3}
    index = {"weight_map": named}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    before = identity.model_identity(str(tmp_path), None)
    for name in ("probes.json", "scores.json", "trainer_state.json", "notes.txt", "README.md",
                 "log.csv", "optimizer.pt", "training_args.bin", "rng_state_0.pth",
                 "runs/config.json", "LICENSE.txt", "all_results.json"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("new")
        assert identity.model_identity(str(tmp_path), None) == before, name
    for name in read:
        (tmp_path / name).write_text("two")
        assert identity.model_identity(str(tmp_path), None) != before, name
        (tmp_path / name).write_text("one")
    for content in ("", "[]", '{"weight_map": 3}', '{"weight_map": {"a": null}}', "[" * 9000):
        (tmp_path / "model.safetensors.index.json").write_text(content)
        assert identity.model_identity(str(tmp_path), None) != before


def test_the_keys_of_finished_runs_hold(tmp_path: Path) -> None:
    """Noted down before files were hashed whole: of what is small and read, nothing changed."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(range(256)) * 9)
    assert identity.model_identity(str(tmp_path), None) == "f49feecdbe231db0"
    assert fingerprint_files(tmp_path) == "f49feecdbe231db0"
    assert fingerprint_files(tmp_path / "config.json") == "555dc36908b373a3"


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


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "run with a blank")
    home = workspace.root
    theirs = [
        *("notes/.tmp-mine", ".tmp-1-mine", ".tmp-mine", "parts/.tmp-1-x", ".lock"),
        *("parts/collect/.tmp-mine", "parts/collect/.tmp-1-file", "parts/collect/k/.tmp-1-x/y"),
        *("manifests/.tmp-mine.json", "manifests/x/.tmp-1-y.json", "answers/.tmp-1-x/y"),
        *("parts/publish/notes/mine", "parts/publish/mine", "bundle-1/mine"),
    ]
    for name in theirs:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("theirs")
    (home / ".tmp-2-bundle").mkdir()
    (home / "parts" / "collect" / ".tmp-3-link").symlink_to(home / "notes")
    ours = home / "parts" / "collect" / ".tmp-4-k"
    ours.mkdir()
    with workspace.locked():
        assert not ours.exists()
    for key in ("one", "two"):
        with workspace.making("publish", key):
            pass
        workspace.expose("publish", key)
    assert not workspace.has("publish", "one")
    assert all((home / name).read_text() == "theirs" for name in theirs)
    assert (home / ".tmp-2-bundle").is_dir()
    assert (home / "parts" / "collect" / ".tmp-3-link").is_symlink()


def published(workspace: Workspace, key: str) -> None:
    with workspace.making("publish", key) as (folder, _):
        manifest = {"contract": contract.VERSION, "key": key}
        (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_bundle_that_is_a_folder_makes_way(tmp_path: Path) -> None:
    """As `cp -rL` leaves one, perhaps with a file of somebody's."""
    workspace = Workspace(tmp_path / "run")
    published(workspace, "one")
    for number in (1, 2):
        shutil.copytree(workspace.part("publish", "one"), workspace.root / "bundle")
        (workspace.root / "bundle" / "mine").write_text("x")
        assert not workspace.shows("publish", "one")
        moved = workspace.expose("publish", "one")
        assert moved == workspace.root / f"bundle-{number}"
        assert (moved / "mine").read_text() == "x"
        assert workspace.shows("publish", "one")
        (workspace.root / "bundle").unlink()
    assert workspace.expose("publish", "one") is None


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_else_is_called_bundle_stays(what: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "run")
    published(workspace, "one")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    shown = workspace.root / "bundle"
    if what == "file":
        shown.write_text("x")
    elif what == "folder":
        shutil.copytree(tmp_path / "mine", shown)
    else:
        shown.symlink_to(tmp_path / "mine")
    with pytest.raises(StoreError, match=r"bundle: is not Loupe's.*; rename it, or name another"):
        workspace.expose("publish", "one")
    assert (shown if what == "file" else shown / "x").read_text() == "x"


def test_a_link_of_ours_is_replaced_wherever_it_points(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "run")
    published(workspace, "one")
    published(workspace, "two")
    for target in ("parts/publish/gone", tmp_path / "gone", workspace.part("publish", "one")):
        (workspace.root / "bundle").unlink(missing_ok=True)
        (workspace.root / "bundle").symlink_to(target)
        workspace.expose("publish", "two")
        assert workspace.shows("publish", "two")


@pytest.mark.parametrize("what", ["file", "lock", "parent"])
def test_where_no_run_can_be_kept(what: str, tmp_path: Path) -> None:
    home = tmp_path / "run"
    if what == "lock":
        (home / ".lock").mkdir(parents=True)
    else:
        home.write_text("x")
    workspace = Workspace(home / "inside" if what == "parent" else home)
    with pytest.raises(StoreError, match=r"run.*: no run can be kept there .* with --out"):
        workspace.locked().__enter__()


def test_a_second_process_is_locked_out(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.bundle.sealed import StoreError\n"
        "from pipeline.run.workspace import Workspace\n"
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
        assert opening.open_bundle(workspace.root).manifest["key"] == key
        assert opening.open_bundle(workspace.root / "bundle").manifest["key"] == key
    assert [p.name for p in (tmp_path / "run" / "parts" / "publish").iterdir()] == ["two"]
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert opening.open_bundle(moved).manifest["key"] == "two", "the link must be relative"


def test_open_bundle_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere: no such folder; name a run"):
        opening.open_bundle(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"holds no bundle; make one with: python -m pipeline run"):
        opening.open_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"manifest\.json: cannot be read"):
        opening.open_bundle(tmp_path)


@pytest.mark.parametrize("made_for", [f"{contract.MAJOR + 1}.0", "0.9", None])
def test_another_major_version_is_refused(tmp_path: Path, made_for: str | None) -> None:
    manifest = {"contract": made_for} if made_for else {}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"made for contract .*; make it again with: python -m"):
        opening.open_bundle(tmp_path)


def test_another_minor_version_opens(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"contract": f"{contract.MAJOR}.999"}))
    assert opening.open_bundle(tmp_path).root == tmp_path.resolve()


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
    write_table(ACTIVATIONS, data, tmp_path)
    read = pq.read_table(tmp_path / "activations.parquet")
    assert read.schema.equals(ACTIVATIONS.schema)
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
        write_table(ACTIVATIONS, rows, tmp_path / name)
    one, two = ((tmp_path / name / "activations.parquet").read_bytes() for name in "ab")
    assert one == two


def test_an_empty_table_is_written(tmp_path: Path) -> None:
    empty = SKIPPED.schema.empty_table()
    write_table(SKIPPED, empty, tmp_path)
    assert pq.read_table(tmp_path / "skipped.parquet").num_rows == 0
