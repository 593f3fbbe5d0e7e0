"""Runs and bundles whose files were damaged: nothing damaged is called whole, `run` makes it again,
`verify` finds it, a full disk is told in one line, and nothing ends with a traceback."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import damaged
from databases import connection
from small_run import make_run
from typer.testing import CliRunner, Result

from pipeline import errors
from pipeline.__main__ import app
from pipeline.bundle import opening as bundle_opening
from pipeline.bundle import sealed
from pipeline.bundle.verify import faults
from pipeline.contract.tables import TABLES
from pipeline.run.workspace import Workspace

ROOT = Path(__file__).parents[1]
MANY = 100


def command(*arguments: object) -> Result:
    """A command that either does what it should or says one line; never a traceback."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == 2:
        assert len([x for x in result.stderr.splitlines() if x.startswith("error: ")]) == 1
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A folder with a config, its model and its finished run; read only."""
    return make_run(tmp_path_factory.mktemp("made"), encoder=tiny_encoder)


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A finished run of its own to damage, whose times are the original's."""
    return shutil.copytree(made / "run", tmp_path / "run", symlinks=True)


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle_opening.open_bundle(made / "run").root, tmp_path / "bundle")


def tables(home: Path) -> dict[str, bytes]:
    root = bundle_opening.open_bundle(home).root
    return {name: (root / f"{name}.parquet").read_bytes() for name in TABLES}


def part_of(file: Path, home: Path) -> tuple[str, str]:
    step, key = file.relative_to(home / "parts").parts[:2]
    return step, key


@contextlib.contextmanager
def holding(file: Path, data: bytes) -> Iterator[None]:
    """The file with other bytes, and then as it was."""
    before, times = file.read_bytes(), file.stat()
    file.write_bytes(data)
    yield
    file.write_bytes(before)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def ways(files: list[Path], count: int = MANY) -> Iterator[tuple[Path, bytes]]:
    """So many damages, of the files in turn."""
    files = [file for file in files if file.stat().st_size]
    endless = [damaged(file.read_bytes(), seed=seed) for seed, file in enumerate(files)]
    for at in range(count):
        yield files[at % len(files)], next(endless[at % len(files)])


# --- Parts and manifests ---

PARTS = {
    "Parquet": "parts/*/*/*.parquet",
    "safetensors": "parts/*/*/*.safetensors",
    "part.json": "parts/*/*/part.json",
    "DuckDB": "parts/publish/*/loupe.duckdb",
    "manifest": "parts/publish/*/manifest.json",
}


@pytest.mark.parametrize("kind", PARTS)
def test_nothing_damaged_is_called_whole(kind: str, home: Path) -> None:
    workspace = Workspace(home)
    for file, data in ways(sorted(home.glob(PARTS[kind]))):
        step, key = part_of(file, home)
        assert workspace.has(step, key)
        before = file.read_bytes()
        with holding(file, data):
            fault = workspace.fault(step, key)
            if fault is None:  # a blank of JSON may have become another
                assert kind == "part.json"
                assert json.loads(data) == json.loads(before)
            else:
                assert file.name in fault or "part.json" in fault


@pytest.mark.parametrize("kind", [*PARTS, "step"])
def test_status_tells_what_is_damaged(kind: str, home: Path, made: Path) -> None:
    files = sorted(home.glob(PARTS.get(kind, "manifests/*.json")))
    for file, data in ways(files, 25):
        step = file.stem if kind == "step" else part_of(file, home)[0]
        before = file.read_bytes()
        with holding(file, data):
            result = command("status", made / "tiny.toml", "--out", home)
            assert result.exit_code == 0
            lines = {line.split()[0]: line for line in result.stdout.splitlines()}
            assert "damaged: " in lines[step] or " done " in lines[step]
            others = [line for name, line in lines.items() if name != step]
            assert all("damaged" not in line for line in others)
            if " done " in lines[step]:
                assert json.loads(data) == json.loads(before)


def test_all_that_is_damaged_is_made_again_and_named(home: Path, made: Path) -> None:
    """Every part at once, each by another damage of another of its files."""
    before = tables(home)
    count = 0
    for number, part in enumerate(sorted(home.glob("parts/*/*"))):
        files = sorted(path for path in part.rglob("*") if path.is_file() and path.stat().st_size)
        file = files[number % len(files)]
        file.write_bytes(
            next(itertools.islice(damaged(file.read_bytes(), seed=number), number, None))
        )
        count += 1
    for file, data in ways(sorted(home.glob("manifests/*.json")), 9):
        file.write_bytes(data)
    told = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", made / "tiny.toml", "--out", home],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("and is made again") == count
    after = tables(home)
    assert [name for name in before if before[name] != after[name]] == []
    assert list(faults(home)) == []
    again = command("status", made / "tiny.toml", "--out", home)
    assert [line.split()[1] for line in again.stdout.splitlines()] == ["done"] * 9


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b'{"key": 3}', b"\xff"])
def test_a_damaged_manifest_of_a_step_is_written_anew(
    content: bytes, home: Path, made: Path
) -> None:
    for file in home.glob("manifests/*.json"):
        file.write_bytes(content)
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0
    status = command("status", made / "tiny.toml", "--out", home).stdout
    assert [line.split()[1] for line in status.splitlines()] == ["done"] * 9


def test_damage_that_left_the_time_is_found_by_check_or_by_who_reads(
    home: Path, made: Path
) -> None:
    file = next(path for path in sorted(home.glob("parts/encode/*/0.safetensors")))
    times = file.stat()
    data = bytearray(file.read_bytes())
    data[8:40] = b"x" * 32  # in the header: it cannot be read
    file.write_bytes(bytes(data))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0, "nobody reads it"
    for key in (home / "parts" / "score").iterdir():
        shutil.rmtree(key)
    result = command("run", made / "tiny.toml", "--out", home)
    assert result.exit_code == 2
    assert f"{file.name}: holds other bytes than were written" in result.stderr
    assert "run the same command again" in result.stderr
    before = tables(made / "run")
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0
    assert tables(home) == before

    other = next(path for path in sorted(home.glob("parts/publish/*/loupe.duckdb")))
    times = other.stat()
    data = bytearray(other.read_bytes())
    data[len(data) // 2] ^= 1
    other.write_bytes(bytes(data))
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert command("verify", home).exit_code == 1
    assert command("run", made / "tiny.toml", "--out", home, "--check").exit_code == 0
    assert command("verify", home).exit_code == 0


def old(part: Path) -> None:
    """As a Loupe left it that listed no files."""
    for name in ("part.json", "manifest.json"):
        if (part / name).is_file():
            facts = sealed.read_json(part / name)
            facts.pop("files")
            (part / name).write_text(json.dumps(facts))


def test_parts_from_before_there_were_lists_count(home: Path, made: Path) -> None:
    for part in home.glob("parts/*/*"):
        old(part)
    for file in home.glob("manifests/*.json"):
        file.write_text(json.dumps(sealed.read_json(file)))
    before = {path: path.stat().st_ino for path in home.glob("parts/*/*")}
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0
    assert {path: path.stat().st_ino for path in home.glob("parts/*/*")} == before
    result = command("verify", home)
    assert result.exit_code == 0
    assert "hashes of its files are not recorded" in result.stdout

    for file in (*home.glob("parts/publish/*/loupe.duckdb"), *home.glob("parts/train/*/cfg.json")):
        file.write_bytes(b"")
    for file in home.glob("parts/encode/*/0.safetensors"):
        file.write_bytes(file.read_bytes()[:-8])
    status = command("status", made / "tiny.toml", "--out", home).stdout
    lines = {line.split()[0]: line for line in status.splitlines()}
    assert all("damaged: " in lines[step] for step in ("publish", "train", "encode"))
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0
    assert command("verify", home).exit_code == 0


def test_a_part_that_is_a_file_or_a_bare_folder(home: Path, made: Path) -> None:
    parts = sorted((home / "parts" / "label").iterdir())
    shutil.rmtree(parts[0])
    parts[0].write_text("not a folder")
    (parts[1] / "part.json").unlink()
    (parts[2] / "part.json").unlink()
    (parts[2] / "part.json").mkdir()
    assert command("status", made / "tiny.toml", "--out", home).exit_code == 0
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0
    assert list(faults(home)) == []


def test_a_copied_run_is_read_once(home: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, file in enumerate(sorted(home.rglob("*.parquet"))):
        os.utime(file, (number, number))
    read: list[Path] = []
    real = sealed.sha256
    monkeypatch.setattr(sealed, "sha256", lambda path: read.append(path) or real(path))
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0
    assert read
    assert all(path.suffix == ".parquet" for path in read)
    read.clear()
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0
    assert read == []


# --- Bundles ---


def said(bundle: Path) -> Iterator[str]:
    """What `verify` says of it."""
    try:
        yield from faults(bundle)
    except sealed.StoreError as error:
        yield str(error)


FILES = ["*.parquet", "loupe.duckdb", "manifest.json", "saes/**/cfg.json", "saes/**/*.safetensors"]


@pytest.mark.parametrize("pattern", FILES)
def test_verify_finds_every_damage(pattern: str, bundle: Path) -> None:
    for file, data in ways(sorted(bundle.glob(pattern))):
        before = file.read_bytes()
        with holding(file, data):
            found = next(said(bundle), None)
            if found is None:
                assert file.name == "manifest.json"
                assert json.loads(data) == json.loads(before)
            else:
                assert file.name in found


@pytest.mark.parametrize("pattern", FILES)
def test_verify_of_a_bundle_without_hashes_never_fails(pattern: str, bundle: Path) -> None:
    """What it finds there hangs on the damage; that it ends with lines does not."""
    old(bundle)
    assert list(faults(bundle)) == []
    for file, data in ways(sorted(bundle.glob(pattern)), 5):
        with holding(file, data):
            assert all(isinstance(line, str) for line in said(bundle))


def test_weights_of_a_bundle_without_hashes_are_compared(bundle: Path) -> None:
    old(bundle)
    file = sorted(bundle.rglob("sae_weights.safetensors"))[0]
    data = bytearray(file.read_bytes())
    data[-100] ^= 64
    file.write_bytes(bytes(data))
    assert [line for line in faults(bundle) if "holds other weights" in line]
    sorted(bundle.rglob("cfg.json"))[1].write_bytes(b"")
    assert [line for line in faults(bundle) if "cfg.json" in line]


@pytest.mark.parametrize("table", ["cards", "best_matches", "read_captions", "example_features"])
@pytest.mark.parametrize("how", ["DROP TABLE {}", "DELETE FROM {} WHERE rowid = 0"])
def test_verify_finds_derived_tables_missing(table: str, how: str, bundle: Path) -> None:
    old(bundle)
    with duckdb.connect(str(bundle / bundle_opening.DATABASE)) as opened:
        rows = opened.execute(f"SELECT count(*) FROM {table}").fetchone()
        opened.execute(how.format(table))
    lines = [line for line in faults(bundle) if table in line]
    empty = rows == (0,)  # nothing here reads captions
    assert bool(lines) != (empty and how.startswith("DELETE"))


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize(
    ("table", "column"), [("dictionaries", "fvu"), ("embeddings", "vector"), ("maps", "x"),
                          ("top_examples", "patch_acts")],
)  # fmt: skip
def test_verify_finds_what_is_no_number(
    table: str, column: str, value: float, bundle: Path
) -> None:
    old(bundle)
    file = bundle / f"{table}.parquet"
    data = pq.read_table(file)
    rows = data[column].to_pylist()
    at = next(i for i, row in enumerate(rows) if row not in (None, []))
    rows[at] = [value, *rows[at][1:]] if isinstance(rows[at], list) else value
    field = data.schema.field(column)
    index = data.column_names.index(column)
    pq.write_table(data.set_column(index, field, pa.array(rows, field.type)), file)
    assert f"{table}.{column}: 1 values are no numbers, or infinite" in list(faults(bundle))


def test_verify_finds_files_that_are_not_the_bundles(bundle: Path) -> None:
    (bundle / "loupe.duckdb.wal").write_bytes(b"")
    (bundle / ".DS_Store").write_bytes(b"x")
    assert list(faults(bundle)) == ["loupe.duckdb.wal is not a file of this bundle"]


def test_verify_finds_rows_that_the_manifest_does_not_count(bundle: Path) -> None:
    old(bundle)
    file = bundle / "neighbors.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    assert any("neighbors: has" in line for line in faults(bundle))


def mutated(manifest: dict[str, object]) -> Iterator[dict[str, object]]:
    """The manifest without one of its fields, or with something else there."""
    for name in [*manifest, "files"]:
        for other in (None, [], {}, 3, "x", [{}], {"a": 1}, {"a": None}, True, -1e308):
            yield {**manifest, name: other}
        yield {key: value for key, value in manifest.items() if key != name}


def test_a_manifest_of_any_form_opens_or_is_refused_in_one_line(bundle: Path) -> None:
    file = bundle / "manifest.json"
    manifest = sealed.read_json(file)
    manifest.pop("files")
    opened, refused = 0, []
    for changed in mutated(manifest):
        file.write_text(json.dumps(changed))
        try:
            found = bundle_opening.open_bundle(bundle)
        except sealed.StoreError as error:
            refused.append(str(error))
            continue
        opened += 1
        assert isinstance(found.config, dict)
        assert found.made_by("clip") is None or isinstance(found.made_by("clip"), str)
    assert opened > 20
    assert all("\n" not in line and str(bundle) in line for line in refused)


@pytest.mark.parametrize("name", ["config", "models", "rows"])
@pytest.mark.parametrize("value", ["[]", "null", '"x"', "3"])
def test_what_is_wrong_in_a_manifest_is_named(name: str, value: str, bundle: Path) -> None:
    old(bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, name: json.loads(value)}))
    assert bundle_opening.open_bundle(bundle).damaged == (name,), "pages do without it"
    assert f"manifest.json: {name} is no object" in faults(bundle)
    assert command("verify", bundle).exit_code == 1
    if name == "config":
        assert command("steer", bundle).exit_code == 2


def test_a_lost_table_is_named(bundle: Path) -> None:
    opened = bundle_opening.open_bundle(bundle)
    (bundle / "embeddings.parquet").unlink()
    with pytest.raises(sealed.StoreError, match=r"embeddings\.parquet: missing; make the bundle"):
        opened.embeddings("judge")
    (bundle / "embeddings.parquet").write_bytes(b"PAR1")
    with pytest.raises(sealed.StoreError, match=r"embeddings\.parquet: damaged"):
        opened.embeddings("judge")


def test_a_damaged_database_is_refused_in_one_line(bundle: Path) -> None:
    opened, refused = bundle_opening.open_bundle(bundle), []
    for file, data in ways([opened.database], 40):
        with holding(file, data):
            try:
                looked = connection(opened)
                looked.close()
            except sealed.StoreError as error:
                refused.append(str(error))
    assert len(refused) > 5
    assert all("\n" not in line and "run CONFIG" in line for line in refused)


# --- Full disks, kills ---


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Callable[[int], None]]:
    """A file system of its own at `place`, and what sets its size in KiB."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield lambda size: subprocess.run(
            ["mount", "-o", f"remount,size={size}k", str(place)], check=True
        ) and None  # fmt: skip
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_line_and_the_run_goes_on(made: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as resized:
        home, steps, size = tmp_path / "disk" / "run", set(), 64
        while size < 40_000:
            resized(size)
            result = command("run", made / "tiny.toml", "--out", home)
            if result.exit_code == 0:
                break
            assert result.exit_code == 2
            told = (f"{home}: no space left on the disk; make room and run", "are free; make room")
            assert any(line in result.stderr for line in told)
            assert list(home.rglob(".tmp-*")) == []
            steps.add(len(list(home.glob("manifests/*"))))
            size = int(size * 1.6)
        assert result.exit_code == 0
        assert len(steps) >= 3, f"it was full only after {steps} steps"
        assert list(faults(home)) == []
        assert tables(home) == tables(made / "run")


def test_every_librarys_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    big = np.random.default_rng(0).random(1 << 20)
    rows = pa.table({"a": big})

    def database(place: Path) -> None:
        with duckdb.connect(str(place / "x.duckdb")) as opened:
            opened.execute("CREATE TABLE t AS SELECT random() AS a FROM range(1000000)")

    def copied(place: Path) -> None:
        (tmp_path / "from").mkdir()
        (tmp_path / "from" / "x").write_bytes(big.tobytes())
        shutil.copytree(tmp_path / "from", place / "to")

    writers: list[Callable[[Path], object]] = [
        lambda place: save_file({"a": big}, place / "x.safetensors"),
        lambda place: pq.write_table(rows, place / "x.parquet"),
        lambda place: np.save(place / "x.npy", big),
        lambda place: (place / "x").write_bytes(big.tobytes()),
        lambda place: sealed.write_json(place / "x", {"a": big.tolist()}),
        database,
        copied,
    ]
    with small_disk(tmp_path / "disk") as resized:
        resized(1024)
        for number, write in enumerate(writers):
            place = tmp_path / "disk" / str(number)
            place.mkdir()
            with pytest.raises(SystemExit) as stopped, errors.one_line_errors():
                write(place)
            assert stopped.value.code == 2
            shutil.rmtree(place)


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_counts(made: Path, tmp_path: Path) -> None:
    home = tmp_path / "run"
    told = [sys.executable, "-m", "pipeline", "run", str(made / "tiny.toml"), "--out", str(home)]
    with subprocess.Popen(
        told, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as p:
        while p.poll() is None and not list(home.glob("parts/train/.tmp-*")):
            time.sleep(0.001)
        p.send_signal(signal.SIGKILL)
    status = command("status", made / "tiny.toml", "--out", home)
    assert status.exit_code == 0
    assert "damaged" not in status.stdout
    assert command("run", made / "tiny.toml", "--out", home).exit_code == 0
    assert list(home.rglob(".tmp-*")) == []
    assert tables(home) == tables(made / "run")
