"""Where pictures and words meet: each score against its formula taken literally, on dense loops."""

from itertools import permutations

import numpy as np
import pytest
from scipy import sparse

from pipeline.metrics import modality, relations

N, S, D = 50, 45, 6
FORMS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}
FORM_PAIRS = [("csr", "csr"), ("csc", "csr"), ("dense", "dense"), ("csr", "dense")]
LIMITS = [1, 40_000, modality.LIMIT]


def pairs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Activations on images and on their captions, float32, with every odd kind among them."""
    rng = np.random.default_rng(seed)
    shape = (N, S)
    image = np.where(rng.random(shape) < 0.3, rng.gamma(2, size=shape), 0)
    text = np.where(rng.random(shape) < 0.5, image, 0)  # what is seen is half said
    text += np.where(rng.random(shape) < 0.15, rng.gamma(2, size=shape), 0)
    image[:, 3] = text[:, 3] = 0  # dead
    text[:, 4] = 0  # in pictures alone
    image[:, 5] = 0  # in words alone
    image[:, 6] = 2.5  # constant
    text[:, 7] = 1  # constant
    image[:, 8] = 1 + rng.random(N)  # fires on all
    text[:, 8] = 3 * image[:, 8]
    image[:, 9], text[:, 9] = np.arange(N) == 4, np.arange(N) == 4  # one pair
    image[:, 10], text[:, 10] = np.arange(N) % 2, (np.arange(N) + 1) % 2  # never together
    text[:, 12] *= 3
    text[:, 13] = text[:, 12]  # ties
    text[:, 21] *= 0.3  # seldom much with 20, and yet its best
    return image.astype(np.float32), text.astype(np.float32)


def directions(s: int = S) -> np.ndarray:
    W = np.random.default_rng(2).standard_normal((s, D)).astype(np.float32)
    W[13] = W[12]  # ties
    W[14] = 0
    W[15] = -W[16]
    W[17] = 100 * W[18]  # length does not matter
    W = np.pad(W, ((0, 0), (0, 1)))
    W[20, :D] *= 0.02
    W[20, D] = 1
    W[21] = 0.5 * W[20]  # near each other and far from all else
    return W


def literal_correlation(image: np.ndarray, text: np.ndarray) -> np.ndarray:
    result = []
    for a, b in zip(image.T.astype(np.longdouble), text.T.astype(np.longdouble), strict=True):
        if len(a) == 0 or (a == a[0]).all() or (b == b[0]).all():
            result.append(np.nan)
            continue
        x, y = a - sum(a) / len(a), b - sum(b) / len(b)
        result.append(float(sum(x * y) / np.sqrt(sum(x * x) * sum(y * y))))
    return np.array(result)


def literal_bridges(image: np.ndarray, text: np.ndarray, W: np.ndarray) -> np.ndarray:
    """All of B, [s, s]; 1 for the cosine of the diagonal."""
    image, text, W = (a.astype(np.float64) for a in (image, text, W))
    B = np.zeros((len(W), len(W)))
    for i in range(len(W)):
        for j in range(len(W)):
            product = sum(image[:, i] * text[:, j]) / max(1, len(image))
            length = np.sqrt(sum(W[i] ** 2) * sum(W[j] ** 2))
            B[i, j] = product * (1 if i == j else sum(W[i] * W[j]) / length if length else 0)
    return B


def literal_best(B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    best, feature = np.full(len(B), np.nan), np.full(len(B), -1)
    for i, row in enumerate(B):
        for j, value in enumerate(row.astype(np.float32)):
            if j != i and value > 0 and not value <= best[i]:
                best[i], feature[i] = value, j
    return best, feature


def assert_bridges(got: modality.Bridges, B: np.ndarray) -> None:
    best, feature = literal_best(B)
    np.testing.assert_allclose(got.itself, np.diag(B), rtol=1e-12)
    np.testing.assert_array_equal(got.feature, feature)
    np.testing.assert_allclose(got.best, best, rtol=1e-6)


IMAGE, TEXT = pairs()
W = directions()
B = literal_bridges(IMAGE, TEXT, W)


# Modality score


def test_modality_score() -> None:
    got = modality.modality_score(np.array([3, 0, 2, 0, 1e-30]), np.array([1, 5, 0, 0, 3e-30]))
    np.testing.assert_allclose(got, [0.75, 0, 1, np.nan, 0.25], rtol=1e-12)


def test_modality_score_of_single_precision_does_not_overflow() -> None:
    large = np.array([3e38], np.float32)
    np.testing.assert_allclose(modality.modality_score(large, large), 0.5)
    assert modality.modality_score(large, large).dtype == np.float64
    assert len(modality.modality_score(large[:0], large[:0])) == 0


# Correlation over pairs


@pytest.mark.parametrize(("of_image", "of_text"), FORM_PAIRS)
@pytest.mark.parametrize("seed", [None, 0])
def test_pair_correlation(of_image: str, of_text: str, seed: int | None) -> None:
    order = None if seed is None else modality.derangement(N, seed)
    got = modality.pair_correlation(FORMS[of_image](IMAGE), FORMS[of_text](TEXT), order=order)
    wanted = literal_correlation(IMAGE, TEXT if order is None else TEXT[order])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12, equal_nan=True)
    assert np.flatnonzero(np.isnan(got)).tolist() == [3, 4, 5, 6, 7]
    assert np.nanmax(got) <= 1


def test_the_order_names_the_text_row_of_each_image() -> None:
    order = np.random.default_rng(1).permutation(N)
    shuffled = np.empty_like(TEXT)
    shuffled[order] = TEXT  # row order[i] is the caption of image i
    own = modality.pair_correlation(sparse.csr_matrix(IMAGE), sparse.csr_matrix(TEXT))
    got = modality.pair_correlation(
        sparse.csr_matrix(IMAGE), sparse.csr_matrix(shuffled), order=order
    )
    np.testing.assert_allclose(got, own, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1e6, 1e8])
def test_correlation_of_large_values_that_vary_little(form: str, size: float) -> None:
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((N, 8))
    image = (size + size * 1e-5 * (shared + rng.standard_normal((N, 8)))).astype(np.float32)
    text = (size - size * 1e-5 * (shared + rng.standard_normal((N, 8)))).astype(np.float32)
    image[0, 4:] = 0  # one that does not fire
    got = modality.pair_correlation(FORMS[form](image), FORMS[form](text))
    np.testing.assert_allclose(got, literal_correlation(image, text), rtol=0, atol=1e-8)


def test_stored_zeros_and_doubles_do_not_count() -> None:
    image = sparse.csr_matrix(([1.0, 2.0, 0.0, 3.0], [0, 0, 0, 0], [0, 2, 3, 4, 4]), shape=(4, 1))
    text = sparse.csr_matrix(([3.0, 0.0, 4.0], [0, 0, 0], [0, 1, 1, 2, 3]), shape=(4, 1))
    got = modality.pair_correlation(image, text)
    wanted = literal_correlation(image.toarray(), text.toarray())
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    assert image.nnz == 4 and text.nnz == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [0, 1])
def test_without_two_pairs_there_is_no_correlation(form: str, n: int) -> None:
    image, text = FORMS[form](IMAGE[:n]), FORMS[form](TEXT[:n])
    assert np.isnan(modality.pair_correlation(image, text)).all()
    order = modality.derangement(n, 0)
    assert np.isnan(modality.pair_correlation(image, text, order=order)).all()


def test_correlation_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="not the same pairs"):
        modality.pair_correlation(sparse.csr_matrix(IMAGE), sparse.csr_matrix(TEXT[1:]))
    with pytest.raises(ValueError, match="order has 49 rows, not 50"):
        modality.pair_correlation(IMAGE, TEXT, order=np.arange(N - 1))


# The shuffled control


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1000])
def test_a_derangement_leaves_none_in_place(n: int) -> None:
    for seed in range(20):
        order = modality.derangement(n, seed)
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
        assert n < 2 or (order != np.arange(n)).all()
        np.testing.assert_array_equal(order, modality.derangement(n, seed))


def test_a_derangement_gives_each_row_any_other_alike() -> None:
    drawn = np.array([modality.derangement(5, seed) for seed in range(2000)])
    for row in range(5):
        share = np.bincount(drawn[:, row], minlength=5) / len(drawn)
        np.testing.assert_allclose(np.delete(share, row), 0.25, atol=0.05)


def test_shuffling_takes_correlation_away() -> None:
    image = np.random.default_rng(4).random((2000, 5))
    np.testing.assert_allclose(modality.pair_correlation(image, image), 1, atol=1e-12)
    order = modality.derangement(len(image), 0)
    assert np.abs(modality.pair_correlation(image, image, order=order)).max() < 0.1


# Bridge score


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("of_image", "of_text"), FORM_PAIRS)
def test_bridge_scores(of_image: str, of_text: str, limit: int) -> None:
    image, text = FORMS[of_image](IMAGE), FORMS[of_text](TEXT)
    assert_bridges(modality.bridge_scores(image, text, W, limit=limit), B)


def test_the_bridges_ask_for_all_that_is_tested() -> None:
    """The data hold what the functions treat apart: several blocks, a best partner that is not
    among the first that are tried, ties, features without a bridge."""
    image, text = (relations.without_zeros(sparse.csr_matrix(a)) for a in (IMAGE, TEXT))
    counts = [len(list(relations.blocks(image.T.tocsr(), text, limit=limit))) for limit in LIMITS]
    assert counts[0] > 40 and 1 < counts[1] < 20 and counts[2] == 1
    best, feature = literal_best(B)
    product = IMAGE.T.astype(np.float64) @ TEXT
    np.fill_diagonal(product, -1)
    some = np.flatnonzero(feature >= 0)
    rank = (product[some] > product[some, feature[some]][:, None]).sum(1)
    assert (rank > modality.FIRST).any() and B[20][B[20] > 0].size > 3
    assert 12 in feature and 13 not in np.delete(feature, 12)  # equal to 12, and after it
    assert np.isnan(best[[3, 5, 14]]).all()


def test_bridge_scores_of_two_features_by_hand() -> None:
    image = sparse.csr_matrix([[2.0, 0.0], [4.0, 1.0]])
    text = sparse.csr_matrix([[1.0, 3.0], [0.0, 5.0]])
    got = modality.bridge_scores(image, text, np.array([[1.0, 0], [3.0, 4.0]], np.float32))
    np.testing.assert_allclose(got.itself, [1, 2.5])  # (2 + 0) / 2, (0 + 5) / 2
    np.testing.assert_allclose(got.best, [13 * 0.6, np.nan], rtol=1e-6)  # (6 + 20) / 2; never
    assert got.feature.tolist() == [1, -1]


def test_directions_that_turn_away_make_no_bridge() -> None:
    image = sparse.csr_matrix(np.ones((3, 2)))
    got = modality.bridge_scores(image, image, np.array([[1.0, 0], [-1.0, 0]]))
    assert got.feature.tolist() == [-1, -1] and np.isnan(got.best).all()
    assert got.itself.tolist() == [1, 1]


@pytest.mark.parametrize("n", [0, 1])
def test_bridges_of_one_pair_or_none(n: int) -> None:
    got = modality.bridge_scores(sparse.csr_matrix(IMAGE[:n]), sparse.csr_matrix(TEXT[:n]), W)
    assert_bridges(got, literal_bridges(IMAGE[:n], TEXT[:n], W))
    assert n or ((got.itself == 0).all() and (got.feature == -1).all())


def test_bridges_of_large_float32_values() -> None:
    image, text = (IMAGE * 1e12).astype(np.float32), (TEXT * 1e12).astype(np.float32)
    got = modality.bridge_scores(sparse.csr_matrix(image), sparse.csr_matrix(text), W)
    assert_bridges(got, literal_bridges(image, text, W))
    assert np.nanmax(got.best) > 1e23


def test_bridges_refuse_what_does_not_fit() -> None:
    image, text = sparse.csr_matrix(IMAGE), sparse.csr_matrix(TEXT)
    with pytest.raises(ValueError, match="not the same pairs"):
        modality.bridge_scores(image, text[:, 1:], W)
    with pytest.raises(ValueError, match="44 decoder directions of 45 features"):
        modality.bridge_scores(image, text, W[1:])
    with pytest.raises(ValueError, match="finite"):
        modality.bridge_scores(image, text, np.full_like(W, np.inf))


# The order of pairs and of features


def test_the_order_of_the_pairs_does_not_matter() -> None:
    order = np.random.default_rng(5).permutation(N)
    image, text = sparse.csr_matrix(IMAGE[order]), sparse.csr_matrix(TEXT[order])
    np.testing.assert_allclose(
        modality.pair_correlation(image, text), literal_correlation(IMAGE, TEXT), atol=1e-12
    )
    assert_bridges(modality.bridge_scores(image, text, W), B)


def test_the_order_of_the_features_goes_with_them() -> None:
    moved = np.random.default_rng(6).permutation(np.delete(np.arange(S), 13))  # without the tie
    image, text = sparse.csr_matrix(IMAGE[:, moved]), sparse.csr_matrix(TEXT[:, moved])
    np.testing.assert_allclose(
        modality.pair_correlation(image, text), literal_correlation(IMAGE, TEXT)[moved], atol=1e-12
    )
    got = modality.bridge_scores(image, text, W[moved], limit=LIMITS[1])
    assert_bridges(got, B[np.ix_(moved, moved)])


# Top images


def literal_overlap(images: np.ndarray, of_captions: np.ndarray) -> list[float]:
    result = []
    for left, right in zip(images.tolist(), of_captions.tolist(), strict=True):
        a, b = set(left) - {-1}, set(right) - {-1}
        result.append(len(a & b) / len(a | b) if a | b else float("nan"))
    return result


def test_top_overlap() -> None:
    rng = np.random.default_rng(7)
    images = np.array([rng.permutation(20)[:8] for _ in range(60)])
    images[np.arange(8) >= rng.integers(0, 9, 60)[:, None]] = -1
    of_captions = rng.integers(0, 12, (60, 11))  # several captions of an image
    of_captions[np.arange(11) >= rng.integers(0, 12, 60)[:, None]] = -1
    images[0] = of_captions[0] = -1
    kept = images.copy(), of_captions.copy()
    got = modality.top_overlap(images, of_captions)
    np.testing.assert_allclose(got, literal_overlap(images, of_captions), rtol=1e-6)
    np.testing.assert_array_equal(images, kept[0])
    np.testing.assert_array_equal(of_captions, kept[1])


def test_top_overlap_by_hand() -> None:
    images = np.array([[5, 2, -1], [5, 2, -1], [-1, -1, -1], [-1, -1, -1], [1, 2, 3]])
    of_captions = np.array([[2, 2, 5], [2, 2, 2], [7, -1, -1], [-1, -1, -1], [4, 5, 6]])
    got = modality.top_overlap(images, of_captions)
    np.testing.assert_allclose(got, [1, 0.5, 0, np.nan, 0])


def test_top_overlap_of_nothing() -> None:
    assert len(modality.top_overlap(np.zeros((0, 4), int), np.zeros((0, 4), int))) == 0
    none = np.zeros((3, 0), int)
    assert np.isnan(modality.top_overlap(none, none)).all()
    with pytest.raises(ValueError, match="not the same features: 3 and 2"):
        modality.top_overlap(none, none[1:])


# What a layer holds


def test_overlap_curve() -> None:
    rng = np.random.default_rng(8)
    image, text = (
        np.where(rng.random(200) < 0.7, 10 ** rng.uniform(-5, 0, 200), 0) for _ in range(2)
    )
    image[0], text[0] = 0.01, 1e-4  # at a threshold is not above it
    got = modality.overlap_curve(image, text)
    live = [i for i in range(200) if image[i] > 0 or text[i] > 0]
    assert len(live) < 200
    for at, level in enumerate(modality.THRESHOLDS):
        seen = {i for i in live if image[i] > level}
        said = {i for i in live if text[i] > level}
        assert got["threshold"][at] == level
        assert got["live"][at] == len(live)
        wanted = {
            "image_only": len(seen - said),
            "text_only": len(said - seen),
            "shared": len(seen & said),
            "shared_shuffled": len(seen) * len(said) / len(live),
        }
        for name, count in wanted.items():
            assert got[name][at] == pytest.approx(count / len(live)), (name, level)


def test_the_shuffled_share_is_the_mean_over_all_permutations() -> None:
    image = np.array([0.5, 0.2, 0, 0.01, 0, 0, 0.3])
    text = np.array([0, 0.3, 0, 0.02, 0.4, 0.001, 0.002])
    thresholds = (0, 0.0015, 0.015, 0.25)
    live = (image > 0) | (text > 0)
    assert live.sum() == 6
    shares = [
        [np.mean((image[live] > level) & (shuffled > level)) for level in thresholds]
        for shuffled in map(np.array, permutations(text[live]))
    ]
    got = modality.overlap_curve(image, text, thresholds)
    np.testing.assert_allclose(got["shared_shuffled"], np.mean(shares, axis=0), rtol=1e-12)
    assert (got["shared_shuffled"] > 0).all()


def test_overlap_curve_without_live_features() -> None:
    for count in (0, 4):
        got = modality.overlap_curve(np.zeros(count), np.zeros(count))
        assert all((got[name] == 0).all() for name in got if name != "threshold")
        assert len(got["shared"]) == len(modality.THRESHOLDS)
