"""Damage to files of any format, the same for the same seed."""

from collections.abc import Iterator

import numpy as np


def damaged(data: bytes, *, seed: int, count: int = 100) -> Iterator[bytes]:
    """`count` damaged forms of `data`: cut, with bytes changed, lost, zeroed, doubled, moved or put
    in, half of them near the beginning or the end, where formats keep what they say of
    themselves."""
    rng = np.random.default_rng(seed)
    made = 0
    while made < count:
        form = _FORMS[made % len(_FORMS)](data, _place(data, rng), rng)
        if form != data:
            made += 1
            yield form


def _place(data: bytes, rng: np.random.Generator) -> int:
    size = len(data)
    near = min(size, 512)
    return int(
        rng.choice(
            [
                rng.integers(size),
                rng.integers(size),
                rng.integers(near),
                size - 1 - rng.integers(near),
            ]
        )
    )


def _cut(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[:at]


def _headless(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[at:]


def _flipped(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]


def _changed(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[:at] + rng.bytes(4) + data[at + 4 :]


def _zeroed(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    width = int(rng.integers(1, 64))
    return data[:at] + bytes(len(data[at : at + width])) + data[at + width :]


def _ones(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[:at] + b"\xff" * len(data[at : at + 8]) + data[at + 8 :]


def _lost(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[:at] + data[at + int(rng.integers(1, 32)) :]


def _doubled(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    width = int(rng.integers(1, 256))
    return data[: at + width] + data[at:]


def _put_in(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[:at] + rng.bytes(int(rng.integers(1, 32))) + data[at:]


def _digit(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    """A number within a text that becomes huge or negative."""
    digits = [i for i in range(len(data)) if 48 <= data[i] <= 57]
    if not digits:
        return data[:at] + b"9" + data[at:]
    at = digits[int(rng.integers(len(digits)))]
    put = [b"9" * 15, b"-", b"1e400", b"0", b"NaN"][int(rng.integers(5))]
    return data[:at] + put + data[at:]


_FORMS = (
    _cut, _headless, _flipped, _changed, _zeroed, _ones, _lost, _doubled, _put_in, _digit
)  # fmt: skip
