"""What the store takes and gives: frozen records, and the bounds of what people may write."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.errors import LoupeError

MOST_NOTE = 10_000
"""Characters of a note."""
MOST_NAME = 200
"""Characters of a label, and of the name of a list or an author."""
MOST_ITEMS = 10_000
"""Features of a list."""
MOST_ID = 1000
"""Characters of a dictionary's name, MODEL/HOOK/DICTIONARY."""
MOST_FEATURE = 2**31 - 1


class AnnotationsError(LoupeError, RuntimeError):
    """What was asked cannot be done; the message, one line, names what is wrong and the remedy."""


class Unreachable(AnnotationsError):
    """The database does not answer, or not as one that is whole; what was asked may be asked again.
    The message names the place and what it said, without a password: for who runs the server."""


@dataclass(frozen=True, order=True)
class FeatureKey:
    """A feature, wherever it is shown: its dictionary's fingerprint and its id.

    Raises:
        AnnotationsError: no fingerprint of at most 64 letters and digits, or no id from 0 on.
    """

    fingerprint: str
    feature_id: int

    def __post_init__(self) -> None:
        made = self.fingerprint
        if not (made.isascii() and made.isalnum() and len(made) <= 64):
            raise AnnotationsError(f"fingerprint {made[:80]!r}: at most 64 letters and digits")
        if not 0 <= self.feature_id <= MOST_FEATURE:
            raise AnnotationsError(f"feature {self.feature_id}: ids go from 0 to {MOST_FEATURE}")


@dataclass(frozen=True)
class Star:
    """Someone's star on a feature."""

    key: FeatureKey
    dictionary_id: str
    """The dictionary's name when this was written."""
    author: str
    created: datetime


@dataclass(frozen=True)
class Remark:
    """Someone's note on a feature, or the label that someone gives it."""

    key: FeatureKey
    dictionary_id: str
    author: str
    text: str
    created: datetime
    changed: datetime


@dataclass(frozen=True)
class FeatureList:
    """A named list of features, without them: see `Annotations.items_of`."""

    uuid: str
    name: str
    author: str
    note: str
    created: datetime
    changed: datetime
    """When its name or note was last written."""
    count: int


@dataclass(frozen=True)
class Item:
    """A feature of a list."""

    key: FeatureKey
    dictionary_id: str
    added: datetime


@dataclass(frozen=True)
class Imported:
    """What an import brought: how many of each were not there, and what it brought up to date."""

    stars: int
    notes: int
    labels: int
    lists: int
    items: int
    """Features that lists gained, new lists' own among them."""
    updated: int
    """Notes, labels and lists of which the file held a later text."""
    others: int = 0
    """Stars, notes, labels and lists that the file says are of others than who imports."""


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def checked(text: str, what: str, most: int, *, blank: bool = False) -> str:
    """`text` as it is, if it can be stored.

    Args:
        text: any text; markup stays text.
        what: how a message names it.
        most: characters that it may have.
        blank: whether it may be empty, or white space only.

    Raises:
        AnnotationsError: too long, blank, or with characters that no database keeps.
    """
    if len(text) > most:
        raise AnnotationsError(f"{what}: {len(text):,} characters; shorten it to {most:,}")
    if not blank and not text.strip():
        raise AnnotationsError(f"{what}: empty; write something")
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise AnnotationsError(f"{what}: holds characters that are no text (NUL); take them out")
    return text
