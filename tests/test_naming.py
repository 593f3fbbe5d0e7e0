"""Words for features: the formulas against loops, on made-up embeddings."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipeline.labelling import vocabulary
from pipeline.metrics import naming

RNG = np.random.default_rng(0)
N, D = 60, 6
IMAGES = RNG.normal(size=(N, D)).astype(np.float32)
WORDS = RNG.normal(size=(9, D)).astype(np.float32)
TOP = np.array([[0, 1, 2, 3], [4, 5, -1, -1], [7, -1, -1, -1], [-1, -1, -1, -1], [8, 9, 10, 3]])


def unit(vector: NDArray[np.floating]) -> NDArray[np.floating]:
    return vector / np.linalg.norm(vector)


def test_a_direction_is_the_discriminant_of_top_and_all() -> None:
    covariance = np.cov(IMAGES.astype(float).T)
    half = (covariance + np.trace(covariance) / D * np.eye(D)) / 2
    made = naming.directions(TOP, IMAGES)
    for feature in (0, 1, 4):
        rows = [row for row in TOP[feature] if row >= 0]
        apart = IMAGES[rows].mean(0) - IMAGES.mean(0)
        np.testing.assert_allclose(made[feature], unit(np.linalg.solve(half, apart)), atol=1e-5)
    assert np.isnan(made[[2, 3]]).all(), "of one image nothing is said"


def test_what_all_images_vary_in_does_not_hide_the_concept() -> None:
    """The feature's images differ from others along the first axis by 1; along the second all
    differ from each other, by 8."""
    images = np.random.default_rng(1).normal(size=(400, 20)) * ([0.3, 8] + [0.3] * 18)
    images[:16, 0] += 1
    direction = naming.directions(np.arange(16)[None], images)
    words = np.eye(20)[[0, 1, 1, 0]] * [[1], [1], [-1], [-1]]
    assert naming.nearest(direction, words, count=1).word == 0
    by_mean = images[:16].mean(0) - images.mean(0)
    assert (words @ by_mean).argmax() != 0, "by the means alone another word would win"


@pytest.mark.parametrize("block", [1, 2, 2048])
def test_nearest_words(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "BLOCK", block)
    directions = naming.directions(TOP, IMAGES)
    near = naming.nearest(directions, WORDS, count=3)
    centred = WORDS - WORDS.mean(0)
    for feature in (0, 1, 4):
        cosines = np.array([unit(word) @ directions[feature] for word in centred])
        wanted = np.argsort(-cosines)[:3]
        assert near.word[feature].tolist() == wanted.tolist()
        np.testing.assert_allclose(near.value[feature], cosines[wanted], atol=1e-5)
    assert (near.word[[2, 3]] == -1).all()
    assert np.isnan(near.value[[2, 3]]).all()
    assert naming.nearest(directions, WORDS, count=99).word.shape == (5, 9)


def test_of_equal_words_the_earlier_is_nearer() -> None:
    near = naming.nearest(naming.directions(TOP[:1], IMAGES), WORDS[[3, 3, 1, 3]], count=4)
    places = near.word[0].tolist()
    assert [at for at in places if at != 2] == [0, 1, 3]


@pytest.mark.parametrize("block", [8, 2048])
def test_tells_is_the_area_under_the_curve(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "BLOCK", block)
    images = IMAGES.round(0)  # with ties
    others = np.arange(20, 60)
    silent = RNG.random((5, len(others))) < 0.5
    silent[4] = False
    silent[4, : naming.FEWEST - 1] = True
    words, features = np.array([2, 2, 5, 1, 0, 7]), np.array([0, 1, 0, 2, 3, 4])
    made = naming.tells(
        WORDS.round(0), images, word_r=words, feature_r=features, shown_sp=TOP, other_q=others,
        silent_sq=silent,
    )  # fmt: skip
    for at in range(3):
        rows = [row for row in TOP[features[at]] if row >= 0]
        away = others[silent[features[at]]]
        similar = images[[*rows, *away]] @ WORDS.round(0)[words[at]]
        truth = [1] * len(rows) + [0] * len(away)
        assert made[at] == pytest.approx(roc_auc_score(truth, similar), abs=1e-6)
    assert np.isnan(made[3:]).all(), "one image, none, and too few silent ones"


def test_a_vocabulary_file(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# mine\ndog\n\n  fire   truck \nDog\nHAUS\n", encoding="utf-8")
    assert vocabulary.read(file) == ["dog", "fire truck", "HAUS"]
    for bad in (b"# nothing\n\n", b"\xff\xfe"):
        file.write_bytes(bad)
        with pytest.raises(vocabulary.VocabularyError) as fault:
            vocabulary.read(file)
        assert str(file) in str(fault.value)
        assert "\n" not in str(fault.value)
    with pytest.raises(vocabulary.VocabularyError, match=r"none\.txt"):
        vocabulary.read(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"dog\nca\0t\n", "line 2 holds"),
        ("dog\n".encode("utf-16"), "cannot be read"),
        (b"dog\n" + b"x" * 100, "line 2 has 100 characters, over 80"),
        (b"x\n" * 9_000_000, "no list of words"),
        (b"# dog\n  # cat\n", "holds no word"),
    ],
    ids=["NUL", "UTF-16", "long", "huge", "comments"],
)
def test_a_vocabulary_that_is_none(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes(content)
    with pytest.raises(vocabulary.VocabularyError, match=reason) as fault:
        vocabulary.read(file)
    assert "\n" not in str(fault.value)


def test_a_vocabulary_with_a_mark_or_other_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeffdog\r\n fire  truck\r\nmi\u200cravam\r\n".encode())
    assert vocabulary.read(file) == ["dog", "fire truck", "mi\u200cravam"]
    with pytest.raises(vocabulary.VocabularyError, match="cannot be read"):
        vocabulary.read(Path("a\0b"))


def test_the_default_vocabulary_has_the_data_sets_words(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = vocabulary.read(vocabulary.SHIPPED)
    assert len(shipped) > 1000
    assert {"dog", "red", "fire engine"} <= set(shipped)
    assert len({word.casefold() for word in shipped}) == len(shipped)
    rows = [
        {
            "tags": ["red", "very_odd_tag"],
            "label": "Xylo_phone",
            "captions": ["The quokka, the DOG"],
        },
        {"tags": ["red"], "label": None, "captions": ["A quokka and a quoll"]},
    ]
    made = vocabulary.default(rows)
    assert made[: len(shipped)] == shipped
    # A word of one caption alone does not count, nor do those that only join others.
    assert made[len(shipped) :] == ["Xylo phone", "very odd tag", "quokka"]
    monkeypatch.setattr(vocabulary, "OF_DATA", 1)
    assert vocabulary.default(rows)[len(shipped) :] == ["quokka"]  # of the tags only `red`


def test_words_of_a_caption() -> None:
    said = "A man's dog runs with the 2 red-nosed KÜHE, <b>at</b> 10am!"
    assert vocabulary.words_of(said) == ["man", "dog", "runs", "red", "nosed", "kühe"]
