"""The models under study: one small adapter a family, all with the same face.

An adapter knows what is special to its family: how it is loaded, which module is which hook point,
and where among the tokens the image is. Everything else works on any of them.
"""

import importlib

from pipeline import config
from pipeline.models.adapter import Adapter, HookPoint
from pipeline.models.inputs import Inputs
from pipeline.models.layout import Layout
from pipeline.models.loading import ModelError, describe
from pipeline.models.trial import refuse_unfit
from pipeline.models.words import Words

__all__ = ["Adapter", "HookPoint", "Inputs", "Layout", "ModelError", "Words", "load"]

# Family -> module and class; what Hugging Face calls the model type, where that tells it.
_FAMILIES = {
    "clip": ("clip", "ClipAdapter"),
    "siglip": ("siglip", "SiglipAdapter"),
    "openclip": ("openclip", "OpenClipAdapter"),
    "llava": ("llava", "LlavaAdapter"),
    "llava-next": ("llava_next", "LlavaNextAdapter"),
    "paligemma": ("paligemma", "PaliGemmaAdapter"),
    "gemma2": ("gemma2", "Gemma2Adapter"),
    "clip-gemma": ("clip_gemma", "ClipGemmaAdapter"),
    "generic": ("generic", "GenericAdapter"),
}
_MODEL_TYPES = {
    "clip": "clip",
    "clip_vision_model": "clip",
    "siglip": "siglip",
    "siglip_vision_model": "siglip",
    "llava": "llava",
    "llava_next": "llava-next",
    "paligemma": "paligemma",
    "gemma2": "gemma2",
}


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
    module, name = _FAMILIES[settings.family or _family(settings)]
    kind = getattr(importlib.import_module(f"pipeline.models.{module}"), name)
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
    if found.model_type in _MODEL_TYPES:
        return _MODEL_TYPES[found.model_type]
    if hasattr(found, "vision_config") and hasattr(found, "text_config"):
        return "generic"
    raise ModelError(
        f"model {settings.id}: {found.model_type} is of no known family; set its family to one "
        f"of {', '.join(_FAMILIES)}"
    )
