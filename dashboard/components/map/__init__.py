"""Features in the plane: one map or several side by side, with lasso, hover and links to features.

Three mounts of one component share what the browser knows of a map. The plane holds the points, as
bytes that Streamlit sends once: a later run that makes the same bytes sends their hash. The legend
holds the colours, a byte a point, so that another colouring leaves the points where they are. The
bar holds the tools. What a hover shows goes through a small component of its own in a fragment of
its own, so that hovering runs `describe` and sends its answer, and nothing else.
"""

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import gate
from dashboard.components import Number, Said, Text, component, heard, last_said
from dashboard.style import palette

mount = component("map")
hover = component("map/hover")

UNKNOWN, HIDDEN = 254, 255
"""Colour codes with a meaning: drawn in grey, and not drawn."""
MOST_CATEGORIES = 254
STEPS = 254
"""Steps of a ramp: more than an eye can tell apart."""

Describe = Callable[[str, int], Mapping[str, Any]]
"""(dictionary, feature) -> what a hover shows: `title`, `lines`, and `src`, the contact sheet."""


@dataclass(frozen=True)
class Axis:
    """What a direction of the plane measures, where it does."""

    title: str
    span: tuple[float, float]
    """What is seen of it at first."""
    ticks: tuple[tuple[float, str, int], ...]
    """Place, text, and how fine it is: 0 stands always, 1 and 2 where there is room."""
    lane: tuple[float, float]
    """A stripe for what has no place on the scale, as 0 on a logarithmic one."""


@dataclass(frozen=True)
class Panel:
    """One plane; rows without a finite x and y are not drawn."""

    title: str
    dictionaries: tuple[str, ...]
    """Whose features these are; several may share the plane."""
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    features: NDArray[np.int32] | None = None
    """Feature id of each row; None where row and id are the same."""
    of: NDArray[np.uint8] | None = None
    """Place of each row's dictionary in `dictionaries`; None where there is one."""
    hrefs: tuple[str, ...] = ()
    """For each dictionary the address of a feature, with `{feature}` where its id goes; without
    them a click is an answer of `map_view`. One that begins with & changes these parameters of
    the page's own address."""
    links: Mapping[int, NDArray[np.int32]] = field(default_factory=dict)
    """Place of another panel -> for each row its match there, -1 for none. Panels of the same
    dictionary are linked by feature id without this."""
    axes: tuple[Axis, Axis] | None = None
    """To the right, and up; None where only nearness has a meaning."""


@dataclass(frozen=True)
class Colours:
    """What the colours of the points mean; see `ramp` and `categories`."""

    title: str
    help: str
    codes: tuple[NDArray[np.uint8], ...]
    """For each panel a place in `table` per row, or UNKNOWN, or HIDDEN."""
    table: tuple[str, ...]
    names: tuple[str, ...] = ()
    """Of the categories; none for a ramp."""
    ticks: tuple[tuple[float, str], ...] = ()
    """Of a ramp: places from 0 to 1 with their numbers."""
    unknown: str = "not known"
    """What the legend calls UNKNOWN."""


@dataclass(frozen=True)
class Rows:
    """Rows of the panel at place `panel`, ascending."""

    panel: int
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Answer:
    """What the person did: a selection stands until it is cleared, a click comes once."""

    selected: Rows | None
    clicked: tuple[str, int] | None
    """Dictionary and feature."""


class Pointed(Said):
    """The feature below the pointer, or clicked."""

    dictionary: Text
    feature: Number


class Selected(Said):
    """A selection in a panel of the points with this digest: rows, or a bit a row as base64."""

    panel: Number
    digest: Text
    rows: list[Number] | None = None
    bits: str | None = None


def ramp(
    values: Sequence[NDArray[Any]],
    *,
    title: str,
    help: str = "",
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    text: Callable[[float], str] = "{:.2f}".format,
    stops: Sequence[str] = palette.VIRIDIS,
    unknown: str = "not known",
) -> Colours:
    """Colours for numbers, one array a panel, on one scale; what is not finite is UNKNOWN.

    Values beyond `low` and `high` (the least and the largest, where not given) take the colour at
    that end. With `log`, equal ratios take equal steps, and values of 0 or less are UNKNOWN.
    """
    arrays = [np.asarray(each, np.float64) for each in values]
    if log:
        arrays = [np.log10(np.where(a > 0, a, np.nan)) for a in arrays]
        low, high = (None if end is None else float(np.log10(end)) for end in (low, high))
    known = [a[np.isfinite(a)] for a in arrays]
    low = min((float(a.min()) for a in known if a.size), default=0.0) if low is None else low
    high = max((float(a.max()) for a in known if a.size), default=1.0) if high is None else high
    span = high - low or 1.0
    codes = []
    for a in arrays:
        place = np.clip(np.nan_to_num((a - low) / span, nan=0.0), 0.0, 1.0) * (STEPS - 1)
        codes.append(np.where(np.isfinite(a), place.round(), UNKNOWN).astype(np.uint8))
    at = [low + span * part for part in (0.0, 0.5, 1.0)] if high > low else [low]
    ticks = [((a - low) / span, text(float(10**a) if log else a)) for a in at]
    table = shades(STEPS, stops)
    return Colours(title, help, tuple(codes), table, ticks=tuple(ticks), unknown=unknown)


def categories(
    codes: Sequence[NDArray[np.uint8]],
    names: Sequence[str],
    colours: Sequence[str],
    *,
    title: str,
    help: str = "",
) -> Colours:
    """Colours for categories, whose places in `names` are the `codes`, one array a panel.

    Raises:
        ValueError: not as many colours as names, or more than MOST_CATEGORIES.
    """
    if len(names) != len(colours) or len(names) > MOST_CATEGORIES:
        raise ValueError(
            f"{len(names)} names and {len(colours)} colours: give as many of both, at most "
            f"{MOST_CATEGORIES}"
        )
    known = tuple(np.asarray(each, np.uint8) for each in codes)
    return Colours(title, help, known, tuple(colours), names=tuple(names))


def shades(count: int, stops: Sequence[str] = palette.VIRIDIS) -> tuple[str, ...]:
    """So many colours, from one end of the ramp to the other: for what has an order."""
    points = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops])
    at = np.linspace(0, len(stops) - 1, count)
    rgb = [np.interp(at, np.arange(len(stops)), points[:, i]).round().astype(int) for i in range(3)]
    return tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*rgb, strict=True))


def map_view(
    panels: Sequence[Panel],
    colours: Colours,
    *,
    describe: Describe,
    found: Sequence[NDArray[Any]] | None = None,
    standing: str = "found",
    tiles: tuple[int, int] = (4, 2),
    height: int | None = None,
    key: str,
) -> Answer:
    """Show `panels` side by side, each point in its colour.

    `describe` is asked for the feature below the pointer; `tiles` is a contact sheet's columns and
    rows. `found`, rows of each panel, stand out as long as the person has selected none, counted as
    `standing` says; where they are others than in the run before, they take a selection's place.
    `height` is that of a panel in
    pixels.

    Raises:
        ValueError: arrays of a panel that are not of one length.
    """
    plane, digest = pack_panels(panels, key=key, height=height)
    hits = None if found is None else [_text(rows) for rows in found]
    bar = {"map": key, "part": "bar", "tiles": tiles, "found": hits, "word": standing}
    with st.container(key=f"{key}-map", gap="xsmall"):
        mount(key=f"{key}-bar", data=bar)
        _hover(describe, panels, key)
        state = mount(
            key=f"{key}-plane", data=plane, default={"selection": None},
            on_selection_change=lambda: None, on_click_change=lambda: None,
        )  # fmt: skip
        mount(key=f"{key}-legend", data=pack_colours(panels, colours, key=key))
    click = heard(Pointed, state.click)
    return Answer(
        selected=_rows(heard(Selected, state.selection), digest, panels),
        clicked=(click.dictionary, click.feature) if click and _shows(panels, click) else None,
    )


@gate.fragment
def _hover(describe: Describe, panels: Sequence[Panel], key: str) -> None:
    """Answers what feature is below the pointer; runs alone while the pointer moves."""
    place = f"{key}-hover"
    asked = last_said(place, "hover", Pointed)
    answer = None
    if asked and _shows(panels, asked):
        answer = {**asked.model_dump(), **describe(asked.dictionary, asked.feature)}
    hover(key=place, data={"map": key, "answer": answer}, on_hover_change=lambda: None)


def _shows(panels: Sequence[Panel], one: Pointed) -> bool:
    """Whether the feature is one of the points."""
    return any(
        one.dictionary in panel.dictionaries
        and (
            one.feature < len(panel.x) if panel.features is None else one.feature in panel.features
        )
        for panel in panels
    )


def pack_panels(panels: Sequence[Panel], *, key: str, height: int | None) -> tuple[bytes, str]:
    """The points as the browser takes them, and a word that changes with them."""
    arrays: list[NDArray[Any]] = []

    def put(values: NDArray[Any] | None, kind: Any, rows: int) -> int | None:
        if values is None:
            return None
        if np.shape(values) != (rows,):
            raise ValueError(f"an array of shape {np.shape(values)} beside {rows} values of x")
        arrays.append(np.ascontiguousarray(values, kind))
        return len(arrays) - 1

    heads = []
    for panel in panels:
        rows = len(panel.x)
        heads.append({
            "title": panel.title, "dictionaries": panel.dictionaries, "hrefs": panel.hrefs,
            "x": put(panel.x, "<f4", rows), "y": put(panel.y, "<f4", rows),
            "ids": put(panel.features, "<i4", rows), "of": put(panel.of, "u1", rows),
            "links": {to: put(match, "<i4", rows) for to, match in panel.links.items()},
            "axes": panel.axes and {"x": asdict(panel.axes[0]), "y": asdict(panel.axes[1])},
        })  # fmt: skip
    about = zlib.crc32(json.dumps(heads).encode())
    for array in arrays:
        about = zlib.crc32(array.tobytes(), about)
    digest = f"{about:08x}"
    head = {"map": key, "part": "plane", "digest": digest, "height": height, "panels": heads}
    return _pack(head, arrays), digest


def pack_colours(panels: Sequence[Panel], colours: Colours, *, key: str) -> bytes:
    """The colours as the browser takes them."""
    for panel, codes in zip(panels, colours.codes, strict=True):
        if codes.shape != panel.x.shape:
            raise ValueError(f"{codes.shape} colours for {panel.x.shape} points: {panel.title}")
    head = {
        "map": key, "part": "legend", "title": colours.title, "help": colours.help,
        "table": colours.table, "names": colours.names, "ticks": colours.ticks,
        "unknown": colours.unknown, "grey": palette.NEURONS,
    }  # fmt: skip
    return _pack(head, colours.codes)


def _pack(head: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> bytes:
    """The length of the head, the head as JSON, the arrays; each begins at a multiple of 4."""
    kinds = [(array.dtype.str[-2:], len(array)) for array in arrays]
    text = json.dumps(head | {"arrays": kinds}).encode()
    parts = [text, *(array.tobytes() for array in arrays)]
    whole = [part + b" " * (-len(part) % 4) for part in parts]
    return b"".join([len(whole[0]).to_bytes(4, "little"), *whole])


def _text(rows: NDArray[Any]) -> str:
    return base64.b64encode(np.asarray(rows, "<i4").tobytes()).decode()


def _rows(said: Selected | None, digest: str, panels: Sequence[Panel]) -> Rows | None:
    """A selection as the browser sends it: the rows, or a bit a row where they are many. One that
    was made on other points, or names none of these, says nothing."""
    if said is None or said.digest != digest or said.panel >= len(panels):
        return None
    rows = np.unique(np.asarray(said.rows or [], np.int64))
    if said.bits is not None:
        try:
            packed = np.frombuffer(base64.b64decode(said.bits, validate=True), np.uint8)
        except ValueError:
            return None
        rows = np.flatnonzero(np.unpackbits(packed, bitorder="little"))
    if not len(rows) or rows[-1] >= len(panels[said.panel].x):
        return None
    return Rows(said.panel, rows)
