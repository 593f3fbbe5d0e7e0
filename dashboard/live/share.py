"""Pages and a model that answers, by turns.

Python runs one thread at a time. A model that answers takes thousands of small steps, and before
each it waits until a page lets go of Python, up to 5 ms: beside many who browse it would take many
times as long, and they would not notice. So while a model works pages wait until it gives way,
which it does between two steps, for as long as it has worked since it did last.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

LEAST = 0.1
"""Seconds that a model works before it gives way."""
PATIENCE = 2.0
"""Seconds that a page waits for it at most, and that it waits for a page."""


class Share:
    """What pages and a model share: who runs now."""

    def __init__(self, *, least: float = LEAST, patience: float = PATIENCE) -> None:
        self._least, self._patience = least, patience
        self._moved = threading.Condition()
        self._working = 0
        self._since = 0.0
        self._waiting: deque[object] = deque()
        self._admitted: object | None = None
        self._own = threading.local()

    @contextmanager
    def page(self) -> Iterator[None]:
        """A run of a page: waits for its turn where a model works."""
        ticket = object()
        with self._moved:
            if self._working:
                self._waiting.append(ticket)
                self._moved.wait_for(
                    lambda: not self._working or self._admitted is ticket, self._patience
                )
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
        self._own.ticket = ticket
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def model(self) -> Iterator[None]:
        """A model's turn."""
        with self._moved:
            self._working += 1
            self._since = time.monotonic()
        try:
            yield
        finally:
            with self._moved:
                self._working -= 1
                self._moved.notify_all()

    def give_way(self) -> None:
        """Let pages run that wait, one after another, as long as the model has worked; called by
        the model between two steps."""
        with self._moved:
            worked = time.monotonic() - self._since
            if worked < self._least:
                return
            end = time.monotonic() + min(worked, self._patience)
            while self._waiting and time.monotonic() < end:
                self._let_in(self._waiting.popleft())
            self._since = time.monotonic()

    def _let_in(self, ticket: object) -> None:
        self._admitted = ticket
        self._moved.notify_all()
        self._moved.wait_for(lambda: self._admitted is not ticket, self._patience)
        self._admitted = None

    def leave(self) -> None:
        """The page of this thread does no more but wait for a model, or work as one."""
        ticket = getattr(self._own, "ticket", None)
        with self._moved:
            if ticket is not None and self._admitted is ticket:
                self._admitted = None
                self._moved.notify_all()


@st.cache_resource(show_spinner=False)
def shared() -> Share:
    """The one of this server."""
    return Share()
