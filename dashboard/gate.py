"""What a page that stays open can still ask for: its fragments, callbacks and files ask first who
may see the page now.

The rule itself is `access`'s, which lies floors above and hands it in (`keep_by`), so that the
parts that pages are made of need not know of people, logins and studies. A script that hands in
none, as a test that shows one component, has everything open.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

import streamlit as st

P = ParamSpec("P")
T = TypeVar("T")


class Rule(Protocol):
    """Who may see the page that is open."""

    def refuses(self) -> bool:
        """Whether the page that runs is closed to the visitor."""

    def while_open(self, make: Callable[[], T]) -> Callable[[], T]:
        """`make`, which raises where the page is closed to the visitor by then. It is called
        outside any run of the script."""


class _Open:
    """Everything is open."""

    def refuses(self) -> bool:
        return False

    def while_open(self, make: Callable[[], T]) -> Callable[[], T]:
        return make


_rules: list[Rule] = [_Open()]


def keep_by(rule: Rule) -> None:
    """Have all pages of this server ask `rule` from now on."""
    _rules[:] = [rule]


def fragment(part: Callable[P, None], *, every: float | None = None) -> Callable[P, None]:
    """A part of a page that runs alone, as `st.fragment`, also by itself after so many seconds;
    where the page is not open to the visitor any more the whole page runs instead, which says so.
    """

    @wraps(part)
    def asked(*args: P.args, **kwargs: P.kwargs) -> None:
        if _rules[0].refuses():
            st.rerun()
        part(*args, **kwargs)

    return st.fragment(asked, run_every=every)


def allowed(callback: Callable[P, object]) -> Callable[P, None]:
    """A callback that does nothing where the page is not open to the visitor any more; the run
    after it says so."""

    @wraps(callback)
    def asked(*args: P.args, **kwargs: P.kwargs) -> None:
        if not _rules[0].refuses():
            callback(*args, **kwargs)

    return asked


def while_open(make: Callable[[], T]) -> Callable[[], T]:
    """What makes a file that the page offers; it raises where the page is not open to the visitor
    any more."""
    return _rules[0].while_open(make)
