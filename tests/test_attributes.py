"""Whether features stand for attributes: F1 and thresholds against every threshold in turn."""

import numpy as np
import pytest
from scipy import sparse

from pipeline.metrics.attributes import always, best_rules, f1_of

N, S, T = 60, 12, 5
FORMS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


def activations(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Activations float32 [N, S] and attributes bool [N, T], with every odd kind among them."""
    rng = np.random.default_rng(seed)
    has = rng.random((N, T)) < [0.1, 0.3, 0.5, 0.8, 0.3]
    acts = np.where(rng.random((N, S)) < 0.4, rng.gamma(2, size=(N, S)), 0)
    acts[:, 0] = 0  # dead
    acts[:, 1] = has[:, 1] * (1 + rng.random(N))  # one attribute, always
    acts[:, 2] = np.where(has[:, 2], 3, 1)  # above a threshold
    acts[:, 3] = rng.integers(0, 3, N)  # ties
    acts[:, 4] = np.arange(N) == 7  # one image
    acts[:, 5] = 2.5  # constant
    has[:, 4] = False  # nothing has it
    acts = acts.astype(np.float32)
    acts[:, 6] = np.nextafter(np.float32(1), np.float32(2))  # the least difference that there is
    acts[has[:, 0], 6] = np.nextafter(acts[0, 6], np.float32(2))
    return acts, has


def literal_f1(fires: np.ndarray, has: np.ndarray) -> float:
    true = sum(f and h for f, h in zip(fires, has, strict=True))
    total = sum(fires) + sum(has)
    return 2 * true / total if total else 0.0


def literal_best(acts: np.ndarray, has: np.ndarray) -> tuple[float, set[int]]:
    """The largest F1 of any threshold from 0 on, and the rows that the highest such lets fire."""
    best, rows = 0.0, set()
    for level in sorted({0.0, *acts.tolist()}, reverse=True):
        fires = acts > level
        f1 = literal_f1(fires, has)
        if fires.any() and (f1 > best or not rows):
            best, rows = f1, set(np.flatnonzero(fires))
    return best, rows


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_best_rules(form: str, seed: int) -> None:
    acts, has = activations(seed)
    threshold, f1 = best_rules(FORMS[form](acts), has)
    for s in range(S):
        for t in range(T):
            wanted, rows = literal_best(acts[:, s], has[:, t])
            assert f1[s, t] == pytest.approx(wanted), (s, t)
            assert set(np.flatnonzero(acts[:, s].astype(float) > threshold[s, t])) == rows, (s, t)
    assert np.isinf(threshold[0]).all() and (f1[0] == 0).all()
    assert f1[1, 1] == f1[2, 2] == f1[6, 0] == 1
    assert threshold[1, 1] == 0 and threshold[2, 2] == 2
    assert (threshold >= 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_rules_on_other_examples(form: str) -> None:
    acts, has = activations()
    threshold, f1 = best_rules(FORMS[form](acts), has)
    np.testing.assert_allclose(f1_of(FORMS[form](acts), has, threshold_st=threshold), f1)
    other, its = activations(1)
    got = f1_of(FORMS[form](other), its, threshold_st=threshold)
    for s in range(S):
        for t in range(T):
            fires = other[:, s].astype(float) > threshold[s, t]
            assert got[s, t] == pytest.approx(literal_f1(fires, its[:, t])), (s, t)


def test_a_threshold_lies_between_two_activations() -> None:
    """So that activations which differ in the last digit from run to run change nothing."""
    acts = np.array([[5.0], [4.0], [1.0], [0.0]], np.float32)
    has = np.array([[True], [True], [False], [False]])
    assert best_rules(acts, has).threshold[0, 0] == 2.5
    for noise in (1e-6, -1e-6):
        moved = np.where(acts > 0, acts + noise, 0)
        assert f1_of(moved, has, threshold_st=np.array([[2.5]]))[0, 0] == 1


def test_of_equal_rules_the_one_that_fires_least() -> None:
    acts = np.array([[3.0], [2.0], [1.0]])
    has = np.array([[True], [False], [True]])  # F1 is 2/3, 1/2, 4/5; then without the last image
    assert best_rules(acts, has).threshold[0, 0] == 0
    has = np.array([[True], [False], [False], [False]])
    acts = np.array([[3.0], [0.0], [0.0], [0.0]])
    assert best_rules(acts, has)[0][0, 0] == 0
    acts = np.array([[4.0], [3.0], [2.0], [1.0]])
    has = np.array([[True], [False], [False], [True]])  # 2/3 with the first alone, or with all
    assert best_rules(acts, has).threshold[0, 0] == 3.5


def test_what_always_says_yes_gets() -> None:
    has = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_allclose(always(has), [1, 0, 2 / 5])
    assert literal_f1(np.ones(4, bool), has[:, 2]) == always(has)[2]


def test_what_does_not_fit_is_refused() -> None:
    acts, has = activations()
    with pytest.raises(ValueError, match="activations of 60 examples, attributes of 59"):
        best_rules(acts, has[1:])
    with pytest.raises(ValueError, match=r"thresholds of \(12, 4\).*\(12, 5\)"):
        f1_of(acts, has, threshold_st=np.zeros((S, T - 1)))


@pytest.mark.parametrize("n", [0, 1])
def test_of_one_example_or_none(n: int) -> None:
    acts, has = activations()
    threshold, f1 = best_rules(acts[:n], has[:n])
    assert f1.shape == threshold.shape == (S, T)
    assert f1_of(acts[:n], has[:n], threshold_st=threshold).shape == (S, T)
