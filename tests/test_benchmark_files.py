"""The published benchmark's files, of their real shape: read, scored, written again."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pipeline.study import benchmark
from pipeline.study.benchmark import Pairs
from pipeline.study.codings import CODINGS, Coding
from pipeline.study.draw import StudyError

IMAGES, NEURONS, WIDTH = 50_000, 40, 16
HEAD = "k_x,k_y,R_user,MS_x_dino,MS_y_dino,MS_x_clip,MS_y_clip\n"


@pytest.fixture(scope="module")
def acts() -> np.ndarray:
    """[IMAGES, NEURONS]: some neurons fire on few images."""
    rng = np.random.default_rng(0)
    found = rng.gamma(1.0, 1.0, (IMAGES, NEURONS))
    return np.where(rng.random(found.shape) < np.linspace(0.01, 1, NEURONS), found, 0).round(4)


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    found = np.random.default_rng(1).normal(size=(IMAGES, WIDTH))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, acts: np.ndarray) -> Path:
    """A file of 50,001 columns."""
    path = tmp_path_factory.mktemp("benchmark") / benchmark.ACTIVATIONS
    benchmark.write_activations(path, ((str(k), acts[:, k]) for k in range(NEURONS)), images=IMAGES)
    return path


def test_the_wide_file_is_read_a_neuron_at_a_time(wide: Path, acts: np.ndarray) -> None:
    assert wide.open().readline().startswith("k,a_1,a_2,") and wide.stat().st_size > 5e6
    tracemalloc.start()
    for k, (name, values) in enumerate(benchmark.read_activations(wide)):
        assert name == str(k)
        np.testing.assert_allclose(values, acts[:, k], rtol=1e-8)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert k == NEURONS - 1
    assert held < 12e6, "one row, and not the file"


def test_scores_are_those_of_the_definition(
    wide: Path, acts: np.ndarray, embeddings: np.ndarray
) -> None:
    found = benchmark.monosemanticity(wide, embeddings, at_once=7)
    assert list(found) == [str(k) for k in range(NEURONS)]
    for k in (0, 5, NEURONS - 1):
        a = acts[:, k] - acts[:, k].min()
        a /= a.max()
        total = (a[:, None] * embeddings).sum(0)
        top = total @ total - (a * a).sum()
        assert found[str(k)] == pytest.approx(top / (a.sum() ** 2 - (a * a).sum()), rel=1e-6)
    with pytest.raises(StudyError, match="50,000 images, and embeddings of 3"):
        benchmark.monosemanticity(wide, embeddings[:3])


def pairs_file(folder: Path, said: list[str]) -> Path:
    rows = [f"{n},{n + 100},{text},0.5,0.25,,0.125" for n, text in enumerate(said)]
    path = folder / "pairs.csv"
    path.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("said", "coding", "shares"),
    [
        (["x", "y", "Y", "tie"], "x/y", [1, 0, 0, 0.5]),
        (["1", "-1", "0"], "-1/1", [1, 0, 0.5]),
        (["1", "0", "1.0"], "0/1", [1, 0, 1]),
        (["0.75", "0", "1"], "shares", [0.75, 0, 1]),
    ],
)
def test_it_says_how_preferences_are_written(
    tmp_path: Path, said: list[str], coding: str, shares: list[float]
) -> None:
    found = benchmark.read_pairs(pairs_file(tmp_path, said))
    assert found.coding == coding
    assert found.preference.tolist() == shares
    assert found.x == tuple(map(str, range(len(said))))
    assert set(found.scores) == {"MS_dino", "MS_clip"}
    assert found.scores["MS_dino"].tolist() == [[0.5, 0.25]] * len(said)
    assert np.isnan(found.scores["MS_clip"][:, 0]).all()


@pytest.mark.parametrize(
    "said",
    [
        ["1", "1"],
        ["0"],
        ["2", "1"],
        ["a", "x"],
        ["1", "nan"],
        ["", "x"],
        ["1", "x"],
        ["0.5", "1.5"],
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(StudyError, match=r"pairs.csv.*: .*(can't be told|neither x or y)"):
        benchmark.read_pairs(pairs_file(tmp_path, said))


def test_a_coding_that_is_named_is_held_to(tmp_path: Path) -> None:
    path = pairs_file(tmp_path, ["0", "0"])
    assert benchmark.read_pairs(path, coding="-1/1").preference.tolist() == [0.5, 0.5]
    assert benchmark.read_pairs(path, coding="0/1").preference.tolist() == [0, 0]
    with pytest.raises(StudyError, match=r"line 2: the preference '0' is not x/y"):
        benchmark.read_pairs(path, coding="x/y")


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_written_reads_the_same(tmp_path: Path, coding: Coding) -> None:
    preference = np.array([1.0, 0.0, 0.5, 0.25])
    if coding != "shares":
        preference = preference[: 2 if coding == "0/1" else 3]
    n = len(preference)
    scores = {
        "MS_dino": np.random.default_rng(0).random((n, 2)),
        "MS_clip_l14": np.full((n, 2), np.nan),
        "density": np.arange(2.0 * n).reshape(n, 2),
    }
    made = Pairs(tuple("abcd"[:n]), tuple("efgh"[:n]), preference, scores, coding)
    path = tmp_path / "pairs.csv"
    benchmark.write_pairs(path, made)
    found = benchmark.read_pairs(path)
    assert (found.x, found.y, found.coding) == (made.x, made.y, coding)
    assert found.preference.tolist() == preference.tolist()
    for name, values in scores.items():
        np.testing.assert_array_equal(found.scores[name], values)
    if coding == "shares":
        assert path.read_text().splitlines()[0].startswith("k_x,k_y,R_user,MS_x_dino,MS_y_dino,")


def test_rows_about_one_pair_are_one_pair(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    rows = "1,2,x,0.5,0.25\n3,4,y,,1\n2,1,x,0.25,0.5\n1,2,x,,\n1,2,tie,0.5,\n"
    path.write_text("k_x,k_y,R_user,MS_x,MS_y\n" + rows, encoding="utf-8")
    found = benchmark.read_pairs(path)
    assert (found.x, found.y, found.rows) == (("1", "3"), ("2", "4"), 5)
    assert found.preference.tolist() == [(1 + 0 + 1 + 0.5) / 4, 0]
    np.testing.assert_array_equal(found.scores["MS"], [[0.5, 0.25], [np.nan, 1]])


def test_an_empty_cell_erases_no_score(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    rows = "1,2,x,0.5,0.25\n3,1,y,0.75,\n2,3,x,,\n"
    path.write_text("k_x,k_y,R_user,MS_x,MS_y\n" + rows, encoding="utf-8")
    found = benchmark.read_pairs(path)
    assert found.scores["MS"].tolist() == [[0.5, 0.25], [0.75, 0.5], [0.25, 0.75]]


def test_quoted_files_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / benchmark.ACTIVATIONS
    path.write_text('"k","a_1","a_2"\n\n"7","0.5","1e-3"\n8,"2",0\n', encoding="utf-8")
    found = {name: acts.tolist() for name, acts in benchmark.read_activations(path)}
    assert found == {"7": [0.5, 0.001], "8": [2, 0]}


def test_top_images(tmp_path: Path) -> None:
    path = tmp_path / benchmark.TOP
    top = {"3": tuple(f"n{i}.JPEG" for i in range(16)), "7": tuple(f'a,"{i}"' for i in range(16))}
    benchmark.write_top(path, top)
    assert path.read_text().splitlines()[0] == "k," + ",".join(f"x_{i}" for i in range(1, 17))
    assert benchmark.read_top(path) == top


@pytest.mark.parametrize(
    ("reader", "text", "said"),
    [
        ("read_pairs", "a,b\n1,2\n", "no column k_x"),
        ("read_pairs", HEAD, "no pairs"),
        ("read_pairs", HEAD + "1,2,x\n", "line 2: not as many cells"),
        ("read_pairs", HEAD + "1,2,x,high,1,1,1\n", "line 2: the score 'high' is no number"),
        ("read_pairs", HEAD + f"{'1' * 10_000},2,x,1,1,1,1\n", "line 2: a cell is too long"),
        ("read_top", "n,x_1\n", "first column is not k"),
        ("read_top", "k,x_1\n1,a\n1,b\n", "line 3: neuron '1' comes twice"),
        ("read_top", "k,x_1\n1,a,b\n", "line 2: 3 cells, not 2"),
        ("read_activations", "a,b\n", "first column is not k"),
        ("read_activations", "k,a_1\n1,=1+1\n", "line 2: a cell is no number"),
        ("read_activations", "k,a_1\n1,nan\n", "line 2: an activation is not finite"),
        ("read_activations", "k,a_1,a_2\n1,2\n", "line 2: 1 activations, not 2"),
        ("read_activations", "k,a_1\n1,2\n\n1,3\n", "line 4: neuron '1' comes twice"),
        ("read_activations", '"k","a_1"\n"1","b"\n', "line 2: a cell is no number"),
        ("read_pairs", HEAD + "1,1,x,1,1,1,1\n", "line 2: neuron '1' stands against itself"),
        (
            "read_pairs",
            HEAD + "1,2,x,1,2,,\n\n3,1,y,5,1.5,,\n",
            "line 4: MS_y_dino of neuron '1' is 1.5, and 1 before",
        ),
        ("read_pairs", HEAD + "1,2,x,,,,\n3,4,q,,,,\n", "line 3: the preference 'q' is neither"),
        ("read_pairs", HEAD + "1,2,1,,,,\n3,4,x,,,,\n", "line 3: the preference 'x' stands among"),
        ("read_pairs", "k_x,k_y,R_user,k_x\n1,2,x,3\n", "two columns are named 'k_x'"),
        ("read_pairs", HEAD + "1,2,x,inf,1,1,1\n", "line 2: the score 'inf' is no number"),
        # A cell of two lines and an empty line count as lines of the file.
        ("read_pairs", HEAD + '1,2,"x\n",1,1,1,1\n\n3,4,x\n', "line 5: not as many cells"),
    ],
)
def test_bad_files_are_named_with_their_line(
    tmp_path: Path, reader: str, text: str, said: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=said) as refused:
        list(getattr(benchmark, reader)(path))
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(StudyError, match="cannot be read"):
        list(getattr(benchmark, reader)(tmp_path / "none.csv"))
