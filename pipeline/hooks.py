"""Reading and editing a model's activations: the only place that registers forward hooks.

Both work on any `torch.nn.Module` whose output is a tensor, or a tuple that starts with one, and
both leave the model as it was, also when an exception passes through. Hooks are put first
(`prepend=True`): transformers captures hidden states with hooks of its own, and an edit that ran
after those would change nothing that the model reads from the captured states.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Edit = Callable[[Tensor], Tensor]


class _Enough(BaseException):
    """Leaves the forward once all that was wanted is recorded; never seen outside `record`."""


@contextlib.contextmanager
def record(modules: Mapping[str, nn.Module], *, stop: bool = True) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of `modules` while the model runs once inside the `with`.

        with record({"vision.3.resid_post": layer}) as acts:
            model(**inputs)
        acts["vision.3.resid_post"]  # [b, t, d], detached

    Args:
        modules: name of a hook point -> the module whose output it is.
        stop: leave the forward after the last of them (what follows in the `with` is skipped too).

    Yields:
        name -> activations, filled during the forward. They are the model's own tensors, detached,
        not copies: read them, or clone before you change them.
    """
    acts: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            acts[name] = _tensor(output).detach()
            if stop and len(acts) == len(modules):
                raise _Enough

        return hook

    with contextlib.ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(keep(name), prepend=True).remove)
        with contextlib.suppress(_Enough):
            yield acts


@contextlib.contextmanager
def edit(module: nn.Module, change: Edit) -> Iterator[None]:
    """Replace the output of `module` by `change(output)` while inside the `with`.

    Args:
        module: the module whose output is edited.
        change: acts [b, t, d] -> acts of that shape; cast back to the output's dtype and device.

    Raises:
        ValueError: `change` returned another shape.
    """

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        before = _tensor(output)
        after = change(before)
        if after.shape != before.shape:
            raise ValueError(f"an edit made {tuple(after.shape)} of {tuple(before.shape)}")
        after = after.to(device=before.device, dtype=before.dtype)
        return after if isinstance(output, Tensor) else (after, *output[1:])

    handle = module.register_forward_hook(hook, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def _tensor(output: Any) -> Tensor:
    first = output[0] if isinstance(output, tuple) else output
    if not isinstance(first, torch.Tensor):
        raise TypeError(f"a hook point's output is a {type(first).__name__}, not a tensor")
    return first
