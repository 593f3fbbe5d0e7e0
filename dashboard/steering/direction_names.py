"""Directions by name: what an address, a link and a file of a setting say of them.

A name holds the hook point and what the direction is made of, so that it can be made again:

    vision.2.resid_post/tag:red>tag:blue        from one end to another
    vision.2.resid_post/tag:red                 one end, less what all have in common
    vision.projection/words:a%20cat>words:a%20dog
    vision.2.resid_post/file:probe.npy-0123456789ab

Only a file's is kept by this server alone.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote

KINDS = ("add", "move", "project_out")
SOURCES = ("tag", "feature", "words", "file")
MOST_LETTERS, MOST_WORDS = 1000, 200
_PLAIN = " ,.'()-"
"""Signs that stay as they are in the text of an end; the name's own are not among them."""


@dataclass(frozen=True)
class End:
    """What a direction leads to or comes from.

    Attributes:
        source: tag: val images with this tag or class; feature: a feature's top images, by
            `DICTIONARY:ID`; words: a text, read alone; file: a vector that a visitor gave.
    """

    source: str
    text: str

    def __str__(self) -> str:
        said = quote(self.text, safe=_PLAIN + "/:").replace("~", "%7E")
        return f"{self.source}:{said}"

    @property
    def told(self) -> str:
        """As a page says it."""
        if self.source == "file":
            return self.text.rpartition("-")[0] or self.text
        if self.source == "feature":
            return f"the top images of {self.text.replace(':', ' #')}"
        return f"“{self.text}”" if self.source == "words" else self.text


@dataclass(frozen=True)
class Named:
    """A direction at a hook point: one end, or from `start` to `end`."""

    hook: str
    end: End
    start: End | None = None

    def __str__(self) -> str:
        ends = [str(one) for one in (self.start, self.end) if one is not None]
        return f"{self.hook}/{'>'.join(ends)}"


@dataclass(frozen=True)
class Toward:
    """An edit along a direction: field for field what the pipeline's `Along` holds.

    Attributes:
        direction, to: names (see `Named`); `to` only of a move.
        strength: of add the length of what is added, in the activations' unit; of a move a share.
    """

    hook: str
    kind: str
    direction: str
    to: str | None = None
    strength: float = 0.0


def named(name: str) -> Named | None:
    """The direction that a name says; None where it says none."""
    hook, slash, rest = name.partition("/")
    ends = [_end(text) for text in rest.split(">")]
    if not slash or not hook or len(name) > MOST_LETTERS or len(ends) > 2 or None in ends:
        return None
    found = [one for one in ends if one is not None]
    return Named(hook, found[-1], found[0] if len(found) == 2 else None)


def as_text(one: Toward) -> str:
    """The edit for an address, without `~`."""
    parts = [f"{one.strength:.6g}", one.kind, one.direction, *([one.to] if one.to else [])]
    return ";".join(parts)


def of_text(text: str) -> Toward | None:
    """The edit that `as_text` made a text of; None where it says none."""
    strength, kind, direction, to = [*text.split(";"), "", "", "", ""][:4]
    found = named(direction)
    ends = [found, *([named(to)] if to else [])]
    try:
        number = float(strength)
    except ValueError:
        return None
    whole = all(ends) and len({one.hook for one in ends if one}) == 1
    if not whole or found is None or kind not in KINDS or (kind == "move") != bool(to):
        return None
    return Toward(found.hook, kind, direction, to or None, number) if abs(number) <= 1e6 else None


def told(one: Toward) -> str:
    """The edit in words."""
    found, to = named(one.direction), named(one.to or "")
    if found is None:
        return one.direction
    at = f"at {found.hook.removesuffix('.resid_post')}"
    if one.kind == "move" and to is not None:
        return f"{one.strength:g} of what lies along {found.end.told} put along {to.end.told} {at}"
    start = f"from {found.start.told} to " if found.start else "toward "
    way = f"{start}{found.end.told}"
    if one.kind == "project_out":
        return f"nothing left along the way {way} {at}"
    return f"{one.strength:.3g} {way} {at}"


def leads_to(text: str) -> str | None:
    """The tag that an edit leads to; None where it leads to something else, or away."""
    one = of_text(text)
    found = named(one.to or one.direction) if one is not None else None
    return found.end.text if found is not None and found.end.source == "tag" else None


def _end(text: str) -> End | None:
    source, colon, rest = text.partition(":")
    said = unquote(rest)
    known = source in SOURCES and colon and 0 < len(said) <= MOST_WORDS
    return End(source, said) if known and said.isprintable() else None
