"""The base of every expected error, and what a command says of one."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class LoupeError(Exception):
    """A fault that the user can mend: one line that names the input and the remedy.

    What it quotes of a file may be any signs: those that a terminal would act on, or that cannot be
    written, are told as `?`.
    """

    def __str__(self) -> str:
        return "".join(s if s.isprintable() or s == "\n" else "?" for s in super().__str__())


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say what a user can mend in one line, without a traceback, and exit with 2."""
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped; run the same command to go on from here")
        sys.exit(130)
    except Exception as error:
        line = _expected(error)
        if line is None:
            raise
        _say(f"error: {line}")
        sys.exit(2)


def _expected(error: Exception) -> str | None:
    """The line that tells of an expected error; None for one that is a fault of Loupe's own."""
    if isinstance(error, LoupeError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}no space left on the disk; make room and run the same command again"
    if isinstance(error, OSError) and error.filename is not None:
        return str(error)
    # By name: importing the modules that define them would cost seconds.
    if type(error).__name__ == "OutOfMemoryError":
        return str(error)
    return None


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
