"""Scores, labels and tags as bars from 0 to 1."""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.records.features import AutoLabel, Score
from dashboard.records.images import Example
from dashboard.style import hints, palette
from dashboard.style.numbers import number, percent


def score_bars(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """MS per encoder with both controls as marks, as the component `bars` takes them."""
    kinds = (("random neuron", palette.CONTROL), ("random direction", palette.NEURONS))
    rows = []
    for one in scores:
        values = (one.control_neuron, one.control_direction)
        marks = [
            {"at": at, "name": name, "colour": colour}
            for at, (name, colour) in zip(values, kinds, strict=True)
            if at is not None
        ]
        name = f"{one.encoder} (default)" if one.is_default and len(scores) > 1 else one.encoder
        name += ", the model itself" if one.judges_itself else ""
        rows.append({"name": name, "value": one.ms, "text": number(one.ms), "marks": marks})
    return rows


def name_bars(names: Sequence[AutoLabel]) -> list[dict[str, Any]]:
    """Automatic labels by how well each tells the feature's images from others."""
    chance = [{"at": 0.5, "name": "chance", "colour": palette.CONTROL}]
    rows = []
    for one in sorted(names, key=lambda n: (n.kind != "model", -(n.tells or 0.0))):
        share = f", {percent(one.value)} of the top images" if one.kind == "class" else ""
        name = f"{one.label} ({hints.NAME_KINDS.get(one.kind, one.kind)}{share})"
        known = one.tells is not None
        rows.append({"name": name, "value": one.tells, "text": number(one.tells),
                     "marks": chance if known else []})  # fmt: skip
    return rows


def tag_bars(
    known: Sequence[Example], rates: Mapping[str, float], *, most: int = 6
) -> list[dict[str, Any]]:
    """The tags that mark out `known`: their share there, with their share of all as a mark."""
    counts: dict[str, int] = {}
    for example in known:
        for tag in example.tags:
            counts[tag] = counts.get(tag, 0) + 1
    share = {tag: count / len(known) for tag, count in counts.items()}
    marked = sorted(share, key=lambda tag: (rates.get(tag, 0.0) - share[tag], tag))[:most]
    return [
        {
            "name": tag, "value": share[tag], "text": percent(share[tag]),
            "marks": [{"at": rates.get(tag, 0.0), "name": "share of all images",
                       "colour": palette.CONTROL}],
        }
        for tag in marked
    ]  # fmt: skip
