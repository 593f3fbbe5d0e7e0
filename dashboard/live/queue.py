"""A fair queue before something that serves one at a time."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
