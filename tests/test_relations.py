"""Neighbours, coactivation, matches, flags, samples: each against its formula taken literally."""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy import sparse

from pipeline.metrics import artefacts, relations, samples
from pipeline.metrics.largest import candidates, ranked_rows

N, COUNT = 60, 4
FORMS = {"sparse": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


def literal_best(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the COUNT largest in single precision, the lower column first; NaNs are none."""
    columns = np.full((len(values), COUNT), -1)
    best = np.full((len(values), COUNT), np.nan, np.float32)
    for i, row in enumerate(values.astype(np.float32)):
        known = sorted((-value, j) for j, value in enumerate(row) if not np.isnan(value))
        for rank, (minus, j) in enumerate(known[:COUNT]):
            columns[i, rank], best[i, rank] = j, -minus
    return columns, best


def literal_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson; NaN where one is constant."""
    if (a == a[0]).all() or (b == b[0]).all():
        return float("nan")
    x, y = a - sum(a) / len(a), b - sum(b) / len(b)
    return float(sum(x * y) / np.sqrt(sum(x * x) * sum(y * y)))


def literal_jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else float("nan")


def each_pair(function: object, left: list, right: list) -> np.ndarray:
    return np.array([[function(x, y) for y in right] for x in left])  # type: ignore[operator]


def columns(seed: int, features: int = 30) -> np.ndarray:
    """Sparse activations of single precision with every odd kind among them."""
    rng = np.random.default_rng(seed)
    acts = np.where(rng.random((N, features)) < 0.15, rng.gamma(2, size=(N, features)), 0)
    acts[:, 3] = 0  # dead
    acts[:, 5] = 2.5  # constant
    acts[:, 7] = acts[:, 8] = acts[:, 20]  # equal: ties
    acts[:, 9] = 3 * acts[:, 20]  # equal but for scale
    acts[:, 11] = 0
    acts[7, 11] = 1.5  # one example
    acts[:, 12] = 1 + rng.random(N)  # fires on all
    acts[:, 13] = acts[:, 20] > 0  # fires with 20, always alike
    acts[:, 14] = 0
    acts[10, 14] = 1  # alone with those that fire on all
    return acts.astype(np.float32).astype(np.float64)


A, B = columns(0), columns(1, 26)
B[:, 2] = A[:, 17]  # one feature is in both


def fires(acts: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(column).tolist()) for column in acts.T]


def correlations(a: np.ndarray, b: np.ndarray, *, together: bool) -> np.ndarray:
    """Of all pairs; with `together` only of those that fire together."""
    r = each_pair(literal_correlation, list(a.T), list(b.T))
    return np.where(((a > 0).T.astype(int) @ (b > 0) > 0) | (not together), r, np.nan)


def same(got: tuple, wanted: tuple) -> None:
    np.testing.assert_allclose(got[1], wanted[1], rtol=0, atol=3e-7, equal_nan=True)
    np.testing.assert_array_equal(got[0], wanted[0])


def without_self(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    np.fill_diagonal(values, np.nan)
    return values


# Directions


def directions(s: int = 70) -> np.ndarray:
    rng = np.random.default_rng(2)
    W = rng.standard_normal((s, 6)).astype(np.float32)
    W[4] = W[40] = 0
    W[10] = W[11] = W[12] = W[50]  # ties
    W[13] = 4 * W[14]  # length does not matter
    W[15] = -W[16]
    W[17] = W[18] + 1e-4  # closer than products in single precision can tell
    W[19] = W[18] + 2e-4
    return W


def literal_cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    length = np.sqrt(sum(a * a)) * np.sqrt(sum(b * b))
    return float(sum(a * b) / length) if length else float("nan")


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_nearest_directions(block: int) -> None:
    W = directions()
    cosine = without_self(each_pair(literal_cosine, list(W), list(W)))
    same(relations.nearest_directions(W, count=COUNT, block=block), literal_best(cosine))


def test_directions_that_single_precision_cannot_tell_apart() -> None:
    """A crowd whose cosines differ by less than what products of 400 numbers are off."""
    rng = np.random.default_rng(6)
    W = (rng.standard_normal(400) + 1e-3 * rng.standard_normal((300, 400))).astype(np.float32)
    exact = W.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    cosine = without_self(exact @ exact.T)
    got = relations.nearest_directions(W, count=COUNT)
    np.testing.assert_allclose(got[1], literal_best(cosine)[1], rtol=0, atol=6e-8)
    # Equal in single precision they count as equal, so that any of them may be the one.
    chosen = np.take_along_axis(cosine, got[0], 1).astype(np.float32)
    np.testing.assert_allclose(chosen, got[1], rtol=0, atol=6e-8)


def test_directions_of_few_features() -> None:
    near, cosine = relations.nearest_directions(np.eye(2, dtype=np.float32), count=COUNT)
    assert near.tolist() == [[1, -1, -1, -1], [0, -1, -1, -1]]
    assert cosine[:, 0].tolist() == [0, 0] and np.isnan(cosine[:, 1:]).all()
    assert relations.nearest_directions(np.zeros((0, 3)), count=COUNT)[0].shape == (0, COUNT)


def test_directions_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        relations.nearest_directions(np.array([[1.0, np.nan], [0, 1]]), count=1)


# Activations

LIMITS = [1, 20_000, relations.LIMIT]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("form", ["sparse", "csc"])
def test_coactivation_of_sparse_features(form: str, limit: int) -> None:
    jaccard, r = relations.coactivation(FORMS[form](A), count=COUNT, limit=limit)
    wanted = without_self(correlations(A, A, together=True))
    same((r.feature, r.value), literal_best(wanted))
    assert jaccard is not None
    wanted = without_self(each_pair(literal_jaccard, fires(A), fires(A)))
    wanted[wanted == 0] = np.nan
    same((jaccard.feature, jaccard.value), literal_best(wanted))


@pytest.mark.parametrize("limit", LIMITS)
def test_coactivation_of_neurons(limit: int) -> None:
    acts = A - 1.25  # negative ones too
    jaccard, r = relations.coactivation(acts, count=COUNT, limit=limit)
    assert jaccard is None
    same(
        (r.feature, r.value),
        literal_best(without_self(correlations(acts, acts, together=False))),
    )


def test_stored_zeros_are_zeros_and_stay() -> None:
    rows, cols = np.indices(A.shape)
    every = sparse.csr_matrix((A.ravel(), (rows.ravel(), cols.ravel())), shape=A.shape)
    stored = every.nnz
    given = relations.coactivation(every, count=COUNT)
    without = relations.coactivation(sparse.csr_matrix(A), count=COUNT)
    for got, wanted in zip(given, without, strict=True):
        assert got is not None and wanted is not None
        np.testing.assert_array_equal(got.feature, wanted.feature)
    assert every.nnz == stored


def test_correlation_far_from_zero() -> None:
    acts = 100 + 0.01 * np.random.default_rng(3).standard_normal((N, 12))
    wanted = literal_best(without_self(correlations(acts, acts, together=False)))
    for form in FORMS.values():
        _, r = relations.coactivation(form(acts), count=COUNT)
        same((r.feature, r.value), wanted)


@pytest.mark.parametrize("examples", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_too_few_examples_correlate_with_nothing(form: str, examples: int) -> None:
    acts = FORMS[form](np.ones((examples, 3)))
    jaccard, r = relations.coactivation(acts, count=2)
    assert (r.feature == -1).all() and np.isnan(r.value).all()
    if jaccard is not None and examples:
        assert jaccard.feature.tolist() == [[1, 2], [0, 2], [0, 1]]
    top = np.zeros((3, 16), int)
    found = relations.matches(acts, acts, count=2, top_a=top, top_b=top)
    assert (found.feature == -1).all() and not found.unmatched.any()


def top(acts: np.ndarray, k: int = 16) -> np.ndarray:
    chosen = np.full((acts.shape[1], k), -1)
    for i, column in enumerate(acts.T):
        best = [x for x in np.argsort(-column, kind="stable") if column[x] > 0][:k]
        chosen[i, : len(best)] = best
    return chosen


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("form_a", "form_b"), list(product(FORMS, FORMS)))
def test_matches(form_a: str, form_b: str, limit: int) -> None:
    top_a, top_b = top(A), top(B)
    got = relations.matches(
        FORMS[form_a](A), FORMS[form_b](B), count=COUNT, top_a=top_a, top_b=top_b, limit=limit
    )
    wanted = correlations(A, B, together="dense" not in (form_a, form_b))
    best = literal_best(wanted)
    same((got.feature, got.correlation), best)
    assert got.feature[17, 0] == 2 and got.jaccard[17, 0] == 1
    for i, j in np.ndindex(got.feature.shape):
        other = best[0][i, j]
        held = {*top_a[i]} - {-1}, {*top_b[other]} - {-1}
        jaccard = literal_jaccard(*held) if other >= 0 else np.nan
        np.testing.assert_allclose(got.jaccard[i, j], jaccard, atol=1e-7, equal_nan=True)
    lives = [len({*column}) > 1 for column in A.T]
    weak = ~(np.nanmax(np.where(np.isnan(wanted), -1, wanted), 1) >= relations.MATCH_THRESHOLD)
    np.testing.assert_array_equal(got.unmatched, np.array(lives) & weak)
    assert 0 < got.unmatched.sum() < len(lives)


def test_matches_need_the_same_examples() -> None:
    with pytest.raises(ValueError, match="60 and 59"):
        relations.matches(A, B[1:], count=1, top_a=top(A), top_b=top(B))


def test_a_feature_that_fires_with_none_is_unmatched() -> None:
    a, b = np.array([[1.0], [0], [0]]), np.array([[0.0], [2], [0]])
    for form in (sparse.csr_matrix, np.asarray):
        got = relations.matches(form(a), form(b), count=1, top_a=top(a), top_b=top(b))
        assert got.unmatched.tolist() == [True]


@pytest.mark.parametrize("width", [3, 40, 256, 1000])
def test_the_largest_of_long_rows(width: int) -> None:
    rng = np.random.default_rng(4)
    values = rng.integers(0, width, (50, width)).astype(np.float32)  # with ties
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0], values[1] = np.nan, 1
    values[2, :-1] = np.nan
    wanted = literal_best(values)
    same(ranked_rows(values.copy(), count=COUNT), wanted)
    values[np.isnan(values)] = -np.inf
    assert len(candidates(values[3:], COUNT)[0]) < 47 * min(width, 10 * COUNT)


# Flags


def test_flags_at_and_beside_their_thresholds() -> None:
    nan = np.nan
    rows = [  # density, share on CLS, ratio of norms, cosine, neighbour, flags
        (0.1, 0.5, 1.99, 0.94, 1, ""),
        (0.11, 0.0, 1.0, 0.95, 2, "dense duplicate"),
        (0.01, 0.51, 1.0, 0.95, 1, "on_cls duplicate"),
        (0.01, nan, 2.0, nan, -1, "on_high_norm"),
        (0.0, nan, nan, 1.0, 5, "dead"),
        (0.01, nan, nan, 1.0, 4, ""),  # doubles a dead one
        (0.01, nan, nan, -1.0, 0, ""),  # opposite
        (0.0, 1.0, 9.0, 1.0, 1, "dead"),
    ]
    density, cls, ratio, cosine, neighbor, wanted = zip(*rows, strict=True)
    got = artefacts.flags(
        density_s=np.array(density),
        cls_share_s=np.array(cls),
        norm_ratio_s=np.array(ratio),
        cosine_s=np.array(cosine),
        neighbor_s=np.array(neighbor),
    )
    names = ("dense", "on_cls", "on_high_norm", "duplicate", "dead")
    raised = [" ".join(n for n in names if getattr(got, n)[i]) for i in range(len(rows))]
    assert raised == list(wanted)


# Samples

PER_BIN, RANDOM, SILENT = 2, 5, 6


def drawn(acts: np.ndarray, seed: int = 0) -> samples.Samples:
    a = sparse.csc_matrix(acts)
    return samples.draw(
        a.indptr,
        a.indices,
        a.data,
        examples=len(acts),
        seed=seed,
        per_bin=PER_BIN,
        random=RANDOM,
        silent=SILENT,
    )


def allowed(column: np.ndarray) -> list[tuple[set[int], int]]:
    """By kind, who may be drawn of a feature and how many are asked for."""
    order = sorted(np.flatnonzero(column), key=lambda x: (column[x], x))
    quantile = {x: (rank + 0.5) / len(order) for rank, x in enumerate(order)}
    bins = [
        ({x for x in order if low <= quantile[x] < high}, PER_BIN) for low, high in samples.BINS
    ]
    return [*bins, (set(order), RANDOM), (set(range(len(column))) - set(order), SILENT)]


def test_samples_come_from_where_they_should() -> None:
    acts = columns(5)
    acts[:, 15] = 1  # equal everywhere
    acts[:4, 15] = 0  # fewer silent ones than asked for
    got = drawn(acts)
    for i, kind in product(range(acts.shape[1]), range(len(samples.KINDS))):
        here = (got.feature == i) & (got.kind == kind)
        among, asked = allowed(acts[:, i])[kind]
        chosen = got.example[here].tolist()
        assert len(chosen) == len(set(chosen)) == min(asked, len(among))
        assert set(chosen) <= among
        assert chosen == sorted(chosen)
    a = sparse.csc_matrix(acts)
    loud = got.at >= 0
    np.testing.assert_array_equal(a.indices[got.at[loud]], got.example[loud])
    np.testing.assert_array_equal(loud, got.kind != samples.SILENT)


def test_samples_depend_on_seed_feature_and_example_alone() -> None:
    acts = columns(5)
    got, again = drawn(acts), drawn(acts[:, :10])
    for name in ("feature", "kind", "example"):
        first = getattr(got, name)[got.feature < 10]
        np.testing.assert_array_equal(first, getattr(again, name))
    # Rows of a feature in another order.
    a = sparse.csc_matrix(acts)
    order = np.concatenate([np.arange(p, q)[::-1] for p, q in pairwise(a.indptr)])
    turned = samples.draw(
        a.indptr,
        a.indices[order],
        a.data[order],
        examples=N,
        seed=0,
        per_bin=PER_BIN,
        random=RANDOM,
        silent=SILENT,
    )
    np.testing.assert_array_equal(got.example, turned.example)
    assert not np.array_equal(got.example, drawn(acts, seed=1).example)


def test_every_example_is_drawn_as_often() -> None:
    """2000 equal features: how often each example is drawn is binomial within 5 deviations."""
    features, n = 2000, 40
    acts = np.zeros((n, features))
    acts[::2] = np.arange(1, 21)[:, None]
    got = drawn(acts)
    for kind, of in [(0, 5), (3, 4), (samples.RANDOM, 20), (samples.SILENT, 20)]:
        asked = {samples.RANDOM: RANDOM, samples.SILENT: SILENT}.get(kind, PER_BIN)
        times = np.bincount(got.example[got.kind == kind], minlength=n)
        times, p = times[times > 0], asked / of
        assert len(times) == of
        assert np.abs(times - features * p).max() < 5 * np.sqrt(features * p * (1 - p))


def test_samples_of_nothing() -> None:
    got = drawn(np.zeros((3, 2)))
    assert got.example.tolist() == [0, 1, 2] * 2
    assert set(got.kind) == {samples.SILENT}
    assert len(drawn(np.zeros((3, 0))).example) == 0


@pytest.mark.parametrize(
    ("example", "value", "match"), [(1, 0.0, "above 0"), (1, np.nan, "above 0"), (3, 1.0, "0 to 2")]
)
def test_samples_refuse_bad_rows(example: int, value: float, match: str) -> None:
    rows = np.array([0, 1]), np.array([example]), np.array([value])
    with pytest.raises(ValueError, match=match):
        samples.draw(*rows, examples=3, seed=0, per_bin=1, random=1)
