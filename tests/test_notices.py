"""What a run's figures should warn of: a line each, and none where all is well."""

from typing import Any

import pytest

from pipeline.metrics.notices import notices


def sae(**more: Any) -> dict[str, Any]:
    return {
        "dictionary_id": "clip/vision.projection/joint", "name": "joint", "basis": "sae",
        "d_sae": 256, "dead": 20, "fvu": 0.1, "learnt_from": "cls + captions",
    } | more  # fmt: skip


def measured(token_type: str, l0: float, tokens: int = 500) -> dict[str, Any]:
    of = {"dictionary_id": "clip/vision.projection/joint", "token_type": token_type}
    return of | {"l0": l0, "tokens": tokens}


def facts(**more: Any) -> dict[str, Any]:
    return {
        "config": {"dictionaries": {"joint": {"k": 20}}},
        "dictionaries": [sae(), sae(dictionary_id="clip/x/neurons", basis="neurons", dead=256)],
        "reconstruction": [measured("image", 21), measured("caption_alone", 19)],
        "encoders": [{"encoder": "judge", "judges_itself": False}, {"encoder": "old"}],
        "live": {}, "val": 500, "captioned": 490,
    } | more  # fmt: skip


def test_nothing_is_said_where_all_is_well() -> None:
    assert notices(**facts()) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"encoders": [{"encoder": "own", "judges_itself": True}]}, "MS by own is a model's"),
        ({"val": 60, "captioned": 60}, "The val split has 60 images"),
        ({"dictionaries": [sae(fvu=0.65)]}, "is not explained (fvu): clip/vision.projection/joint"),
        ({"dictionaries": [sae(dead=128)]}, "50% of the features are dead: clip/vision.projection"),
        ({"live": {"clip/vision.projection/joint": 100}}, "(156 of 256); lower expansion"),
        ({"dictionaries": [sae(d_sae=20, dead=8)]}, "Fewer than 16 features are live"),
        ({"reconstruction": [measured("image", 68)]}, "(68.0 on cls for k = 20)"),
        ({"reconstruction": [measured("caption_alone", 10)]}, "(10.0 on captions for k = 20)"),
        ({"captioned": 0}, "No val image has a caption"),
        ({"captioned": 300}, "200 of 500 val images have no caption"),
    ],
)  # fmt: skip
def test_each_is_said_in_one_line(more: dict[str, Any], said: str) -> None:
    (line,) = notices(**facts(**more))
    assert said in line
    assert "\n" not in line


def test_features_that_fire_on_captions_are_not_dead() -> None:
    silent = facts(dictionaries=[sae(dead=200)], live={"clip/vision.projection/joint": 200})
    assert notices(**silent) == []


def test_what_is_not_known_is_passed_over() -> None:
    odd = sae(fvu=None, learnt_from=None)
    assert notices(**facts(dictionaries=[odd], config={}, captioned=None)) == []
    none_read = {"captions": {"per_image": 0}}
    assert notices(**facts(captioned=0, config=facts()["config"] | none_read)) == []
    published = {"dictionaries": {"joint": {"kind": "published"}}}
    assert notices(**facts(dictionaries=[odd], config=published)) == []


def test_many_dictionaries_are_named_by_the_first() -> None:
    some = [sae(dictionary_id=f"clip/vision.{n}/x", fvu=0.9) for n in range(7)]
    (line,) = notices(**facts(dictionaries=some))
    assert line.count("clip/vision.") == 3
    assert "and 4 more" in line
