"""Directions in a hook point's activations: where they come from, edits along them, and which
features of an SAE they are made of."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor

from pipeline.hooks import Edit
from pipeline.interventions.base import InterventionError, edit_of, finite, unchanged
from pipeline.saes.weights import one_line


def add_direction(direction_d: Float[Tensor, " d"], strength: float) -> Edit:
    """`acts + strength direction`.

    With the unit vector along `difference_of_means(A, B)` and scope "image" it is the
    edit from class A to class B of Line of Sight (arXiv 2506.04706), whose k is the strength.

    Raises:
        InterventionError: a direction that is none, or a strength that is not finite.
    """
    step_d = finite(strength, "the strength of the direction") * _direction(direction_d)
    return edit_of(lambda acts: acts + step_d, like=step_d) if strength else unchanged


def move(from_d: Float[Tensor, " d"], to_d: Float[Tensor, " d"], *, strength: float = 1.0) -> Edit:
    """`acts + strength (acts . a) (b - a)`, with a and b the unit vectors of the two directions.

    At strength 1 the component along a is taken out and as much put along b: what lies along a
    decides how much each token changes, where `add_direction` changes all alike.

    Raises:
        InterventionError: a direction that is none, two of other widths, or a strength that is not
            finite.
    """
    from_d, to_d = _unit(from_d), _unit(to_d)
    if len(from_d) != len(to_d):
        raise InterventionError(
            f"a direction of {len(from_d)} numbers and one of {len(to_d)}; take both from the same "
            "hook point"
        )
    step_d = finite(strength, "the strength of the move") * (to_d.to(from_d.device) - from_d)
    if not strength:
        return unchanged
    return edit_of(lambda acts: acts + (acts @ from_d)[..., None] * step_d, like=step_d)


def project_out(direction_d: Float[Tensor, " d"]) -> Edit:
    """`acts - (acts . u) u`: nothing is left along the direction, whose unit vector is u.

    Raises:
        InterventionError: a direction that is none.
    """
    unit_d = _unit(direction_d)
    return edit_of(lambda acts: acts - (acts @ unit_d)[..., None] * unit_d, like=unit_d)


def difference_of_means(
    acts_a: Float[Tensor, "n d"], acts_b: Float[Tensor, "m d"]
) -> Float[Tensor, " d"]:
    """The direction from class a to class b: `mean(b) - mean(a)`, in the activations' own unit.

    Raises:
        InterventionError: a class without vectors, or of two widths.
    """
    for acts in (acts_a, acts_b):
        if acts.ndim != 2 or not len(acts) or acts.shape[1] != acts_a.shape[1]:
            raise InterventionError(
                f"classes of shapes {tuple(acts_a.shape)} and {tuple(acts_b.shape)} have no "
                "difference of means; give vectors of both, from the same hook point"
            )
    return acts_b.float().mean(0) - acts_a.float().mean(0)


def load_direction(path: Path, *, d_in: int) -> Float[Tensor, " d"]:
    """The one vector in a .npy or .safetensors file, in float32; nothing in it is run.

    Args:
        d_in: the hook point's width; axes of length 1 beside it are left out.

    Raises:
        InterventionError: no such file, damaged, not one finite vector of that width, or all zero.
    """
    read = _FORMATS.get(path.suffix.lower())
    if read is None:
        raise InterventionError(f"{path}: save the direction as .npy or .safetensors")
    try:
        found = read(path)
    except Exception as error:  # of a damaged header numpy raises whatever Python's parser does
        raise InterventionError(
            f"{path}: not readable ({one_line(error)}); save one vector as .npy or .safetensors"
        ) from None
    if [length for length in found.shape if length != 1] != [d_in]:
        raise InterventionError(
            f"{path}: holds numbers of shape {tuple(found.shape)}, not one vector of {d_in}; save "
            "a direction of this hook point"
        )
    try:
        return _direction(found.reshape(d_in))
    except InterventionError as error:
        raise InterventionError(f"{path}: {error}") from None


def nearest_features(
    direction_d: Float[Tensor, " d"], W_dec_sd: Float[Tensor, "s d"], *, count: int
) -> tuple[Int[Tensor, " k"], Float[Tensor, " k"]]:
    """The features whose decoder rows lie nearest the direction's line, and their cosines with it.

    Returns:
        At most `count` features by |cosine|, largest first; a negative cosine points away, a row of
        zeros has cosine 0.

    Raises:
        InterventionError: a direction that is none, or of another width.
    """
    cosines = _cosines(_fitting(direction_d, W_dec_sd), W_dec_sd)
    features = cosines.abs().topk(min(count, len(cosines))).indices
    return features, cosines[features]


@dataclass(frozen=True)
class Approximation:
    """A direction as a sum of decoder rows.

    Attributes:
        features: as they were chosen.
        weights: of their rows, in the unit of the features' activations; may be negative.
        fvu: the share of the direction's squared length that the sum leaves, 0 to 1.
    """

    features: tuple[int, ...]
    weights: tuple[float, ...]
    fvu: float


def approximate(
    direction_d: Float[Tensor, " d"], W_dec_sd: Float[Tensor, "s d"], *, count: int
) -> Approximation:
    """The direction by few features: orthogonal matching pursuit (Pati et al. 1993), where each
    next feature is the nearest to what is left, and least squares weigh all that were chosen.

    Args:
        count: how many features at most; fewer where nothing is left to explain.

    Raises:
        InterventionError: a direction that is none, or of another width.
    """
    wanted = _fitting(direction_d, W_dec_sd).cpu().double()
    rest, chosen, weights = wanted, list[int](), wanted.new_zeros(0)
    while len(chosen) < min(count, *W_dec_sd.shape) and rest.norm() > 1e-6 * wanted.norm():
        nearness = _cosines(rest.float().to(W_dec_sd.device), W_dec_sd).abs()
        nearness[chosen] = 0
        if not nearness.any():
            break
        chosen.append(int(nearness.argmax()))
        basis_dk = W_dec_sd[chosen].cpu().double().T
        weights = torch.linalg.lstsq(basis_dk, wanted[:, None]).solution[:, 0]
        rest = wanted - basis_dk @ weights
    fvu = float(rest.square().sum() / wanted.square().sum())
    return Approximation(tuple(chosen), tuple(weights.tolist()), fvu)


def _direction(direction_d: Tensor) -> Tensor:
    """The direction in float32, once it is found to be one."""
    found = direction_d.detach().float()
    if found.ndim != 1:
        raise InterventionError(
            f"a direction of shape {tuple(found.shape)}; give one vector, as wide as the hook point"
        )
    if not found.isfinite().all() or not found.any():
        raise InterventionError(
            "the direction is zero or not finite; give one that points somewhere"
        )
    return found


def _unit(direction_d: Tensor) -> Tensor:
    found = _direction(direction_d)
    found = found / found.abs().max()  # else float32 may not hold its square
    return found / found.norm()


def _fitting(direction_d: Tensor, W_dec_sd: Tensor) -> Tensor:
    found = _direction(direction_d).to(W_dec_sd.device)
    if len(found) != W_dec_sd.shape[1]:
        raise InterventionError(
            f"a direction of {len(found)} numbers and a dictionary {W_dec_sd.shape[1]} wide; take "
            "both from the same hook point"
        )
    return found


def _cosines(direction_d: Tensor, W_dec_sd: Tensor) -> Tensor:
    norms_s = W_dec_sd.norm(dim=1)
    cosines_s = W_dec_sd @ _unit(direction_d) / norms_s
    return torch.where(norms_s > 0, cosines_s, 0)


def _from_npy(path: Path) -> Tensor:
    with path.open("rb") as file:
        if file.read(6) != np.lib.format.MAGIC_PREFIX:  # np.load would try what else it knows
            raise ValueError("it is no .npy file")
    # Mapped, so that a header that promises too much costs no memory.
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    if found.dtype.kind not in "fiu":
        raise ValueError("it holds no real numbers")
    return torch.from_numpy(found.astype(np.float64))


def _from_safetensors(path: Path) -> Tensor:
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} tensors")
        found: Tensor = file.get_tensor(names[0])
    if found.is_complex():
        raise ValueError("it holds no real numbers")
    return found


_FORMATS = {".npy": _from_npy, ".safetensors": _from_safetensors}
