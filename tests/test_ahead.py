"""Reading ahead: in order, in batches that do not depend on chance, and in bounds of memory."""

import random
import threading
import time
from collections.abc import Sequence

import pytest

from pipeline.inputs import ahead

MIB = 1 << 20


class Counted:
    """Reads numbers, each of which weighs as many MiB, and counts what is read and not yet used."""

    def __init__(self) -> None:
        self.held, self.most, self.lock = 0, 0, threading.Lock()

    def read(self, weight: int) -> int:
        time.sleep(random.random() / 500)
        with self.lock:
            self.held += weight
            self.most = max(self.most, self.held)
        return weight

    def batches(self, weights: Sequence[int], *, size: int, workers: int) -> list[list[int]]:
        found = []
        for part in ahead.batches(
            weights, self.read, list, size=size, weigh=lambda w: w * MIB, workers=workers
        ):
            found.append(part)
            with self.lock:
                self.held -= sum(part)
        return found


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_no_more_is_held_than_there_is_room_for(workers: int) -> None:
    """In pictures of 90 MiB, of which a batch would take 2.8 GiB."""
    counted = Counted()
    found = counted.batches([90] * 100, size=32, workers=workers)
    of_32 = [3] * 10 + [2]
    assert [len(part) for part in found] == [*of_32, *of_32, *of_32, 3, 1]
    # What is being read when there is no more room comes on top, and one batch in use.
    assert counted.most <= 512 + 90 * workers + 270
    assert counted.held == 0


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_the_same_however_fast_the_threads_are(workers: int) -> None:
    weights = random.Random(5).choices([0, 1, 2, 100, 300], k=200)
    first = Counted().batches(weights, size=8, workers=workers)
    assert [w for part in first for w in part] == weights
    assert Counted().batches(weights, size=8, workers=2) == first
    light = Counted().batches([1] * 21, size=8, workers=workers)
    assert [len(part) for part in light] == [8, 8, 5]


@pytest.mark.parametrize("fails", ["read", "prepare"])
def test_what_goes_wrong_is_raised_in_its_turn(fails: str) -> None:
    def read(number: int) -> int:
        if fails == "read" and number == 7:
            raise KeyError(number)
        return number

    def prepare(part: list[int]) -> list[int]:
        if fails == "prepare" and 7 in part:
            raise KeyError(7)
        return part

    found: list[list[int]] = []
    made = ahead.batches(range(100), read, prepare, size=2, weigh=lambda _: MIB, workers=3)
    with pytest.raises(KeyError, match="7"):
        found.extend(made)
    assert found == [[0, 1], [2, 3], [4, 5]]


def test_who_stops_early_waits_for_nobody() -> None:
    read: list[int] = []
    batches = ahead.batches(
        range(10_000), lambda n: read.append(n) or n, list, size=2, weigh=lambda _: 0, workers=3
    )
    assert next(batches) == [0, 1]
    batches.close()
    assert len(read) < 100
    assert list(ahead.batches([], list, list, size=2, weigh=len, workers=3)) == []
