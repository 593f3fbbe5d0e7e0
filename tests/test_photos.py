"""The path of a user's own photographs: `photos.toml` on real pictures and a real small CLIP."""

import tomllib
from pathlib import Path

import duckdb
import pytest

from pipeline import config, engine, examples, plan, store, verify
from pipeline.__main__ import worker_of

CONFIG = Path(__file__).parents[1] / "pipeline" / "configs" / "photos.toml"


class Quiet:
    """A watcher that says nothing."""

    def start(self, plan: plan.Plan, *, done: int) -> None: ...
    def advance(self, weight: int) -> None: ...
    def finish(self, plan: plan.Plan, *, made: int) -> None: ...


@pytest.fixture(scope="module")
def photos_run(
    photos_dir: Path, clip_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> store.Bundle:
    """The shipped config with these photographs and this model, trained shorter."""
    settings = tomllib.loads(CONFIG.read_text())
    settings["examples"]["source"] |= {
        "path": str(photos_dir / "images"),
        "captions": str(photos_dir / "captions.csv"),
    }
    settings["models"]["clip-b32"] |= {
        "id": str(clip_dir),
        "hooks": ["vision.1.resid_post", "vision.-1.resid_post", "vision.projection"],
    }
    settings["encoders"]["dinov2"]["id"] = str(clip_dir)
    settings["dictionaries"]["matryoshka"]["training"] |= {"samples": 30_000, "batch": 1024}
    run = config.RunConfig.model_validate(settings)
    workspace = store.Workspace(tmp_path_factory.mktemp("photos"))
    found = examples.listing(run.examples, source=examples.reader(run.examples.source))
    engine.execute(
        plan.plans(run, found), worker_of(run, workspace), workspace=workspace, watcher=Quiet()
    )
    return store.open_bundle(workspace.root)


def test_every_photograph_is_in_a_sound_bundle(photos_run: store.Bundle, photos_dir: Path) -> None:
    assert list(verify.faults(photos_run.root)) == []
    with duckdb.connect(str(photos_run.database), read_only=True) as connection:
        files = {path.name for path in (photos_dir / "images").iterdir()}
        uris = {row[0] for row in connection.execute("SELECT uri FROM examples").fetchall()}
        assert uris == files
        assert connection.execute("FROM skipped").fetchall() == []
        (captions,) = connection.execute("SELECT min(len(captions)) FROM examples").fetchone() or ()
        assert captions == 5


def test_features_have_photographs_scores_and_patches(photos_run: store.Bundle) -> None:
    with duckdb.connect(str(photos_run.database), read_only=True) as connection:
        rows = connection.execute(
            "SELECT hook, basis, count(*) FILTER (ms IS NOT NULL), max(len(top)), "
            "max(len(top[1].patches)), any_value(grid_width) "
            "FROM cards JOIN dictionaries USING (dictionary_id) GROUP BY ALL"
        ).fetchall()
    assert {row[0] for row in rows} == {
        "vision.1.resid_post",
        "vision.3.resid_post",
        "vision.projection",
    }
    for hook, basis, scored, most, patches, grid in rows:
        assert scored > 10, (hook, basis)
        assert most == 16
        assert (patches > 0) == (grid is not None) == (hook != "vision.projection")
