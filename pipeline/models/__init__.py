"""The models under study: one small adapter a family, all with the same face.

An adapter knows what is special to its family: how it is loaded, which module is which hook point,
and where among the tokens the image is. Everything else works on any of them.
"""

from typing import Any

from pipeline import config
from pipeline.models import families
from pipeline.models.adapter import Adapter
from pipeline.models.hook_points import HookPoint
from pipeline.models.inputs import Inputs
from pipeline.models.layout import Layout
from pipeline.models.loading import ModelError, describe
from pipeline.models.trial import refuse_unfit
from pipeline.models.words import Words

__all__ = ["Adapter", "HookPoint", "Inputs", "Layout", "ModelError", "Words", "load"]


def load(settings: config.Model, *, device: str, machine: config.Machine | None = None) -> Adapter:
    """The model of `settings`, in eval mode, behind its family's adapter.

    Args:
        device: a torch device; `meta` for the form without the weights, which is enough to name
            the hook points.
        machine: how it is spread over devices, where it is.

    Raises:
        ModelError: it cannot be had, is of another family, does not take what its processor makes
            of a picture, or lacks a hook point that the settings name; one line that names the
            remedy.
    """
    kind: Any = families.adapter(settings.family or _family(settings))
    adapter: Adapter = kind(settings, machine=machine or config.Machine(), device=device)
    points = [adapter.resolve(hook).name for hook in settings.hooks]
    for hook, point in zip(settings.hooks, points, strict=True):
        if points.count(point) > 1:
            raise ModelError(f"hook {hook!r} is {point!r}, which is named twice; remove one")
    refuse_unfit(adapter, points)
    return adapter


def _family(settings: config.Model) -> str:
    """The family by the model's own config."""
    found = describe(settings.id, revision=settings.revision)
    family = families.of(found.model_type)
    if family is not None:
        return family
    if hasattr(found, "vision_config") and hasattr(found, "text_config"):
        return "generic"
    raise ModelError(
        f"model {settings.id}: {found.model_type} is of no known family; set its family to one "
        f"of {', '.join(families.names())}"
    )
