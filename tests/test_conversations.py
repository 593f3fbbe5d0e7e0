"""LLaVA's JSON: what is read of it, what is left out and why, and files that are something else."""

import json
import logging
from pathlib import Path

import pytest

from pipeline import config
from pipeline.projector.conversations import Conversation, ConversationError, read

CAPTION = {
    "id": "004539375",
    "image": "00453/004539375.jpg",
    "conversations": [
        {"from": "human", "value": "Render a clear summary of the photo.\n<image>"},
        {"from": "gpt", "value": "select luxury furniture "},
    ],
}
INSTRUCTION = {
    "id": "000000033471",
    "image": "coco/train2017/000000033471.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat are the colors of the bus?"},
        {"from": "gpt", "value": "White and red."},
        {"from": "human", "value": "Where is it?"},
        {"from": "gpt", "value": "In a city — 街."},
    ],
}


def settings(folder: Path, data: object, **more: object) -> config.Conversations:
    path = folder / "data.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return config.Conversations(path=path, images=folder / "images", **more)


def said(*values: object, speakers: tuple[str, ...] = ("human", "gpt")) -> dict[str, object]:
    parts = [
        {"from": speaker, "value": value} for speaker, value in zip(speakers, values, strict=True)
    ]
    return {"image": "a.png", "conversations": parts}


def test_captions_and_instructions_are_read(tmp_path: Path) -> None:
    found, left_out = read(settings(tmp_path, [CAPTION, INSTRUCTION]))
    assert found == [
        Conversation(
            tmp_path / "images/00453/004539375.jpg",
            (("Render a clear summary of the photo.", "select luxury furniture"),),
        ),
        Conversation(
            tmp_path / "images/coco/train2017/000000033471.jpg",
            (
                ("What are the colors of the bus?", "White and red."),
                ("Where is it?", "In a city — 街."),
            ),
        ),
    ]
    assert left_out == {}
    assert "Where is it?" in found[1].words and "White and red." in found[1].words


def test_the_image_alone_is_an_empty_question(tmp_path: Path) -> None:
    found, _ = read(settings(tmp_path, [said("<image>\n", "a dog")]))
    assert found[0].turns == (("", "a dog"),)


def test_the_limit_counts_what_can_be_used(tmp_path: Path) -> None:
    data = [{"conversations": []}, CAPTION, INSTRUCTION, CAPTION]
    found, left_out = read(settings(tmp_path, data, limit=2))
    assert [c.image.name for c in found] == ["004539375.jpg", "000000033471.jpg"]
    assert left_out == {"no image": 1}


ODD = [
    (3, "no JSON object"),
    ({"conversations": CAPTION["conversations"]}, "no image"),
    (CAPTION | {"image": ["a.png", "b.png"]}, "image is not the name of one file"),
    (CAPTION | {"image": ""}, "image is not the name of one file"),
    (CAPTION | {"image": "a\0.png"}, "image is not the name of one file"),
    (CAPTION | {"image": "/etc/a.png"}, "image is a path out of the folder data.images"),
    (CAPTION | {"image": "x/../../a.png"}, "image is a path out of the folder data.images"),
    (CAPTION | {"image": "\ud800.png"}, "an image's name that is no Unicode"),
    ({"image": "a.png"}, "conversations is no list of questions, each with its answer"),
    (
        CAPTION | {"conversations": []},
        "conversations is no list of questions, each with its answer",
    ),
    (
        CAPTION | {"conversations": INSTRUCTION["conversations"][:3]},
        "conversations is no list of questions, each with its answer",
    ),
    (
        CAPTION | {"conversations": ["a", "b"]},
        "a part of conversations without a text as its value",
    ),
    (said("q", 3), "a part of conversations without a text as its value"),
    (said("q", "a", speakers=("gpt", "human")), "the speakers are not human and gpt in turn"),
    (said("q", "a", speakers=("human", "human")), "the speakers are not human and gpt in turn"),
    (said("<image> <image>", "a"), "<image> more than once"),
    (said("<image>", "an <image>"), "<image> in an answer"),
    (said("<image>", " \n"), "an empty answer"),
    (said("<image>", "\ud800"), "text that is no Unicode"),
]


@pytest.mark.parametrize(("entry", "reason"), ODD)
def test_an_odd_entry_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entry: object, reason: str
) -> None:
    with caplog.at_level(logging.WARNING):
        found, left_out = read(settings(tmp_path, [entry, CAPTION, entry]))
    assert len(found) == 1
    assert left_out == {reason: 2}
    assert caplog.messages == [f"{tmp_path / 'data.json'}: 2 entries left out: {reason}"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a"', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ({"a": 1}, "holds no list but a dict"),
        ([], "no entry can be used; give LLaVA's JSON"),
        ([{"conversations": []}], "no entry can be used (no image)"),
    ],
)
def test_a_file_of_something_else_is_told_in_one_line(
    tmp_path: Path, data: object, says: str
) -> None:
    with pytest.raises(ConversationError) as refused:
        read(settings(tmp_path, data))
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert str(tmp_path / "data.json") in str(refused.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match=r"none\.json: cannot be read"):
        read(config.Conversations(path=tmp_path / "none.json", images=tmp_path))
