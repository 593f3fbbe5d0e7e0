"""The steering score: how nearly what a model says, with one feature turned up, means what the
feature's top images show.

Source: Pach et al. 2025, "Sparse Autoencoders Learn Monosemantic Features in Vision-Language
Models", arXiv 2504.02821: the cosine, in CLIP's space, of the word that the steered LLaVA says of
an image to the 16 images that activate the feature most, over many images. With t_n the unit
embedding of the answer on image n and e_k those of the K top images,

    c = sum_k e_k / |sum_k e_k|,        score = (1 / N) sum_n t_n . c

The same of the answers without an edit says what the images alone give, and of the answers while
another feature is turned up what any edit gives.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.metrics.intervals import mean_intervals


def concepts(
    top_fk: Int[np.ndarray, "f k"], images_nd: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "f d"]:
    """What each feature's top images show: the mean of their unit embeddings, made a unit vector;
    NaN of a feature without any.

    Args:
        top_fk: rows of `images_nd`; -1 where there are fewer than k.
        images_nd: unit embeddings, by a contrastive encoder.
    """
    known = (top_fk >= 0)[..., None]
    sums = np.where(known, images_nd[top_fk].astype(np.float64), 0.0).sum(1)
    with np.errstate(invalid="ignore"):
        unit: Float[np.ndarray, "f d"] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return unit


def shows(
    texts_nd: Float[np.ndarray, "n d"], concept_d: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " n"]:
    """How nearly each text means the concept: cosines, -1 to 1.

    Args:
        texts_nd: the texts' unit embeddings, of the encoder whose images made the concept.
        concept_d: one row of `concepts`.
    """
    return np.asarray(texts_nd, np.float64) @ np.asarray(concept_d, np.float64)


@dataclass(frozen=True)
class SteeringScores:
    """The scores of f features; NaN where a feature has no concept, and of what compares with other
    features where there are none.

    Attributes:
        score: mean cosine of the steered answers to the feature's concept, -1 to 1.
        unsteered: the same of the unsteered answers.
        shuffled: the same of the answers while another feature is turned up.
        gain: `score` less `unsteered`, and the ends of its bootstrap interval over images.
        over_shuffled: `score` less `shuffled`, and its interval.
    """

    score: Float[np.ndarray, " f"]
    unsteered: Float[np.ndarray, " f"]
    shuffled: Float[np.ndarray, " f"]
    gain: Float[np.ndarray, "3 f"]
    over_shuffled: Float[np.ndarray, "3 f"]

    @property
    def steers(self) -> Bool[np.ndarray, " f"]:
        """Whether both intervals lie above 0."""
        return np.asarray((self.gain[1] > 0) & (self.over_shuffled[1] > 0))


def steering_scores(
    steered_fn: Int[np.ndarray, "f n"],
    unsteered_n: Int[np.ndarray, " n"],
    *,
    texts_td: Float[np.ndarray, "t d"],
    concepts_fd: Float[np.ndarray, "f d"],
    others_f: Int[np.ndarray, " f"],
    seed: int,
) -> SteeringScores:
    """The steering score of f features, from what was said of n images.

    Args:
        steered_fn: rows of `texts_td`: what was said of each image while the feature was turned up.
        unsteered_n: what was said without an edit.
        texts_td: unit embeddings of all that was said.
        concepts_fd: as `concepts` makes them.
        others_f: for each feature the one whose answers are the shuffled baseline; a feature that
            is its own has none.
        seed: of the bootstrap.

    Raises:
        ValueError: there are no images.
    """
    cosines_ft = np.stack([shows(texts_td, c) for c in concepts_fd])
    steered = np.take_along_axis(cosines_ft, steered_fn, axis=1)
    unsteered = cosines_ft[:, unsteered_n]
    shuffled = np.take_along_axis(cosines_ft, steered_fn[others_f], axis=1)
    shuffled[others_f == np.arange(len(others_f))] = np.nan
    return SteeringScores(
        steered.mean(1),
        unsteered.mean(1),
        shuffled.mean(1),
        mean_intervals((steered - unsteered).T, seed=seed),
        mean_intervals((steered - shuffled).T, seed=seed),
    )
