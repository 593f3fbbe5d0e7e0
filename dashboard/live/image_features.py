"""The features that fire on one image, by the model's activations: as the step encode does it."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dashboard.records.dictionaries import Dictionary
from dashboard.records.images import Fired
from pipeline.metrics import pooling

if TYPE_CHECKING:
    from jaxtyping import Float


def of_image(
    acts_rtd: "Float[Tensor, 'r t d']", layout: Any, sae: Any, dictionary: Dictionary
) -> Fired:
    """Pooled over the tokens that the dictionary reads, and patch by patch: also where it reads
    only CLS, as for the pipeline's heat maps.

    Args:
        acts_rtd: of one image, at the dictionary's hook point.
        layout: what its tokens are (`pipeline.models.Layout`).
        sae: an SAE on the device of `acts_rtd`; None for the neurons, of which all are pooled, and
            those above 0 are on patches.
    """
    read: Tensor = layout.read(dictionary.tokens)
    picked = layout.tokens_of(read | (layout.cell >= 0))
    x: Tensor = picked.of(acts_rtd).float()
    wanted = read.flatten()[picked.at].to(x.device)
    tokens = wanted.sum()[None]
    how: Any = dictionary.pooling
    if sae is None:
        pooled = pooling.pool_dense(x[wanted], tokens, how=how)[0]
        feature = torch.arange(len(pooled))
        token, of = (x > 0).nonzero(as_tuple=True)
        value = x[token, of]
    else:
        found = sae.encode_sparse(x, at=picked.by_kind(sae.thresholds))
        token, of, value = found.row, found.feature, found.value
        kept = wanted[token]
        made = pooling.pool_sparse(
            torch.zeros_like(of[kept]), of[kept], token=token[kept], value=value[kept],
            tokens=tokens, features=sae.d_sae, how=how,
        )  # fmt: skip
        feature, pooled = made.feature.cpu(), made.value
    pooled = pooled.cpu()
    order = pooled.argsort(descending=True, stable=True)
    cells = picked.cell[token.cpu()].numpy()
    patches = by_patch(cells, of.cpu().numpy(), value.cpu().numpy())
    return Fired(feature[order].numpy(), pooled[order].numpy(), *patches)


def by_patch(
    cell: NDArray[np.int64], feature: NDArray[np.int64], value: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """[m] each, sorted by patch with the strongest first; -1 is no patch. Of tokens that share a
    patch, as tiles' may, the strongest counts."""
    order = np.lexsort((-value, feature, cell))
    cell, feature, value = cell[order], feature[order], value[order]
    new = cell >= 0
    new[1:] &= (cell[1:] != cell[:-1]) | (feature[1:] != feature[:-1])
    cell, feature, value = cell[new], feature[new], value[new]
    order = np.lexsort((feature, -value, cell))
    return cell[order], feature[order], value[order]
