"""Features that are likely artefacts, by figures of each: a hint to look, never a verdict.

A token is any of those of a hook point, CLS and registers included.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

# Sun et al. 2025 ("Dense SAE latents are features, not bugs") call a latent dense that fires on
# more than a tenth of the tokens. They find that many of these mean something: hence a hint.
DENSE = 0.1
# More often on CLS and registers than on all patches together. One token of 50 to 730 is CLS, so
# that a feature which takes no notice of the kind of token has 0.001 to 0.02. Our choice.
ON_CLS = 0.5
# The outliers of Darcet et al. 2024 are about 10 times as long as other tokens and some 2 % of
# them. A feature half of whose firings lie on tokens 3 times as long has (1 + 3) / 2 = 2; with
# outliers of 10 times the length it takes a seventh of the firings. Our choice.
HIGH_NORM = 2.0
# Two directions at 18 degrees: 90 % of one's squared length lies along the other. The nearest of
# 65,536 random directions in 768 dimensions has about 0.2. Our choice.
DUPLICATE = 0.95


@dataclass(frozen=True)
class Flags:
    """For each of s features, whether it is likely an artefact of a kind; dead ones are only dead.

    Attributes:
        dense: fires on more than `DENSE` of the tokens.
        on_cls: more than `ON_CLS` of its firings are on CLS or register tokens.
        on_high_norm: the tokens on which it fires are on average at least `HIGH_NORM` times as
            long as all tokens are.
        duplicate: its nearest direction belongs to a live feature and has a cosine of at least
            `DUPLICATE`. Both of a pair are flagged.
        dead: never fires.
    """

    dense: Bool[np.ndarray, " s"]
    on_cls: Bool[np.ndarray, " s"]
    on_high_norm: Bool[np.ndarray, " s"]
    duplicate: Bool[np.ndarray, " s"]
    dead: Bool[np.ndarray, " s"]


def flags(
    *,
    density_s: Float[np.ndarray, " s"],
    cls_share_s: Float[np.ndarray, " s"],
    norm_ratio_s: Float[np.ndarray, " s"],
    cosine_s: Float[np.ndarray, " s"],
    neighbor_s: Int[np.ndarray, " s"],
) -> Flags:
    """Flags from figures; one that is NaN raises no flag.

    Args:
        density_s: share of tokens on which a feature fires, 0 to 1.
        cls_share_s: share of its firings that are on CLS or register tokens, 0 to 1; NaN where the
            hook point has none.
        norm_ratio_s: mean norm of the tokens on which it fires over the mean norm of all tokens.
        cosine_s: of its direction and the nearest other, -1 to 1; NaN where there is none.
        neighbor_s: whose direction that is; -1 where there is none.
    """
    dead = ~(density_s > 0)
    # A dead feature's direction takes no part, so that it doubles nothing.
    neighbor_lives = (neighbor_s >= 0) & ~dead[neighbor_s]
    return Flags(
        dense=~dead & (density_s > DENSE),
        on_cls=~dead & (cls_share_s > ON_CLS),
        on_high_norm=~dead & (norm_ratio_s >= HIGH_NORM),
        duplicate=~dead & neighbor_lives & (cosine_s >= DUPLICATE),
        dead=dead,
    )
