"""Examples: one image, or one caption of it, with what is known of it. Nothing is read here."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One image, not yet read.

    `stamp` changes when the image may have changed (size and time of a file, fingerprint of a data
    set); it enters the keys of the work done on it and no table.
    """

    example_id: int
    uri: str
    split: str
    captions: tuple[str, ...] = ()
    label: str | None = None
    taxonomy: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    stamp: str = ""


@dataclass(frozen=True)
class Caption:
    """One caption of an image, as an example of its own; `number` counts the image's, from 0."""

    caption_id: int
    example_id: int
    number: int
    text: str


def captions(example: Example, *, most: int) -> list[Caption]:
    """The first `most` captions of an example that was described."""
    return [
        Caption(
            stable_number(f"{example.uri}\n{number}", "caption"), example.example_id, number, text
        )
        for number, text in enumerate(example.captions[:most])
    ]


def stable_number(uri: str, use: str) -> int:
    """53 bits, so that it is exact in JavaScript; independent for each use."""
    digest = hashlib.blake2b(uri.encode(), digest_size=8, person=use.encode()).digest()
    return int.from_bytes(digest, "big") >> 11
