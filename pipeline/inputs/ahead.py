"""Reading ahead in threads: in order, in batches, and no further than there is memory for."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

MOST = 512 << 20
"""Bytes of what is read and not yet used; beyond them only what is being read already."""
BATCH = 256 << 20
"""A batch is closed once it has as many: those of large pictures hold fewer, which costs no time,
for reading them takes longest. Less than MOST, so that there is always room for a whole one."""


def batches(
    items: Sequence[A],
    read: Callable[[A], B],
    prepare: Callable[[list[B]], T],
    *,
    size: int,
    weigh: Callable[[B], int],
    workers: int,
) -> Iterator[T]:
    """What `prepare` makes of each batch of what is read of the items, in their order.

    The batches are the same however fast the threads are.

    Args:
        read, prepare: called in threads, on several items and batches at once; what they raise is
            raised when its batch's turn comes.
        size: items a batch, at most.
        weigh: bytes of what was read of one.
        workers: threads that read.
    """
    ahead = max(2, workers // 4)
    room = _Room(items, read, weigh, most_items=(ahead + 2) * size)
    out: queue.Queue[tuple[Future[T], int, int] | None] = queue.Queue()
    # Preparers have threads of their own, so that they never wait for one of their own kind.
    with ThreadPoolExecutor(workers + 1) as readers, ThreadPoolExecutor(ahead) as preparers:

        def gather() -> None:
            """Divide what was read into batches, and have them prepared."""
            part: list[B] = []
            weight = 0
            for number, found in enumerate(room.found(), 1):
                part.append(found)
                weight += weigh(found)
                if number % size == 0 or number == len(items) or weight >= BATCH:
                    out.put((preparers.submit(prepare, part), weight, len(part)))
                    part, weight = [], 0
                del found  # nothing of it stays here

        def gathered() -> None:
            try:
                gather()
            except BaseException as error:  # of reading: raised where the batch is used
                failed: Future[T] = Future()
                failed.set_exception(error)
                out.put((failed, 0, 0))
            out.put(None)

        try:
            readers.submit(gathered)
            for _ in range(workers):
                readers.submit(room.work)
            for made, weight, count in iter(out.get, None):
                yield made.result()
                del made  # holds the batch
                room.give(weight, count)
        finally:
            room.close()


class _Room(Generic[A, B]):
    """Items that are read in order, while there is room for what is read."""

    def __init__(
        self,
        items: Sequence[A],
        read: Callable[[A], B],
        weigh: Callable[[B], int],
        *,
        most_items: int,
    ) -> None:
        self._read, self._weigh, self._most = read, weigh, most_items
        self._made: deque[Future[B]] = deque(Future() for _ in items)
        self._todo = deque(zip(items, self._made, strict=True))
        self._taken = self._bytes = 0  # of what is not given back
        self._closed = False
        self._changed = threading.Condition()

    def work(self) -> None:
        """Read one after the other until nothing is left. Items are taken in order and only where
        there is room, so that what is before them is being read already: none waits for another."""
        while (taken := self._take()) is not None:
            item, made = taken
            try:
                found = self._read(item)
            except BaseException as error:  # raised where the batch is used
                made.set_exception(error)
                return
            with self._changed:
                self._bytes += self._weigh(found)
            made.set_result(found)
            del taken, made, found  # nothing of it stays here

    def found(self) -> Iterator[B]:
        """What was read, in order."""
        while self._made:
            yield self._made.popleft().result()

    def give(self, weight: int, count: int) -> None:
        """As much is used now."""
        with self._changed:
            self._bytes -= weight
            self._taken -= count
            self._changed.notify_all()

    def close(self) -> None:
        """Let nothing more be read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._todo:  # nobody waits for what is not read any more
                self._todo.popleft()[1].cancel()

    def _take(self) -> tuple[A, Future[B]] | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (self._bytes < MOST and self._taken < self._most)
            )
            if self._closed or not self._todo:
                return None
            self._taken += 1
            return self._todo.popleft()
