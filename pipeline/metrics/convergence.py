"""From which layer on a dictionary gives back images as well as words."""

from collections.abc import Sequence

TOLERANCE = 0.1
"""Errors that differ by no more of the larger one are alike: what is chosen first."""


def converged(
    image_fvu: Sequence[float], text_fvu: Sequence[float], *, tolerance: float
) -> int | None:
    """Where the dictionaries come to give back images and words equally well: the first layer from
    which on, there and at every later one, |image - text| <= tolerance * max(image, text).

    Venhoff et al. 2025 (arXiv 2506.11976) see the reconstruction errors of visual and textual
    tokens meet in middle to late layers; the rule that says where is ours.

    Args:
        image_fvu, text_fvu: layer by layer in order of depth, each 0 or above; NaN is apart.
        tolerance: 0 to 1, relative to the larger of the two.

    Returns:
        The layer's index; None if the last is apart, or without layers.

    Raises:
        ValueError: not the same number of layers.
    """
    first = None
    for layer, (image, text) in enumerate(zip(image_fvu, text_fvu, strict=True)):
        if not abs(image - text) <= tolerance * max(image, text):
            first = None
        elif first is None:
            first = layer
    return first
