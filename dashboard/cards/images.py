"""Images of a feature as the components take them."""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import address
from dashboard.cards.contact_sheets import data_uri
from dashboard.records.features import Sample, Top
from dashboard.records.images import Example
from dashboard.style.numbers import number


def strips(
    drawn: Sequence[Sample], known: Mapping[int, Example], pictures: Mapping[int, bytes]
) -> list[dict[str, Any]]:
    """Rows of small images, a kind of sample each, as the component `strips` takes them."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in drawn:
        example, picture = known.get(one.example_id), pictures.get(one.example_id)
        caption = example.captions[0][:400] if example and example.captions else ""
        rows.setdefault(one.kind, []).append(
            {
                "src": picture and data_uri(picture), "text": number(one.activation),
                "caption": caption or (example.uri if example else "an image"),
            }
        )  # fmt: skip
    return [{"name": name, "images": images} for name, images in rows.items()]


def top_images(
    top: Sequence[Top],
    known: Mapping[int, Example],
    pictures: Mapping[int, bytes],
    *,
    whole: bool = False,
) -> list[dict[str, Any]]:
    """The top images as the component `topimages` takes them; `whole` where the patches cover all
    of a picture and not the square that is shown."""
    images = [_image(one, known.get(one.example_id), pictures.get(one.example_id)) for one in top]
    for image, one in zip(images, top, strict=True):
        example = known.get(one.example_id)
        image["aspect"] = example.aspect if whole and example else 1.0
    return images


def _image(one: Top, example: Example | None, picture: bytes | None) -> dict[str, Any]:
    details = [f"activation {number(one.activation, 3)}, rank {one.rank}"]
    if example and example.label:
        details.append(f"class {example.label}")
    if example and example.tags:
        details.append("tags: " + ", ".join(example.tags[:24]))
    return {
        "rank": one.rank, "text": number(one.activation), "details": details,
        "src": picture and data_uri(picture), "name": example.uri if example else "an image",
        "href": address.to_image(one.example_id) if example else None,
        "caption": example.captions[0][:400] if example and example.captions else None,
        "patches": one.patches, "acts": [round(a, 5) for a in one.patch_acts],
    }  # fmt: skip
