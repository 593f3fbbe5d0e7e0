"""Does the analysis of a user study recover what is true? Simulated people of known preferences.

    python bench/study.py [--studies 300] [--active | --repeats]

Features have a true strength and a score that follows it with noise. People prefer the stronger
one of a pair with the probability of Bradley and Terry; every tenth of them sees a tie where the
two are near. Careless people press at random, also in trials with a known answer, which others get
wrong once in fifty. Each simulated study goes through `pipeline.study.findings`, as a real one
does. With `--active` people all pay attention, and it is told how well the order of the features is
found after so many votes where pairs are chosen by chance (`balanced`) and where they are chosen
actively. With `--repeats` it is told how often the interval of repetitions judged alike holds the
truth. Prints a Markdown table; docs/study.md has it and says what it means.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from pipeline.annotations import Standing, Trial, Vote
from pipeline.study import agreement, bootstrap, findings
from pipeline.study.active import posterior
from pipeline.study.assignment import Schedule, chooser
from pipeline.study.content import Content, Feature, Item, Side
from pipeline.study.files import Draw, Study
from pipeline.study.ranking import bradley_terry
from pipeline.study.results import Judged

FEATURES, NOISE, TIES, NEAR = 60, 0.8, 0.1, 1.0
"""Of a study; of the score, in the strengths' deviations; how many see a tie, where strengths
differ by less than so much."""
PEOPLE, CHECKS, SLIP = 20, 6, 0.02
REPEATS = 8
"""Of each person."""
WORLD = 400_000
MANY, EACH = 600, 3
"""Pairs of a study that is chosen actively, and the votes that each may get."""
ASKED = (100, 200, 400, 600, 800, 1000)
"""Votes after which the order is looked at."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """A kind of study; `failed`: the filter, in percent of checks, None for none."""

    pairs: int
    votes: int
    spread: float
    careless: float = 0.0
    failed: int | None = None


DESIGNS = [
    Design(50, 3, 1.0),
    Design(200, 3, 1.0),
    Design(200, 3, 2.0),
    Design(200, 7, 1.0),
    Design(200, 3, 1.0, careless=0.25),
    Design(200, 3, 1.0, careless=0.25, failed=25),
]


def votes_of(gap: Array, rng: np.random.Generator) -> Array:
    """What attentive people say of pairs whose strengths differ so: 1 x, 0 y, 0.5 a tie."""
    said = (rng.random(gap.shape) < 1 / (1 + np.exp(-gap))).astype(float)
    return np.where((np.abs(gap) < NEAR) & (rng.random(gap.shape) < TIES), 0.5, said)


def strengths(design: Design, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return rng.normal(size=shape) * design.spread


def scored(design: Design, strength: Array, rng: np.random.Generator) -> Array:
    return strength + rng.normal(size=strength.shape) * NOISE * design.spread


@dataclass(frozen=True)
class Truth:
    """Of all pairs there could be, by the difference of their scores: whether the score prefers
    what most of so many attentive people prefer (NaN: they are divided), and what is truly
    stronger."""

    difference: Array
    agrees: Array
    right: float

    @property
    def overall(self) -> float:
        return float(np.nanmean(self.agrees))

    def between(self, low: float, high: float) -> float:
        start, end = np.searchsorted(self.difference, [low, high])
        here = slice(max(0, start - 500), end + 500) if end - start < 1000 else slice(start, end)
        return float(np.nanmean(self.agrees[here]))


def truth(design: Design, rng: np.random.Generator) -> Truth:
    strength = strengths(design, (WORLD, 2), rng)
    score = scored(design, strength, rng)
    gap, difference = strength[:, 0] - strength[:, 1], score[:, 0] - score[:, 1]
    share = votes_of(np.repeat(gap[None], design.votes, 0), rng).mean(0)
    order = np.argsort(np.abs(difference))
    agrees = agreement.agrees(share, difference)
    right = float(((gap > 0) == (difference > 0)).mean())
    return Truth(np.abs(difference)[order], agrees[order], right)


def simulated(design: Design, rng: np.random.Generator) -> tuple[Content, list[Vote], Array]:
    """A study, its votes, and the true strengths."""
    strength = strengths(design, (FEATURES,), rng)
    score = scored(design, strength, rng)
    every = [(x, y) for x in range(FEATURES) for y in range(FEATURES) if x != y]
    pairs = [every[i] for i in rng.choice(len(every), design.pairs, replace=False)]
    sides = [tuple(Side(feature=place, images=()) for place in pair) for pair in pairs]
    catch = design.pairs
    items = [Item(item=n, role="trial", sides=two) for n, two in enumerate(sides)]
    known = Item(item=catch, role="catch", sides=(Side(feature=0, images=()),) * 2, answer="x")
    content = Content(
        study=Study(
            name="s", bundle=Path("none"), votes=design.votes, draw=Draw(count=design.pairs)
        ),
        run="none",
        features=tuple(
            Feature(dictionary_id="d", fingerprint="f", feature_id=n, scores={"ms": float(of)})
            for n, of in enumerate(score)
        ),
        items=(*items, known),
        images={},
    )
    careless = rng.random(PEOPLE) < design.careless
    names = {1.0: "x", 0.5: "tie", 0.0: "y"}
    votes: list[Vote] = []
    given = [0] * PEOPLE
    moment = datetime.now(UTC)

    def add(who: int, item: int, role: str, answer: str) -> None:
        trial = Trial(given[who], item, role, False, "voted")
        votes.append(Vote(f"p{who}", trial, 0, answer, 1000, moment))
        given[who] += 1

    for number, (x, y) in enumerate(pairs):
        for who in rng.choice(PEOPLE, design.votes, replace=False):
            said = votes_of(np.array([strength[x] - strength[y]]), rng)[0]
            said = float(rng.integers(2)) if careless[who] else said
            add(int(who), number, "trial", names[said])
    for who in range(PEOPLE):
        for wrong in rng.random(CHECKS) < np.where(careless[who], 0.5, SLIP):
            add(who, catch, "catch", "y" if wrong else "x")
    return content, votes, strength - strength.mean()


def row(design: Design, studies: int) -> str:
    """The design, then what its simulated studies found."""
    rng = np.random.default_rng(0)
    known = truth(design, rng)
    told, covered, steps, ranks, alike = [], [], [], [], []
    for _ in range(studies):
        content, votes, strength = simulated(design, rng)
        found = findings.find(content, votes, failed=design.failed)
        (score,) = (one for name, one in found.board if name == "ms")
        told.append(score.value)
        covered.append(score.low <= known.overall <= score.high)
        assert isinstance(found.of, Judged) and found.ranking is not None
        for step in findings.steps(found.of, found.scores["ms"]):
            here = step.agreement
            steps.append(here.low <= known.between(step.low, step.high) <= here.high)
        seen = np.unique(found.of.features)
        low, high = found.ranking.low[seen], found.ranking.high[seen]
        ranks.append(np.mean((low <= strength[seen]) & (strength[seen] <= high)))
        alike.append(np.corrcoef(found.ranking.strength[seen], strength[seen])[0, 1])
    mean, error = np.mean(told), np.std(told) / np.sqrt(studies)
    who = "all attentive" if not design.careless else f"{design.careless:.0%} careless"
    who += "" if design.failed is None else f", at most {design.failed} % of checks failed"
    return (
        f"| {design.pairs} | {design.votes} | {design.spread:g} | {who} | {mean:.3f} "
        f"| {mean - known.overall:+.3f} ± {1.96 * error:.3f} | {mean - known.right:+.3f} "
        f"| {np.mean(covered):.0%} | {np.mean(steps):.0%} | {np.mean(ranks):.0%} "
        f"| {np.mean(alike):.2f} |"
    )


def orders(spread: float, seed: int, *, actively: bool) -> list[float]:
    """Rank correlation of the true strengths with those found, after ASKED votes: the same
    features, pairs and people's luck for both ways to choose."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=FEATURES) * spread
    every = np.stack(np.triu_indices(FEATURES, 1), 1)
    pairs = every[rng.choice(len(every), MANY, replace=False)]
    said = votes_of(np.repeat((strength[pairs] @ [1, -1])[:, None], EACH, 1), rng)
    wins, losses, given = np.zeros(MANY), np.zeros(MANY), Counter[int]()
    known = posterior(pairs, wins, losses, features=FEATURES)

    def uncertain(items: Sequence[int]) -> dict[int, float]:
        told = known.information(pairs)
        return {item: float(told[item]) for item in items}

    found = []
    for number in range(1, ASKED[-1] + 1):
        # Everybody votes once: nobody's own trials stand in the way of a pair.
        choose = chooser(
            Schedule(seed=seed), str(number), uncertain=uncertain if actively else None
        )
        choice = choose(Standing((), dict.fromkeys(range(MANY), EACH), given))
        assert choice is not None
        share = said[choice.item, given[choice.item]]
        given[choice.item] += 1
        wins[choice.item] += share
        losses[choice.item] += 1 - share
        if actively:
            known = posterior(pairs, wins, losses, features=FEATURES, start=known.mean)
        if number in ASKED:
            ranks = bradley_terry(pairs, wins, losses, features=FEATURES)
            found.append(float(spearmanr(ranks.strength, strength).statistic))
    return found


def show_active(studies: int) -> None:
    """A row for each number of votes and spread of the strengths."""
    print("| spread | votes | balanced | active | active is better by |\n|" + "---|" * 5)
    for spread in (1.0, 2.0):
        told = np.array(
            [
                [orders(spread, seed, actively=how) for how in (False, True)]
                for seed in range(studies)
            ]
        )
        for votes, (balanced, actively) in zip(ASKED, told.transpose(2, 1, 0), strict=True):
            gain = actively - balanced
            reach = 1.96 * np.std(gain, ddof=1) / np.sqrt(studies)
            print(
                f"| {spread:g} | {votes} | {balanced.mean():.3f} | {actively.mean():.3f} "
                f"| {gain.mean():+.3f} ± {reach:.3f} |",
                flush=True,
            )


def show_repeats(studies: int) -> None:
    """A row for each number of people, and for people who differ much and little: each of them is
    steady in a share of their own, drawn from a beta distribution."""
    rng = np.random.default_rng(0)
    print("| people | beta | covered: pooled | over people |\n|" + "---|" * 4)
    for people in (5, 10, 20):
        for steady, unsteady in ((2, 1), (8, 2), (20, 2)):
            truth, covered = steady / (steady + unsteady), []
            of = np.full(people, REPEATS)
            for _ in range(studies):
                yes = rng.binomial(of, rng.beta(steady, unsteady, size=people))
                pooled = np.repeat([1.0, 0.0], [yes.sum(), (of - yes).sum()])
                told = bootstrap.share(pooled, seed=0), bootstrap.by_person(yes, of, seed=0)
                covered.append([one.low <= truth <= one.high for one in told])
            shares = " | ".join(f"{share:.0%}" for share in np.mean(covered, axis=0))
            print(f"| {people} | {steady}, {unsteady} | {shares} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--active", action="store_true", help="balanced and active choice instead")
    parser.add_argument(
        "--repeats", action="store_true", help="the interval of repetitions instead"
    )
    given = parser.parse_args()
    if given.active or given.repeats:
        (show_active if given.active else show_repeats)(given.studies)
        raise SystemExit
    print(
        "| pairs | votes a pair | spread | people | agreement | bias, to the majority | to what "
        "is stronger | covered: agreement | steps of the curve | strengths | correlation of "
        "strengths |"
    )
    print("|" + "---|" * 11)
    for each in DESIGNS:
        print(row(each, given.studies), flush=True)
