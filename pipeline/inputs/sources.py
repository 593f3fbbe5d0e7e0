"""What sources of examples hold, before any picture is read: the files of a folder, the CSV beside
them, the columns of a data set. What cannot be used is refused, or told in a line."""

from pipeline.errors import LoupeError

_SHOWN = 5


class ExampleError(LoupeError, ValueError):
    """The source of examples cannot be used at all; the message names it and the remedy."""


def some_names(things: list[str]) -> str:
    """The first of some names, each short and on one line, and how many more there are."""
    some = ", ".join(f"`{short(thing)}`" for thing in things[:_SHOWN])
    return some + (f" and {len(things) - _SHOWN:,} more" if len(things) > _SHOWN else "")


def short(text: str, *, longest: int = 60) -> str:
    """A text that others wrote, printable and on one line, cut where it is long."""
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: longest + 1])
    return plain if len(text) <= longest else plain[: longest - 1] + "…"


def first_line(error: BaseException) -> str:
    """What a library's error says first, or its kind."""
    lines = (str(error) or type(error).__name__).splitlines()
    return short(lines[0], longest=200)
