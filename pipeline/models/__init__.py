"""The models under study: one small adapter a family, all with the same face.

An adapter knows what is special to its family: how it is loaded, which module is which hook point,
and where among the tokens the image is. Everything else works on any of them.
"""

from pipeline import config
from pipeline.models.adapter import Adapter, HookPoint, Layout, ModelError

__all__ = ["Adapter", "HookPoint", "Layout", "ModelError", "load"]


def load(settings: config.Model, *, device: str) -> Adapter:
    """The model of `settings` on `device`, in eval mode, behind its family's adapter.

    Raises:
        ModelError: it cannot be had, is of another family, or lacks a hook point that the settings
            name; one line that names the remedy.
    """
    from pipeline.models import clip

    adapter = {"clip": clip.ClipAdapter}[settings.family](settings, device=device)
    points = [adapter.resolve(hook).name for hook in settings.hooks]
    for hook, point in zip(settings.hooks, points, strict=True):
        if points.count(point) > 1:
            raise ModelError(f"hook {hook!r} is {point!r}, which is named twice; remove one")
    return adapter
