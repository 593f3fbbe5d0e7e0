"""How well a dictionary gives back the activations, from sums that merge."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

SPREAD = 1e-12
"""Vectors are one vector where their variance is less than this part of their mean square: float32
rounds equal activations, in batches of other sizes, to within 1e-7, whose square is 1e-14."""


@dataclass
class ReconstructionSums:
    """Sums over tokens, in float64.

    Attributes:
        tokens: vectors seen.
        sse: sum of squared errors.
        sum_x2: sum of squared norms of the activations.
        sum_x: [d], sum of the activations.
        cosine: sum of the cosines of activation and reconstruction.
        active: feature activations that are not 0.
    """

    tokens: int = 0
    sse: float = 0.0
    sum_x2: float = 0.0
    sum_x: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    cosine: float = 0.0
    active: int = 0

    @classmethod
    def of(
        cls, acts: Float[Tensor, "n d"], recon: Float[Tensor, "n d"], *, active: int
    ) -> "ReconstructionSums":
        """The sums of n tokens; `active` of their feature activations are not 0."""
        x, y = acts.double(), recon.double()
        cosine = torch.nn.functional.cosine_similarity(x, y, dim=1)
        return cls(
            len(x),
            float(((x - y) ** 2).sum()),
            float((x**2).sum()),
            x.sum(0).cpu().numpy(),
            float(cosine.sum()),
            active,
        )

    def merge(self, other: "ReconstructionSums") -> None:
        """Add the sums of other tokens."""
        self.tokens += other.tokens
        self.sse += other.sse
        self.sum_x2 += other.sum_x2
        self.sum_x = other.sum_x + self.sum_x if len(self.sum_x) else other.sum_x.copy()
        self.cosine += other.cosine
        self.active += other.active

    def figures(self) -> dict[str, float]:
        """`mse` (mean over tokens of the squared error's sum over the width), `fvu` (sum of squared
        errors over the sum of squares about the mean, as in Gao et al. 2024; 0 is best), mean
        `cosine`, and `l0`, the mean number of active features a token. NaN for no tokens; of fvu
        where the tokens are one vector up to rounding; of all errors that are not finite."""
        if not self.tokens:
            return dict.fromkeys(("mse", "fvu", "cosine", "l0"), float("nan"))
        variance = self.sum_x2 - float(self.sum_x @ self.sum_x) / self.tokens
        return {
            "mse": _finite(self.sse / self.tokens),
            "fvu": _finite(self.sse / variance if variance > SPREAD * self.sum_x2 else math.nan),
            "cosine": _finite(self.cosine / self.tokens),
            "l0": self.active / self.tokens,
        }


def _finite(value: float) -> float:
    """The value, or NaN for an infinity and for what tables of float32 would hold as one."""
    return value if abs(value) <= np.finfo(np.float32).max else math.nan
