"""Edits at hook points while a model runs, on the tokens of a scope."""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from pipeline import hooks
from pipeline.hooks import Edit
from pipeline.interventions.base import InterventionError
from pipeline.models.adapter import Adapter
from pipeline.models.inputs import Inputs
from pipeline.models.layout import Scope


@contextlib.contextmanager
def steering(
    adapter: Adapter,
    inputs: Inputs,
    edits: Mapping[str, Sequence[Edit]],
    *,
    scope: Scope = "all",
    examples: Collection[int] | None = None,
) -> Iterator[None]:
    """Edit the model's activations while it runs on `inputs` inside the `with`: a forward, or
    `generate()` with a cache or without, sampled or in beams.

    Args:
        inputs: those that the model is given inside; their layout says which token is what.
        edits: hook point -> edits, made in this order.
        scope: the image's tokens, the words of the prompt, what is generated, or all of these.
        examples: the examples of the batch that are edited, from 0; all when not given.

    Raises:
        InterventionError: there are no such tokens at a hook point.
        ModelError: there is no such hook point.
    """
    planned = []
    for hook, changes in edits.items():
        layout, point = adapter.layout(inputs, hook), adapter.resolve(hook)
        where = layout.where(scope, examples=examples)
        generates = point.tower == "language" and scope in ("generated", "all")
        if not generates and not where(0, *layout.kind.shape).any():
            raise InterventionError(
                f"{point.name} has no tokens of scope {scope!r} here; choose another scope, as "
                "'all', or hook point"
            )
        planned += [(hook, change, where) for change in changes]
    with contextlib.ExitStack() as stack:
        # The hook that is registered last runs first.
        for hook, change, where in reversed(planned):
            stack.enter_context(hooks.edit(adapter, hook, change, where=where))
        yield
