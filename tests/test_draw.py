"""Which pairs a study draws: each another one, by the same seed the same, evenly where asked."""

from collections import Counter

import numpy as np
import pytest

from pipeline.study.draw import Pool, StudyError, alone, even, named_features, once, pairs
from pipeline.study.files import Draw


def pool(size: int, *, neurons: int = 0, seed: int = 0) -> Pool:
    rng = np.random.default_rng(seed)
    neuron = np.arange(size) >= size - neurons
    return Pool(neuron.astype(np.int64), np.arange(size), rng.beta(2, 5, size), neuron.astype(int))


@pytest.mark.parametrize("how", ["random", "stratified", "neurons"])
@pytest.mark.parametrize("size", [30, 3000])
def test_pairs_are_distinct_and_made_again_by_the_seed(how: str, size: int) -> None:
    of = pool(size, neurons=size // 3)
    found = pairs(of, Draw(how=how, count=60), seed=4)
    assert len({frozenset(pair) for pair in found}) == len(found) == 60
    assert all(x != y for x, y in found)
    assert pairs(of, Draw(how=how, count=60), seed=4) == found
    assert pairs(of, Draw(how=how, count=60), seed=5) != found


@pytest.mark.parametrize("size", [40, 3000])
def test_stratified_pairs_cover_the_differences_evenly(size: int) -> None:
    of = pool(size)

    def spread(how: str) -> list[int]:
        found = pairs(of, Draw(how=how, count=100, strata=5), seed=0)
        apart = [abs(of.score[x] - of.score[y]) for x, y in found]
        top = max(apart)
        counts = Counter(min(int(5 * a / top), 4) for a in apart)
        return [counts[part] for part in range(5)]

    drawn, at_random = spread("stratified"), spread("random")
    assert min(drawn) >= 10 > min(at_random)
    assert max(drawn) <= 32 < max(at_random)


@pytest.mark.parametrize("how", ["random", "stratified", "neurons"])
def test_pairs_of_few_features(how: str) -> None:
    of = pool(300, neurons=100)
    drawn = pairs(of, Draw(how=how, count=40, features=12), seed=0)
    for side in range(2) if how == "neurons" else [slice(None)]:
        assert 10 <= len(set(np.array(drawn)[:, side].ravel())) <= 12
    with pytest.raises(StudyError, match="pairs; ask for fewer"):
        pairs(of, Draw(how=how, count=1000, features=12), seed=0)


def test_neurons_stand_against_features() -> None:
    of = pool(50, neurons=20)
    for x, y in pairs(of, Draw(how="neurons", count=80), seed=0):
        assert not of.neuron[x] and of.neuron[y]


def test_all_pairs_and_no_more() -> None:
    of = pool(5)
    assert len(pairs(of, Draw(how="random", count=10), seed=0)) == 10
    with pytest.raises(StudyError, match="there are 10 pairs"):
        pairs(of, Draw(how="random", count=11), seed=0)
    with pytest.raises(StudyError, match="there are 5 features"):
        alone(of, Draw(how="random", count=6), seed=0)


def test_features_alone_cover_the_scores() -> None:
    of = pool(400)
    found = alone(of, Draw(how="stratified", count=50, strata=5), seed=0)
    assert len(set(found)) == 50
    low, high = of.score.min(), of.score.max()
    parts = Counter(min(int(5 * (of.score[p] - low) / (high - low)), 4) for p in found)
    assert set(parts) == set(range(5))
    assert max(parts.values()) <= 2 * 10


def test_even_takes_turns() -> None:
    values = np.array([0.0, 0.01, 0.02, 0.03, 0.99, 1.0])
    assert sorted(even(values, strata=2, count=4)) == [0, 1, 4, 5]
    assert sorted(even(values, strata=2, count=6)) == list(range(6))
    assert len(even(np.ones(4), strata=3, count=3)) == 3, "all alike"


def test_a_list_names_its_bad_line() -> None:
    known = {"m/h/d:1": 0, "m/h/d:2": 1}
    assert named_features([(2, "m/h/d:2"), (3, "m/h/d:1")], known, file="f.csv") == [1, 0]
    with pytest.raises(StudyError, match=r"f.csv, line 5: '=cmd' is no live feature"):
        named_features([(2, "m/h/d:2"), (5, "=cmd")], known, file="f.csv")
    with pytest.raises(StudyError, match=r"line 2: of 'm/h/n:3' the bundle keeps only the strong"):
        named_features([(2, "m/h/n:3")], known, file="f.csv", partial={"m/h/n:3"})


def test_a_list_says_everything_once() -> None:
    once([(2, "a"), (3, "b")], "pair", file="f.csv")
    with pytest.raises(StudyError, match=r"f.csv, line 7: the same pair as in line 2; leave one"):
        once([(2, frozenset("ab")), (3, "b"), (7, frozenset("ba"))], "pair", file="f.csv")
