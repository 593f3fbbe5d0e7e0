"""The relations in a bundle are those of the activations and decoders that it holds."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray
from run_commands import done, toml

from pipeline.bundle import opening
from pipeline.bundle.verify import faults
from pipeline.metrics import maps
from pipeline.saes.sae import SAE

SAE_ID, NEURONS = "clip/vision.1.resid_post/batchtopk", "clip/vision.1.resid_post/neurons"
OTHER = "clip/vision.projection/batchtopk"


@pytest.fixture(scope="module")
def root(tiny_clip: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("relate")
    text = toml(clip=tiny_clip, encoder=tiny_encoder, tokens="all")
    text += '[relations]\nneighbors = 3\nmatches = 2\nsamples = 2\nplane = ["batchtopk"]\n'
    (folder / "run.toml").write_text(text)
    done("run", folder / "run.toml", "--out", folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def tables(root: Path):
    with duckdb.connect(str(opening.open_bundle(root).database), read_only=True) as opened:
        yield opened


def activations(tables: duckdb.DuckDBPyConnection, dictionary: str) -> NDArray[np.float64]:
    """[n, s] from the table that the bundle shows."""
    ids = [
        i
        for (i,) in tables.execute(
            "SELECT example_id FROM examples WHERE split = 'val' ORDER BY 1"
        ).fetchall()
    ]
    (size,) = tables.execute(
        "SELECT d_sae FROM dictionaries WHERE dictionary_id = ?", [dictionary]
    ).fetchone()
    acts = np.zeros((len(ids), size))
    rows = tables.execute(
        "SELECT example_id, feature_id, activation FROM activations WHERE dictionary_id = ?",
        [dictionary]).fetchall()  # fmt: skip
    for example, feature, value in rows:
        acts[ids.index(example), feature] = value
    return acts


def correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        made = np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]
    return made


def best(values: NDArray[np.float64], count: int) -> list[float]:
    known = values[np.isfinite(values)]
    return sorted(known, reverse=True)[:count]


def test_the_bundle_is_sound(root: Path) -> None:
    assert list(faults(root)) == []


@pytest.mark.parametrize(("one", "other"), [(SAE_ID, OTHER), (SAE_ID, NEURONS), (NEURONS, SAE_ID)])
def test_matches(one: str, other: str, tables: duckdb.DuckDBPyConnection) -> None:
    a, b = activations(tables, one), activations(tables, other)
    wanted = correlations(a, b)
    tops = {
        name: {feature: set(ids) for feature, ids in tables.execute(
            "SELECT feature_id, list(example_id) FROM top_examples WHERE dictionary_id = ? "
            "GROUP BY 1", [name]).fetchall()}
        for name in (one, other)
    }  # fmt: skip
    found = tables.execute(
        "SELECT feature_id, rank, match, correlation, jaccard FROM matches "
        "WHERE dictionary_id = ? AND other_id = ? ORDER BY 1, 2",
        [one, other]).fetchall()  # fmt: skip
    assert len(found) > 20
    for feature, rank, match, correlation, jaccard in found:
        assert correlation == pytest.approx(wanted[feature, match], abs=1e-4)
        together = wanted[feature][(a[:, [feature]] * b != 0).any(0)]
        assert correlation == pytest.approx(best(together, 2)[rank - 1], abs=1e-4)
        mine, theirs = tops[one][feature], tops[other][match]
        assert jaccard == pytest.approx(len(mine & theirs) / len(mine | theirs), abs=1e-6)


def test_neighbors(root: Path, tables: duckdb.DuckDBPyConnection) -> None:
    acts = activations(tables, SAE_ID)
    W = SAE.load(opening.open_bundle(root).root / "saes" / SAE_ID).W_dec.double().numpy()
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    fires = (acts > 0).astype(float)
    both = fires.T @ fires
    either = fires.sum(0)[:, None] + fires.sum(0) - both
    with np.errstate(invalid="ignore"):
        wanted = {
            "decoder": unit @ unit.T,
            "jaccard": np.where(both > 0, both / either, np.nan),
            "correlation": np.where(both > 0, correlations(acts, acts), np.nan),
        }
    rows = tables.execute(
        "SELECT kind, feature_id, rank, neighbor, score FROM neighbors WHERE dictionary_id = ?",
        [SAE_ID]).fetchall()  # fmt: skip
    assert {row[0] for row in rows} == set(wanted)
    for kind, feature, rank, neighbor, score in rows:
        values = wanted[kind][feature].copy()
        values[feature] = np.nan
        assert neighbor != feature
        assert score == pytest.approx(values[neighbor], abs=1e-5)
        assert score == pytest.approx(best(values, 3)[rank - 1], abs=1e-5)


def test_maps(root: Path, tables: duckdb.DuckDBPyConnection) -> None:
    count = dict(
        tables.execute(
            "SELECT basis, count(DISTINCT dictionary_id) FROM maps GROUP BY 1"
        ).fetchall()
    )
    assert count == {"activations": 3, "decoder": 4}
    W = SAE.load(opening.open_bundle(root).root / "saes" / SAE_ID).W_dec.numpy()
    found = tables.execute(
        "SELECT x, y FROM maps WHERE basis = 'decoder' AND dictionary_id = ? ORDER BY feature_id",
        [SAE_ID]).fetchall()  # fmt: skip
    np.testing.assert_array_equal(np.array(found, np.float32), maps.layout(W, seed=0))


def test_samples(tables: duckdb.DuckDBPyConnection) -> None:
    rows = tables.execute(
        """SELECT s.kind, s.activation, a.activation, (
            SELECT avg((o.activation < a.activation)::INT) FROM activations o
            WHERE o.dictionary_id = s.dictionary_id AND o.feature_id = s.feature_id)
        FROM sample_examples s LEFT JOIN activations a
        USING (dictionary_id, modality, feature_id, example_id)""").fetchall()  # fmt: skip
    kinds = {row[0] for row in rows}
    assert kinds == {"0-25 %", "25-50 %", "50-75 %", "75-95 %", "random", "silent"}
    for kind, activation, known, below in rows:
        if kind == "silent":
            assert (activation, known) == (0, None)
            continue
        assert activation == known
        if kind != "random":
            low, high = (int(edge) / 100 for edge in kind.removesuffix(" %").split("-"))
            assert low - 0.5 <= below <= high  # of few activations a quantile is coarse


def test_artefacts(tables: duckdb.DuckDBPyConnection) -> None:
    rows = tables.execute(
        """SELECT a.*, f.n_active FROM artefacts a JOIN features f
        USING (dictionary_id, feature_id)""").fetchdf()  # fmt: skip
    assert set(rows.dictionary_id) == {
        "clip/vision.1.resid_post/batchtopk", "clip/vision.2.resid_post/batchtopk",
        "clip/vision.projection/batchtopk", "clip/vision.1.resid_post/matryoshka",
    }  # fmt: skip
    assert ((rows.n_active == 0) == rows.dead).all()
    assert (rows.dense == (~rows.dead & (rows.token_density > 0.1))).all()
    mixed = rows[(rows.dictionary_id == SAE_ID) & ~rows.dead]
    assert mixed.cls_share.between(0, 1).all()
    assert (mixed.on_cls == (mixed.cls_share > 0.5)).all()
    assert rows[rows.dictionary_id == OTHER].cls_share.isna().all()
    # Over all firings the ratio is that of the tokens on which features fire, so that features
    # that fire everywhere have 1.
    assert mixed.norm_ratio.between(0.3, 3).all()
