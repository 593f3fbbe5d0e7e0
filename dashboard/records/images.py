"""Records of images: what is known of one, their embeddings, what fires on one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Example:
    """What is known of an image."""

    example_id: int
    uri: str
    captions: list[str]
    label: str | None
    tags: list[str]
    aspect: float = 1.0
    """Width over height."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One encoder's unit embeddings of the val images, by rising id."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fired:
    """What one image activates in one dictionary, live from the model.

    Attributes:
        feature, activation: [n] features that fire on the image and their pooled activations, the
            strongest first; of neurons all.
        cell, cell_feature, cell_activation: [m] the same on its patches, by patch (in reading
            order, from 0), the strongest first; without patches empty.
        changed: what to know where the model is not the one that made the bundle.
    """

    feature: NDArray[np.int64]
    activation: NDArray[np.float32]
    cell: NDArray[np.int64]
    cell_feature: NDArray[np.int64]
    cell_activation: NDArray[np.float32]
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right, bottom of what the patches cover, as shares of the picture's sides."""
    changed: str = ""
