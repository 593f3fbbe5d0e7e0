"""JSON: one feature with all that the bundle says of it, in Loupe's own words."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dashboard.records import columns
from dashboard.records.features import Said
from dashboard.records.matches import Related
from dashboard.records.profile import Profile
from pipeline.metrics.notices import judged_by_itself

FORM = "loupe-feature/1"


def feature_json(
    profile: Profile, *, manifest: Mapping[str, Any], said: Sequence[Said] = ()
) -> bytes:
    """The feature as one JSON object: UTF-8, numbers as stored, null for what is not known.

    Names are those of the data dictionary. Images are named by uri and SHA-256 of their pixels;
    the pictures themselves are in the report.
    """
    return json_bytes(document(profile, manifest=manifest, said=said), indent=1)


def document(
    profile: Profile, *, manifest: Mapping[str, Any], said: Sequence[Said] = ()
) -> dict[str, Any]:
    """What `feature_json` writes."""
    card = profile.feature.card
    dictionary = asdict(profile.dictionary)
    del dictionary["models"]
    place, sides = profile.place, profile.modality
    return {
        "format": FORM,
        "run": {name: manifest.get(name) for name in ("key", "name", "title", "contract", "made")},
        "notes": [judged_by_itself(encoder) for encoder in profile.judged_by_itself],
        "dictionary": dictionary,
        "feature": {c.name: card.value(c.name) for c in columns.COLUMNS if c.exported},
        "top_examples": [
            asdict(top) | image(profile, top.example_id) for top in profile.feature.top
        ],
        "histogram": {"edges": profile.feature.edges, "counts": profile.feature.counts},
        "monosemanticity": [asdict(score) for score in profile.scores],
        "artefacts": profile.artefacts and asdict(profile.artefacts),
        "labels": [asdict(name) for name in profile.names],
        "neighbors": [_near(near) for near in profile.neighbors],
        "matches": [_near(near) for near in profile.matches],
        "sample_examples": [
            asdict(sample) | image(profile, sample.example_id) for sample in profile.samples
        ],
        "modality": sides and asdict(sides),
        "top_captions": [asdict(one) | image(profile, one.example_id) for one in profile.captions],
        "map": place and {"x": place[0], "y": place[1]},
        "annotations": [asdict(each) for each in said],
    }


def image(profile: Profile, example_id: int) -> dict[str, Any]:
    """What finds an image again, and what is known of it."""
    known = profile.examples.get(example_id)
    return {
        "uri": known and known.uri, "sha256": profile.sha256.get(example_id),
        "captions": known.captions if known else [], "class": known and known.label,
        "tags": known.tags if known else [],
    }  # fmt: skip


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """`value` as JSON that every reader takes: UTF-8, and null for numbers that are not finite."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return text.encode("utf-8", errors="replace")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _near(near: Related) -> dict[str, Any]:
    card = near.card
    said = {"dictionary_id": card.dictionary_id, "feature_id": card.feature_id, "label": card.label}
    return {"kind": near.kind, "score": near.score, "jaccard": near.overlap} | said
