"""A cache that lets go of what was least recently used; safe among threads."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


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
