"""An image with its patches and what fires on them, as the page shows it."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboard import address, queries
from dashboard.bundle.opening import Run
from dashboard.cards.contact_sheets import data_uri
from dashboard.exports.rows import OnImage
from dashboard.live.images import Look
from dashboard.records.dictionaries import Dictionary
from dashboard.records.images import Example, Fired
from dashboard.style.numbers import number

ON_IMAGE, PER_PATCH = 64, 16
"""Features listed of an image, and of each of its patches: the strongest."""
SIDE = 768
"""Longest side of a picture on the page, in pixels."""


def data(
    looks: Sequence[Look], found: Sequence[Fired], dictionary: Dictionary, *, hint: str
) -> tuple[dict[str, Any], list[int]]:
    """What the component `patches` shows, without the features' labels; and the features in it."""
    kept = [_strong(one) for one in found]
    listed = [one.feature[one.activation > 0][:ON_IMAGE].tolist() for one in found]
    ids = sorted({one for of in [*listed, *(f.tolist() for _, f, _ in kept)] for one in of})
    acts = [dict(zip(f.feature.tolist(), f.activation.tolist(), strict=True)) for f in found]
    heats = [_heats(*of) for of in kept]
    empty: dict[str, list[float]] = {"patches": [], "acts": []}
    features = [
        {
            "id": one, "href": address.to_feature(dictionary.dictionary_id, one),
            "where": f"{dictionary.short} #{one}",
            "acts": [round(a[one], 4) if a.get(one, 0) > 0 else None for a in acts],
            "heat": [heat.get(one, empty) for heat in heats],
        }
        for one in ids
    ]  # fmt: skip
    pictures = [
        _picture(look, one, mapped=len(of[0]) > 0)
        for look, one, of in zip(looks, found, kept, strict=True)
    ]
    made = {
        "pictures": pictures, "grid": dictionary.grid, "features": features,
        "groups": groups(listed, acts), "hint": hint,
    }  # fmt: skip
    return made, ids


def named(made: dict[str, Any], labels: Mapping[int, str | None]) -> dict[str, Any]:
    """`data` with the features' labels."""
    features = [one | {"label": labels.get(one["id"])} for one in made["features"]]
    return made | {"features": features}


def rows(
    looks: Sequence[Look],
    found: Sequence[Fired],
    dictionary: Dictionary,
    labels: Mapping[int, str | None],
) -> list[OnImage]:
    """The features listed of each image, the strongest first, for a file."""
    made = []
    for look, one in zip(looks, found, strict=True):
        cells = dict(zip(*np.unique(one.cell_feature, return_counts=True), strict=True))
        for feature, act in zip(one.feature[:ON_IMAGE], one.activation[:ON_IMAGE], strict=True):
            if act > 0:
                made.append(
                    OnImage(
                        look.name, look.example.example_id if look.example else None,
                        dictionary.dictionary_id, int(feature), labels.get(int(feature)),
                        float(act), int(cells.get(feature, 0)) if len(one.cell) else None,
                    )
                )  # fmt: skip
    return made


def groups(
    listed: Sequence[Sequence[int]], acts: Sequence[Mapping[int, float]]
) -> list[dict[str, Any]]:
    """The features listed: of one image as they are; of two those on both, by the weaker of the two
    activations, and those on one alone."""
    if len(listed) == 1:
        return [{"title": "", "ids": list(listed[0]), "none": "No feature fires on it."}]
    on = [{one for one, act in a.items() if act > 0} for a in acts]
    both = sorted(
        {*listed[0], *listed[1]} & on[0] & on[1],
        key=lambda one: (-min(acts[0][one], acts[1][one]), one),
    )
    alone = [[one for one in listed[i] if one not in on[1 - i]] for i in (0, 1)]
    return [
        {"title": "On both", "ids": both, "none": "No feature fires on both."},
        {"title": "Only on the first", "ids": alone[0], "none": "None."},
        {"title": "Only on the second", "ids": alone[1], "none": "None."},
    ]


def where(fired: Fired, feature: int, dictionary: Dictionary) -> str:
    """On how many patches a feature fires, for its card."""
    patches = int((fired.cell_feature == feature).sum())
    if dictionary.grid is None or not len(fired.cell):
        return ""
    return f", on {patches} of {dictionary.grid[0] * dictionary.grid[1]} patches"


def card_note(feature: int, found: Sequence[Fired], dictionary: Dictionary) -> str:
    """A feature's activation on each image, and where, for its card."""
    each = []
    for one in found:
        at = np.flatnonzero(one.feature == feature)
        act = number(float(one.activation[at[0]])) if len(at) else "–"
        each.append(act + (where(one, feature, dictionary) if len(found) == 1 else ""))
    return " and ".join(each)


def thumbs(
    run: Run,
    found: Sequence[Example],
    *,
    current: int | None,
    to: Callable[[int | None, int | None], str],
    beside: int | None = None,
    own: int = 0,
    pairs: bool = True,
) -> list[dict[str, Any]]:
    """Small pictures to choose from: each leads where `to` says for an image and one beside it: to
    that image, and in `pairs` beside the one that is shown. `own` images of the visitor's go before
    `current`; beside two of them there is no room."""
    shown_ids = ([current] if not own else []) + ([beside] if own < 2 else [])
    first = None if own else current
    room = pairs and (own == 1 or first is not None)
    pictures = queries.pictures(run.connection, [one.example_id for one in found])
    made = []
    for one in found:
        shown = one.example_id in shown_ids
        name = one.captions[0][:200] if one.captions else one.uri
        picture = pictures.get(one.example_id)
        made.append(
            {
                "src": picture and data_uri(picture), "caption": name, "text": "",
                "href": to(one.example_id, None), "shown": shown,
                "beside": to(first, one.example_id) if room and not shown else "",
            }
        )  # fmt: skip
    return made


def _strong(one: Fired) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Of the patches' features those that are shown: the strongest of each patch, and all places
    of those that are listed for the image."""
    cell, feature = one.cell, one.cell_feature
    rank = np.arange(len(cell)) - np.searchsorted(cell, cell)
    kept = (rank < PER_PATCH) | np.isin(feature, one.feature[:ON_IMAGE])
    return cell[kept], feature[kept], one.cell_activation[kept]


def _heats(
    cell: NDArray[np.int64], feature: NDArray[np.int64], act: NDArray[np.float32]
) -> dict[int, dict[str, list[float]]]:
    """Patches and activations of each feature."""
    found: dict[int, dict[str, list[float]]] = {}
    for c, f, a in zip(cell.tolist(), feature.tolist(), act.tolist(), strict=True):
        heat = found.setdefault(f, {"patches": [], "acts": []})
        heat["patches"].append(c)
        heat["acts"].append(round(a, 4))
    return found


def _picture(look: Look, one: Fired, *, mapped: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "src": None, "aspect": 1.0, "name": look.name, "title": look.name, "note": look.note,
        "region": one.region, "mapped": mapped,
    }  # fmt: skip
    if look.picture is not None:
        image = look.picture.image
        made |= {"src": shown(image), "aspect": image.width / image.height}
    return made


def shown(image: Image.Image) -> str:
    """The picture for the page, no larger than it is looked at."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=90, method=1)
    return data_uri(out.getvalue())
