"""What a study found, in words and written figures, for the page Results and `study agree`."""

import numpy as np

from pipeline.contract.tables import FEATURES
from pipeline.study.agreement import LEAST_CORRELATED
from pipeline.study.alone import HIGHEST, LOWEST, Alone
from pipeline.study.bootstrap import Estimate
from pipeline.study.files import TEXTS
from pipeline.study.findings import Findings
from pipeline.study.ratings import Mean
from pipeline.study.results import Judged

MOST_COMPARED = 2
"""Comparisons of texts that sentences tell where they are to be brief."""
NOUNS = {"pairs": "pair", "outputs": "text", "choice": "choice"}


def of(found: Findings, score: str, *, brief: bool = False) -> list[str]:
    """What the study says of a score, in words, with every figure's interval.

    Args:
        brief: of many comparisons of texts the first alone, for a table has them all.
    """
    if not found.votes:
        return ["Nobody has judged anything yet."]
    if found.content.study.kind in TEXTS:
        compared = _compared(found)
        shown = compared[:1] if brief and len(compared) > MOST_COMPARED else compared
        return [*shown, *_alike(found), *_unchecked(found)]
    told = dict(found.board).get(score)
    drawn = _drawn(found)
    if told is None or not told.known:
        first, drawn = _unknown(found, score), []
    elif found.content.study.kind == "pairs":
        first = (
            f"{called(found, score)} prefers what most people prefer in {shares(told)} of "
            f"{counted(found, told.count)}; chance is 50 %."
        )
    else:
        first = (
            f"{called(found, score)} and what people say rise together with a rank correlation of "
            f"{decimals(told)} over {counted(found, told.count)}; chance is 0."
        )
    return [
        *_overall(found), *_sae(found), first, *drawn, *_divided(found), *_alike(found),
        *_unchecked(found),
    ]  # fmt: skip


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


def of_mean(found: Findings, mean: Mean) -> str:
    """One group's mean on one scale, in a line."""
    what = ", ".join(filter(None, (mean.scale, mean.group))) or "all texts"
    if not mean.estimate.known:
        return f"{what}: not judged yet"
    write = shares if found.content.study.kind == "choice" else decimals
    votes = f"{mean.votes:,} vote{'' if mean.votes == 1 else 's'}"
    return f"{what}: {write(mean.estimate)}, {counted(found, mean.estimate.count)}, {votes}"


def _unknown(found: Findings, score: str) -> str:
    name = called(found, score)
    if isinstance(found.of, Alone) and score in found.scores:
        values = found.of.of(found.scores[score])
        known = ~np.isnan(values)
        same = None
        if known.sum() >= LEAST_CORRELATED and np.ptp(found.of.means[known]) == 0:
            same = "people say the same of every feature judged"
        elif known.sum() >= LEAST_CORRELATED and np.ptp(values[known]) == 0:
            same = "it is the same of every feature judged"
        if same:
            return f"{name} cannot be held against people: {same}."
    if found.content.study.kind != "pairs":
        return f"Too few features were judged to hold {name} against people."
    return (
        f"No pair tells anything of {name} yet: people are divided on every pair judged, "
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


def _drawn(found: Findings) -> list[str]:
    """How the pairs came to be judged, where the figure is not that of pairs at random."""
    content = found.content
    if content.imported or not isinstance(found.of, Judged):
        return []
    if content.study.choice == "active":
        return [
            "Votes went first to the pairs that tell most about the order, which are no sample of "
            "all pairs: read the ranking, and not this figure."
        ]
    if content.study.draw.how == "stratified":
        return [
            f"Pairs were drawn evenly over differences of {called(found, content.study.draw.score)}"
            ", so the figure is not that of random pairs."
        ]
    return []


def _unchecked(found: Findings) -> list[str]:
    """Who stays for want of checks, where people are left out by them."""
    count = found.unchecked
    if found.failed is None or not count:
        return []
    who = "1 person was" if count == 1 else f"{count:,} people were"
    return [f"{who} never checked, and {'counts' if count == 1 else 'count'}."]


def connected(found: Findings) -> str:
    """That strengths compare within groups of features only, where no pair connects these; empty
    where pairs connect all."""
    if found.ranking is None or found.ranking.groups < 2:
        return ""
    return (
        f"The pairs fall into {found.ranking.groups:,} groups that no pair connects: strengths "
        "compare within a group only. In the next study, make the pairs of fewer features "
        "(draw.features)."
    )


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
    intruder = found.content.study.kind == "intruder"
    same = "name the same image" if intruder else "say the same"
    return [
        f"Two people {same} in {shares(told)} of cases, over "
        f"{counted(found, told.count)} that two or more judged{more}."
    ]


def called(found: Findings, score: str) -> str:
    """A score's name as sentences have it: MS, MS by an encoder of the study, or its own name."""
    name, _, encoder = score.partition("_")
    if name.lower() != "ms":
        return score
    if not encoder:
        return "MS"
    column = score in FEATURES.schema.names
    own = any(score in feature.scores for feature in found.content.features)
    return f"MS by {encoder}" if own and not column else score


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
