"""Words for features, by a contrastive encoder that puts images and words into one space.

A feature's direction is what sets its top images apart from all images; its words are those whose
direction is nearest. So do Rao et al. 2024 ("Discover-then-Name", arXiv 2407.14499) for features of
CLIP's own output: the nearest word to a feature's vector is its name. The vector here comes from
images, as in CLIP-Dissect (Oikarinen and Weng 2023, arXiv 2204.10965): features of any layer and
model have images, and no other vector in that space. CLIP-Dissect subtracts from a word's
probability on the top images that on all of them; here both sides are centred to the same end:
without it the gap between the images' and the words' embeddings, and words that are near to
everything, decide.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

BLOCK = 2048
"""Features at once: with 10,000 words 80 MB of similarities."""
FEWEST = 8
"""Images that do not activate a feature, without which no label is tried on it."""


@dataclass(frozen=True)
class Nearest:
    """The words nearest to each feature, nearest first.

    Attributes:
        word: rows of the words, [s, c]; -1 where a feature has no direction.
        value: cosines, [s, c]; NaN there.
    """

    word: Int[np.ndarray, "s c"]
    value: Float[np.ndarray, "s c"]


def directions(
    top_sk: Int[np.ndarray, "s k"], image_nd: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "s d"]:
    """What sets each feature's top images apart from all images: unit float32, NaN where a feature
    has fewer than two.

    It is Fisher's linear discriminant, `C^-1 (mean of the top images - mean of all)`, so that what
    differs between any images counts little. C is the images' covariance, shrunk half way towards
    a sphere of the same trace (as Ledoit and Wolf 2004 do, by a fixed share): of few images the
    covariance alone is no guide.

    Args:
        top_sk: rows of the top images, -1 where a feature has fewer than k.
        image_nd: the images' embeddings.
    """
    images = image_nd.astype(np.float64)
    mean = images.mean(0)
    centred = images - mean
    covariance = centred.T @ centred / max(1, len(images) - 1)
    sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    known = top_sk >= 0
    made = np.full((len(top_sk), image_nd.shape[1]), np.nan, np.float32)
    inverse = np.linalg.pinv((covariance + sphere) / 2, hermitian=True)
    for start in range(0, len(top_sk), BLOCK):
        block = slice(start, start + BLOCK)
        weight = known[block] / np.maximum(known[block].sum(1, keepdims=True), 1)
        apart = np.einsum("sk,skd->sd", weight, centred[top_sk[block]]) @ inverse
        made[block] = _unit(np.where(known[block].sum(1, keepdims=True) >= 2, apart, np.nan))
    return made


def nearest(
    direction_sd: Float[np.ndarray, "s d"], word_wd: Float[np.ndarray, "w d"], *, count: int
) -> Nearest:
    """The `count` words (all, if there are fewer) whose embeddings, centred by their mean, have the
    largest cosines with each feature's direction; of equal ones the earlier word first."""
    words = _unit(word_wd - word_wd.mean(0)).astype(np.float32)
    count = min(count, len(words))
    found = np.full((len(direction_sd), count), -1)
    value = np.full((len(direction_sd), count), np.nan)
    live = np.flatnonzero(np.isfinite(direction_sd).all(1))
    for start in range(0, len(live), BLOCK):
        rows = live[start : start + BLOCK]
        cosine = np.nan_to_num(direction_sd[rows].astype(np.float32) @ words.T)
        best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        held = np.take_along_axis(cosine, best, 1)
        order = np.lexsort((best, -held), axis=1)
        found[rows] = np.take_along_axis(best, order, 1)
        value[rows] = np.clip(np.take_along_axis(held, order, 1), -1, 1)
    return Nearest(found, value)


def tells(
    text_wd: Float[np.ndarray, "w d"],
    image_nd: Float[np.ndarray, "n d"],
    *,
    word_r: Int[np.ndarray, " r"],
    feature_r: Int[np.ndarray, " r"],
    shown_sp: Int[np.ndarray, "s p"],
    other_q: Int[np.ndarray, " q"],
    silent_sq: Bool[np.ndarray, "s q"],
) -> Float[np.ndarray, " r"]:
    """How well each of r labels tells its feature's images from others: the share of pairs, one of
    its images and one that does not activate it, in which the label is more similar to its own (of
    equal ones half). That is the area under the ROC curve (Hanley and McNeil 1982); 0.5 is chance.

    Args:
        text_wd: embeddings of texts, less the vocabulary's mean: what all texts have in common
            says nothing of a label, but sorts images by what is no part of it.
        image_nd: the images' embeddings.
        word_r: which text the label is.
        feature_r: which feature it is a label of.
        shown_sp: rows of images that activate the feature, -1 where there are fewer than p.
        other_q: rows of images to tell them from.
        silent_sq: which of these do not activate the feature.

    Returns:
        0 to 1; NaN where fewer than two images activate the feature, or fewer than `FEWEST` of the
        others do not.
    """
    made = np.full(len(word_r), np.nan)
    enough = ((shown_sp >= 0).sum(1) >= 2) & (silent_sq.sum(1) >= FEWEST)
    live = np.flatnonzero(enough[feature_r])
    other = text_wd @ image_nd[other_q].T
    for start in range(0, len(live), BLOCK // 8):
        rows = live[start : start + BLOCK // 8]
        shown, silent = shown_sp[feature_r[rows]], silent_sq[feature_r[rows]]
        own = np.einsum("rd,rpd->rp", text_wd[word_r[rows]], image_nd[shown])
        away = np.where(silent, other[word_r[rows]], np.nan)[:, None]
        wins = (own[:, :, None] > away).sum(2) + 0.5 * (own[:, :, None] == away).sum(2)
        pairs = (shown >= 0).sum(1) * silent.sum(1)
        made[rows] = np.where(shown >= 0, wins, 0).sum(1) / pairs
    return made


def _unit(rows: Float[np.ndarray, "r d"]) -> Float[np.ndarray, "r d"]:
    """Rows of length 1; a row of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
