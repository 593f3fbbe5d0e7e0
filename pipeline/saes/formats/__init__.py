"""The formats in which SAEs are published: a file each, which registers itself.

A new format is a new file in this folder that calls `register`; nothing else names it.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.saes.sae import SAE


def _says_nothing(path: Path) -> str:
    return ""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: as messages call it.
        files: names of the files that make it up in a folder; of a hub repository only these are
            fetched.
        matches: whether a file or folder is in this format, by names alone.
        load: the SAE in it, on the CPU in float32; raises SAEError.
        trained_at: where its own files say that it was trained, in their words; empty where they
            do not. Raises SAEError.
        suffixes: of a file that is a whole SAE by itself.
        beside: names of files that belong to such a file where they lie beside it.
        first: whether it is asked before the others, since it is told more surely.
    """

    name: str
    files: tuple[str, ...]
    matches: Callable[[Path], bool]
    load: Callable[[Path], SAE]
    trained_at: Callable[[Path], str] = _says_nothing
    suffixes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    first: bool = False


_REGISTERED: dict[str, Format] = {}


def register(one: Format) -> None:
    """Have the format opened from now on.

    Raises:
        ValueError: another one has this name.
    """
    if one.name in _REGISTERED:
        raise ValueError(f"two formats of SAEs are called {one.name!r}; rename one")
    _REGISTERED[one.name] = one


def every() -> list[Format]:
    """All formats, in the order in which they are asked."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return sorted(_REGISTERED.values(), key=lambda one: (not one.first, one.name.lower()))


def files() -> list[str]:
    """The names of all files that make up an SAE in some format."""
    return list(dict.fromkeys(name for one in every() for name in one.files))


def beside(path: Path) -> list[Path]:
    """The files beside a file of an SAE that belong to it, by name."""
    names = sorted({name for one in every() for name in one.beside})
    return [found for name in names if (found := path.with_name(name)).is_file()]
