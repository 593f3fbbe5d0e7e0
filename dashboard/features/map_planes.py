"""What Map shows: dictionaries in planes, what colours their features, and what is found there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import address, queries
from dashboard.bundle import opening
from dashboard.components.map import Colours, Panel, categories, ramp, shades
from dashboard.features import filters
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Filter, Points
from dashboard.style import hints, numbers, palette
from pipeline.metrics.relations import MATCH_THRESHOLD

NUMBERS = {
    "ms": ("MS", hints.MS), "density": ("density", hints.DENSITY), "max": ("max", hints.MAX),
}  # fmt: skip
"""Fields of `Points` that colour by a ramp; each is offered where any of its values is known."""
KINDS = {
    "dictionary": ("dictionary", hints.DICTIONARY), "layer": ("layer", hints.HOOK),
    "group": ("level", hints.LEVEL),
}  # fmt: skip
FIELDS = ("feature_id", "x", "y", "ms", "density", "max", "group")


@dataclass(frozen=True, eq=False)
class Plane:
    """Features that lie in one plane, of one dictionary or of several."""

    dictionaries: tuple[Dictionary, ...]
    points: Points
    of: NDArray[np.uint8]
    """Place of each feature's dictionary in `dictionaries`."""

    def key(self, row: int) -> tuple[str, int]:
        """Dictionary and feature id of a row."""
        of = self.dictionaries[self.of[row]]
        return of.dictionary_id, int(self.points.feature_id[row])


def own(run: opening.Run, chosen: Sequence[Dictionary]) -> list[Plane]:
    """A plane for each dictionary: its own map, by decoder directions."""
    every = [_points(run, run.key, d.dictionary_id, "decoder") for d in chosen]
    return [
        Plane((d,), points, np.zeros(len(points.x), np.uint8))
        for d, points in zip(chosen, every, strict=True)
    ]


def shared(run: opening.Run, chosen: Sequence[Dictionary]) -> Plane:
    """The one plane of these dictionaries, by the images that their features fire on."""
    every = [_points(run, run.key, d.dictionary_id, "activations") for d in chosen]
    of = np.repeat(np.arange(len(every), dtype=np.uint8), [len(points.x) for points in every])
    # Mixed, so that no dictionary is drawn over all of another one.
    order = np.random.default_rng(0).permutation(len(of))
    fields = [np.concatenate([getattr(p, name) for p in every])[order] for name in FIELDS]
    return Plane(tuple(chosen), Points(*fields), of[order])


def panels(run: opening.Run, planes: Sequence[Plane]) -> list[Panel]:
    """The planes as the map takes them; those of one dictionary each are linked by matches."""
    return [_panel(run, at, planes) for at in range(len(planes))]


def colourings(planes: Sequence[Plane]) -> dict[str, str]:
    """What may colour these planes: names of choices, and how they are called."""
    every = {d.dictionary_id: d for plane in planes for d in plane.dictionaries}.values()
    known = {name for name in (*NUMBERS, "group") if _known(planes, name)}
    known |= {"dictionary"} if len({d.name for d in every}) > 1 else set()
    known |= {"layer"} if len({d.place for d in every}) > 1 else set()
    return {name: title for name, (title, _) in (NUMBERS | KINDS).items() if name in known}


def coloured(planes: Sequence[Plane], by: str, every: Sequence[Dictionary]) -> Colours:
    """The colours of the planes; of dictionaries and layers as among `every` one of the bundle, so
    that they stay the same whichever are shown."""
    title, about = (NUMBERS | KINDS)[by]
    if by in NUMBERS:
        text = numbers.percent if by == "density" else numbers.number
        values = [getattr(plane.points, by) for plane in planes]
        return ramp(values, title=title, help=about, log=by == "density", text=text)
    if by == "group":
        values = [plane.points.group for plane in planes]
        levels = int(max(np.nanmax(v, initial=0) for v in values)) + 1
        names = [str(level + 1) for level in range(levels)]
        codes = [np.where(np.isfinite(v), v, 254).astype(np.uint8) for v in values]
        return categories(codes, names, shades(levels), title=title, help=about)
    if by == "layer":
        names = list(dict.fromkeys(d.place for d in every))
        paints = dict(zip(names, shades(len(names)), strict=True))
        places = [d.place for d in every]
    else:
        places = [d.name for d in every]
        neurons = {d.name for d in every if d.basis == "neurons"}
        paints = palette.by_name(list(dict.fromkeys(places)), neurons, among=palette.HUES)
    shown = {d.dictionary_id for plane in planes for d in plane.dictionaries}
    seen = {p for d, p in zip(every, places, strict=True) if d.dictionary_id in shown}
    names = [name for name in paints if name in seen]
    place = {d.dictionary_id: p for d, p in zip(every, places, strict=True)}
    codes = []
    for plane in planes:
        table = [names.index(place[d.dictionary_id]) for d in plane.dictionaries]
        codes.append(np.array(table, np.uint8)[plane.of])
    return categories(codes, names, [paints[n] for n in names], title=title, help=about)


def find(run: opening.Run, planes: Sequence[Plane], text: str) -> list[NDArray[np.int64]]:
    """For each plane the rows of what `text` names: a feature's number, or part of its label."""
    number = re.fullmatch(r"#?(\d{1,9})", text)
    if number:
        return [np.flatnonzero(plane.points.feature_id == int(number[1])) for plane in planes]
    dictionaries = {d.dictionary_id: d for plane in planes for d in plane.dictionaries}
    names = filters.named(run, list(dictionaries.values()), text)
    chosen = Filter(n_active=0, named=names)
    hits = {each: queries.passing(run.connection, each, chosen) for each in dictionaries}
    return [_rows_of(plane, hits) for plane in planes]


def _rows_of(plane: Plane, hits: dict[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    found = np.zeros(len(plane.of), bool)
    for at, d in enumerate(plane.dictionaries):
        found |= (plane.of == at) & np.isin(plane.points.feature_id, hits[d.dictionary_id])
    return np.flatnonzero(found)


def _known(planes: Sequence[Plane], name: str) -> bool:
    return any(np.isfinite(getattr(plane.points, name)).any() for plane in planes)


def _panel(run: opening.Run, at: int, planes: Sequence[Plane]) -> Panel:
    plane = planes[at]
    several = len(plane.dictionaries) > 1
    ids = tuple(d.dictionary_id for d in plane.dictionaries)
    links = {
        other: links_of(run, *_own(plane), *_own(planes[other]))
        for other in range(len(planes))
        if other != at and not several
    }
    title = "One plane, by the images that features fire on"
    return Panel(
        title if several else plane.dictionaries[0].short, ids,
        plane.points.x, plane.points.y, features=plane.points.feature_id,
        of=plane.of if several else None,
        hrefs=tuple(address.to_feature(name, 0).removesuffix("0") + "{feature}" for name in ids),
        links=links,
    )  # fmt: skip


def links_of(
    run: opening.Run,
    dictionary_id: str,
    features: NDArray[np.int32],
    other_id: str,
    others: NDArray[np.int32],
) -> NDArray[np.int32]:
    """For each of the `features` of a dictionary the row among `others` of its match in another
    dictionary, or -1."""
    ids, matches = _linked(run, run.key, dictionary_id, other_id)
    largest = max([0, *(int(a.max()) for a in (ids, matches, features, others) if a.size)])
    match, row = np.full(1 + largest, -1, np.int32), np.full(1 + largest, -1, np.int32)
    match[ids] = matches
    row[others] = np.arange(len(others), dtype=np.int32)
    found = match[features]
    return np.where(found >= 0, row[found], -1).astype(np.int32)


def _own(plane: Plane) -> tuple[str, NDArray[np.int32]]:
    """The one dictionary of a plane, and its features."""
    return plane.dictionaries[0].dictionary_id, plane.points.feature_id


# The bundle's key tells one bundle's arrays from another's; 65,536 features take 1.8 MB of points
# and at most 0.5 MB of links.
@st.cache_resource(max_entries=24, show_spinner=False)
def _points(_run: opening.Run, key: str, dictionary_id: str, basis: str) -> Points:
    return queries.points(_run.connection, dictionary_id, basis=basis)


@st.cache_resource(max_entries=48, show_spinner=False)
def _linked(
    _run: opening.Run, key: str, dictionary_id: str, other_id: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return queries.linked(_run.connection, dictionary_id, other_id, threshold=MATCH_THRESHOLD)
