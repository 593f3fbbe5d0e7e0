"""SAEs of random weights, and edits by their formula written out."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.saes.sae import SAE

D, S, K = 12, 30, 4


def made(activation: str, *, d: int = D, s: int = S, centred: bool = True, seed: int = 0) -> SAE:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return SAE(
        W_enc=draw(d, s) * 0.5,
        b_enc=draw(s) * 0.3,
        W_dec=draw(s, d),
        b_dec=draw(d),
        activation=activation,
        threshold=draw(s).abs() if activation == "jumprelu" else None,
        k=K if activation == "topk" else None,
        apply_b_dec_to_input=centred,
    )


def encoded(sae: SAE, acts: Tensor) -> Tensor:
    """The formula of all codes, not by SAE.encode."""
    x = acts - sae.b_dec if sae.apply_b_dec_to_input else acts
    codes = (x @ sae.W_enc + sae.b_enc).relu()
    if sae.threshold is not None:
        codes = codes * (codes > sae.threshold)
    if sae.k is not None:
        codes = codes * (codes >= codes.sort(dim=-1).values[..., [-sae.k]])
    return codes


def sae_at(adapter: models.Adapter, hook: str, activation: str = "relu") -> SAE:
    return made(activation, d=adapter.resolve(hook).d_in, s=64, seed=3)


@contextlib.contextmanager
def rewired(layer: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The layer with another forward, which needs no hooks."""
    forward = layer.forward

    def other(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        if isinstance(output, tuple):
            return change(output[0]), *output[1:]
        return change(output)

    layer.forward = other
    try:
        yield
    finally:
        del layer.forward


def published(sae: SAE, fixed: dict[int, float]) -> Callable[[Tensor], Tensor]:
    """What a layer gives in the code of Pach et al. (ExplainableML/sae-for-vlm): every token's
    codes, some of them fixed, decoded in the model's dtype."""

    def decoded(hidden: Tensor) -> Tensor:
        codes = encoded(sae, hidden.float())
        for number, value in fixed.items():
            codes[:, :, number] = value
        return (codes @ sae.W_dec + sae.b_dec).to(hidden.dtype)

    return decoded
