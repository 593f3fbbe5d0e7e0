"""What pages say where a model, a picture or a part of them is not to be had."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from pipeline import config
from pipeline.inputs import pictures
from pipeline.inputs.sources import ExampleError

FAULTS = (
    *(config.ConfigError, ExampleError, pictures.Unreadable),
    *(RuntimeError, OSError, MemoryError),
)
"""What the pipeline and the libraries raise where something cannot be had or does not fit."""


class Unavailable(RuntimeError):
    """A model, a picture or a part of them is not to be had; one line that names it and the
    remedy."""


@contextmanager
def of_image() -> Iterator[None]:
    """Whatever a library raises on one image that a model is to look at, as `Unavailable`; where
    `told` knows better what it is, as it is."""
    try:
        yield
    except (Unavailable, *FAULTS):
        raise
    except Exception as error:
        raise Unavailable(
            f"the model cannot take this image: {pictures.why(error)}; choose another one"
        ) from error


@contextmanager
def told() -> Iterator[None]:
    """Faults of what is not ours to mend, as `Unavailable`."""
    try:
        yield
    except Unavailable:
        raise
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"the package {error.name} is not installed; install it with: pip install {error.name}"
        ) from error
    except ValidationError as error:
        raise Unavailable(
            f"the bundle's settings are of another version of Loupe ({error.error_count()} "
            "faults); run the pipeline again"
        ) from error
    except FAULTS as error:
        line = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, MemoryError) or "out of memory" in line.lower():
            line = f"out of memory ({line}); close other programs or use a larger machine"
        raise Unavailable(line) from error
