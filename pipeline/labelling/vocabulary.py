"""The words that features may be named with: a file's, or everyday ones and the data set's own."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import LoupeError

SHIPPED = Path(__file__).with_suffix(".txt")
"""Everyday words for photographs, one a line."""
OF_DATA = 2000
"""At most so many words of a data set's captions, and as many tags, the commonest."""
LONGEST = 80
"""Characters of a word or phrase."""
LARGEST = 16_777_216
"""Bytes of a file of words."""
_JOINING = (
    "the and are his her its their there this that these those with from for has have had was were "
    "been being who whom which while where what when into onto over under above below near next "
    "beside behind between through across along around out off down upon about against some other "
    "another each both all any they them she him you your our not but than then very too also just "
    "can could will would may might does doing did done get gets getting look looks looking goes "
    "going seems appears shown shows showing"
)
_STOP = frozenset(_JOINING.split())


class VocabularyError(LoupeError, ValueError):
    """A vocabulary cannot be used; the message names the file and the remedy."""


def read(path: Path) -> list[str]:
    """The words or phrases of a text file, one a line, in its order; empty lines and those that
    begin with # do not count, nor do repetitions.

    Raises:
        VocabularyError: the file cannot be read as UTF-8 text, holds no word or too many, or holds
            phrases longer than 80 characters.
    """
    where = f"labels.vocabulary {path}"
    wanted = "name a UTF-8 text file with a word a line"
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise VocabularyError(f"{where}: over {LARGEST:,} bytes, no list of words; {wanted}")
        text = content.decode("utf-8-sig")
    except VocabularyError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise VocabularyError(f"{where}: cannot be read ({why}); {wanted}") from None
    words = []
    for number, line in enumerate(text.splitlines(), 1):
        word = " ".join(line.split())
        if odd := next((c for c in word if unicodedata.category(c) == "Cc"), None):
            raise VocabularyError(f"{where}: line {number} holds {odd!r}, no text; {wanted}")
        if word.startswith("#") or not word:
            continue
        if len(word) > LONGEST:
            raise VocabularyError(
                f"{where}: line {number} has {len(word):,} characters, over {LONGEST}; write a "
                "word or phrase a line"
            )
        words.append(word)
    if not words:
        raise VocabularyError(f"{where}: holds no word; write one a line")
    return _once(words)


def default(examples: Iterable[Mapping[str, Any]]) -> list[str]:
    """The shipped words and those of the examples: tags, classes, and words of captions.

    Args:
        examples: rows with `tags`, `label` and `captions`.
    """
    tags: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for row in examples:
        tags.update([*row["tags"], *([row["label"]] if row["label"] else [])])
        said.update({word for caption in row["captions"] for word in words_of(caption)})
    named = [plain(tag) for tag, _ in tags.most_common(OF_DATA)]
    # A word of a single image is as likely misspelt as useful.
    spoken = [word for word, count in said.most_common(OF_DATA) if count > 1]
    return _once([*read(SHIPPED), *sorted(named), *sorted(spoken)])


def words_of(caption: str) -> list[str]:
    """The words of a caption that may name something: of three letters or more, in lower case,
    without those that only join others."""
    found = re.findall(r"[^\W\d_]{3,30}", caption.lower())
    return [word for word in found if word not in _STOP]


def plain(name: str) -> str:
    """A class or tag as one would say it: `fire_truck` is `fire truck`."""
    return " ".join(name.replace("_", " ").split())[:LONGEST]


def _once(words: Sequence[str]) -> list[str]:
    kept: dict[str, str] = {}
    for word in words:
        if word:
            kept.setdefault(word.casefold(), word)
    return list(kept.values())
