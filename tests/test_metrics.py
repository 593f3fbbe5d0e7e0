"""Each metric against a literal implementation of its definition."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import sparse

from pipeline.metrics import labels, monosemanticity, pooling
from pipeline.metrics.convergence import converged
from pipeline.metrics.intervals import mean_difference
from pipeline.metrics.monosemanticity import MonosemanticitySums, density_matched
from pipeline.metrics.reconstruction import ReconstructionSums

N, WIDTH = 40, 6


def unit(rng: np.random.Generator, n: int = N) -> np.ndarray:
    e = rng.standard_normal((n, WIDTH))
    return e / np.linalg.norm(e, axis=1, keepdims=True)


def literal_ms(acts: np.ndarray, e: np.ndarray) -> float:
    """Pach et al.: min-max scale, then every pair; NaN below two images above the minimum."""
    low, high = acts.min(), acts.max()
    if (acts > low).sum() < 2:
        return float("nan")
    a = (acts - low) / (high - low)
    top = bottom = 0.0
    for i, j in combinations(range(len(a)), 2):
        cosine = e[i] @ e[j] / np.linalg.norm(e[i]) / np.linalg.norm(e[j])
        top += a[i] * a[j] * cosine
        bottom += a[i] * a[j]
    return top / bottom


def columns() -> dict[str, np.ndarray]:
    """Activations of every kind, one feature each."""
    rng = np.random.default_rng(0)
    single, two = np.zeros(N), np.zeros(N)
    single[7], two[[3, 30]] = 2.5, (1.0, 4.0)
    pair_above = np.full(N, -3.0)
    pair_above[[0, 1]] = (1.0, 2.0)
    return {
        "sparse": np.where(rng.random(N) < 0.2, rng.gamma(2, size=N), 0),
        "dense with negatives": rng.standard_normal(N),
        "all negative": -rng.gamma(2, size=N) - 1,
        "far from 0": 100 + 0.01 * rng.standard_normal(N),
        "far below 0": -100 + 0.01 * rng.standard_normal(N),
        "duplicates": rng.integers(0, 3, N).astype(float),
        "single": single,
        "two": two,
        "two above a minimum below 0": pair_above,
        "one at 0, the rest above": np.where(np.arange(N) == 5, 0, 1 + rng.random(N)),
        "dead": np.zeros(N),
        "constant": np.full(N, 3.25),
        "tiny": 1e-6 * rng.random(N),
    }


ACTS = np.stack(list(columns().values()), axis=1)
EMBEDDINGS = unit(np.random.default_rng(1))
LITERAL = np.array([literal_ms(acts, EMBEDDINGS) for acts in ACTS.T])


def sums(acts: np.ndarray | sparse.csr_matrix, e: np.ndarray) -> MonosemanticitySums:
    made = MonosemanticitySums.empty(acts.shape[1], WIDTH)
    made.add(acts, e)
    return made


def test_the_cases_hold_what_they_should() -> None:
    undefined = dict(zip(columns(), np.isnan(LITERAL), strict=True))
    assert {name for name, nan in undefined.items() if nan} == {"single", "dead", "constant"}


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_monosemanticity_is_the_pairwise_definition(form: type) -> None:
    ms, active = sums(form(ACTS), EMBEDDINGS).score()
    np.testing.assert_allclose(ms, LITERAL, rtol=0, atol=1e-9, equal_nan=True)
    np.testing.assert_array_equal(active, (ACTS.min(0) < ACTS).sum(0))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("cuts", [(13, 27), (1, 2), (0, 39), (5, 5)])
def test_parts_merge_to_the_whole(form: type, cuts: tuple[int, int]) -> None:
    whole = MonosemanticitySums.empty(ACTS.shape[1], WIDTH)
    for rows in np.split(np.arange(N), cuts):
        whole.merge(sums(form(ACTS[rows]), EMBEDDINGS[rows]))
    ms, active = whole.score()
    np.testing.assert_allclose(ms, LITERAL, rtol=0, atol=1e-9, equal_nan=True)
    np.testing.assert_array_equal(active, (ACTS.min(0) < ACTS).sum(0))


def test_explicit_zeros_are_zeros() -> None:
    given = sparse.csr_matrix(ACTS)
    rows, cols = np.indices(ACTS.shape)
    every = sparse.csr_matrix((ACTS.ravel(), (rows.ravel(), cols.ravel())), shape=ACTS.shape)
    assert every.nnz > given.nnz
    for a, b in zip(sums(every, EMBEDDINGS).score(), sums(given, EMBEDDINGS).score(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12, equal_nan=True)


def test_single_precision_activations_do_not_cost_precision() -> None:
    acts = ACTS.astype(np.float32)
    ms, _ = sums(acts, EMBEDDINGS).score()
    literal = [literal_ms(a.astype(np.float64), EMBEDDINGS) for a in acts.T]
    np.testing.assert_allclose(ms, literal, rtol=0, atol=1e-9, equal_nan=True)


def test_identical_and_opposite_images() -> None:
    e = np.zeros((4, WIDTH))
    e[:, 0] = 1
    acts = np.array([[1.0, 1], [2, 1], [0, 0], [0, 0]])
    assert sums(acts, e).score()[0] == pytest.approx([1, 1])
    e[1, 0] = -1
    assert sums(acts, e).score()[0] == pytest.approx([-1, -1])


def test_scale_and_shift_do_not_matter() -> None:
    base = sums(ACTS[:, :1], EMBEDDINGS).score()[0]
    for changed in (ACTS[:, :1] * 7, ACTS[:, :1] + 5, 3 * ACTS[:, :1] - 2):
        np.testing.assert_allclose(sums(changed, EMBEDDINGS).score()[0], base, atol=1e-9)


def test_no_examples_give_no_score() -> None:
    ms, active = MonosemanticitySums.empty(3, WIDTH).score()
    assert np.isnan(ms).all()
    assert not active.any()


@pytest.mark.parametrize("bad", [2.0, 0.0, np.nan])
def test_embeddings_of_another_length_are_refused(bad: float) -> None:
    e = EMBEDDINGS.copy()
    e[3] *= bad
    with pytest.raises(ValueError, match="unit length"):
        sums(ACTS, e)


@pytest.mark.parametrize("name", ["dense with negatives", "duplicates", "far from 0", "sparse"])
def test_the_density_matched_control(name: str) -> None:
    acts = columns()[name]
    counts = np.array([2, 0, N, 1, 5, 5, 17, 3])
    got = density_matched(acts, EMBEDDINGS, counts=counts)
    order = sorted(range(N), key=lambda i: (-acts[i], i))
    for count, score in zip(counts, got, strict=True):
        kept = acts.copy()
        kept[order[count:]] = acts.min()
        wanted = literal_ms(kept, EMBEDDINGS) if count >= 2 else np.nan
        np.testing.assert_allclose(score, wanted, rtol=0, atol=1e-9, equal_nan=True)


def exact_ms(acts: np.ndarray, e: np.ndarray) -> float:
    """The definition in whole fractions of the floats, with cosines as float64 has them."""
    low = Fraction(float(acts.min()))
    a = [Fraction(float(each)) - low for each in acts]
    if sum(each > 0 for each in a) < 2:
        return float("nan")
    top = bottom = Fraction(0)
    for i, j in combinations(range(len(a)), 2):
        top += a[i] * a[j] * Fraction(float(e[i] @ e[j]))
        bottom += a[i] * a[j]
    return float(top / bottom)


def of_all_scales() -> np.ndarray:
    """[N, s] activations that differ by up to 1e120, of either sign, few and many, near each other
    and far from 0, or as small as float32 goes."""
    rng = np.random.default_rng(8)
    made = []
    for power in range(0, 121, 5):
        one = np.zeros(N)
        one[rng.choice(N, 3, replace=False)] = (1.0, 10.0**power, 2.0)
        ramp = 10.0 ** (rng.random(N) * power) * (rng.random(N) < 0.6)
        made += [one, one[::-1] * 1e-40, ramp, -ramp, rng.choice([-1, 1], N) * ramp]
        far = float(2 ** min(power, 40))
        made.append(far + rng.integers(0, 4, N) * np.spacing(far))
    made.append(np.where(rng.random(N) < 0.3, 1.4e-45, 0) * rng.integers(1, 5, N))
    made.append(rng.random(N).astype(np.float32) * np.float32(3e38))
    return np.stack(made, 1)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("cuts", [(), (13, 27), tuple(range(1, N))], ids=["whole", "3", "single"])
def test_no_digits_cancel_however_far_activations_differ(form: type, cuts: tuple[int, ...]) -> None:
    acts = of_all_scales()
    exact = [exact_ms(column, EMBEDDINGS) for column in acts.T]
    assert np.isfinite(exact).all()
    whole = MonosemanticitySums.empty(acts.shape[1], WIDTH)
    for rows in np.split(np.arange(N), cuts):
        whole.merge(sums(form(acts[rows]), EMBEDDINGS[rows]))
    np.testing.assert_allclose(whole.score()[0], exact, rtol=0, atol=1e-12)


def test_the_control_loses_no_digits_either() -> None:
    for column in of_all_scales().T:
        (got,) = density_matched(column, EMBEDDINGS, counts=np.array([N]))
        assert got == pytest.approx(exact_ms(column, EMBEDDINGS), abs=1e-12)


@pytest.mark.parametrize("size", [1e-170, 1e-150, 1e170, np.inf, np.nan])
def test_activations_whose_products_float64_cannot_hold_have_no_score(size: float) -> None:
    acts = np.zeros((N, 2))
    acts[[1, 5, 9], 0] = 1, 2, 3
    acts[[1, 5, 9], 1] = size, size, 3 * size
    ms, _ = sums(acts, EMBEDDINGS).score()
    assert np.isfinite(ms[0])
    assert np.isnan(ms[1])


def test_more_examples_than_are_paired_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monosemanticity, "_AT_ONCE", 7)
    for form in (np.asarray, sparse.csr_matrix):
        ms, _ = sums(form(ACTS), EMBEDDINGS).score()
        np.testing.assert_allclose(ms, LITERAL, rtol=0, atol=1e-9, equal_nan=True)
    test_the_density_matched_control("dense with negatives")


def test_merging_leaves_the_other_sums_alone() -> None:
    first, second = (sums(ACTS[rows], EMBEDDINGS[rows]) for rows in (slice(20), slice(20, N)))
    before = second.score()[0]
    first.merge(second)
    np.testing.assert_array_equal(second.score()[0], before)


def test_the_control_of_a_constant_is_undefined() -> None:
    assert np.isnan(density_matched(np.ones(N), EMBEDDINGS, counts=np.array([5]))).all()


# --- Reconstruction ---


def test_reconstruction_figures_are_the_formulas() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 8, generator=generator) + 3
    y = x + 0.3 * torch.randn(50, 8, generator=generator)
    active = torch.randint(0, 9, (50,), generator=generator)
    merged = ReconstructionSums()
    for rows in torch.arange(50).split([20, 1, 29]):
        merged.merge(ReconstructionSums.of(x[rows], y[rows], active=int(active[rows].sum())))
    got = merged.figures()
    squared = ((x - y) ** 2).sum(1).double()
    assert got["mse"] == pytest.approx(squared.mean().item(), rel=1e-6)
    spread = ((x - x.mean(0)) ** 2).sum().item()
    assert got["fvu"] == pytest.approx(squared.sum().item() / spread, rel=1e-5)
    cosine = (x * y).sum(1) / x.norm(dim=1) / y.norm(dim=1)
    assert got["cosine"] == pytest.approx(cosine.mean().item(), rel=1e-6)
    assert got["l0"] == pytest.approx(active.double().mean().item())


@pytest.mark.parametrize(
    ("image", "text", "layer"),
    [
        ([1.0, 0.5, 0.2], [0.1, 0.46, 0.19], 1),
        ([1.0, 0.5, 0.2], [1.0, 0.3, 0.2], 2),  # one that parts again begins anew
        ([1.0, 0.5, 0.2], [1.0, 0.5, 0.1], None),  # the last is apart
        ([0.2, 0.3], [0.2, 0.3], 0),
        ([0.0, 0.0], [0.5, 0.0], 1),
        ([0.9, 1.0], [1.0, 0.89], None),
        ([0.9], [1.0], 0),  # relative to the larger: 0.1 of 1
        ([math.nan, 0.3], [0.2, 0.3], 1),
        ([0.2, 0.3], [0.2, math.nan], None),
        ([math.inf], [math.inf], None),
        ([], [], None),
    ],
)
def test_layers_converge_where_they_stay_together(
    image: list[float], text: list[float], layer: int | None
) -> None:
    assert converged(image, text, tolerance=0.1) == layer
    assert converged(text, image, tolerance=0.1) == layer


def test_layers_that_are_not_the_same_do_not_converge() -> None:
    with pytest.raises(ValueError):
        converged([1.0], [1.0, 0.5], tolerance=0.1)
    assert converged([0.9], [1.0], tolerance=0) is None
    assert converged([1.0], [1.0], tolerance=0) == 0


def test_merging_changes_only_the_one_that_is_merged_into() -> None:
    x = torch.ones(2, 3)
    one, two = (ReconstructionSums.of(x, x, active=0) for _ in range(2))
    total = ReconstructionSums()
    total.merge(one)
    total.merge(two)
    np.testing.assert_array_equal(one.sum_x, [2, 2, 2])
    np.testing.assert_array_equal(total.sum_x, [4, 4, 4])


def test_the_mean_and_the_truth_have_the_fvu_they_should() -> None:
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(1)) + 5
    assert ReconstructionSums.of(x, x, active=0).figures()["fvu"] == 0
    mean = x.mean(0).expand_as(x)
    assert ReconstructionSums.of(x, mean, active=0).figures()["fvu"] == pytest.approx(1, rel=1e-5)


def test_figures_of_nothing_are_nan() -> None:
    assert all(np.isnan(v) for v in ReconstructionSums().figures().values())
    same = torch.ones(3, 2)
    assert np.isnan(ReconstructionSums.of(same, same, active=0).figures()["fvu"])


# --- Pooling ---


def codes(*, ties: bool) -> torch.Tensor:
    """Dense codes [examples, tokens, features], most of them 0."""
    generator = torch.Generator().manual_seed(2)
    values = torch.rand(5, 7, 6, generator=generator)
    if ties:
        values = (values * 3).ceil()
    return values * (torch.rand(5, 7, 6, generator=generator) < 0.3)


RAGGED = pytest.mark.parametrize("tokens", [[7] * 5, [7, 3, 1, 5, 7]], ids=["even", "ragged"])


def pooled_of(dense: torch.Tensor, tokens: list[int], how: pooling.Pooling, *, seed: int = -1):
    """The pooled codes of the first `tokens` tokens of each example, given in any order."""
    example = torch.repeat_interleave(torch.arange(len(tokens)), torch.tensor(tokens))
    rows = torch.cat([of[:n] for of, n in zip(dense, tokens, strict=True)])
    row, feature = rows.nonzero(as_tuple=True)
    order = torch.arange(len(row))
    if seed >= 0:
        order = torch.randperm(len(row), generator=torch.Generator().manual_seed(seed))
    row, feature = row[order], feature[order]
    return pooling.pool_sparse(
        example[row],
        feature,
        token=row,
        value=rows[row, feature],
        tokens=torch.tensor(tokens),
        features=dense.shape[2],
        how=how,
    )


@RAGGED
@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize("ties", [False, True])
def test_sparse_pooling(how: pooling.Pooling, ties: bool, tokens: list[int]) -> None:
    dense = codes(ties=ties)
    got = pooled_of(dense, tokens, how)
    wanted = []
    for example, count in enumerate(tokens):
        for f in range(6):
            of = dense[example, :count, f].tolist()
            if max(of) > 0:
                pooled = max(of) if how == "max" else sum(of) / count
                wanted.append((example, f, pooled, sum(tokens[:example]) + of.index(max(of))))
    assert [(e, f, t) for e, f, _, t in wanted] == list(
        zip(got.example.tolist(), got.feature.tolist(), got.token.tolist(), strict=True)
    )
    assert got.value.tolist() == pytest.approx([v for _, _, v, _ in wanted])


def test_sparse_pooling_does_not_depend_on_the_order_of_codes() -> None:
    one, two = (pooled_of(codes(ties=True), [7] * 5, "max", seed=seed) for seed in (-1, 3))
    for name in ("example", "feature", "value", "token"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_sparse_pooling_of_nothing() -> None:
    got = pooled_of(torch.zeros(5, 7, 6), [7] * 5, "max")
    assert len(got.value) == len(got.example) == len(got.feature) == len(got.token) == 0


@RAGGED
@pytest.mark.parametrize("how", ["max", "mean"])
def test_dense_pooling(how: pooling.Pooling, tokens: list[int]) -> None:
    acts = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(4)) - 2
    rows = torch.cat([of[:n] for of, n in zip(acts, tokens, strict=True)])
    got = pooling.pool_dense(rows, torch.tensor(tokens), how=how)
    for b, count in enumerate(tokens):
        of = acts[b, :count]
        torch.testing.assert_close(got[b], of.amax(0) if how == "max" else of.mean(0))


def test_patches_by_cell() -> None:
    """Of patches that share a cell the strongest, also of negative ones; 0 where there is none."""
    acts = -torch.rand(6, 2, generator=torch.Generator().manual_seed(5))
    example, cell = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, 2, 2, 2, 0])
    got = pooling.to_cells(acts, example, cell, shape=(2, 3))
    assert torch.equal(got[0], acts[:3])
    assert torch.equal(got[1], torch.stack([acts[5], torch.zeros(2), acts[3:5].amax(0)]))
    each = pooling.to_cells(acts, example, torch.tensor([0, 1, 2, 0, 1, 2]), shape=(2, 3))
    assert torch.equal(each, acts.view(2, 3, 2))


def literal_strongest(feature: list[int], value: list[float], count: int) -> list[int]:
    kept = []
    for f in sorted(set(feature)):
        of = [i for i in range(len(value)) if feature[i] == f]
        kept += sorted(of, key=lambda i: (-value[i], i))[:count]
    return kept


@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_strongest_of_each_feature(count: int) -> None:
    rng = np.random.default_rng(5)
    feature, value = rng.integers(0, 6, 60), rng.integers(0, 5, 60).astype(np.float32)
    got = pooling.strongest(torch.tensor(feature), torch.tensor(value), count=count)
    assert got.tolist() == literal_strongest(feature.tolist(), value.tolist(), count)


def test_the_strongest_of_nothing() -> None:
    assert pooling.strongest(torch.zeros(0).long(), torch.zeros(0), count=3).tolist() == []


@pytest.mark.parametrize("batches", [[40], [16, 16, 8], [1] * 40, [3, 37]])
def test_dense_top_over_batches(batches: list[int]) -> None:
    """With many ties: the earlier example is the stronger."""
    rng = np.random.default_rng(6)
    pooled = torch.tensor(rng.integers(-3, 3, (40, 4)).astype(np.float32))
    patches = torch.tensor(rng.standard_normal((40, 9, 4)).astype(np.float32))
    top = pooling.DenseTop.empty(4, count=16, patches=9)
    first = 0
    for size in batches:
        at = slice(first, first + size)
        top.add(pooled[at], patches[at], first=first)
        first += size
    rows = top.rows()
    wanted = [
        (d, i)
        for d in range(4)
        for i in sorted(range(40), key=lambda i, d=d: (-pooled[i, d].item(), i))[:16]
    ]
    assert list(zip(rows.feature.tolist(), rows.example.tolist(), strict=True)) == wanted
    for n, (d, i) in enumerate(wanted):
        assert rows.value[n] == pooled[i, d]
        assert rows.token[n] == patches[i, :, d].argmax()
        assert torch.equal(top.patches[d, n % 16], patches[i, :, d])


def test_dense_top_of_few_examples_without_patches() -> None:
    top = pooling.DenseTop.empty(3, count=16, patches=0)
    top.add(torch.tensor([[1.0, 2, 3], [3, 2, 1]]), torch.zeros(2, 0, 3), first=0)
    rows = top.rows()
    assert rows.feature.tolist() == [0, 0, 1, 1, 2, 2]
    assert rows.example.tolist() == [1, 0, 0, 1, 0, 1]
    assert set(rows.token.tolist()) == {-1}


# --- Labels and intervals ---


def test_a_tag_matrix() -> None:
    matrix, names = labels.tag_matrix([["red", "circle"], [], ["circle", "circle"]])
    assert names == ["circle", "red"]
    np.testing.assert_array_equal(matrix, [[1, 1], [0, 0], [1, 0]])
    empty, none = labels.tag_matrix([[], []])
    assert (empty.shape, none) == ((2, 0), [])


def test_the_tag_that_marks_out_the_top_examples() -> None:
    rng = np.random.default_rng(7)
    matrix = (rng.random((50, 5)) < [0.5, 0.1, 0.9, 0.0, 1.0]).astype(np.float32)
    top = np.stack([rng.permutation(50)[:8] for _ in range(12)])
    top[0, 2:] = -1
    top[1, 1:] = -1
    top[2, :] = -1
    column, score = labels.mark_out(top, matrix)
    for feature, rows in enumerate(top):
        rows = rows[rows >= 0]
        if len(rows) < 2:
            assert (column[feature], np.isnan(score[feature])) == (-1, True)
            continue
        excess = [matrix[rows, tag].mean() - matrix[:, tag].mean() for tag in range(5)]
        assert excess[column[feature]] == pytest.approx(max(excess), abs=1e-6)
        base = matrix[:, column[feature]].mean()
        wanted = max(0.0, *excess) / (1 - base) if base < 1 else 0.0
        assert score[feature] == pytest.approx(wanted, abs=1e-6)


def test_labels_of_pure_features_and_of_no_tags() -> None:
    matrix = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
    column, score = labels.mark_out(np.array([[0, 1, 2], [12, 13, 14]]), matrix)
    assert column.tolist() == [0, 1]
    assert score.tolist() == [1, 1]
    column, score = labels.mark_out(np.array([[0, 1]]), np.zeros((4, 0), np.float32))
    assert (column[0], np.isnan(score[0])) == (-1, True)


@pytest.mark.parametrize("paired", [False, True])
def test_the_interval_covers_a_known_difference(paired: bool) -> None:
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng([8, seed])
        b = rng.standard_normal(40)
        a = (b if paired else rng.standard_normal(40)) + 0.5 + 0.3 * rng.standard_normal(40)
        middle, low, high = mean_difference(a, b, seed=seed, paired=paired, resamples=400)
        assert low < middle < high
        assert middle == pytest.approx(a.mean() - b.mean())
        covered += low <= 0.5 <= high
    assert covered >= 50, "95 % should cover about 57 of 60"


def test_the_interval_has_the_textbook_width() -> None:
    rng = np.random.default_rng(9)
    a, b = rng.standard_normal(400), rng.standard_normal(300)
    _, low, high = mean_difference(a, b, seed=0, resamples=4000)
    error = (a.var() / 400 + b.var() / 300) ** 0.5
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_an_interval_is_seeded_and_leaves_nans_out() -> None:
    a, b = np.array([1.0, 2, np.nan, 4]), np.array([0.0, np.nan, 1, 1])
    one = mean_difference(a, b, seed=1, resamples=50)
    assert one == mean_difference(a[[0, 1, 3]], b[[0, 2, 3]], seed=1, resamples=50)
    assert one[0] == pytest.approx(7 / 3 - 2 / 3)
    assert mean_difference(a, b, seed=1, paired=True, resamples=50)[0] == pytest.approx(2)


@pytest.mark.parametrize("paired", [False, True])
def test_nothing_to_compare_is_refused(paired: bool) -> None:
    none = np.array([np.nan, np.nan])
    with pytest.raises(ValueError, match="no values"):
        mean_difference(none, np.ones(2), seed=0, paired=paired)


def test_paired_samples_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError):
        mean_difference(np.ones(3), np.ones(2), seed=0, paired=True)


@pytest.mark.parametrize("size", [0.0, 1.0, 3.7, 1e4, 1e-20])
def test_one_vector_up_to_rounding_has_no_fvu(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(16, generator=generator) * size
    x = vector * (1 + 1e-7 * torch.randn(300, 1, generator=generator))
    for parts in (1, 7):
        merged = ReconstructionSums()
        for some in x.tensor_split(parts):
            merged.merge(ReconstructionSums.of(some, some + 1, active=1))
        assert math.isnan(merged.figures()["fvu"])
        assert merged.figures()["mse"] == pytest.approx(16, rel=1e-4)


def test_small_true_variance_has_an_fvu() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 100 + 0.01 * torch.randn(300, 16, generator=generator)
    figures = ReconstructionSums.of(x, x.mean(0).expand_as(x), active=0).figures()
    assert figures["fvu"] == pytest.approx(1, rel=1e-2)


def test_errors_that_no_table_holds_are_no_numbers() -> None:
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    for far in (torch.inf, torch.nan, 1e25):
        figures = ReconstructionSums.of(x, x + far, active=3).figures()
        assert math.isnan(figures["fvu"]) and math.isnan(figures["mse"])
        assert figures["l0"] == pytest.approx(3 / 20)
