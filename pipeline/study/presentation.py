"""How an annotator sees a trial: which side stands left, in which order images and texts stand.

It hangs on the study's seed and the annotator's pseudonym, so it is the same when they come back,
and can be told again from what is kept.
"""

import numpy as np

from pipeline.annotations import Trial, Vote
from pipeline.study.assignment import REPEAT, seed_of
from pipeline.study.content import Content


def sides(content: Content, annotator: str, trial: Trial) -> list[list[int]]:
    """Ids of the images as they are shown: of a pair left and right, else one list."""
    item = content.items[trial.item]
    shown = []
    for at, side in enumerate(item.sides):
        rng = np.random.default_rng(
            seed_of(content.study.seed, annotator, trial.item, at, trial.role == REPEAT)
        )
        shown.append([side.images[place] for place in rng.permutation(len(side.images))])
    return shown[::-1] if trial.swapped else shown


def texts(content: Content, annotator: str, trial: Trial) -> dict[str, str]:
    """The texts as they are shown: number in the study's file -> text, in an order of the
    annotator's own."""
    said = content.items[trial.item].texts
    seed = seed_of(content.study.seed, annotator, trial.item, "texts", trial.role == REPEAT)
    order = np.random.default_rng(seed).permutation(len(said))
    return {str(place + 1): said[place] for place in order}


def as_kept(content: Content, vote: Vote) -> str:
    """What stood before who gave this vote: ids of images in their order, with `|` between left and
    right; of several texts their numbers in the study's file. Empty where the vote was given
    elsewhere."""
    if vote.elsewhere:
        return ""
    if len(content.items[vote.trial.item].texts) > 1:
        return " ".join(texts(content, vote.annotator, vote.trial))
    stood = sides(content, vote.annotator, vote.trial)
    return "|".join(" ".join(map(str, side)) for side in stood)
