"""Active choice: what it rests on, and whether it finds the order with fewer votes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.annotations import Annotations, Standing
from pipeline.annotations.trials import GivenAnswer
from pipeline.study import active
from pipeline.study.active import PRIOR, posterior
from pipeline.study.assignment import Schedule, chooser
from pipeline.study.content import Content, Feature, Item, Side
from pipeline.study.files import Study

FEATURES, PAIRS, VOTES = 24, 140, 260


def test_the_posterior_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    pairs = np.stack(np.triu_indices(3, 1), 1)
    wins, losses = rng.integers(0, 6, (2, 3)).astype(float)
    found = posterior(pairs, wins, losses, features=3)
    # By brute force, on a grid.
    line = np.linspace(-6, 6, 81)
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    apart = grid[:, pairs[:, 0]] - grid[:, pairs[:, 1]]
    log = -(wins * np.log1p(np.exp(-apart)) + losses * np.log1p(np.exp(apart))).sum(1)
    log -= (grid**2).sum(1) / (2 * PRIOR**2)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    np.testing.assert_allclose(found.mean, grid[log.argmax()], atol=0.1)
    mean = weight @ grid
    exact = (grid - mean).T @ (weight[:, None] * (grid - mean))
    np.testing.assert_allclose(found.covariance, exact, atol=0.25 * np.abs(exact).max())
    again = posterior(pairs, wins, losses, features=3, start=found.mean + 1)
    np.testing.assert_allclose(again.mean, found.mean, atol=1e-4)


def test_a_vote_tells_more_where_less_is_known() -> None:
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    won = posterior(pairs, np.array([0.0, 4, 10]), np.array([0.0, 4, 0]), features=6)
    nothing, even, decided = won.information(pairs)
    assert nothing > even > decided > 0


def order_found(*, actively: bool, seed: int) -> float:
    """Rank correlation of the true strengths with those found after VOTES votes."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(0, 1.5, FEATURES)
    every = np.stack(np.triu_indices(FEATURES, 1), 1)
    pairs = every[rng.choice(len(every), PAIRS, replace=False)]
    wins, losses = np.zeros(PAIRS), np.zeros(PAIRS)
    known, given = posterior(pairs, wins, losses, features=FEATURES), Counter[int]()

    def uncertain(items):
        told = known.information(pairs)
        return {item: float(told[item]) for item in items}

    for number in range(VOTES):
        choose = chooser(
            Schedule(seed=seed), str(number), uncertain=uncertain if actively else None
        )
        choice = choose(Standing((), dict.fromkeys(range(PAIRS), 5), given))
        assert choice is not None
        x, y = pairs[choice.item]
        won = rng.random() < 1 / (1 + np.exp(strength[y] - strength[x]))
        wins[choice.item] += won
        losses[choice.item] += not won
        given[choice.item] += 1
        assert given[choice.item] <= 5
        known = posterior(pairs, wins, losses, features=FEATURES, start=known.mean)
    return float(spearmanr(known.mean, strength).statistic)


def test_it_finds_the_order_better_with_as_many_votes() -> None:
    seeds = range(8)
    balanced, actively = (
        np.mean([order_found(actively=how, seed=seed) for seed in seeds]) for how in (False, True)
    )
    assert actively > balanced + 0.005, (balanced, actively)


def content(**settings: object) -> Content:
    pairs = [(0, 1), (1, 2), (2, 3)]
    return Content(
        study=Study.model_validate({"name": "s", "bundle": "none", "choice": "active"} | settings),
        run="none",
        features=tuple(
            Feature(dictionary_id="m/h/d", fingerprint="f", feature_id=n, scores={})
            for n in range(4)
        ),
        items=tuple(
            Item(
                item=n, role="trial",
                sides=tuple(Side(feature=place, images=(0,)) for place in pair),
            )
            for n, pair in enumerate(pairs)
        ),
        images={},
    )  # fmt: skip


def test_it_rests_on_the_votes_that_stand(tmp_path: Path) -> None:
    store, of = Annotations(str(tmp_path / "a.sqlite")), content(votes=9)
    store.create_study("s", of.model_dump_json(), of.wanted)
    people = {
        f"a{n}": [GivenAnswer(0, "x"), GivenAnswer(1, "xy"[n % 2]), GivenAnswer(2, "skip")]
        for n in range(4)
    }
    store.add_votes("s", people)
    assert sorted(store.tallies("s")) == [(0, "x", 4), (1, "x", 2), (1, "y", 2)]
    ask = active.uncertain(store, of)
    assert ask is not None
    told = ask([0, 1, 2])
    assert max(told, key=lambda item: told[item]) == 2, "nobody has judged it"
    # A vote that is taken back is one less, and is taken in soon.
    who = sorted({vote.annotator for vote in store.votes("s")})[0]
    taken = [vote for vote in store.votes("s") if vote.annotator == who][1]
    store.undo("s", who, 2, request="u")
    store.undo("s", who, 1, request="u")
    counts = {(item, answer): count for item, answer, count in store.tallies("s")}
    assert counts[1, taken.answer] == 1
    known = active._KNOWN[store.place, "s"]
    active.uncertain(store, of)
    with known.working:  # the thread has ended
        known.work(store)
    assert known.newest == store.newest("s")
    assert known.values[1] > told[1]
    store.close()


def test_only_where_the_study_says_so(tmp_path: Path) -> None:
    store = Annotations(str(tmp_path / "b.sqlite"))
    assert active.uncertain(store, content(choice="balanced")) is None
    with pytest.raises(ValueError, match="only pairs are chosen actively"):
        content(kind="rating")
    store.close()
