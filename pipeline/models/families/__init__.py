"""The families of models: a file each, called as the family, whose `ADAPTER` is its adapter.

A new family is a new file in this folder; nothing else names it. `models.*.family` of a
configuration is the file's name with - for _.
"""

import importlib
import pkgutil

from pipeline.models.adapter import Adapter


def names() -> list[str]:
    """All families."""
    return [_family(module.name) for module in pkgutil.iter_modules(__path__)]


def adapter(family: str) -> type[Adapter]:
    """The adapter of a family."""
    module = importlib.import_module(f"{__name__}.{family.replace('-', '_')}")
    found: type[Adapter] = module.ADAPTER
    return found


def of(model_type: str) -> str | None:
    """The family whose adapter names what Hugging Face calls a model's type; None: none does.

    Looks first where the name is alike, so that not every family is imported.
    """
    alike = sorted(names(), key=lambda name: (not model_type.startswith(name[:5]), -len(name)))
    return next((name for name in alike if model_type in adapter(name).model_types), None)


def _family(module: str) -> str:
    return module.replace("_", "-")
