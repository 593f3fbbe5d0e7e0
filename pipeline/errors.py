"""The base of every expected error, and what a command says of one."""

import errno
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FULL = re.compile(
    r"no space left on device|os error (28|122)\b|disk quota exceeded|disk is full"
    r"|\d+ requested and \d+ written",
    re.IGNORECASE,
)
"""How libraries that hide the system's error say that nothing more can be written: safetensors,
DuckDB, shutil, SQLite, numpy."""
_OF_LIBRARIES = {("pyarrow", "ArrowException"), ("safetensors", "SafetensorError"),
                 ("_duckdb", "Error"), ("duckdb", "Error")}  # fmt: skip
"""Package and base of what libraries raise where a file is damaged. By name, as the rest here:
importing the modules that define them would cost seconds."""

log = logging.getLogger(__name__)


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
        log.info("the error in full", exc_info=error)  # with --verbose
        for each in line.splitlines():
            _say(f"error: {each}")
        sys.exit(2)


def is_full(error: BaseException) -> bool:
    """Whether this, or what it arose from, says that the disk or the quota is full."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        says = isinstance(seen, OSError | RuntimeError) or _of_library(seen)
        if says and _FULL.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def first_line(error: BaseException) -> str:
    """What the error says, without what follows the first line; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _expected(error: Exception) -> str | None:
    """What tells of an expected error, one line a fault; None for a fault of Loupe's own."""
    if isinstance(error, LoupeError):
        return str(error)
    if is_full(error):
        # Of a copy the file that is written comes second.
        named = getattr(error, "filename2", None) or getattr(error, "filename", None)
        where = f"{named}: " if named else ""
        return f"{where}no space left on the disk; make room and run the same command again"
    if isinstance(error, OSError) or type(error).__name__ == "OutOfMemoryError":
        return first_line(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({first_line(error)}); use a smaller machine.batch_size"
    if _of_library(error):
        return f"a file is damaged, or does not fit the others ({first_line(error)})"
    return None


def _of_library(error: BaseException) -> bool:
    kinds = {(kind.__module__.split(".")[0], kind.__name__) for kind in type(error).__mro__}
    return not kinds.isdisjoint(_OF_LIBRARIES)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
