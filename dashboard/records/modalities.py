"""Records of Modalities: all features of a dictionary between pictures and words, in columns, and
what layers have in sum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sides:
    """Where each feature of a dictionary stands between pictures and words, by feature id; NaN
    where not known."""

    feature_id: NDArray[np.int32]
    image_active: NDArray[np.int64]
    """Val images that activate it."""
    text_active: NDArray[np.int64]
    """Val images with a caption that activates it."""
    image_density: NDArray[np.float32]
    text_density: NDArray[np.float32]
    modality_score: NDArray[np.float32]
    correlation: NDArray[np.float32]
    top_overlap: NDArray[np.float32]
    ms: NDArray[np.float32]


@dataclass(frozen=True)
class Overlap:
    """How the live features of a dictionary share themselves out, by what counts as firing."""

    dictionary_id: str
    threshold: float
    live: int
    image_only: float
    text_only: float
    shared: float
    shared_shuffled: float


@dataclass(frozen=True)
class Correlations:
    """The spread of a dictionary's pair correlations, and of the shuffled ones beside them; None
    where no feature has one."""

    dictionary_id: str
    known: int
    mean: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    shuffled_p25: float | None
    shuffled_p50: float | None
    shuffled_p75: float | None
