"""Map: the features of dictionaries in the plane, those that are alike near each other."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.cards import feature
from dashboard.components.grid import grid
from dashboard.components.map import map_view
from dashboard.features import map_planes
from dashboard.page import furniture
from dashboard.records.dictionaries import Dictionary
from dashboard.style import hints, numbers

TILES, TILE, PER_PAGE = (4, 2), 96, 24
MOST_MAPS, MOST_IN_PLANE, MOST_POINTS = 4, 24, 262_144
LAYOUTS = {"own": "own maps", "one": "one plane"}


def choose_own(every: list[Dictionary]) -> list[Dictionary]:
    """Up to four dictionaries; at first that of the highest mean MS."""
    best = max(every, key=lambda d: d.ms or -1.0)
    return choose(every, [best], key="maps", most=MOST_MAPS, help=hints.OWN_MAPS)


def choose_shared(every: list[Dictionary]) -> list[Dictionary]:
    """Dictionaries of the one plane; at first all that keep it quick."""
    total = np.cumsum([d.d_sae for d in every])
    first = [d for d, t in zip(every, total, strict=True) if t <= MOST_POINTS] or every[:1]
    return choose(
        every, first[:MOST_IN_PLANE], key="plane", most=MOST_IN_PLANE, help=hints.ONE_PLANE
    )


def choose(
    every: list[Dictionary],
    first: list[Dictionary],
    *,
    key: str,
    most: int,
    help: str,
) -> list[Dictionary]:
    """Some of the dictionaries, in their order of depth."""
    names = st.multiselect(
        "Dictionaries", [d.short for d in every], default=[d.short for d in first],
        **address.own(key), max_selections=most, help=help, placeholder="choose one",
    )  # fmt: skip
    return [d for d in every if d.short in names]


def describe(
    run: opening.Run, names: Mapping[str, str], dictionary_id: str, feature_id: int
) -> dict[str, object]:
    """What hovering over a feature shows; `names` are what dictionaries are called, where the map
    shows several."""
    found = queries.cards_of(run.connection, dictionary_id, [feature_id], examples=8)
    if not found:
        return {"lines": []}
    one = found[0]
    lines = [f"MS {numbers.number(one.ms)}, density {numbers.percent(one.density)}"]
    if dictionary_id in names:
        lines.insert(0, names[dictionary_id])
    return {
        "title": one.label or "no label",
        "lines": lines,
        "src": run.contact(found, tiles=TILES, tile=TILE)[0],
    }


def show(run: opening.Run, every: list[Dictionary], keys: list[tuple[str, int]], said: str) -> None:
    """The cards of these features, page by page."""
    by_id = {d.dictionary_id: d for d in every}
    of = address.name_of(keys)
    pages = max(1, -(-len(keys) // PER_PAGE))
    page = min(address.asked_page(of), pages)
    here = keys[(page - 1) * PER_PAGE : page * PER_PAGE]
    cards = queries.cards_at(run.connection, here, examples=TILES[0] * TILES[1])
    sheets = run.contact(cards, tiles=TILES, tile=TILE)
    made = [feature.card(c, by_id[c.dictionary_id], s) for c, s in zip(cards, sheets, strict=True)]
    grid(made, tiles=TILES, said=said, page=page, pages=pages, of=of, key="chosen")


def best_first(plane: map_planes.Plane, rows: np.ndarray) -> list[tuple[str, int]]:
    """Features in these rows of a plane, the most monosemantic first."""
    order = np.argsort(-np.nan_to_num(plane.points.ms[rows], nan=-1.0), kind="stable")
    return [plane.key(row) for row in rows[order]]


run = opening.current()
dictionaries = cached.dictionaries(run)
bases = {
    layout: [d for d in dictionaries if d.dictionary_id in mapped]
    for layout, basis in (("own", "decoder"), ("one", "activations"))
    if (mapped := set(queries.mapped(run.connection, basis=basis)))
}
if not bases:
    furniture.empty(
        "This bundle has no maps: it was made before there were any, or with maps = false under "
        "[relations]. Run the pipeline again."
    )
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    layout = next(iter(bases))
    if len(bases) > 1:
        layout = furniture.segments(
            "Maps", list(bases), default=layout, format_func=LAYOUTS.__getitem__,
            **address.own("layout"), help=hints.LAYOUT,
        )  # fmt: skip
    chosen = (choose_own if layout == "own" else choose_shared)(bases[layout])
if not chosen:
    furniture.empty("Choose a dictionary to see its map.")
    st.stop()
drawn = map_planes.own(run, chosen) if layout == "own" else [map_planes.shared(run, chosen)]
offered = map_planes.colourings(drawn)
if not offered:
    raise opening.Lacking("the table features holds no row of these")
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    first = next(name for name in ("dictionary", "layer", "ms", "density") if name in offered)
    by = furniture.segments(
        "Colour", list(offered), default=first if layout == "one" else "ms",
        **address.own(f"colour_{layout}"), format_func=offered.__getitem__,
        help="What colours the points.",
    )  # fmt: skip
    text = st.text_input(
        "Find", **address.own("find"), max_chars=100, placeholder="number or label",
        help="Highlights features by their number, or by part of their label.", width=220,
    ).strip()  # fmt: skip
names = {d.dictionary_id: d.short for d in dictionaries} if len(chosen) > 1 else {}
hits = map_planes.find(run, drawn, text) if text else None
answer = map_view(
    map_planes.panels(run, drawn), map_planes.coloured(drawn, by, dictionaries),
    describe=partial(describe, run, names),
    found=hits, tiles=TILES, key="map",
)  # fmt: skip
if answer.selected is not None:
    plane = drawn[answer.selected.panel]
    keys = best_first(plane, answer.selected.rows)
    show(run, dictionaries, keys, f"{len(keys):,} features selected")
elif hits is not None:
    keys = [key for plane, rows in zip(drawn, hits, strict=True) for key in best_first(plane, rows)]
    if keys:
        show(run, dictionaries, keys, f"{len(keys):,} features found")
    else:
        furniture.empty("Nothing on the map has this number or label. Try part of a word.")
else:
    st.caption(
        "Hover to see a feature, click to open it, draw a lasso around several for their cards."
    )
