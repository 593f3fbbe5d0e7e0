"""One at a time, in the order in which they came; and what is worth keeping, in bounds."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns:
    """A fair queue before something that serves one at a time, as a model does."""

    def __init__(self) -> None:
        self._queue: deque[object] = deque()
        self._moved = threading.Condition()

    def __len__(self) -> int:
        """How many wait or are served."""
        return len(self._queue)

    @contextmanager
    def turn(
        self, waiting: Callable[[int], None] | None = None, *, every: float = 0.25
    ) -> Iterator[None]:
        """Wait for one's turn and keep it until the end of the `with`.

        Args:
            waiting: told how many come first, at once and then every so often while one waits.
                Whoever leaves raises in it (as Streamlit does for a visitor who went away), and
                so frees the place.
            every: seconds between two calls of `waiting`.
        """
        ticket = object()
        with self._moved:
            self._queue.append(ticket)
        try:
            while before := self._before(ticket):
                if waiting is not None:
                    waiting(before)
                with self._moved:
                    self._moved.wait_for(lambda: self._queue[0] is ticket, every)
            yield
        finally:
            with self._moved:
                self._queue.remove(ticket)
                self._moved.notify_all()

    def _before(self, ticket: object) -> int:
        with self._moved:
            return self._queue.index(ticket)


class Kept(Generic[T]):
    """What was made lately, by its key: the least recently used goes first. Safe among threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._made

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under `key`, made if it is not there; room is made first, so that the old
        and the new need not fit in memory together. What `make` raises is not kept."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
            while len(self._made) >= self._most:
                self._made.popitem(last=False)
        made = make()
        with self._lock:
            self._made[key] = made
        return made
