"""Damaged copies of files, the same each time."""

import random
from collections.abc import Iterator


def damaged(data: bytes, *, seed: int) -> Iterator[bytes]:
    """Endless ways in which `data` could have come to be other bytes: cut, emptied, overwritten,
    flipped, lengthened, mixed up."""
    rng = random.Random(seed)
    yield b""
    while True:
        for made in (_flipped, _cut, _zeroed, _noise, _longer, _swapped, _replaced):
            other = made(data, rng)
            if other != data:
                yield other


def _flipped(data: bytes, rng: random.Random) -> bytes:
    """One bit."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _zeroed(data: bytes, rng: random.Random) -> bytes:
    """A stretch that a file system lost."""
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randrange(1, 4096))
    return data[:start] + bytes(end - start) + data[end:]


def _noise(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randrange(1, 64))
    return data[:start] + rng.randbytes(end - start) + data[end:]


def _longer(data: bytes, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.randrange(1, 64))


def _swapped(data: bytes, rng: random.Random) -> bytes:
    """Its two parts the other way round."""
    at = rng.randrange(len(data))
    return data[at:] + data[:at]


def _replaced(data: bytes, rng: random.Random) -> bytes:
    """What servers and people leave in the place of files."""
    page, pointer = (
        b"<!DOCTYPE html><title>404</title>",
        b"version https://git-lfs.github.com/spec/v1",
    )
    others = (page, pointer, b"{}", b"[]", b"null", b"\xef\xbb\xbf{}", b"[" * 3000, b"\xff\xfe\x00")
    return rng.choice(others)
