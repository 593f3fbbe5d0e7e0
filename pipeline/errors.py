"""What a command says of a fault that its user can mend."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say what a user can mend in one line, without a traceback, and exit with 2."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command to go on from here", err=True)
        sys.exit(130)
    except Exception as error:
        on_disk = isinstance(error, OSError) and error.filename is not None
        if not on_disk and type(error).__name__ not in _EXPECTED:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


# By name, because importing the modules that define them would cost seconds.
_EXPECTED = frozenset(
    {
        "AnnotationsError",
        "ConfigError",
        "ConversationError",
        "ExampleError",
        "InterventionError",
        "ModelError",
        "OutOfMemoryError",
        "SAEError",
        "StoreError",
        "StudyError",
        "VocabularyError",
    }
)
