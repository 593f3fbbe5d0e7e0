"""The scenes are what they say: the same every time, and as true in pixels as in words."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.demo import paint
from pipeline.demo.scenes import (
    POSITIONS,
    RADII,
    VOCABULARY,
    Item,
    Scene,
    caption,
    masks,
    place_at,
    render,
    sample,
    tags,
)

SEED = 11


def one(**changes: object) -> Scene:
    """A scene of one item, given attributes changed."""
    item = Item("circle", "red", "solid", "large", x=32.0, y=32.0, radius=18.0)
    return Scene("sand", (replace(item, **changes),))


def test_a_scene_is_a_function_of_seed_and_index() -> None:
    first = [sample(index, seed=SEED) for index in range(50)]
    again = [sample(index, seed=SEED) for index in reversed(range(50))][::-1]
    assert first == again
    assert first != [sample(index, seed=SEED + 1) for index in range(50)]


def test_indices_give_distinct_scenes() -> None:
    assert len({sample(index, seed=SEED) for index in range(2000)}) == 2000


def test_pixels_are_a_function_of_the_scene() -> None:
    scene = sample(3, seed=SEED)
    assert np.array_equal(render(scene), render(replace(scene)))


@pytest.mark.parametrize("size", [64, 100, 128, 224])
def test_render_at_any_size(size: int) -> None:
    picture = render(sample(5, seed=SEED), size=size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


def test_sizes_show_the_same_picture() -> None:
    for index in range(20):
        scene = sample(index, seed=SEED)
        large = render(scene, size=128).reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(large - render(scene, size=64)).mean() < 6


def test_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        render(one(), size=63)
    with pytest.raises(ValueError, match="64"):
        masks(one(), size=32)


def test_count_is_kept_or_refused() -> None:
    for count in (1, 2, 3):
        assert {len(sample(k, seed=SEED, count=count).items) for k in range(20)} == {count}
    assert {len(sample(k, seed=SEED).items) for k in range(60)} == {1, 2, 3}
    with pytest.raises(ValueError, match="count is 4"):
        sample(0, seed=SEED, count=4)


def test_items_fit_and_sizes_name_the_radius() -> None:
    for index in range(400):
        scene = sample(index, seed=SEED)
        for item in scene.items:
            low, high = RADII[item.size]
            assert low - 0.01 <= item.radius <= high + 0.01
            for centre in (item.x, item.y):
                assert item.radius <= centre <= paint.CANVAS - item.radius
        if len(scene.items) == 3:
            assert sum(item.size == "large" for item in scene.items) <= 1


def test_every_value_comes_up() -> None:
    seen = {tag for index in range(400) for tag in tags(sample(index, seed=SEED))}
    assert seen == {value for values in VOCABULARY.values() for value in values}


def test_no_value_belongs_to_two_attributes() -> None:
    values = [value for values in VOCABULARY.values() for value in values]
    assert len(values) == len(set(values))


def test_vocabulary_is_immutable() -> None:
    with pytest.raises(TypeError):
        VOCABULARY["shape"] = ()  # type: ignore[index]


@pytest.mark.parametrize("colour", VOCABULARY["colour"])
@pytest.mark.parametrize("shape", VOCABULARY["shape"])
def test_colour_agrees_with_pixels(shape: str, colour: str) -> None:
    scene = one(shape=shape, colour=colour)
    inside = masks(scene, size=128)[0] >= 1
    middle = np.median(render(scene)[inside], axis=0)
    nearest = min(
        paint.COLOURS, key=lambda name: np.abs(middle - np.array(paint.COLOURS[name])).sum()
    )
    assert nearest == colour


@pytest.mark.parametrize("texture", VOCABULARY["texture"])
def test_texture_is_a_second_darker_tone(texture: str) -> None:
    scene = one(shape="square", texture=texture)
    core = render(scene)[48:80, 48:80].astype(float)
    dark = (core[..., 0] < 160).mean()
    low, high = {"solid": (0, 0), "dotted": (0.15, 0.5)}.get(texture, (0.35, 0.65))
    assert low <= dark <= high


def test_textures_differ_on_every_shape() -> None:
    for shape in VOCABULARY["shape"]:
        pictures = [render(one(shape=shape, texture=t)).astype(int) for t in VOCABULARY["texture"]]
        for first in range(4):
            for second in range(first):
                assert np.abs(pictures[first] - pictures[second]).max() > 60


def test_shapes_differ() -> None:
    areas = [masks(one(shape=shape), size=64)[0] for shape in VOCABULARY["shape"]]
    for first in range(len(areas)):
        for second in range(first):
            differs = np.abs(areas[first] - areas[second]).sum()
            assert differs > 0.15 * min(areas[first].sum(), areas[second].sum())


def test_background_is_untouched_where_no_item_is() -> None:
    scene = one(x=20.0, y=20.0)
    empty = render(Scene("sand", ()))
    assert np.array_equal(render(scene)[:, 100:], empty[:, 100:])
    assert not np.array_equal(render(scene), empty)


def test_shift_moves_the_background() -> None:
    still, moved = Scene("brick", ()), Scene("brick", (), shift=64 * 4 + 8)
    assert np.array_equal(render(still)[8:, 16:], render(moved)[:-8, :-16])


def test_masks_say_where_items_are() -> None:
    scene = one(shape="circle", x=24.0, y=40.0, radius=18.0)
    (cover,) = masks(scene, size=64)
    assert cover.dtype == np.float32
    assert cover.sum() == pytest.approx(np.pi * 18**2, rel=0.01)
    rows, columns = np.indices(cover.shape) + 0.5
    assert (cover * columns).sum() / cover.sum() == pytest.approx(24.0, abs=0.05)
    assert (cover * rows).sum() / cover.sum() == pytest.approx(40.0, abs=0.05)


def test_masks_agree_with_pixels() -> None:
    scene = sample(8, seed=SEED, count=1)
    (cover,) = masks(scene, size=128)
    changed = np.abs(render(scene).astype(int) - render(replace(scene, items=()))).max(2) > 0
    assert changed[cover > 0.5].mean() > 0.99


def test_later_items_hide_earlier_ones() -> None:
    below = Item("square", "red", "solid", "large", x=28.0, y=32.0, radius=18.0)
    above = Item("circle", "blue", "solid", "small", x=32.0, y=32.0, radius=10.0)
    cover = masks(Scene("grass", (below, above)), size=64)
    assert cover[1, 32, 32] == 1
    assert cover[0, 32, 32] == 0
    assert cover.sum(0).max() <= 1 + 1e-6
    assert np.array_equal(cover[1], masks(Scene("grass", (above,)), size=64)[0])


def test_sampled_items_stay_mostly_visible() -> None:
    for index in range(200):
        scene = sample(index, seed=SEED)
        for item, cover in zip(scene.items, masks(scene, size=64), strict=True):
            (alone,) = masks(Scene(scene.background, (item,)), size=64)
            assert cover.sum() >= 0.8 * alone.sum()


def test_captions_name_every_attribute_of_every_item() -> None:
    for index in range(300):
        scene = sample(index, seed=SEED)
        text = caption(scene)
        assert text.endswith(scene.background)
        for item in scene.items:
            assert f"a {item.size} {item.colour} {item.texture} {item.shape}" in text
            if len(scene.items) == 1:
                assert POSITIONS[item.position] in text


def test_captions_say_the_order() -> None:
    left = Item("star", "pink", "dotted", "small", x=15.0, y=30.0, radius=11.0)
    right = Item("ring", "blue", "solid", "large", x=44.0, y=34.0, radius=18.0)
    scene = Scene("night", (right, left))
    assert caption(scene) == ("a small pink dotted star left of a large blue solid ring at night")
    upright = Scene("grass", (replace(right, y=44.0, x=32.0), replace(left, y=12.0, x=32.0)))
    assert caption(upright) == ("a small pink dotted star above a large blue solid ring on grass")
    assert caption(one()) == "a large red solid circle in the centre on sand"


def test_tags_are_what_is_there_and_nothing_else() -> None:
    assert tags(one()) == tuple(
        sorted(("circle", "red", "solid", "large", "sand", "centre", "one"))
    )
    for index in range(100):
        scene = sample(index, seed=SEED)
        said = tags(scene)
        assert list(said) == sorted(set(said))
        for attribute in ("shape", "colour", "texture", "size", "position"):
            truth = {getattr(item, attribute) for item in scene.items}
            assert truth == set(said) & set(VOCABULARY[attribute])


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("radius", [10.0, 20.0])
def test_places_are_where_they_say(position: str, radius: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = place_at(position, rng, radius=radius)
        assert one(x=x, y=y, radius=radius).items[0].position == position
        assert radius <= min(x, y)
        assert max(x, y) <= paint.CANVAS - radius
