"""What Modalities scatters: features by how often they fire on pictures and on words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import address, queries
from dashboard.bundle import opening
from dashboard.components.map import HIDDEN, Axis, Colours, Panel, ramp
from dashboard.features import map_planes
from dashboard.records.dictionaries import Dictionary
from dashboard.records.modalities import Sides
from dashboard.style import hints, numbers, palette

COLOURINGS = {
    "correlation": ("pair correlation", hints.PAIR_CORRELATION),
    "modality_score": ("modality score", hints.MODALITY_SCORE),
    "ms": ("MS", hints.MS),
    "top_overlap": ("top overlap", hints.TOP_OVERLAP),
}  # fmt: skip
"""Fields of `Sides` that colour; each is offered where any of its values is known."""
ENOUGH = 8
"""Features that fire on fewer images, or on the captions of fewer, may correlate by chance."""
LANE, GAP = 0.18, 0.24
"""Of a lane of 0 the width, and what lies between it and the scale, in tenfolds."""


def sides(run: opening.Run, dictionary: Dictionary) -> Sides:
    """Every feature of the dictionary, kept."""
    return _sides(run, run.key, dictionary.dictionary_id)


def panels(run: opening.Run, chosen: Sequence[Dictionary], every: Sequence[Sides]) -> list[Panel]:
    """A panel a dictionary, all on the same axes; dictionaries are linked by their matches."""
    low = min((_least(one) for one in every), default=-3.0)
    places = [(_places(one, "image", low), _places(one, "text", low)) for one in every]
    axes = (_axis("fires on images", low), _axis("fires on captions", low))
    made = []
    for at, (d, one) in enumerate(zip(chosen, every, strict=True)):
        links = {
            to: map_planes.links_of(
                run, d.dictionary_id, one.feature_id, e.dictionary_id, every[to].feature_id
            )
            for to, e in enumerate(chosen)
            if e.dictionary_id != d.dictionary_id
        }
        href = address.choosing(address.feature_key(d.dictionary_id, 0).removesuffix("0"))
        made.append(
            Panel(
                d.short, (d.dictionary_id,), *places[at], features=one.feature_id,
                hrefs=(f"{href}{{feature}}",), links=links, axes=axes,
            )
        )  # fmt: skip
    return made


def colourings(every: Sequence[Sides]) -> dict[str, str]:
    """What may colour these features, and how it is called."""
    known = [n for n in COLOURINGS if any(np.isfinite(getattr(one, n)).any() for one in every)]
    return {name: COLOURINGS[name][0] for name in known}


def coloured(every: Sequence[Sides], by: str, shown: Sequence[NDArray[np.bool_]]) -> Colours:
    """The colours of the features, on one scale; those that are not `shown` are hidden."""
    title, about = COLOURINGS[by]
    values = [getattr(one, by) for one in every]
    if by == "modality_score":
        stops = (palette.TEXT, palette.BOTH, palette.IMAGE)
        made = ramp(values, title=title, help=about, low=0, high=1, stops=stops, text=_between)
    elif by == "correlation":
        made = ramp(
            values, title=title, help=about, low=0, text=_from_zero, unknown="no correlation"
        )
    else:
        made = ramp(values, title=title, help=about)
    codes = [
        np.where(s, c, HIDDEN).astype(np.uint8) for s, c in zip(shown, made.codes, strict=True)
    ]
    return replace(made, codes=tuple(codes))


def passing(one: Sides, *, ms: float, density: float) -> NDArray[np.bool_]:
    """Which live features have at least this MS, and this density on images or on captions."""
    either = np.fmax(one.image_density, one.text_density)
    passed = (either > 0) & (either >= density)
    return passed & (one.ms >= ms) if ms > 0 else passed


def best(every: Sequence[Sides], rows: Mapping[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    """These rows of the panels at these places, as (place, row) [n, 2]: the most correlated first,
    then those without a correlation by how often they fire."""
    if not rows:
        return np.zeros((0, 2), np.int64)
    place = np.concatenate([np.full(len(r), at) for at, r in rows.items()])
    strength = np.concatenate([every[at].correlation[r] for at, r in rows.items()])
    fires = [every[at].image_active[r] + every[at].text_active[r] for at, r in rows.items()]
    order = np.lexsort((-np.concatenate(fires), -np.nan_to_num(strength, nan=-2.0)))
    found = np.stack([place, np.concatenate(list(rows.values()))], axis=1)
    return np.asarray(found[order], np.int64)


def meeting(one: Sides, shown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The shown rows that fire on enough images and on the captions of enough."""
    return np.flatnonzero(shown & (np.minimum(one.image_active, one.text_active) >= ENOUGH))


def _least(one: Sides) -> float:
    """The logarithm of the lowest density above 0."""
    both = np.concatenate([one.image_density, one.text_density])
    above = both[both > 0]
    return float(np.log10(above.min())) if above.size else -3.0


def _places(one: Sides, side: str, low: float) -> NDArray[np.float32]:
    """Logarithms of densities, those of 0 in the lane; NaN where a feature fires on neither.

    Densities are counts over images: features with the same few images would lie on each other.
    Each count is spread over less than the way to the next one, by a sequence that fills evenly.
    """
    density, count = getattr(one, f"{side}_density"), getattr(one, f"{side}_active")
    turn = 0.6180339887 if side == "image" else 0.7548776662
    spread = (np.asarray(one.feature_id, np.float64) + 1) * turn % 1 - 0.5
    with np.errstate(divide="ignore"):
        place = np.log10(density * (1 + 0.7 * spread / np.maximum(count, 1)))
    place = np.where(density > 0, place, low - GAP - LANE / 2 + 0.7 * LANE * spread)
    dead = (one.image_active == 0) & (one.text_active == 0)
    return np.where(dead, np.nan, place).astype(np.float32)


def _axis(title: str, low: float) -> Axis:
    """From the lane of 0 to all images, with ticks at 1, 2, 5 and all the digits of each ten."""
    start = low - GAP
    lane = (start - LANE, start)
    fine = {1: 0, 2: 1, 5: 1}
    ticks = [(sum(lane) / 2, "0", 0)]
    for power in range(int(np.floor(start)), 1):
        for digit in range(1, 10 if power < 0 else 2):
            value = digit * 10.0**power
            if np.log10(value) >= start:
                ticks.append((float(np.log10(value)), numbers.percent(value), fine.get(digit, 2)))
    return Axis(title, (lane[0], 0.06), tuple(ticks), lane)


def _between(value: float) -> str:
    return "words" if value == 0 else "pictures" if value == 1 else "both alike"


def _from_zero(value: float) -> str:
    return "≤ 0" if value == 0 else numbers.number(value)


# The bundle's key tells one bundle's arrays from another's; 65,536 features take 3 MB.
@st.cache_resource(max_entries=16, show_spinner=False)
def _sides(_run: opening.Run, key: str, dictionary_id: str) -> Sides:
    return queries.sides(_run.connection, dictionary_id)
