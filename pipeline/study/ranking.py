"""A ranking of features by what people prefer (Bradley & Terry 1952)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from sklearn.linear_model import LogisticRegression

PRIORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Bradley-Terry strengths: x is preferred to y with probability sigmoid(s_x - s_y).

    Attributes:
        strength: [s], mean 0.
        low, high: [s], 95 % intervals.
        prior: mean over the priors' standard deviations, so weighed.
        groups: of features that pairs connect, at one remove or several. Across two of them no vote
            tells anything: only the prior does.
    """

    strength: Float[np.ndarray, " s"]
    low: Float[np.ndarray, " s"]
    high: Float[np.ndarray, " s"]
    prior: float
    groups: int = 1


def bradley_terry(
    pairs: Int[np.ndarray, "n 2"],
    wins: Float[np.ndarray, " n"],
    losses: Float[np.ndarray, " n"],
    *,
    features: int,
) -> Ranking:
    """A ranking of features by what people prefer (Bradley & Terry 1952).

    Strengths have a normal prior, which also places features that won or lost every time; results
    are averaged over its widths PRIORS, by how likely they make the votes. The distribution of the
    strengths is taken for normal about its peak (Laplace; MacKay 2003, chapters 27 and 28).

    Args:
        pairs: places of x and y among the features.
        wins, losses: votes for x and for y; a tie is half of each.
    """
    rows = np.repeat(np.arange(len(pairs)), 2)
    sides = np.tile([1.0, -1.0], len(pairs))
    design = sparse.csr_array((sides, (rows, pairs.ravel())), shape=(len(pairs), features))
    fits = [_fit(design, wins, losses, prior) for prior in PRIORS]
    evidence = np.array([fit[0] for fit in fits])
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    strengths = np.stack([fit[1] for fit in fits])
    strength = weight @ strengths
    variance = weight @ (np.stack([fit[2] for fit in fits]) ** 2 + (strengths - strength) ** 2)
    reach = 1.96 * np.sqrt(variance)
    prior = float(weight @ np.array(PRIORS))
    return Ranking(strength, strength - reach, strength + reach, prior, connected(pairs))


def connected(pairs: Int[np.ndarray, "n 2"]) -> int:
    """How many groups pairs fall into that no pair connects; what is in no pair is in none."""
    members, ends = np.unique(pairs, return_inverse=True)
    x, y = ends.reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(x)), (x, y)), shape=(len(members), len(members)))
    return int(sparse.csgraph.connected_components(graph, directed=False)[0])


def _fit(
    design: sparse.csr_array,
    wins: Float[np.ndarray, " n"],
    losses: Float[np.ndarray, " n"],
    prior: float,
) -> tuple[float, Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Log evidence, the likeliest strengths, and their standard deviations."""
    count = design.shape[1]
    model = LogisticRegression(C=prior**2, fit_intercept=False, max_iter=1000, tol=1e-6)
    # Each pair both ways at half the weight, so that both outcomes are there however people voted.
    model.fit(
        sparse.vstack([design, design, -design, -design], format="csr"),
        np.repeat([1, 0, 0, 1], len(wins)),
        sample_weight=np.concatenate([wins, losses, wins, losses]) / 2,
    )
    strength = model.coef_[0]
    chance = 1 / (1 + np.exp(-(design @ strength)))
    certainty = (wins + losses) * chance * (1 - chance)
    weighed = sparse.diags_array(certainty) @ design
    curvature = (design.T @ weighed).toarray() + np.eye(count) / prior**2
    likelihood = wins @ np.log(chance) + losses @ np.log1p(-chance)
    evidence = (
        likelihood
        - strength @ strength / (2 * prior**2)
        - count * np.log(prior)
        - np.linalg.slogdet(curvature)[1] / 2
    )
    inverse = np.linalg.inv(curvature)
    # The diagonal of `inverse` between two projections that take the mean away.
    variance = np.diag(inverse) - 2 * inverse.mean(0) + inverse.mean()
    spread = np.sqrt(variance)
    return float(evidence), strength - strength.mean(), spread
