"""All that a study found, for the page Results and `study agree` alike: figures, and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from pipeline.annotations import Vote
from pipeline.study import agreement, results
from pipeline.study.agreement import Reliability
from pipeline.study.alone import HIGHEST, LOWEST, Alone, alone, overall
from pipeline.study.alone import leaderboard as correlations
from pipeline.study.bootstrap import Estimate
from pipeline.study.content import Content
from pipeline.study.ranking import Ranking
from pipeline.study.results import Checked, Judged

Scores = Mapping[str, Float[np.ndarray, " s"]]
MOST_RANKED = 2000
"""Features that are ranked; of more the computation takes minutes."""


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
        overall: of what is judged alone the mean answer.
        ranking: of pairs; None of other kinds, without votes, and of too many features.
    """

    content: Content = field(repr=False)
    checks: list[Checked]
    kept: frozenset[str]
    of: Judged | Alone
    scores: Scores = field(repr=False)
    board: list[tuple[str, Estimate]]
    people: Reliability
    overall: Estimate | None
    ranking: Ranking | None

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
    scores = results.scores(content) | dict(brought or {})
    if content.study.kind != "pairs":
        single = alone(content, votes, only=kept)
        level: agreement.Level = "ordinal" if content.study.kind == "rating" else "nominal"
        return Findings(
            content, checks, frozenset(kept), single, scores, correlations(single, scores),
            agreement.reliability(single.ratings, level=level, seed=seed),
            overall(single, seed=seed), None,
        )  # fmt: skip
    pairs = results.judged(content, votes, only=kept)
    count = len(content.features)
    ranked = len(pairs.items) and count <= MOST_RANKED
    return Findings(
        content, checks, frozenset(kept), pairs, scores,
        results.leaderboard(pairs, scores, seed=seed),
        agreement.reliability(pairs.ratings, seed=seed), None,
        results.ranking(pairs, features=count) if ranked else None,
    )  # fmt: skip


def sentences(found: Findings, score: str) -> list[str]:
    """What the study says of a score, in words, with every figure's interval."""
    if not found.votes:
        return ["Nobody has judged anything yet."]
    told = dict(found.board).get(score)
    if told is None or not told.known:
        first = _unknown(found, score)
    elif found.content.study.kind == "pairs":
        pairs = "1 pair" if told.count == 1 else f"{told.count:,} pairs"
        first = (
            f"{called(score)} prefers what most people prefer in {shares(told)} of {pairs}; chance "
            f"is 50 %."
        )
    else:
        first = (
            f"{called(score)} and what people say rise together with a rank correlation of "
            f"{decimals(told)} over {told.count:,} features; chance is 0."
        )
    return [*_overall(found), first, *_divided(found), *_alike(found)]


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
        return [f"People find the intruder in {shares(told)} of trials; chance is {chance:.0%}."]
    return [f"The mean rating is {decimals(told)}, from {LOWEST} to {HIGHEST}."]


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
    items = "pairs" if found.content.study.kind == "pairs" else "features"
    return [
        f"Two people say the same in {shares(told)} of cases, over {told.count:,} {items} that two "
        f"or more judged{more}."
    ]


def called(score: str) -> str:
    """A score's name as sentences have it: MS, or the column's name."""
    name, _, encoder = score.partition("_")
    if name.lower() != "ms":
        return score
    return f"MS by {encoder}" if encoder else "MS"


def shares(told: Estimate) -> str:
    """78 % [66 %, 88 %]; the figure alone where it has no interval."""
    if np.isnan(told.low):
        return f"{told.value:.0%}".replace("%", " %")
    return f"{told.value:.0%} [{told.low:.0%}, {told.high:.0%}]".replace("%", " %")


def decimals(told: Estimate) -> str:
    """0.43 [0.31, 0.55]; the figure alone where it has no interval."""
    if np.isnan(told.low):
        return f"{told.value:.2f}"
    return f"{told.value:.2f} [{told.low:.2f}, {told.high:.2f}]"
