"""A bundle with a piece missing or damaged: the pages say which, and the rest of them stands."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from conftest import serve
from synthetic import make_bundle
from visitor import Visitor

PAGES = [
    ("", {}), ("browse", {"like": "1"}), ("map", {}), ("modalities", {}),
    ("modalities", {"look": "Layers"}), ("modalities", {"look": "Reconstruction"}), ("compare", {}),
    ("compare", {"look": "Flow"}), ("compare", {"features": "S:1~S:2"}), ("steering", {}),
    ("steering", {"look": "Scores"}), ("steering", {"features": "S:1"}), ("feature", {}),
    ("image", {}), ("lists", {"features": "S:1"}),
]  # fmt: skip
SAE = "clip-demo/vision.0.resid_post/matryoshka"
WRONG: list[Any] = [
    None,
    [],
    "x",
    3,
    {"models": [], "labels": 1, "captions": "x", "encoders": None},
]
Damage = Callable[[Path], object]


def manifest(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(bundle: Path) -> None:
        file = bundle / "manifest.json"
        held = json.loads(file.read_text(encoding="utf-8"))
        change(held)
        file.write_text(json.dumps(held), encoding="utf-8")

    return damage


def statement(text: str) -> Damage:
    def damage(bundle: Path) -> None:
        with duckdb.connect(str(bundle / "loupe.duckdb")) as connection:
            connection.execute(text)

    return damage


def damages(bundle: Path) -> Iterator[tuple[str, Damage]]:
    """Name and deed of each: every file gone, cut and overwritten, every table gone and emptied,
    every part of the manifest gone and of another kind."""
    files = sorted(p.relative_to(bundle) for p in bundle.rglob("*") if p.is_file())
    for file in (f for f in files if f.name in ("embeddings.parquet", "loupe.duckdb")):
        yield f"no {file}", lambda at, file=file: (at / file).unlink()
        yield f"empty {file}", lambda at, file=file: (at / file).write_bytes(b"")
        yield (
            f"cut {file}",
            lambda at, file=file: (at / file).write_bytes((at / file).read_bytes()[:3000]),
        )
    yield "no parquet", lambda at: [each.unlink() for each in at.glob("*.parquet")]
    yield "no saes", lambda at: shutil.rmtree(at / "saes", ignore_errors=True)
    with duckdb.connect(str(bundle / "loupe.duckdb"), read_only=True) as connection:
        found = connection.execute("SELECT name, type FROM sqlite_master").fetchall()
    for table, _ in sorted(found):
        kind = "VIEW" if dict(found)[table] == "view" else "TABLE"
        yield f"no table {table}", statement(f'DROP {kind} "{table}" CASCADE')
        if kind == "TABLE":
            yield f"no rows in {table}", statement(f'DELETE FROM "{table}"')
    for name in ("config", "models", "rows", "versions", "title", "name", "key", "made"):
        yield f"no {name}", manifest(lambda held, name=name: held.pop(name, None))
        for place, value in enumerate(WRONG):
            yield (
                f"{name} {place}",
                manifest(lambda held, name=name, value=value: held.update({name: value})),
            )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "log"


FEW = {
    "no embeddings.parquet", "cut embeddings.parquet", "empty loupe.duckdb", "no parquet",
    "no table neighbors", "no rows in dictionaries", "no rows in features", "no rows in cards",
    "no rows in encoders", "config 0", "config 1", "config 4", "models 1", "no name",
}  # fmt: skip
"""What is tried each time; all of `damages` are where slow tests are asked for."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[tuple[str, list[str]]]:
    """A server, and the names of the damaged runs beside the sound one."""
    folder = tmp_path_factory.mktemp("runs")
    sound = make_bundle(folder / "demo", n_examples=40, d_sae=24)
    bundle, names = (sound / "bundle").resolve(), []
    # As a published one, it counts the rows of its tables.
    rows = {file.stem: pq.read_metadata(file).num_rows for file in bundle.glob("*.parquet")}
    manifest(lambda held: held.update(rows=rows))(bundle)
    for name, damage in damages(bundle):
        at = folder / name.replace("/", "-") / "bundle"
        shutil.copytree(bundle, at)
        damage(at)
        names.append(at.parent.name)
    with serve("dashboard/app.py", str(sound), log=log, env={}) as address:
        yield address, names


@pytest.mark.parametrize("few", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_no_page_ends_in_an_error(served: tuple[str, list[str]], log: Path, few: bool) -> None:
    url, names = served
    assert set(names) >= FEW
    bad = []

    def walk(one: Visitor, name: str) -> None:
        for page, asked in PAGES:
            more = {key: at.replace("S:", f"{SAE}:") for key, at in asked.items()}
            one.go(page, run=name, **more)
            bad.extend((name, page, asked, each) for each in one.exceptions)

    if few:  # a visitor each
        for name in sorted(FEW):
            with Visitor(url) as one:
                walk(one, name)
    else:  # one goes through them all
        with Visitor(url) as one:
            for name in names:
                if name not in FEW:
                    walk(one, name)
    assert not bad, "\n".join(map(str, bad))
    assert "Traceback" not in log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "page", "asked", "told"),
    [
        ("no embeddings.parquet", "browse", {"like": "1"}, "embeddings.parquet is missing"),
        ("cut embeddings.parquet", "browse", {"like": "1"}, "embeddings.parquet is damaged"),
        ("no table neighbors", "feature", {}, "neighbors"),
        ("cut loupe.duckdb", "browse", {}, "loupe.duckdb"),
    ],
)
def test_what_is_missing_is_named(
    served: tuple[str, list[str]], name: str, page: str, asked: dict[str, str], told: str
) -> None:
    with Visitor(served[0]) as one:
        one.go(page, run=name, **asked)
        said = [each.body for kind, each in one.elements if kind == "alert"]
        assert any(told in each.replace("\\", "") for each in said), said
        assert name.startswith("cut loupe") or "bidi_component" in [k for k, _ in one.elements][3:]
