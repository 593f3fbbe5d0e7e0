"""All that a study found, in figures, for the page Results and `study agree` alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from pipeline.annotations import Vote
from pipeline.study import agreement, ratings, results
from pipeline.study.agreement import Reliability
from pipeline.study.alone import Alone, alone, named, overall, scale
from pipeline.study.alone import leaderboard as correlations
from pipeline.study.bootstrap import Estimate
from pipeline.study.content import Content
from pipeline.study.draw import StudyError
from pipeline.study.files import TEXTS
from pipeline.study.ranking import Ranking
from pipeline.study.ratings import Difference, Mean
from pipeline.study.results import Checked, Judged

Scores = Mapping[str, Float[np.ndarray, " s"]]
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
        failed: those who failed more percent of their checks are left out; None: nobody is.
        of: their votes.
        scores: that are held against people: of each of the study's features.
        board: score -> agreement with the majority of pairs; of what is judged alone the rank
            correlation; the best first.
        people: how far they say the same; of an intruder, name the same image.
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
    failed: int | None = None

    @property
    def votes(self) -> int:
        """Votes that count."""
        return int(self.of.votes.sum())

    @property
    def unchecked(self) -> int:
        """How many of those that count were never checked."""
        of = set(self.of.annotators)
        return sum(not one.catches and one.annotator in of for one in self.checks)


def find(
    content: Content,
    votes: Sequence[Vote],
    *,
    failed: int | None = None,
    brought: Scores | None = None,
    seed: int = 0,
) -> Findings:
    """Everything that the votes say.

    Args:
        failed: leave out who failed more than so many percent of their checks.
        brought: scores beside those that the study keeps (see `exchange.read_scores`).
    """
    checks = results.checked(content, votes)
    kept = {one.annotator for one in checks}
    if failed is not None:
        kept = results.attentive(checks, failed=failed)
    heard = _Heard(content, votes, checks, frozenset(kept), seed)
    if content.study.kind in TEXTS:
        found = _of_texts(heard)
    else:
        scores = results.scores(content) | dict(brought or {})
        of = _of_pairs if content.study.kind == "pairs" else _of_features
        found = of(heard, scores)
    return replace(found, failed=failed)


@dataclass(frozen=True, eq=False)
class _Heard:
    """What the figures are of; only those of `kept` count."""

    content: Content
    votes: Sequence[Vote]
    checks: list[Checked]
    kept: frozenset[str]
    seed: int


def _of_features(heard: _Heard, scores: Scores) -> Findings:
    content, votes, kept = heard.content, heard.votes, heard.kept
    single = said = alone(content, votes, only=kept)
    if content.study.kind == "intruder":  # two who name different images do not say the same
        said = alone(content, votes, only=kept, worth=named)
    level: agreement.Level = "ordinal" if content.study.kind == "rating" else "nominal"
    people = agreement.reliability(
        said.ratings, categories=scale(content), level=level, seed=heard.seed
    )
    return Findings(
        content, heard.checks, kept, single, scores, correlations(single, scores), people,
        overall(single, seed=heard.seed),
    )  # fmt: skip


def _of_pairs(heard: _Heard, scores: Scores) -> Findings:
    content, seed = heard.content, heard.seed
    pairs = results.judged(content, heard.votes, only=heard.kept)
    count = len(content.features)
    ranked = len(pairs.items) and count <= MOST_RANKED
    return Findings(
        content, heard.checks, heard.kept, pairs, scores,
        results.leaderboard(pairs, scores, seed=seed),
        agreement.reliability(pairs.ratings, categories=results.scale(content), seed=seed),
        against_neurons=_against_neurons(content, pairs, seed),
        ranking=results.ranking(pairs, features=count) if ranked else None,
    )  # fmt: skip


def _against_neurons(content: Content, pairs: Judged, seed: int) -> Estimate | None:
    if content.study.draw.how != "neurons":
        return None
    always_x = np.ones(len(pairs.items))
    return agreement.score_agreement(pairs.preference, always_x, features=pairs.features, seed=seed)


def _of_texts(heard: _Heard) -> Findings:
    content, votes, kept, seed = heard.content, heard.votes, heard.kept, heard.seed
    return Findings(
        content, heard.checks, kept, alone(content, votes, only=kept, worth=ratings.worth), {}, [],
        ratings.reliability(content, votes, only=kept, seed=seed),
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
