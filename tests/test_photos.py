"""The path of a user's own photographs: `photos.toml` on real pictures and a real small CLIP."""

import tomllib
from pathlib import Path

import duckdb
import numpy as np
import pytest

from pipeline import config
from pipeline.__main__ import worker_of
from pipeline.bundle import opening, verify
from pipeline.inputs import listing, readers
from pipeline.metrics import naming
from pipeline.models.encoder import ImageEncoder
from pipeline.run import engine, plan
from pipeline.run.workspace import Workspace

CONFIG = Path(__file__).parents[1] / "pipeline" / "configs" / "photos.toml"


class Quiet:
    """A watcher that says nothing."""

    def start(self, plan: plan.Plan, *, done: int) -> None: ...
    def advance(self, weight: int) -> None: ...
    def finish(self, plan: plan.Plan, *, made: int) -> None: ...


@pytest.fixture(scope="module")
def photos_run(
    photos_dir: Path, clip_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> opening.Bundle:
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
    settings["encoders"]["dinov2"] |= {"id": str(clip_dir), "judges_itself": True}
    settings["encoders"]["clip-b32"]["id"] = str(clip_dir)
    settings["labels"] = {"encoder": "clip-b32"}  # here both are one model, and both embed words
    settings["dictionaries"]["matryoshka"]["training"] |= {"samples": 30_000, "batch": 1024}
    run = config.RunConfig.model_validate(settings)
    workspace = Workspace(tmp_path_factory.mktemp("photos"))
    found = listing.listing(run.examples, source=readers.reader(run.examples.source))
    engine.execute(
        plan.plans(run, found), worker_of(run, workspace), workspace=workspace, watcher=Quiet()
    )
    return opening.open_bundle(workspace.root)


def test_every_photograph_is_in_a_sound_bundle(
    photos_run: opening.Bundle, photos_dir: Path
) -> None:
    assert list(verify.faults(photos_run.root)) == []
    with duckdb.connect(str(photos_run.database), read_only=True) as connection:
        files = {path.name for path in (photos_dir / "images").iterdir()}
        uris = {row[0] for row in connection.execute("SELECT uri FROM examples").fetchall()}
        assert uris == files
        assert connection.execute("FROM skipped").fetchall() == []
        (captions,) = connection.execute("SELECT min(len(captions)) FROM examples").fetchone() or ()
        assert captions == 5


def test_features_have_photographs_scores_and_patches(photos_run: opening.Bundle) -> None:
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


def test_words_tell_photographs_better_than_other_features_words(
    photos_run: opening.Bundle,
) -> None:
    """A word, tried on its own feature's images and silent ones, against the same words dealt out
    to other features: chance would give both 0.5."""
    settings = photos_run.manifest["config"]["encoders"]["clip-b32"]
    encoder = ImageEncoder(config.Encoder(**settings), device="cpu")
    with duckdb.connect(str(photos_run.database), read_only=True) as connection:
        found = connection.execute(
            "SELECT dictionary_id, feature_id, label, tells FROM labels JOIN dictionaries "
            "USING (dictionary_id) WHERE kind = 'word' AND rank = 1 AND basis = 'sae' "
            "AND tells IS NOT NULL ORDER BY ALL"
        ).fetchall()
        tops = {
            (one, feature): ids
            for one, feature, ids in connection.execute(
                "SELECT dictionary_id, feature_id, examples FROM cards WHERE examples IS NOT NULL"
            ).fetchall()
        }
    assert len(found) > 50
    ids, vectors = photos_run.embeddings("clip-b32")
    names = sorted({row[2] for row in found})
    texts = encoder.embed_texts([f"a photo of {name}" for name in names]).numpy()
    texts -= texts.mean(0)
    shown = np.full((len(found), 16), -1)
    for at, row in enumerate(found):
        rows = np.searchsorted(ids, tops[row[0], row[1]])
        shown[at, : len(rows)] = rows
    words = np.array([names.index(row[2]) for row in found])
    silent = np.ones((len(found), len(ids)), bool)
    for at, rows in enumerate(shown):
        silent[at, rows[rows >= 0]] = False

    def tells(dealt: np.ndarray) -> float:
        made = naming.tells(
            texts, vectors, word_r=dealt, feature_r=np.arange(len(found)), shown_sp=shown,
            other_q=np.arange(len(ids)), silent_sq=silent,
        )  # fmt: skip
        return float(np.nanmean(made))

    own, other = tells(words), tells(np.random.default_rng(0).permutation(words))
    assert np.mean([row[3] for row in found]) > 0.65
    assert own > other + 0.2, (own, other)
