"""What pages are made of: headings, messages, figures, panels, choices."""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import address
from dashboard.style.markdown import plain

MOST_IN_SIGHT = 8


T = TypeVar("T")


def segments(label: str, options: Sequence[T], *, default: T, **more: Any) -> T:
    """One of some options, always; `more` as of `st.segmented_control`. A browser may say that none
    is chosen, whatever `required` has it do."""
    chosen = st.segmented_control(label, options, default=default, required=True, **more)
    return default if chosen is None else chosen


def badge(text: str, *, about: str) -> None:
    """A small label of plain text, explained on hover."""
    st.badge(plain(text).replace("\\[", "[").replace("\\]", "]"), color="blue", help=plain(about))


def images(count: int) -> str:
    """A least number of images; 0 takes in dead features."""
    return f"{count:,} image" + ("" if count == 1 else "s")


def section(title: str, about: str) -> None:
    """The heading of a part of a page, explained on hover."""
    st.html(f'<h2 class="section" title="{html.escape(about)}">{html.escape(title)}</h2>')


def heading(title: str, about: str = "") -> None:
    """A page's heading with a quiet line below; both are shown as plain text."""
    line = f"<p>{html.escape(about)}</p>" if about else ""
    with st.container(key="heading"):
        st.html(f'<div class="heading"><h1>{html.escape(title)}</h1>{line}</div>')


def paragraphs(text: str) -> None:
    """Text as it was written, in paragraphs where it has blank lines, and in its lines."""
    parts = (html.escape(part.strip("\n")) for part in re.split(r"\n\s*\n", text.strip()))
    st.html("".join(f'<p class="told">{part}</p>' for part in parts if part))


def figures(facts: Sequence[tuple[str, str, str]]) -> None:
    """A row of (name, number, explanation)."""
    items = "".join(
        f'<div title="{why}"><dt>{name}</dt><dd>{text}</dd></div>'
        for name, text, why in (map(html.escape, fact) for fact in facts)
    )
    st.html(f'<dl class="figures">{items}</dl>')


def line_legend(groups: Mapping[str, Sequence[tuple[str, str, str]]]) -> None:
    """What the lines of the charts below mean, by what they show: (name, colour, `solid` or
    `dashed`); the points on dashed ones are hollow."""
    items = ""
    for title, lines in groups.items():
        items += f"<b>{html.escape(title)}</b>" + "".join(
            f'<span class="{style}" style="--colour: {colour}; --style: {style}"><i></i>'
            f"{html.escape(name)}</span>"
            for name, colour, style in lines
        )
    st.html(f'<div class="line-legend">{items}</div>')


def run_picker(names: Sequence[str]) -> None:
    """Which of several runs is shown."""
    with st.container(key="run-picker"):
        st.selectbox("run", names, **address.shared(address.RUN), label_visibility="collapsed")


def refused(message: str) -> None:
    """One clear message in place of the pages."""
    st.error(plain(message))


def panelled(key: str, title: str) -> tuple[DeltaGenerator, DeltaGenerator]:
    """A narrow panel for choices, folded away on a phone, and the room beside it."""
    phone = "Mobi" in st.context.headers.get("User-Agent", "")
    with st.container(key=f"{key}-split", horizontal=True, wrap=False, gap="medium"):
        with st.container(key=f"{key}-panel", width=250):
            panel = st.expander(title, expanded=not phone)
        room = st.container(key=f"{key}-room")
    return panel, room


def warn_once(line: str, warned: set[str]) -> None:
    """A warning, unless it stands on the page already."""
    if line not in warned:
        warned.add(line)
        st.warning(plain(line))


def notice(lines: Sequence[str]) -> None:
    """What to know before reading on, a line each; nothing without lines."""
    if lines:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        st.html(f'<div class="notices" role="note"><ul>{items}</ul></div>')


def empty(message: str) -> None:
    """An empty state: what is not there, and what to do next."""
    st.html(f'<p class="empty">{html.escape(message)}</p>')
