"""The choices that make a list of features: which dictionaries, which filter, which order.

All are bound to the address, so that a list can be linked to.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.page import furniture
from dashboard.people import annotations
from dashboard.records import columns
from dashboard.records.columns import Column
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import FIRES_ON, Filter, Named, Range
from dashboard.style import hints, markdown, numbers

STEERS = {"yes": True, "no": False}
OWN = ("ms", "density", "modality_score", "pair_correlation")
"""Columns whose range has a field of `Filter`."""
LEAST = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
DENSITIES = [0.0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0]
TOP = 8
"""Images on a card: at first only features that have as many are listed."""
MINE = {"starred": annotations.starred, "annotated": annotations.annotated}
T = TypeVar("T")


def dictionaries(every: Sequence[Dictionary]) -> list[Dictionary]:
    """Any number of hook points and dictionaries; none chosen means all. At first the SAE of the
    highest mean MS."""
    best = max(every, key=lambda d: (d.basis == "sae", d.ms or -1.0))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        hooks = _any("Hook points", [d.place for d in every], best.place, "hook", hints.HOOK)
        names = _any("Dictionaries", [d.name for d in every], best.name, "name", hints.DICTIONARY)
    here = [d for d in every if d.place in hooks]
    return [d for d in here if d.name in names] or here


def features(run: opening.Run, chosen: Sequence[Dictionary], *, search: str = "") -> Filter:
    """Which features of the dictionaries are listed; `search` is a part of a label."""
    ms = _slider("ms", "ms")
    thin, dense = st.select_slider(
        "Density", DENSITIES, (0.0, 1.0), format_func=numbers.percent, **address.own("density"),
        help=hints.DENSITY,
    )  # fmt: skip
    labels = cached.labels(run)
    carried = _some("Label", labels, "label", hints.LABEL) if labels else []
    levels = sorted({level for d in chosen for level in range(len(d.group_sizes))})
    level = (
        _some("Level", levels, "level", hints.LEVEL, text=lambda i: str(i + 1)) if levels else []
    )
    least = st.select_slider(
        "Active on at least", LEAST, TOP, format_func=furniture.images, **address.own("least"),
        help=hints.LEAST,
    )  # fmt: skip
    flags = cached.flags(run)
    without = []
    if flags:
        without = _some(
            "Leave out", flags, "without", hints.WITHOUT, text=hints.FLAG_NAMES.__getitem__,
            placeholder="nothing",
        )  # fmt: skip
    sides = modality(run, chosen)
    turned = steering(run, chosen)
    more = [c.name for c in known(run, chosen) if c.range and c.name not in OWN]
    ranges = [(name, _slider(name, name)) for name in more]
    mine = _some("Only", list(MINE), "mine", hints.MINE)
    return Filter(
        ms=ms,
        density=_range(thin, dense),
        labels=tuple(carried) or None,
        groups=tuple(level) or None,
        named=named(run, chosen, search) if search else None,
        among=_among(chosen, mine) if mine else None,
        n_active=least,
        without=tuple(without),
        **sides,
        steers=turned,
        ranges=tuple((name, moved) for name, moved in ranges if moved != (None, None)),
    )


def modality(run: opening.Run, chosen: Sequence[Dictionary]) -> dict[str, Any]:
    """How features stand between pictures and words, where captions went through a dictionary: the
    fields of `Filter` that say so."""
    if not two_sided(run, chosen):
        return {}
    score, pairs = _slider("modality_score", "modality"), _slider("pair_correlation", "pairs")
    fires = _some("Fires on", FIRES_ON, "fires", hints.FIRES_ON, text=hints.SIDE_NAMES.__getitem__)
    return {"modality_score": score, "pair_correlation": pairs, "fires_on": tuple(fires)}


def steering(run: opening.Run, chosen: Sequence[Dictionary]) -> bool | None:
    """Whether only features that steer are listed, or only those that do not; None for all, and
    where no feature of these dictionaries was steered."""
    if not steered(run, chosen):
        return None
    choice = furniture.segments(
        "Steers", ["all", *STEERS], default="all", **address.own("steers"),
        help=columns.about("steering_score"),
    )  # fmt: skip
    return STEERS.get(choice)


def steered(run: opening.Run, chosen: Sequence[Dictionary]) -> bool:
    """Whether features of one of the dictionaries were steered."""
    known = {one.dictionary_id for one in cached.steered_sums(run)}
    return any(d.dictionary_id in known for d in chosen)


def two_sided(run: opening.Run, chosen: Sequence[Dictionary]) -> bool:
    """Whether captions went through one of the dictionaries."""
    known = cached.two_sided(run)
    return any(d.dictionary_id in known for d in chosen)


def known(run: opening.Run, chosen: Sequence[Dictionary]) -> list[Column]:
    """The columns that say something of features of these dictionaries."""
    met = {"": True, "captions": two_sided(run, chosen), "steering": steered(run, chosen)}
    return [c for c in columns.COLUMNS if met[c.needs] and queries.holds(run.connection, c)]


def order(known: Sequence[Column]) -> tuple[str, bool]:
    """Which of the `known` columns to sort by, and whether from high to low."""
    names = {column.name: column.title for column in columns.sortable() if column in known}
    sort = st.selectbox(
        "Sort by", list(names), format_func=names.__getitem__, **address.own("sort"),
    )  # fmt: skip
    order = furniture.segments(
        "Order", ["high", "low"], default="high", format_func="{} first".format,
        **address.own("order"), label_visibility="collapsed",
    )  # fmt: skip
    return sort, order == "high"


def _slider(name: str, key: str) -> Range:
    """The range of the column `name`, under `key` in the address."""
    column = columns.named(name)
    ends = column.range or (0.0, 1.0)
    low, high = st.slider(
        f"{column.title[0].upper()}{column.title[1:]}", *ends, ends, 0.01, **address.own(key),
        help=column.about,
    )  # fmt: skip
    return _range(low, high, ends=ends)


def _range(low: float, high: float, *, ends: tuple[float, float] = (0.0, 1.0)) -> Range:
    """A range within `ends`; an end that is not moved lets all pass. An address may name them the
    wrong way round."""
    low, high = min(low, high), max(low, high)
    return low if low > ends[0] else None, high if high < ends[1] else None


def _any(label: str, options: Sequence[str], default: str, key: str, help: str) -> list[str]:
    """Some of `options`, or all of them where none is chosen."""
    options = list(dict.fromkeys(options))
    if len(options) > furniture.MOST_IN_SIGHT:
        chosen = st.multiselect(
            label, options, [default], **address.own(key),
            placeholder="all", help=help,
        )  # fmt: skip
    else:
        chosen = st.pills(
            label, options, selection_mode="multi", default=[default], format_func=markdown.plain,
            **address.own(key), help=f"{help} None chosen: all.",
        )  # fmt: skip
    return list(chosen or options)


def _some(
    label: str,
    options: Sequence[T],
    key: str,
    help: str,
    *,
    text: Callable[[T], str] = str,
    placeholder: str = "any",
) -> list[T]:
    return st.multiselect(
        label, options, format_func=text, **address.own(key),
        placeholder=placeholder, help=help, select_all=False,
    )  # fmt: skip


def _among(chosen: Sequence[Dictionary], mine: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The features that people have said something of, in every one of these ways."""
    found = [MINE[name](chosen) for name in mine]
    return tuple(sorted(set.intersection(*found)))


def named(run: opening.Run, chosen: Sequence[Dictionary], text: str) -> Named:
    """What has this text in a label: the pipeline's, in any case, and what people say."""
    part = text.casefold()
    every = cached.label_names(run)
    names = tuple(name for name in every if part in name.casefold())
    automatic = queries.has_labels(run.connection)
    return Named(names, tuple(annotations.labelled(chosen, text)), automatic)
