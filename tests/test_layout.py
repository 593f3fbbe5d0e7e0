"""Where the image is: boxes against the real processors, kinds of tokens, chat templates."""

import math
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_families as families
import torch
from PIL import Image
from torch import Tensor

from pipeline import models
from pipeline.models.layout import KINDS, code

SIZES = [(40, 40), (77, 50), (50, 121), (24, 24), (300, 90), (33, 97), (32, 32)]
"""Larger and smaller than the models' 32 or 64 pixels, of several aspect ratios."""
GRIDDED = ["clip", "siglip", "openclip", "openclip-timm", "llava", "paligemma", "clip-gemma"]
talking = pytest.mark.parametrize("name", families.TALK)


def painted(size: tuple[int, int], box: Tensor) -> Image.Image:
    """A dark picture with a white square at `box`, its rim mixed where it lies between pixels."""
    left, top, right, bottom = box.tolist()
    x, y = np.arange(size[0]), np.arange(size[1])
    across = np.clip(np.minimum(x + 1, right) - np.maximum(x, left), 0, 1)
    down = np.clip(np.minimum(y + 1, bottom) - np.maximum(y, top), 0, 1)
    grey = (255 * down[:, None] * across).round().astype(np.uint8)
    return Image.fromarray(np.stack([grey] * 3, 2))


def brightness(pixels: Tensor, black: Tensor, patch: int) -> Tensor:
    """Mean of each patch above that of a black picture: [..., 3, h, w] -> [..., patches]."""
    rows = (pixels - black).float().unflatten(-1, (-1, patch)).unflatten(-3, (-1, patch))
    return rows.mean((-5, -3, -1)).flatten(-2)


def within(box: Tensor, size: tuple[int, int]) -> bool:
    left, top, right, bottom = box.tolist()
    return left > -0.5 and top > -0.5 and right < size[0] + 0.5 and bottom < size[1] + 0.5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", GRIDDED)
def test_a_patchs_box_is_what_it_sees(name: str, size: tuple[int, int]) -> None:
    check_boxes(families.adapter(name), size)


@pytest.mark.parametrize("size", [(40, 40), (77, 50), (50, 80), (24, 24), (300, 201)])
@pytest.mark.parametrize("resize", ["squash", "longest"])
def test_open_clips_other_ways_to_resize(
    resize: str, size: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("openclip") / resize
    families.openclip(folder, resize=resize)
    check_boxes(models.load(families.settings("openclip", at=folder), device="cpu"), size)


def check_boxes(adapter: models.Adapter, size: tuple[int, int]) -> None:
    hook = "vision.0.resid_post"
    blank = Image.new("RGB", size)
    batch = adapter.prepare([blank], ["abc"])
    layout = adapter.layout(batch, hook)
    boxes = adapter.boxes(batch, hook)[0]
    (patches,) = (layout.kind[0] == code("patch")).nonzero(as_tuple=True)
    assert torch.equal(boxes.isnan().any(1), layout.kind[0] != code("patch"))
    assert layout.cell[0, patches].tolist() == list(range(len(patches)))
    assert layout.grid is not None
    key = "x" if "x" in batch.tensors else "pixel_values"
    black, seen = batch.tensors[key][0], 0
    for cell, box in enumerate(boxes[patches]):
        if not within(box, size):
            continue
        seen += 1
        pixels = adapter.prepare([painted(size, box)], ["abc"]).tensors[key][0]
        found = brightness(pixels, black, pixels.shape[-1] // layout.grid[1])
        assert found.argmax() == cell
        # What spills over the rim is the processor's blur: a box off by a quarter of a patch would
        # light its neighbour more.
        others = found[torch.arange(len(found)) != cell]
        assert others.max() < 0.25 * found[cell]
    assert seen >= 2


@pytest.mark.parametrize("name", [n for n in families.SEE if "language" in
                                  families.FAMILIES[n].towers and n != "gemma3"])  # fmt: skip
def test_an_image_token_has_the_box_of_the_vector_that_stands_there(name: str) -> None:
    """The language model's input at an image token is the projector's output for that patch."""
    adapter = families.adapter(name)
    sizes = [(40, 40), (70, 30), (50, 121)]
    pictures = [tiny.picture(i, side=60).resize(size) for i, size in enumerate(sizes)]
    batch = adapter.prepare(pictures, ["abc", "What is it?", "no"])
    entered: list[Tensor] = []
    handle = adapter.towers[-1].stack.register_forward_pre_hook(
        lambda _m, _a, kwargs: entered.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with torch.inference_mode():
        adapter.forward(batch)
    handle.remove()
    projected = adapter.record(batch, ["vision.projection"])["vision.projection"]
    source = adapter.layout(batch, "vision.projection")
    source_boxes = adapter.boxes(batch, "vision.projection")
    layout, boxes = (
        adapter.layout(batch, "language.0.resid_post"),
        adapter.boxes(batch, "language.0.resid_post"),
    )
    for row in range(len(pictures)):
        tokens = (batch.tensors["input_ids"][row] == adapter.image_token).nonzero()[:, 0]
        mine = source.example == row
        vectors, kinds = projected[mine].flatten(0, 1), source.kind[mine].flatten()
        cells, theirs = source.cell[mine].flatten(), source_boxes[mine].flatten(0, 1)
        used = 0
        for token in tokens:
            at = (vectors - entered[0][row, token]).abs().amax(1)
            if layout.kind[row, token] == code("special"):
                assert name == "llava-next"
                newline = adapter.model.model.image_newline
                torch.testing.assert_close(entered[0][row, token], newline)
                assert layout.cell[row, token] == -1 and boxes[row, token].isnan().all()
                continue
            patch = int(at.argmin())
            assert at[patch] < 1e-5
            assert layout.kind[row, token] == kinds[patch]
            assert layout.cell[row, token] == cells[patch]
            torch.testing.assert_close(boxes[row, token], theirs[patch], equal_nan=True)
            used += 1
        assert used == (len(tokens) if name != "llava-next" else used)
        assert used >= tiny.SIDE // tiny.PATCH
    if name == "llava-next":
        assert (layout.kind == code("special")).sum() > 3, "rows end"


@pytest.mark.parametrize("size", [*SIZES, (31, 200), (64, 32), (65, 33)])
def test_the_patches_of_llava_nexts_tiles(size: tuple[int, int]) -> None:
    adapter = families.adapter("llava-next")
    hook = "vision.projection"
    batch = adapter.prepare([Image.new("RGB", size)], ["abc"])
    layout, boxes = adapter.layout(batch, hook), adapter.boxes(batch, hook)
    assert (layout.example == 0).all()
    assert torch.equal(boxes.isnan().any(2), layout.kind != code("patch"))
    white = adapter.prepare([Image.new("RGB", size, "white")], ["abc"]).tensors["pixel_values"][0]
    assert len(white) == len(layout.kind)
    black = batch.tensors["pixel_values"][0]
    lit = brightness(white, black, tiny.PATCH)
    # Padding is black; a patch is one of the picture where its middle is.
    half = lit.max() / 2
    clear = (lit - half).abs() > 0.15 * lit.max()
    assert torch.equal((lit > half)[clear], (layout.kind == code("patch"))[clear])
    assert (layout.kind[0] == code("patch")).all(), "the first row is the whole picture"
    seen = 0
    for tile, patch in (layout.kind == code("patch")).nonzero().tolist():
        box = boxes[tile, patch]
        if not within(box, size) or (tile * 16 + patch) % 3:  # a third of them is enough
            continue
        seen += 1
        pixels = adapter.prepare([painted(size, box)], ["abc"]).tensors["pixel_values"][0]
        found = brightness(pixels, black, tiny.PATCH)[tile]
        assert found.argmax() == patch
        assert found[torch.arange(16) != patch].max() < 0.3 * found[patch]
        # Its cell of the whole picture's grid holds its middle.
        x, y = (box[0] + box[2]) / 2 / size[0] * 4, (box[1] + box[3]) / 2 / size[1] * 4
        assert int(layout.cell[tile, patch]) == math.floor(y) * 4 + math.floor(x)
    assert seen >= 6


def test_tiles_are_as_many_as_each_picture_needs() -> None:
    adapter = families.adapter("llava-next")
    pictures = [tiny.picture(0, side=60).resize(size) for size in [(60, 30), (60, 60), (30, 70)]]
    batch = adapter.prepare(pictures, ["a", "b", "c"])
    layout = adapter.layout(batch, "vision.0.resid_post")
    tiles = layout.example.bincount().tolist()
    assert tiles == [3, 5, 3]
    assert layout.examples == 3
    assert (layout.kind[:, 0] == code("cls")).all()


@talking
def test_the_shorter_prompt_is_padded_on_the_left(name: str) -> None:
    adapter = families.adapter(name)
    batch = adapter.prepare([tiny.picture(0)] * 2, ["ab", "What is it?"])
    kind = adapter.layout(batch, "language.0.resid_post").kind
    assert (kind[0, :9] == code("pad")).all()
    assert (kind[0, 9:] != code("pad")).all() and (kind[1] != code("pad")).all()
    words = [(row == code("text")).sum() for row in kind]
    assert words[1] - words[0] == 9


@talking
def test_words_are_text_and_the_first_token_comes_once(name: str) -> None:
    adapter = families.adapter(name)
    ids = adapter.prepare([tiny.picture(0)], ["abc"]).tensors["input_ids"][0]
    kind = adapter.layout(adapter.prepare([tiny.picture(0)], ["abc"]), "language.0.resid_post").kind
    begin = families.VOCABULARY.index("<bos>")
    assert (ids == begin).sum() == 1
    assert KINDS[int(kind[0, ids == begin][0])] == "special"
    text = [families.VOCABULARY[i] for i in ids[kind[0] == code("text")]]
    assert "abc" in "".join(text)
    assert not {*text} & {*families.SPECIAL}


TEMPLATED = {"llava": "USER: \nabc ASSISTANT:", "llava-next": "USER: \nabc ASSISTANT:"}
BARE = {
    "llava-full": "\nabc",
    "paligemma": "abc\n",
    "paligemma2": "abc\n",
    "gemma2": "abc",
}


@pytest.mark.parametrize(("name", "said"), [*TEMPLATED.items(), *BARE.items()])
def test_a_prompt_goes_through_the_chat_template_where_there_is_one(name: str, said: str) -> None:
    adapter = families.adapter(name)
    batch = adapter.prepare([tiny.picture(0)], ["abc"])
    kind = adapter.layout(batch, "language.0.resid_post").kind[0]
    ids = batch.tensors["input_ids"][0][kind == code("text")]
    assert "".join(families.VOCABULARY[i] for i in ids) == said


@pytest.mark.parametrize("name", ["llava", "llava-full", "llava-next", "paligemma"])
def test_a_prompt_that_places_the_image_stays_as_it_is(name: str) -> None:
    adapter: Any = families.adapter(name)
    batch = adapter.prepare([tiny.picture(0)], ["x <image>y"])
    kind = adapter.layout(batch, "language.0.resid_post").kind[0]
    ids = batch.tensors["input_ids"][0][kind == code("text")]
    text = "".join(families.VOCABULARY[i] for i in ids)
    assert text == ("x y\n" if name == "paligemma" else "x y")
    once = adapter.prepare([tiny.picture(0)], ["abc"]).tensors["input_ids"] == adapter.image_token
    assert (batch.tensors["input_ids"] == adapter.image_token).sum() == once.sum()


def test_the_whole_of_llavas_tower_keeps_its_cls_token() -> None:
    adapter = families.adapter("llava-full")
    batch = adapter.prepare([tiny.picture(0)], ["abc"])
    for hook in ("vision.projection", "language.0.resid_post"):
        kind = adapter.layout(batch, hook).kind[0]
        assert (kind == code("cls")).sum() == 1 and (kind == code("patch")).sum() == 16
        assert "cls" in adapter.hook_points[hook].kinds


def test_pooled_image_tokens_have_a_grid_of_their_own() -> None:
    adapter = families.adapter("gemma3")
    batch = adapter.prepare([tiny.picture(0)], ["abc"])
    for hook in ("vision.projection", "language.0.resid_post"):
        layout = adapter.layout(batch, hook)
        assert layout.grid == (2, 2)
        assert layout.cell[layout.kind == code("patch")].tolist() == [0, 1, 2, 3]
    assert adapter.layout(batch, "vision.0.resid_post").grid == (4, 4)
