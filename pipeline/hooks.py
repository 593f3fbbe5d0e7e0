"""Reading and editing a model's activations: the only place that registers forward hooks.

Both leave the model as it was, also when an exception passes through. Edits are put first
(`prepend=True`): transformers captures hidden states with hooks of its own, and an edit that ran
after those would change nothing that the model reads from the captured states.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Edit = Callable[[Tensor], Tensor]
"""acts [b, t, d] -> acts of that shape."""
Where = Callable[[int, int, int], Tensor]
"""(number of the first token, b, t) -> bool [b, t] on the CPU: which tokens of a call are meant."""


class Hooked(Protocol):
    """A model whose hook points have names."""

    def module(self, hook: str) -> nn.Module:
        """The module whose output is the hook point's activations."""

    def stack(self, hook: str) -> nn.Module:
        """The module around it that runs once a forward and is told the key-value cache."""


class _Enough(BaseException):
    """Leaves the forward once all that was wanted is recorded; never seen outside `record`."""


@contextlib.contextmanager
def record(
    model: Hooked, hooks: Sequence[str], *, stop: bool = True
) -> Iterator[dict[str, Tensor]]:
    """Record activations while the model runs once inside the `with`.

        with record(model, ["vision.3.resid_post"]) as acts:
            model.forward(inputs)
        acts["vision.3.resid_post"]  # [b, t, d], detached

    Args:
        model: an adapter, or anything that knows the modules of its hook points.
        hooks: names of hook points.
        stop: leave the forward after the last of them (what follows in the `with` is skipped too).

    Yields:
        name -> activations, filled during the forward. They are the model's own tensors, detached,
        not copies: read them, or clone before you change them.
    """
    acts: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            acts[name] = _tensor(output).detach()
            if stop and len(acts) == len(set(hooks)):
                raise _Enough

        return hook

    with contextlib.ExitStack() as stack:
        for name in hooks:
            # Behind the edits: what is recorded is what later layers see.
            handle = model.module(name).register_forward_hook(keep(name))
            stack.callback(handle.remove)
        with contextlib.suppress(_Enough):
            yield acts


@contextlib.contextmanager
def edit(model: Hooked, hook: str, change: Edit, *, where: Where | None = None) -> Iterator[None]:
    """Replace the activations at a hook point by `change(acts)` while inside the `with`.

    Under `generate()` the language model is called once with the prompt and then once a token, or
    in other pieces as its cache allows: `change` gets what each call computes, and `where` is told
    where in the sequence that begins. Beams come as rows beside each other.

    Args:
        change: acts [b, t, d] -> acts of that shape; cast back to the output's dtype and device.
        where: which tokens to change, all when not given; the others stay the same to the bit, and
            rows without any are not given to `change`.

    Raises:
        ValueError: `change` returned another shape.
    """
    first = 0  # number of the first token that this call computes

    def begin(_module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        nonlocal first
        cache = kwargs.get("past_key_values")
        first = 0 if cache is None else int(cache.get_seq_length())

    def after(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        given = _tensor(output)
        # One vector a row, as behind a contrastive model's projection, is a row of one token.
        before = given if given.ndim == 3 else given[:, None]
        mask = None if where is None else where(first, *before.shape[:2])
        if mask is not None and mask.all():
            mask = None
        if mask is not None and not mask.any():
            return None
        rows = None if mask is None or mask.any(1).all() else mask.any(1).nonzero()[:, 0]
        asked = before if rows is None else before[rows.to(before.device)]
        # A change that works in place must not reach the tokens that are not meant.
        changed = change(asked if mask is None else asked.clone())
        if changed.shape != asked.shape:
            raise ValueError(f"an edit made {tuple(changed.shape)} of {tuple(asked.shape)}")
        changed = changed.to(device=before.device, dtype=before.dtype)
        if mask is not None:
            mask = mask if rows is None else mask[rows]
            changed = torch.where(mask[..., None].to(before.device), changed, asked)
        if rows is not None:
            changed = before.index_copy(0, rows.to(before.device), changed)
        changed = changed.reshape(given.shape)
        return changed if isinstance(output, Tensor) else (changed, *output[1:])

    with contextlib.ExitStack() as stack:
        starts = model.stack(hook).register_forward_pre_hook(begin, prepend=True, with_kwargs=True)
        stack.callback(starts.remove)
        stack.callback(model.module(hook).register_forward_hook(after, prepend=True).remove)
        yield


def _tensor(output: Any) -> Tensor:
    first = output[0] if isinstance(output, tuple) else output
    if not isinstance(first, torch.Tensor):
        raise TypeError(f"a hook point's output is a {type(first).__name__}, not a tensor")
    return first
