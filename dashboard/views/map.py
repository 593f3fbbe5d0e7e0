"""Map: the features of dictionaries in the plane, those that are alike near each other."""

import numpy as np
import streamlit as st

from dashboard import connection, queries, records, state, widgets, words
from dashboard.components.grid import grid
from dashboard.components.map import Colours, Panel, map_view, ramp

TILES, TILE, MOST_PANELS, MOST_CARDS = (4, 2), 96, 4, 24
COLOURS = {
    "ms": ("MS", words.MS), "density": ("density", words.DENSITY), "max": ("max", words.MAX),
    "group": ("level", words.LEVEL),
}  # fmt: skip


def choose(every: list[records.Dictionary]) -> list[records.Dictionary]:
    """Up to four dictionaries; at first that of the highest mean MS."""
    by_name = {d.short: d for d in every}
    best = max(every, key=lambda d: d.ms or -1.0)
    names = st.multiselect(
        "Dictionaries", list(by_name), default=[best.short], key="maps", bind="query-params",
        max_selections=MOST_PANELS, help="A map each, side by side; a selection shows in all.",
        placeholder="choose one",
    )  # fmt: skip
    return [by_name[name] for name in names]


def colours(points: list[records.Points], by: str) -> Colours:
    """What the points are coloured by."""
    title, about = COLOURS[by]
    values = [getattr(each, by) + (by == "group") for each in points]
    text = {"density": widgets.percent, "group": "{:.0f}".format}.get(by, widgets.number)
    return ramp(values, title=title, help=about, log=by == "density", text=text)


def describe(dictionary_id: str, feature_id: int) -> dict[str, object]:
    """What hovering over a feature shows."""
    found = queries.cards_of(run.connection, dictionary_id, [feature_id], examples=8)
    if not found:
        return {"title": f"#{feature_id}", "lines": []}
    one = found[0]
    key = (run.key, dictionary_id, feature_id, TILE)
    fetch = lambda ids: queries.pictures(run.connection, ids)  # noqa: E731
    sheet = run.sheets.get({key: one.examples}, fetch, tiles=TILES)[0]
    lines = [f"MS {widgets.number(one.ms)}, density {widgets.percent(one.density)}"]
    return {"title": f"#{feature_id} {one.label or ''}", "lines": lines, "src": sheet}


def panel(dictionary: records.Dictionary, at: records.Points) -> Panel:
    href = state.to_feature(dictionary.dictionary_id, 0).removesuffix("0") + "{feature}"
    return Panel(
        dictionary.short, (dictionary.dictionary_id,), at.x, at.y, features=at.feature_id,
        hrefs=(href,),
    )  # fmt: skip


run = connection.current()
mapped = set(queries.mapped(run.connection))
every = [d for d in connection.dictionaries(run.connection, run.key) if d.dictionary_id in mapped]
if not every:
    widgets.empty(
        "This bundle has no maps: it was made before there were any, or with maps = false under "
        "[relations]. Run the pipeline again."
    )
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    chosen = choose(every)
    by = st.segmented_control(
        "Colour", list(COLOURS), default="ms", format_func=lambda name: COLOURS[name][0],
        key="colour", bind="query-params", required=True, help="What colours the points.",
    )  # fmt: skip
if not chosen:
    widgets.empty("Choose a dictionary to see its map.")
    st.stop()
points = [queries.points(run.connection, d.dictionary_id) for d in chosen]
answer = map_view(
    [panel(d, p) for d, p in zip(chosen, points, strict=True)], colours(points, by),
    describe=describe, tiles=TILES, key="map",
)  # fmt: skip
if answer.selected is None:
    st.caption("Hover to see a feature, click to open it, draw a lasso around several for cards.")
else:
    of = chosen[answer.selected.panel]
    ids = points[answer.selected.panel].feature_id[answer.selected.rows]
    cards = queries.cards_of(run.connection, of.dictionary_id, ids.tolist(), examples=8)
    shown = cards[:MOST_CARDS]
    wanted = {(run.key, c.dictionary_id, c.feature_id, TILE): c.examples for c in shown}
    sheets = run.sheets.get(wanted, lambda i: queries.pictures(run.connection, i), tiles=TILES)
    made = [widgets.card(c, of, s) for c, s in zip(shown, sheets, strict=True)]
    said = f"{np.size(ids):,} features selected"
    if len(ids) > len(shown):
        said += f", {len(shown)} of them here"
    grid(made, tiles=TILES, said=said, page=1, pages=1, of="", key="chosen")
