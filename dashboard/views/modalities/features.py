"""Modalities' features: a scatter of pictures against words, and cards with both sides."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached
from dashboard.bundle.opening import Run
from dashboard.cards import feature
from dashboard.components.both import both
from dashboard.components.chips import chips
from dashboard.components.map import map_view
from dashboard.features import captions, modality_scatter
from dashboard.page import furniture
from dashboard.records.captions import Modality
from dashboard.records.dictionaries import Dictionary
from dashboard.records.modalities import Sides
from dashboard.style import hints, markdown, numbers

TILES, TILE, PER_PAGE, CAPTIONS = (4, 2), 96, 12, 4
ALONE, PAIR = 520, 440
"""Height of the scatter, beside its cards and above them."""
DENSITIES = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
NONE = "none"
Dictionaries = Sequence[Dictionary]


def show(run: Run, every: Dictionaries) -> None:
    """The scatter of one dictionary or two, and the features chosen in it."""
    offered = two_sided(run, every)
    if not offered:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        chosen = choose(run, offered)
        found = [modality_scatter.sides(run, d) for d in chosen]
        names = modality_scatter.colourings(found)
        by = "modality_score"
        if names:
            by = furniture.segments(
                "Colour", list(names), default=next(iter(names)), format_func=names.__getitem__,
                **address.own("colour"), help="What colours the points.",
            )  # fmt: skip
        ms = st.slider("MS from", 0.0, 1.0, 0.0, 0.05, **address.own("ms"),
                       help=hints.LEAST_MS, width=105)  # fmt: skip
        density = st.select_slider(
            "Fires on at least", DENSITIES, 0.0, format_func=numbers.percent,
            **address.own("fires"), help=hints.FIRES, width=130,
        )  # fmt: skip
    shown = [modality_scatter.passing(one, ms=ms, density=density) for one in found]
    plot, room = st.container(), st.container()
    if len(chosen) == 1:
        with st.container(key="sides-split"):
            plot, room = st.columns([6, 7], gap="medium")
    asked = rows_asked(chosen, found)
    with plot:
        answer = map_view(
            modality_scatter.panels(run, chosen, found),
            modality_scatter.coloured(found, by, shown),
            describe=lambda of, feature: describe(run, chosen, found, of, feature),
            found=asked, standing="chosen", tiles=TILES, key="scatter",
            height=ALONE if len(chosen) == 1 else PAIR,
        )  # fmt: skip
        st.caption(f"{hints.SCATTER} {left_out(run, every, offered)}")
    with room:
        if answer.selected is not None:
            at = answer.selected.panel
            rows = {at: answer.selected.rows}
            cards(run, chosen, found, rows, "{:,} features selected, most correlated first")
        elif asked is not None:
            back = address.without("features", "page", "of")
            chips([("show the most correlated", back, "")], name="Or", key="back")
            cards(run, chosen, found, dict(enumerate(asked)), "{:,} chosen")
        else:
            first(run, chosen, found, shown)


def two_sided(run: Run, every: Dictionaries) -> list[Dictionary]:
    """The dictionaries that have a side of pictures and one of words; says why there are none."""
    reached = cached.two_sided(run)
    offered = [d for d in every if d.dictionary_id in reached]
    if not offered:
        without = queries.captioned(run.connection) is None
        why = hints.NO_PURE if cached.worded(run) else hints.NO_WORDS
        furniture.empty(hints.NO_SIDES if without else why)
    return offered


def left_out(run: Run, every: Dictionaries, offered: Dictionaries) -> str:
    """Which dictionaries have no two sides, and why; nothing where all have."""
    read = cached.worded(run)
    rest = [d for d in every if d not in offered]
    saes = [d for d in rest if d.basis != "neurons"]
    why = {
        "no words get there": [d.short for d in saes if d.dictionary_id not in read],
        "words are read beside the picture, so there is no side of pictures: give tokens = patches":
            [d.short for d in saes if d.dictionary_id in read],
        "captions are read through SAEs alone":
            ["neurons"] if len(rest) > len(saes) else [],
    }  # fmt: skip
    parts = [
        f"{markdown.plain(', '.join(names[:4]))}{' and others' if len(names) > 4 else ''}: {reason}"
        for reason, names in why.items()
        if names
    ]
    return f"Not offered: {'; '.join(parts)}." if parts else ""


def choose(run: Run, offered: Dictionaries) -> list[Dictionary]:
    """One dictionary, or two side by side; at first that of the features in the address, or that in
    which pictures and words go together most."""
    by_name = {d.short: d for d in offered}
    asked = {of for of, _ in address.asked_features()[0]}
    first = cached.two_sided(run)[0]
    best = max(offered, key=lambda d: (d.dictionary_id in asked, d.dictionary_id == first))
    # With its model's name a place is longer.
    width = 205 if offered[0].models == 1 else 290
    one = st.selectbox(
        "Dictionary", list(by_name), list(by_name).index(best.short), **address.own("left"),
        help=hints.DICTIONARY, width=width,
    )  # fmt: skip
    other = st.selectbox(
        "Beside it", [NONE, *by_name], **address.own("right"), help=hints.BESIDE,
        width=width,
    )  # fmt: skip
    return [by_name[name] for name in (one, other) if name in by_name]


def rows_asked(chosen: Dictionaries, found: Sequence[Sides]) -> list[np.ndarray] | None:
    """For each dictionary the rows of the features in the address; None where it names none of
    theirs."""
    keys, unread = address.asked_features()
    rows = []
    for d, one in zip(chosen, found, strict=True):
        ids = [feature for of, feature in keys if of == d.dictionary_id]
        rows.append(np.flatnonzero(np.isin(one.feature_id, ids)))
    shown = {d.dictionary_id for d in chosen}
    bad = [*unread, *(address.feature_key(*key) for key in keys if key[0] not in shown)]
    if bad:
        st.warning(markdown.plain(f"Not among the dictionaries shown: {', '.join(bad)[:600]}."))
    return rows if any(len(each) for each in rows) else None


def describe(
    run: Run, chosen: Dictionaries, found: Sequence[Sides], of: str, feature: int
) -> dict[str, object]:
    """What hovering over a feature shows."""
    cards = queries.cards_of(run.connection, of, [feature], examples=TILES[0] * TILES[1])
    at = next((i for i, d in enumerate(chosen) if d.dictionary_id == of), None)
    if not cards or at is None:
        return {"lines": []}
    one, row = found[at], int(np.searchsorted(found[at].feature_id, feature))
    lines = [
        f"images {numbers.percent(float(one.image_density[row]))}, "
        f"captions {numbers.percent(float(one.text_density[row]))}",
        f"correlation {numbers.number(float(one.correlation[row]))}, "
        f"MS {numbers.number(cards[0].ms)}",
    ]
    sheet = run.contact(cards, tiles=TILES, tile=TILE)[0]
    return {"title": cards[0].label or "no label", "lines": lines, "src": sheet}


def first(
    run: Run, chosen: Dictionaries, found: Sequence[Sides], shown: Sequence[np.ndarray]
) -> None:
    """Before anything is chosen: the features that say the most of both sides."""
    rows = {
        i: modality_scatter.meeting(*each) for i, each in enumerate(zip(found, shown, strict=True))
    }
    enough = f"{modality_scatter.ENOUGH} images or more each"
    said = f"{{:,}} features with both sides ({enough}), most correlated first"
    if not any(len(each) for each in rows.values()):
        rows = {i: np.flatnonzero(each) for i, each in enumerate(shown)}
        said = "{:,} features, most correlated first"
    cards(run, chosen, found, rows, said)


def cards(
    run: Run,
    chosen: Dictionaries,
    found: Sequence[Sides],
    rows: dict[int, np.ndarray],
    said: str,
) -> None:
    """The cards of these rows of the panels, page by page."""
    every = modality_scatter.best(found, rows)
    if not len(every):
        furniture.empty("No feature passes. Ask for less, or choose another dictionary.")
        return
    of = address.name_of([d.dictionary_id for d in chosen], zlib.crc32(every.tobytes()))
    pages = -(-len(every) // PER_PAGE)
    page = min(address.asked_page(of), pages)
    here = every[(page - 1) * PER_PAGE : page * PER_PAGE]
    keys = [(chosen[at].dictionary_id, int(found[at].feature_id[row])) for at, row in here]
    known = queries.cards_at(run.connection, keys, examples=TILES[0] * TILES[1])
    sheets = run.contact(known, tiles=TILES, tile=TILE)
    top, two = {}, {}
    for d in chosen:
        ids = [feature for of_, feature in keys if of_ == d.dictionary_id]
        top[d.dictionary_id] = queries.top_captions(
            run.connection, d.dictionary_id, ids, count=CAPTIONS
        )
        two[d.dictionary_id] = queries.modality_of(run.connection, d.dictionary_id, ids)
    by_id = {d.dictionary_id: d for d in chosen}
    made = []
    for one, sheet in zip(known, sheets, strict=True):
        d, number = by_id[one.dictionary_id], one.feature_id
        texts = captions.rows(top[d.dictionary_id].get(number, ()))
        card = feature.card(one, d, sheet) | halves(two[d.dictionary_id][number], d)
        made.append(card | {"captions": texts})
    both(made, tiles=TILES, said=said.format(len(every)), page=page, pages=pages, of=of, key="both")


def halves(one: Modality, dictionary: Dictionary) -> dict[str, Any]:
    """A feature's two sides, as the component `both` takes them."""
    percent = numbers.percent
    return {
        "image": {"density": percent(one.image_density), "fires": one.image_active > 0,
                  "about": furniture.images(one.image_active), "help": hints.IMAGE_DENSITY},
        "text": {"density": percent(one.text_density), "fires": one.text_active > 0,
                 "about": f"of {furniture.images(one.text_active)}", "help": hints.TEXT_DENSITY},
        "numbers": captions.facts(one, dictionary)[2:],
    }  # fmt: skip
