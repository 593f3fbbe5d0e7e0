"""Compare's flow: which features of a dictionary each next layer finds again."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import address, queries
from dashboard.bundle.opening import Run
from dashboard.components.flow import flow
from dashboard.page import furniture
from dashboard.records.dictionaries import Bands, Dictionary, Merges
from dashboard.style import hints
from dashboard.views.compare.rows import CARDS, ROWS, choose_threshold, show_cards, show_rows

Layers = Sequence[Dictionary]
BAND_WORDS = {
    "starts": ("new here, found in the next", "found in the next", ""),
    "through": ("found in the previous and in the next", "", ""),
    "ends": ("found in the previous, lost in the next", "", "found in the previous"),
    "alone": ("only here", "not found in the next", "new here"),
}
"""In the middle, in the first layer, in the last."""
BAND_COLOURS = {
    "through": "found before and after", "starts": "new, found in the next",
    "ends": "found before, lost in the next", "alone": "in neither",
}  # fmt: skip


def show(run: Run, every: Layers) -> None:
    """The drawing of one dictionary's layers, and the features of the part pressed."""
    lines = lines_of(every)
    if not lines:
        furniture.empty(
            "No dictionary of this bundle stands at two hook points: there is no layer to flow to. "
            "Run the pipeline with the same dictionary at several hook points."
        )
        return
    best = max(lines, key=lambda name: (lines[name][0].basis == "sae", _mean_ms(lines[name])))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        name = st.selectbox(
            "Dictionary", list(lines), list(lines).index(best), **address.own("line"),
            help=hints.DICTIONARY,
        )  # fmt: skip
        threshold = choose_threshold()
    layers = lines[name]
    bands, merges = counted(run.connection, run.key, [d.dictionary_id for d in layers], threshold)
    drawn = [_layer(layers, i, bands[i]) for i in range(len(layers))]
    links = [_link(layers, i, bands, merges[i]) for i in range(len(layers) - 1)]
    parts = [b["key"] for layer in drawn for b in layer["bands"]]
    parts += [each["key"] for one in links for each in (one, one["merged"]) if each]
    asked = st.query_params.get("part", "")
    part = asked if asked in parts else links[0]["key"]
    st.html(_legend())
    flow(drawn, links, said=f"Features of {name} from layer to layer", chosen=part, key="flow")
    st.caption(hints.FLOW)
    _list(run, layers, bands, merges, part, threshold)


def lines_of(every: Layers) -> dict[str, list[Dictionary]]:
    """The dictionaries of one name in order of depth, where there are two hook points or more."""
    lines: dict[str, list[Dictionary]] = {}
    for one in sorted(every, key=lambda d: (d.model, d.depth)):
        name = one.name if one.models == 1 else f"{one.model} {one.name}"
        lines.setdefault(name, []).append(one)
    return {name: layers for name, layers in lines.items() if len(layers) > 1}


@st.cache_data(max_entries=32, show_spinner=False)
def counted(
    _connection: queries.Connection, key: str, ids: list[str], threshold: float
) -> tuple[list[Bands], list[Merges]]:
    """The bands of every layer and the merges to each next one, once a bundle."""
    bands = [
        queries.bands(_connection, one, before=before, after=after, threshold=threshold)
        for before, one, after in zip([None, *ids], ids, [*ids[1:], None], strict=False)
    ]
    merges = [
        queries.merges(_connection, one, after, threshold=threshold)
        for one, after in itertools.pairwise(ids)
    ]
    return bands, merges


def _list(
    run: Run,
    layers: Layers,
    bands: Sequence[Bands],
    merges: Sequence[Merges],
    part: str,
    threshold: float,
) -> None:
    """The features of the part, a page of them."""
    place, kind = part.split("-")
    i = int(place)
    one, after = layers[i], layers[i + 1] if i + 1 < len(layers) else None
    of = address.name_of(part, [d.dictionary_id for d in layers], threshold)
    if kind in BAND_WORDS:
        total, per_page = getattr(bands[i], kind), CARDS
    else:
        total = bands[i].after if kind == "next" else merges[i].features
        per_page = ROWS
    pages = max(1, -(-total // per_page))
    page = min(address.asked_page(of), pages)
    here = {"limit": per_page, "offset": (page - 1) * per_page}
    all_of_it = {"limit": total, "offset": 0}
    shown = {"page": page, "pages": pages, "of": of}
    if not total:
        furniture.empty("No feature is found again here. Press another part, or ask for less.")
    elif kind in BAND_WORDS:
        band = functools.partial(
            queries.of_band, run.connection, one.dictionary_id, band=kind, threshold=threshold,
            before=layers[i - 1].dictionary_id if i else None,
            after=after.dictionary_id if after else None,
        )  # fmt: skip
        said = f"{total:,} features of {one.short}: {_band_words(kind, i, len(layers))}"
        show_cards(
            run, one, band(**here), everything=lambda: band(**all_of_it), total=total, said=said,
            **shown,
        )  # fmt: skip
    elif after is not None:
        said = f"{total:,} features of {one.short} share {merges[i].targets:,} best matches"
        rows = functools.partial(
            queries.merged, run.connection, one.dictionary_id, after.dictionary_id,
            threshold=threshold,
        )  # fmt: skip
        if kind == "next":
            said = f"{total:,} features of {one.short} found again in {after.short}"
            rows = functools.partial(
                queries.aligned, run.connection, one.dictionary_id, [after.dictionary_id],
                threshold=threshold,
            )  # fmt: skip
        show_rows(
            run, [one, after], rows(**here), everything=lambda: rows(**all_of_it),
            threshold=threshold, said=said, **shown,
        )  # fmt: skip


def _layer(layers: Layers, i: int, bands: Bands) -> dict[str, Any]:
    def band(kind: str) -> dict[str, Any]:
        count = getattr(bands, kind)
        said = _band_words(kind, i, len(layers))
        about = f"{layers[i].short}: {count:,} of {bands.live:,} live features, {said}"
        colour = "through" if kind == "ends" and i == len(layers) - 1 else kind  # nothing is lost
        key = f"{i}-{kind}"
        return {"key": key, "kind": kind, "colour": colour, "count": count, "about": about}

    made = [band(kind) for kind in BAND_WORDS]
    return {"name": layers[i].place, "live": bands.live, "bands": [b for b in made if b["count"]]}


def _link(layers: Layers, i: int, bands: Sequence[Bands], merges: Merges) -> dict[str, Any]:
    out, into = bands[i].after, bands[i + 1].before
    here, there = layers[i].place, layers[i + 1].place
    about = (
        f"{out:,} of {bands[i].live:,} features of {here} are found again in {there}; "
        f"{into:,} of {bands[i + 1].live:,} there are found in {here}"
    )
    merged = None
    if merges.features:
        text = f"{merges.features:,} share {merges.targets:,}"
        said = f"{merges.features:,} features of {here} share {merges.targets:,} best matches"
        merged = {"key": f"{i}-merged", "text": text, "about": f"{said} in {there}"}
    return {"key": f"{i}-next", "out": out, "in": into, "about": about, "merged": merged}


def _band_words(kind: str, i: int, layers: int) -> str:
    middle, first, last = BAND_WORDS[kind]
    return (first if i == 0 else last if i == layers - 1 else "") or middle


def _legend() -> str:
    items = "".join(f'<span class="{k}">{text}</span>' for k, text in BAND_COLOURS.items())
    return f'<div class="flow-legend">{items}</div>'


def _mean_ms(layers: Layers) -> float:
    return sum(d.ms or 0.0 for d in layers) / len(layers)
