"""Whether features fire on pictures, on words, or on both, and whether they mean the same in both.

Activations are of the n images that have captions: of the image, and of what is said of it (the
largest over its captions), each 0 or above. Sums are in float64.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import sparse

from pipeline.metrics.relations import LIMIT

THRESHOLDS = (0.0, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Densities above which a feature may be said to fire, for the curve."""
THRESHOLD = 1e-3
"""The one that is shown first: a feature fires on pictures if it does on more than one in 1,000."""


def modality_score(
    image_mean_s: Float[np.ndarray, " s"], text_mean_s: Float[np.ndarray, " s"]
) -> Float[np.ndarray, " s"]:
    """E_img / (E_img + E_txt), of mean activations (Papadimitriou et al. 2025, arXiv 2504.11695).

    Returns:
        0 (words alone) to 1 (pictures alone); NaN where both are 0.
    """
    raise NotImplementedError


def overlap_curve(
    image_density_s: Float[np.ndarray, " s"],
    text_density_s: Float[np.ndarray, " s"],
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Shares of the live features (those that fire on either at all) that fire on pictures alone,
    on words alone and on both, for each threshold above which a density counts as firing; and the
    share of both expected if text densities were shuffled among live features: the product of the
    two shares, which is the mean over all permutations.

    Returns:
        Columns `threshold`, `live`, `image_only`, `text_only`, `shared`, `shared_shuffled`, one
        row a threshold; all shares NaN-free (0 without live features).
    """
    image, text = (np.asarray(d, np.float64) for d in (image_density_s, text_density_s))
    live = (image > 0) | (text > 0)
    count = int(live.sum())
    level = np.asarray(thresholds, np.float64)[:, None]
    on_image, on_text = image[None, live] > level, text[None, live] > level
    of = max(count, 1)

    def share(which: NDArray[np.bool_]) -> NDArray[np.float64]:
        return which.sum(1) / of

    return {
        "threshold": level[:, 0],
        "live": np.full(len(level), count, np.int64),
        "image_only": share(on_image & ~on_text),
        "text_only": share(on_text & ~on_image),
        "shared": share(on_image & on_text),
        "shared_shuffled": share(on_image) * share(on_text),
    }
