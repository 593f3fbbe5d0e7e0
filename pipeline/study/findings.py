"""All that a study found, for the page Results and `study agree` alike: figures, and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from pipeline.annotations import Vote
from pipeline.study import agreement, ratings, results
from pipeline.study.agreement import Reliability
from pipeline.study.alone import HIGHEST, LOWEST, Alone, alone, overall
from pipeline.study.alone import leaderboard as correlations
from pipeline.study.bootstrap import Estimate
from pipeline.study.content import Content
from pipeline.study.draw import StudyError
from pipeline.study.files import TEXTS
from pipeline.study.ranking import Ranking
from pipeline.study.ratings import Difference, Mean
from pipeline.study.results import Checked, Judged

Scores = Mapping[str, Float[np.ndarray, " s"]]
NOUNS = {"pairs": "pair", "outputs": "text", "choice": "choice"}
MOST_RANKED = 2000
"""Features that are ranked; of more the computation takes minutes."""
LEAST_PAIRS = 8
"""In a step of the curve."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What votes say.

    Attributes:
        checks: of every annotator, also those that do not count here.
        kept: the annotators that count.
        of: their votes.
        scores: that are held against people: of each of the study's features.
        board: score -> agreement with the majority of pairs; of what is judged alone the rank
            correlation; the best first.
        people: how far they say the same.
        overall: of features judged alone the mean answer.
        against_neurons: of pairs of an SAE's feature and a neuron, in how many most people prefer
            the feature; None of other pairs.
        ranking: of pairs; None of other kinds, without votes, and of too many features.
        groups, differences: of texts: the mean of each group on each scale, and of two groups.
    """

    content: Content = field(repr=False)
    checks: list[Checked]
    kept: frozenset[str]
    of: Judged | Alone
    scores: Scores = field(repr=False)
    board: list[tuple[str, Estimate]]
    people: Reliability
    overall: Estimate | None = None
    against_neurons: Estimate | None = None
    ranking: Ranking | None = None
    groups: tuple[Mean, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def votes(self) -> int:
        """Votes that count."""
        return int(self.of.votes.sum())


def find(
    content: Content,
    votes: Sequence[Vote],
    *,
    failures: int | None = None,
    brought: Scores | None = None,
    seed: int = 0,
) -> Findings:
    """Everything that the votes say.

    Args:
        failures: leave out who failed more checks than this.
        brought: scores beside those that the study keeps (see `exchange.read_scores`).
    """
    checks = results.checked(content, votes)
    kept = {one.annotator for one in checks}
    if failures is not None:
        kept = results.attentive(checks, failures=failures)
    if content.study.kind in TEXTS:
        return _of_texts(content, votes, checks, kept, seed)
    scores = results.scores(content) | dict(brought or {})
    if content.study.kind != "pairs":
        single = alone(content, votes, only=kept)
        level: agreement.Level = "ordinal" if content.study.kind == "rating" else "nominal"
        return Findings(
            content, checks, frozenset(kept), single, scores, correlations(single, scores),
            agreement.reliability(single.ratings, level=level, seed=seed),
            overall(single, seed=seed),
        )  # fmt: skip
    pairs = results.judged(content, votes, only=kept)
    count = len(content.features)
    ranked = len(pairs.items) and count <= MOST_RANKED
    return Findings(
        content, checks, frozenset(kept), pairs, scores,
        results.leaderboard(pairs, scores, seed=seed),
        agreement.reliability(pairs.ratings, seed=seed),
        against_neurons=_against_neurons(content, pairs, seed),
        ranking=results.ranking(pairs, features=count) if ranked else None,
    )  # fmt: skip


def _against_neurons(content: Content, pairs: Judged, seed: int) -> Estimate | None:
    if content.study.draw.how != "neurons":
        return None
    always_x = np.ones(len(pairs.items))
    return agreement.score_agreement(pairs.preference, always_x, features=pairs.features, seed=seed)


def _of_texts(
    content: Content, votes: Sequence[Vote], checks: list[Checked], kept: set[str], seed: int
) -> Findings:
    return Findings(
        content, checks, frozenset(kept), alone(content, votes, only=kept, worth=ratings.worth),
        {}, [], ratings.reliability(content, votes, only=kept, seed=seed),
        groups=tuple(ratings.means(content, votes, only=kept, seed=seed)),
        differences=tuple(ratings.differences(content, votes, only=kept, seed=seed)),
    )  # fmt: skip


def score_of(found: Findings, name: str) -> str:
    """The score of this name, whichever case it is written in, or the first where there is none:
    the published benchmark has `MS_dino` and no `ms`.

    Raises:
        StudyError: the name is neither that of a score nor `ms`.
    """
    names = list(found.scores)
    for match in (str.__eq__, lambda a, b: a.lower() == b.lower()):
        for each in names:
            if match(each, name):
                return each
    if name.lower() != "ms" and names:
        raise StudyError(f"score {name[:80]!r}: there is none; name one of {', '.join(names)}")
    return next((each for each in names if each.lower().startswith("ms")), (names or [name])[0])


def steps(of: Judged, score: Float[np.ndarray, " s"], *, seed: int = 0) -> list[agreement.Step]:
    """Agreement with the majority by the difference of a score, in up to 5 steps of at least
    LEAST_PAIRS pairs each."""
    difference = of.difference(score)
    told = int((~np.isnan(agreement.agrees(of.preference, difference))).sum())
    count = int(np.clip(told // LEAST_PAIRS, 1, 5))
    return agreement.agreement_by_difference(of.preference, difference, steps=count, seed=seed)


def best(found: Findings, *, most: int) -> list[tuple[int, float, float, float]]:
    """The features that people prefer most: place among the study's features, Bradley-Terry
    strength, and its interval; none where there is no ranking."""
    ranking = found.ranking
    if ranking is None:
        return []
    order = np.argsort(-ranking.strength, kind="stable")[:most]
    return [
        (int(n), float(ranking.strength[n]), float(ranking.low[n]), float(ranking.high[n]))
        for n in order
    ]


def sentences(found: Findings, score: str) -> list[str]:
    """What the study says of a score, in words, with every figure's interval."""
    if not found.votes:
        return ["Nobody has judged anything yet."]
    if found.content.study.kind in TEXTS:
        return [*_compared(found), *_alike(found)]
    told = dict(found.board).get(score)
    if told is None or not told.known:
        first = _unknown(found, score)
    elif found.content.study.kind == "pairs":
        first = (
            f"{called(score)} prefers what most people prefer in {shares(told)} of "
            f"{counted(found, told.count)}; chance is 50 %."
        )
    else:
        first = (
            f"{called(score)} and what people say rise together with a rank correlation of "
            f"{decimals(told)} over {counted(found, told.count)}; chance is 0."
        )
    return [*_overall(found), *_sae(found), first, *_divided(found), *_alike(found)]


def _compared(found: Findings) -> list[str]:
    """Of texts: groups against each other, or how often each is chosen."""
    said = []
    for gap in found.differences:
        told = gap.estimate
        if told.known:
            scale = f"On {gap.scale} the" if gap.scale else "The"
            more = "higher" if told.value >= 0 else "lower"
            reach = told
            if told.value < 0:
                reach = Estimate(-told.value, -told.high, -told.low, told.count)
            said.append(
                f"{scale} rating of {gap.group or 'texts without a group'} is {decimals(reach)} "
                f"{more} than that of {gap.other or 'texts without a group'}, over "
                f"{counted(found, told.count)}."
            )
    if found.content.study.kind == "choice":
        said += [
            f"{one.group or 'texts without a group'}: chosen in {shares(one.estimate)} of cases; "
            f"chance is {whole(one.chance)}."
            for one in found.groups
            if one.estimate.known
        ]
    return said


def told(found: Findings, mean: Mean) -> str:
    """One group's mean on one scale, in a line."""
    what = ", ".join(filter(None, (mean.scale, mean.group))) or "all texts"
    if not mean.estimate.known:
        return f"{what}: not judged yet"
    write = shares if found.content.study.kind == "choice" else decimals
    votes = f"{mean.votes:,} vote{'' if mean.votes == 1 else 's'}"
    return f"{what}: {write(mean.estimate)}, {counted(found, mean.estimate.count)}, {votes}"


def _unknown(found: Findings, score: str) -> str:
    if found.content.study.kind != "pairs":
        return f"Too few features were judged to hold {called(score)} against people."
    return (
        f"No pair tells anything of {called(score)} yet: people are divided on every pair judged, "
        "or its features lack the score."
    )


def _overall(found: Findings) -> list[str]:
    told = found.overall
    if told is None or not told.known:
        return []
    if found.content.study.kind == "intruder":
        chance = getattr(found.of, "chance", np.nan)
        return [
            f"People find the intruder in {shares(told)} of trials, the mean over "
            f"{counted(found, told.count)}; chance is {whole(chance)}."
        ]
    return [f"The mean rating is {decimals(told)}, from {LOWEST} to {HIGHEST}."]


def _sae(found: Findings) -> list[str]:
    told = found.against_neurons
    if told is None or not told.known:
        return []
    return [
        f"Most people prefer the SAE's feature to the neuron in {shares(told)} of "
        f"{counted(found, told.count)}; chance is 50 %."
    ]


def _divided(found: Findings) -> list[str]:
    """How many pairs do not count, for people are divided on them."""
    if not isinstance(found.of, Judged):
        return []
    count = int((found.of.preference == 0.5).sum())
    if not count:
        return []
    which = "1 pair is" if count == 1 else f"{count:,} pairs are"
    return [f"{which} left out: as many people prefer one side as the other, or all see a tie."]


def _alike(found: Findings) -> list[str]:
    told = found.people.percent
    if not told.known:
        return ["Nothing was judged by two people yet, so it is not known whether people agree."]
    alpha, ac2 = found.people.alpha, found.people.ac2
    measures = [
        f"{name} {decimals(one)}"
        for name, one in (("Krippendorff's alpha", alpha), ("Gwet's AC2", ac2))
        if one.known
    ]
    more = f" ({'; '.join(measures)})" if measures else ""
    return [
        f"Two people say the same in {shares(told)} of cases, over "
        f"{counted(found, told.count)} that two or more judged{more}."
    ]


def called(score: str) -> str:
    """A score's name as sentences have it: MS, or the column's name."""
    name, _, encoder = score.partition("_")
    if name.lower() != "ms":
        return score
    return f"MS by {encoder}" if encoder else "MS"


def counted(found: Findings, count: int) -> str:
    """So many of what the study judges: 1 pair, 50 pairs, 20 features."""
    kind = found.content.study.kind
    name = NOUNS.get(kind, "feature")
    return f"{count:,} {name}" + ("" if count == 1 else "s")


def whole(share: float) -> str:
    """78 %."""
    return f"{share * 100:.0f} %"


def shares(told: Estimate) -> str:
    """78 % [66 %, 88 %]; the figure alone where it has no interval."""
    if np.isnan(told.low):
        return whole(told.value)
    return f"{whole(told.value)} [{whole(told.low)}, {whole(told.high)}]"


def decimals(told: Estimate) -> str:
    """0.43 [0.31, 0.55]; the figure alone where it has no interval."""
    if np.isnan(told.low):
        return _two(told.value)
    return f"{_two(told.value)} [{_two(told.low)}, {_two(told.high)}]"


def _two(value: float) -> str:
    """With two decimals, and no sign before 0."""
    return f"{round(value, 2) + 0.0:.2f}"
