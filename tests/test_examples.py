"""Images come in upright and in RGB, or are skipped with a reason; ids and splits stay put."""

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import picture_files
import pytest
from PIL import Image

from pipeline import config
from pipeline.inputs import listing, pictures, readers, reading
from pipeline.inputs.examples import Example
from pipeline.inputs.pictures import Unreadable
from pipeline.inputs.sources import ExampleError

RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)


def quarters(mode: str = "RGB") -> Image.Image:
    """Red, green / blue, white: 24 wide and 16 high, so that every turn shows."""
    image = Image.new("RGB", (24, 16), WHITE)
    image.paste(RED, (0, 0, 12, 8))
    image.paste(GREEN, (12, 0, 24, 8))
    image.paste(BLUE, (0, 8, 12, 16))
    return image.convert(mode)


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Colours in the middle of the four quarters, in reading order."""
    w, h = image.size
    assert image.mode == "RGB"
    return [image.getpixel((x, y)) for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)]


def near(found: list[tuple[int, ...]], wanted: list[tuple[int, ...]], within: int = 6) -> bool:
    return np.abs(np.array(found) - np.array(wanted)).max() <= within


def folder(path: Path, **more: object) -> readers.Reader:
    return readers.reader(config.Folder(kind="folder", path=path, **more))


def save(path: Path, image: Image.Image | None = None, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or quarters()).save(path, **options)


def found(path: Path, **more: object) -> dict[str, Example]:
    return {e.uri: e for e in folder(path, **more).examples()}


def settings(path: Path, **more: object) -> config.Examples:
    return config.Examples(source=config.Folder(kind="folder", path=path), **more)


def listed(path: Path, **more: object) -> list[Example]:
    return listing.listing(settings(path, **more), source=folder(path))


# --- The forms of a folder ---


def test_a_flat_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", ".hidden.png", ".cache/x.png"):
        save(tmp_path / name)
    got = found(tmp_path)
    assert list(got) == ["a.jpg", "b.png"]
    assert {(e.split, e.label, e.taxonomy, e.tags, e.captions) for e in got.values()} == {
        ("", None, (), (), ())
    }


def test_a_class_per_subfolder(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/big/2.png", "3.png"):
        save(tmp_path / name)
    got = found(tmp_path)
    assert (got["cat/1.png"].label, got["cat/1.png"].taxonomy) == ("cat", ("cat",))
    assert (got["dog/big/2.png"].label, got["dog/big/2.png"].taxonomy) == ("big", ("dog", "big"))
    assert got["dog/big/2.png"].tags == ("big",)
    assert got["3.png"].label is None


def test_folders_train_and_val(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/2.png", "val/cat/3.png"):
        save(tmp_path / name)
    splits = {e.uri: (e.split, e.label) for e in listed(tmp_path)}
    assert splits == {
        "train/cat/1.png": ("train", "cat"),
        "train/2.png": ("train", None),
        "val/cat/3.png": ("val", "cat"),
    }


def test_a_stray_file_does_not_upset_the_folders_splits(tmp_path: Path) -> None:
    for i in range(20):
        save(tmp_path / "train" / f"{i}.png")
        save(tmp_path / "val" / f"{i}.png")
    (tmp_path / "README.txt").write_text("about these images")
    for example in listed(tmp_path):
        if "/" in example.uri:
            assert example.uri.startswith(f"{example.split}/")
        assert example.split in ("train", "val")


def test_a_limit_keeps_the_folders_splits(tmp_path: Path) -> None:
    for i in range(30):
        save(tmp_path / ("val" if i == 0 else "train") / f"{i}.png")
    with pytest.raises(ExampleError, match="none in the val split"):
        listed(tmp_path, limit=2)
    few = listed(tmp_path, limit=29)
    assert all(e.uri.startswith(f"{e.split}/") for e in few)


def test_a_class_called_train_alone_is_a_hash_split(tmp_path: Path) -> None:
    for i in range(30):
        save(tmp_path / "train" / f"{i}.png")
    assert {e.split for e in listed(tmp_path)} == {"train", "val"}


def test_a_csv_gives_captions_and_labels(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "c.png"):
        save(tmp_path / name)
    table = tmp_path / "captions.csv"
    table.write_text(
        '\ufeffimage,caption,label\na.png,"One, with a comma",cat\na.png, Two ,\n'
        "sub/b.png,,dog\nnowhere.png,lost,\n",
        encoding="utf-8",
    )
    got = found(tmp_path, captions=table)
    assert list(got) == ["a.png", "c.png", "sub/b.png"], "the CSV itself is no example"
    assert got["a.png"].captions == ("One, with a comma", "Two")
    assert got["a.png"].label == "cat"
    assert (got["sub/b.png"].captions, got["sub/b.png"].label) == ((), "dog")
    assert got["c.png"].captions == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"file,caption\na.png,x\n", "no column `image`, but"),
        (b"", "no column `image`"),
        (b"image,caption\na.png,\xff\xfe\n", "not a CSV in UTF-8"),
    ],
    ids=["column", "empty", "bytes"],
)
def test_a_csv_that_cannot_be_used(tmp_path: Path, content: bytes, reason: str) -> None:
    save(tmp_path / "a.png")
    table = tmp_path / "captions.csv"
    table.write_bytes(content)
    with pytest.raises(ExampleError, match=reason) as refused:
        found(tmp_path, captions=table)
    assert str(table) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExampleError, match=r"no folder .*nowhere"):
        folder(tmp_path / "nowhere")
    save(tmp_path / "a.png")
    with pytest.raises(ExampleError, match=r"no file .*none\.csv"):
        folder(tmp_path, captions=tmp_path / "none.csv")
    with pytest.raises(ExampleError, match="none found"):
        listed(_empty(tmp_path))


def _empty(path: Path) -> Path:
    (path / "empty").mkdir()
    return path / "empty"


# --- Reading ---


def opened(path: Path) -> Image.Image:
    return pictures.read_rgb(path)


FORMS: dict[str, tuple[Callable[[Path], None], list[tuple[int, int, int]]]] = {
    "rgb.png": (save, [RED, GREEN, BLUE, WHITE]),
    "rgb.jpg": (lambda p: save(p, quality=95, subsampling=0), [RED, GREEN, BLUE, WHITE]),
    "rgb.webp": (lambda p: save(p, lossless=True), [RED, GREEN, BLUE, WHITE]),
    "rgb.bmp": (save, [RED, GREEN, BLUE, WHITE]),
    "rgb.tiff": (save, [RED, GREEN, BLUE, WHITE]),
    "rgb.gif": (lambda p: save(p, quarters("P")), [RED, GREEN, BLUE, WHITE]),
    "grey.png": (
        lambda p: save(p, quarters("L")),
        [(76,) * 3, (150,) * 3, (29,) * 3, WHITE],
    ),
    "grey.jpg": (
        lambda p: save(p, quarters("L"), quality=95),
        [(76,) * 3, (150,) * 3, (29,) * 3, WHITE],
    ),
    "palette.png": (lambda p: save(p, quarters("P")), [RED, GREEN, BLUE, WHITE]),
    "cmyk.jpg": (
        lambda p: save(p, quarters("CMYK"), quality=95),
        [RED, GREEN, BLUE, WHITE],
    ),
    "cmyk.tiff": (lambda p: save(p, quarters("CMYK")), [RED, GREEN, BLUE, WHITE]),
    "bits.png": (
        lambda p: save(p, quarters("L").point(lambda v: 255 * (v > 100)).convert("1")),
        [BLACK, WHITE, BLACK, WHITE],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_mode_comes_out_as_the_same_picture(name: str, tmp_path: Path) -> None:
    write, wanted = FORMS[name]
    write(tmp_path / name)
    image = opened(tmp_path / name)
    assert image.size == (24, 16)
    assert near(corners(image), wanted)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "palette", "grey key", "colour key"])
def test_what_is_transparent_is_white(mode: str, tmp_path: Path) -> None:
    """The upper left quarter is transparent, though it stores red; the lower left stays."""
    image = quarters()
    file = tmp_path / "x.png"
    wanted = BLUE
    if mode in ("RGBA", "LA"):
        alpha = Image.new("L", image.size, 255)
        alpha.paste(0, (0, 0, 12, 8))
        image.putalpha(alpha)
        if mode == "LA":
            image, wanted = image.convert("LA"), (29,) * 3
        image.save(file)
    elif mode == "palette":
        palette = quarters("P")
        palette.save(file, transparency=palette.getpixel((6, 4)))
    elif mode == "grey key":
        image.convert("L").save(file, transparency=76)
        wanted = (29,) * 3
    else:
        image.save(file, transparency=RED)
    read = corners(opened(file))
    assert near([read[0]], [WHITE])
    assert near([read[2]], [wanted])


def test_half_transparent_is_mixed_with_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    image.save(tmp_path / "x.png")
    assert near([opened(tmp_path / "x.png").getpixel((4, 4))], [(255, 127, 127)], within=1)


@pytest.mark.parametrize("brightest", [65535, 20000, 200])
def test_sixteen_bits_become_eight(brightest: int, tmp_path: Path) -> None:
    ramp = np.linspace(0, brightest, 64).astype(np.uint16)[None].repeat(8, 0)
    for name in ("x.png", "x.tiff"):
        Image.fromarray(ramp).save(tmp_path / name)
        read = np.asarray(opened(tmp_path / name))[0, :, 0].astype(float)
        assert np.abs(read - ramp[0] / 257).max() <= 1, name


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG by hand, for forms that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    row = b"\0" + struct.pack(">3H", 65535, 32768, 0) * 4
    (tmp_path / "x.png").write_bytes(png(4, 4, 16, 2, row * 4))
    assert near([opened(tmp_path / "x.png").getpixel((2, 2))], [(255, 128, 0)], within=1)


TURNS = {
    1: [RED, GREEN, BLUE, WHITE],
    2: [GREEN, RED, WHITE, BLUE],
    3: [WHITE, BLUE, GREEN, RED],
    4: [BLUE, WHITE, RED, GREEN],
    5: [RED, BLUE, GREEN, WHITE],
    6: [BLUE, RED, WHITE, GREEN],
    7: [WHITE, GREEN, BLUE, RED],
    8: [GREEN, WHITE, RED, BLUE],
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_rotation_is_applied(turn: int, suffix: str, tmp_path: Path) -> None:
    """Orientation 6: the camera was turned, the stored rows are the picture's columns."""
    exif = Image.Exif()
    exif[0x0112] = turn
    file = tmp_path / f"x.{suffix}"
    quarters().save(file, exif=exif, **({} if suffix == "png" else {"quality": 95}))
    image = opened(file)
    assert image.size == ((24, 16) if turn < 5 else (16, 24))
    assert near(corners(image), TURNS[turn], within=40 if suffix != "png" else 0)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_does_not_lose_the_picture(tmp_path: Path) -> None:
    file = tmp_path / "x.jpg"
    save(file, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12\0\x03\0\0")
    assert opened(file).size == (24, 16)


def bad_files(path: Path) -> dict[str, str]:
    """Files that cannot be read, and what the reason says."""
    path.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(
        buffer, "JPEG"
    )
    whole = buffer.getvalue()
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(
        noise, "PNG"
    )
    Image.new("1", (5001, 5000)).save(path / "huge.png")
    # A header that promises a billion pixels, over what Pillow itself refuses.
    (path / "bomb.png").write_bytes(png(40_000, 40_000, 8, 2, b""))
    contents = {
        "truncated.jpg": whole[: len(whole) // 2],
        "truncated.png": noise.getvalue()[: len(noise.getvalue()) // 2],
        "head.jpg": whole[:12],
        "zero.jpg": b"",
        "notes.txt": b"not an image",
        "page.html": b"<html></html>",
        "data.bin": bytes(range(256)) * 8,
    }
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return {
        "truncated.jpg": "truncated",
        "truncated.png": "truncated",
        "head.jpg": "damaged|not an image",
        "zero.jpg": "not an image",
        "notes.txt": "not an image",
        "page.html": "not an image",
        "data.bin": "not an image",
        "huge.png": r"25\.0 million pixels, over 25",
        "bomb.png": "million pixels",
    }


def batches_of(reader: readers.Reader, wanted: list, **more: object) -> list[reading.Pictures]:
    return [batch for batch, _ in reading.read(reader, wanted, len, **more)]


def test_what_cannot_be_read_is_skipped_with_a_reason(tmp_path: Path) -> None:
    wanted = bad_files(tmp_path)
    for i in range(5):
        save(tmp_path / f"good{i}.png")
    reader = folder(tmp_path)
    listing = list(reader.examples())
    skipped: dict[str, str] = {}
    batches = batches_of(reader, listing, batch=3, skipped=skipped)
    assert [e.uri for batch in batches for e, _ in batch] == [f"good{i}.png" for i in range(5)]
    assert all(len(batch) <= 3 for batch in batches)
    assert set(skipped) == set(wanted)
    for name, reason in wanted.items():
        with pytest.raises(Unreadable, match=reason):
            opened(tmp_path / name)
        assert "\n" not in skipped[name]
        assert str(tmp_path) not in skipped[name]


def test_exactly_25_million_pixels_are_read(tmp_path: Path) -> None:
    Image.new("1", (5000, 5000)).save(tmp_path / "x.png")
    assert opened(tmp_path / "x.png").size == (5000, 5000)


def test_a_file_that_went_is_skipped(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    reader = folder(tmp_path)
    listing = list(reader.examples())
    (tmp_path / "a.png").unlink()
    skipped: dict[str, str] = {}
    assert (batches_of(reader, listing, batch=2, skipped=skipped)) == []
    assert list(skipped) == ["a.png"]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO"])
def test_damage_anywhere_never_stops_the_run(kind: str) -> None:
    """A byte changed, or the end cut off, anywhere: a picture, or a reason in one line."""
    buffer = io.BytesIO()
    quarters("P" if kind == "GIF" else "RGB").save(buffer, kind)
    whole = bytearray(buffer.getvalue())
    rng = np.random.default_rng(7)
    for _ in range(150):
        broken = bytearray(whole)
        for at in rng.integers(len(whole), size=rng.integers(1, 4)):
            broken[at] = rng.integers(256)
        if rng.random() < 0.3:
            del broken[rng.integers(1, len(broken)) :]
        try:
            outcome = pictures.read_rgb(io.BytesIO(bytes(broken))).mode
        except Unreadable as reason:
            outcome = str(reason)
        assert outcome == "RGB" or re.fullmatch(r".*(image|million pixels).*", outcome)


@pytest.mark.parametrize("batch", [1, 4, 7, 100])
def test_reading_keeps_the_order(batch: int, tmp_path: Path) -> None:
    for i in range(13):
        Image.new("RGB", (4 + i, 4)).save(tmp_path / f"{i:02}.png")
    reader = folder(tmp_path)
    wanted = list(reader.examples())[::-1]
    batches = batches_of(reader, wanted, batch=batch, skipped={})
    assert [e for got in batches for e, _ in got] == wanted
    assert [image.width for got in batches for _, image in got] == list(range(16, 3, -1))
    assert all(len(got) == batch for got in batches[:-1])


@pytest.mark.parametrize("workers", [1, 5])
def test_batches_are_prepared_ahead(workers: int, tmp_path: Path) -> None:
    """Each with its own result, though several are made at once; a failure reaches the caller."""
    for i in range(11):
        Image.new("RGB", (4 + i, 4)).save(tmp_path / f"{i:02}.png")
    reader = folder(tmp_path)
    wanted = list(reader.examples())

    def prepare(batch: reading.Pictures) -> list[int]:
        return [image.width for _, image in batch]

    more = {"batch": 2, "skipped": {}, "workers": workers}
    for batch, prepared in reading.read(reader, wanted, prepare, **more):
        assert prepared == [image.width for _, image in batch]

    def fail(batch: reading.Pictures) -> None:
        raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        list(reading.read(reader, wanted, fail, **more))


def test_a_thumbnail_is_the_square_centre() -> None:
    image = Image.new("RGB", (300, 100), RED)
    image.paste(GREEN, (100, 0, 200, 100))
    small = Image.open(io.BytesIO(pictures.thumbnail(image, side=32))).convert("RGB")
    assert small.size == (32, 32)
    assert small.format is None or small.format == "WEBP"
    assert near([small.getpixel((16, 16)), small.getpixel((3, 16))], [GREEN, GREEN], within=40)


# --- Identity and splits ---


def test_ids_and_splits_stay_when_files_come_and_go(tmp_path: Path) -> None:
    for i in range(40):
        save(tmp_path / f"{i}.png")
    before = {e.uri: (e.example_id, e.split) for e in listed(tmp_path)}
    for i in range(0, 40, 2):
        (tmp_path / f"{i}.png").unlink()
    for i in range(40, 60):
        save(tmp_path / f"{i}.png")
    after = {e.uri: (e.example_id, e.split) for e in listed(tmp_path)}
    kept = {f"{i}.png" for i in range(1, 40, 2)}
    assert {uri: after[uri] for uri in kept} == {uri: before[uri] for uri in kept}


def test_ids_do_not_depend_on_where_the_folder_is(tmp_path: Path) -> None:
    for i in range(10):
        save(tmp_path / "one" / f"{i}.png")
    first = [e.example_id for e in listed(tmp_path / "one")]
    (tmp_path / "one").rename(tmp_path / "two")
    assert [e.example_id for e in listed(tmp_path / "two")] == first
    assert all(0 <= example_id < 2**53 for example_id in first)


def test_a_changed_file_has_another_stamp_and_the_same_id(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    before = found(tmp_path)["a.png"]
    save(tmp_path / "a.png", Image.new("RGB", (99, 99), RED))
    after = found(tmp_path)["a.png"]
    assert after.example_id == before.example_id
    assert after.stamp != before.stamp


def scenes(count: int, **more: object) -> list[Example]:
    source = config.Scenes(kind="scenes", count=count)
    return listing.listing(config.Examples(source=source, **more), source=readers.reader(source))


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_the_split_is_about_the_fraction(fraction: float) -> None:
    got = scenes(4000, val_fraction=fraction)
    share = sum(e.split == "val" for e in got) / len(got)
    assert abs(share - fraction) < 4 * (fraction * (1 - fraction) / 4000) ** 0.5


def test_a_larger_fraction_only_moves_examples_to_val() -> None:
    small = {e.uri for e in scenes(500, val_fraction=0.3) if e.split == "val"}
    large = {e.uri for e in scenes(500, val_fraction=0.4) if e.split == "val"}
    assert small < large


def test_the_list_is_ordered_by_split_and_id() -> None:
    got = [(e.split, e.example_id) for e in scenes(200)]
    assert got == sorted(got)
    assert len(set(got)) == 200


def test_a_limit_takes_some_and_keeps_them() -> None:
    few, more = ({e.uri for e in scenes(500, limit=n)} for n in (50, 80))
    assert len(few) == 50
    assert len(more) == 80
    assert few < more
    assert {e.uri for e in scenes(900, limit=500)} != {e.uri for e in scenes(500)}


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ExampleError, match=r"2 found, but none in the (train|val) split"):
        scenes(2, val_fraction=1e-9)


def test_scenes_are_described_and_rendered() -> None:
    source = config.Scenes(kind="scenes", count=4)
    reader = readers.reader(source)
    one = reader.described(next(iter(reader.examples())))
    assert one.captions
    assert list(one.tags) == sorted(set(one.tags))
    image = reader.image(one)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(reader.image(one)))


# --- Data sets of the datasets library ---


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved on disk with two splits: encoded images, classes, caption lists; one row is broken."""
    import datasets

    def encoded(colour: tuple[int, int, int]) -> dict[str, object]:
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "kind": datasets.ClassLabel(names=["red", "green"]),
            "texts": datasets.Sequence(datasets.Value("string")),
            "title": datasets.Value("string"),
        }
    )
    rows = [
        {"picture": encoded(RED), "kind": 0, "texts": ["one", " two "], "title": "a red one"},
        {"picture": encoded(GREEN), "kind": 1, "texts": [], "title": None},
        {"picture": {"bytes": b"broken", "path": None}, "kind": 1, "texts": ["x"], "title": ""},
        {"picture": None, "kind": -1, "texts": ["y"], "title": "nothing"},
        {"picture": encoded(BLUE), "kind": None, "texts": None, "title": "unknown"},
    ]
    part = datasets.Dataset.from_list(rows, features=features)
    path = tmp_path_factory.mktemp("data") / "set"
    datasets.DatasetDict({"train": part, "validation": part.select([1, 0])}).save_to_disk(path)
    return path


def hub(path: Path | str, **more: object) -> readers.Reader:
    more = {"image_column": "picture", "splits": ("train", "validation")} | more
    return readers.reader(config.HuggingFace(kind="huggingface", dataset=str(path), **more))


def test_a_data_set_is_read(data_set: Path) -> None:
    reader = hub(data_set, label_column="kind", caption_column="texts")
    got = {e.uri: e for e in reader.examples()}
    assert [e.split for e in got.values()] == ["train"] * 5 + ["val"] * 2
    assert [e.label for e in got.values()] == ["red", "green", "green", None, None, "green", "red"]
    assert got["train/0"].captions == ("one", "two")
    assert got["train/4"].captions == ()
    assert got["train/0"].tags == ("red",)
    skipped: dict[str, str] = {}
    read = [
        p
        for batch in batches_of(reader, list(got.values()), batch=2, skipped=skipped)
        for p in batch
    ]
    colours = {e.uri: image.getpixel((4, 4)) for e, image in read}
    assert colours == {
        "train/0": RED, "train/1": GREEN, "train/4": BLUE,
        "validation/0": GREEN, "validation/1": RED,
    }  # fmt: skip
    assert set(skipped) == {"train/2", "train/3"}
    assert "no image" in skipped["train/3"]


def test_pictures_that_are_not_asked_for_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library opens whatever a picture column of a row holds, a program too."""
    import datasets

    mark = tmp_path / "mark"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    buffer = io.BytesIO()
    quarters().save(buffer, "PNG")
    program = {"bytes": picture_files.OTHERS["eps"](), "path": None}
    rows = [
        {"picture": {"bytes": buffer.getvalue(), "path": None}, "other": program},
        {"picture": program, "other": program},
    ]
    columns = datasets.Features({"picture": datasets.Image(), "other": datasets.Image()})
    part = datasets.Dataset.from_list(rows, features=columns)
    datasets.DatasetDict({"train": part}).save_to_disk(tmp_path / "set")
    reader = hub(tmp_path / "set", splits=("train",))
    skipped: dict[str, str] = {}
    read = batches_of(reader, list(reader.examples()), batch=2, skipped=skipped)
    assert [e.uri for batch in read for e, _ in batch] == ["train/0"]
    assert "not an image that is read" in skipped["train/1"]
    for column in ("caption_column", "label_column"):
        with pytest.raises(ExampleError, match="'other' holds Image; name a column"):
            list(hub(tmp_path / "set", splits=("train",), **{column: "other"}).examples())
    assert not mark.exists()


def test_a_column_of_no_images_is_named(data_set: Path) -> None:
    with pytest.raises(ExampleError, match=r"'kind' holds ClassLabel; name a column of pictures"):
        hub(data_set, image_column="kind", splits=("train",))


def test_a_caption_may_be_one_string(data_set: Path) -> None:
    reader = hub(data_set, caption_column="title", splits=("train",))
    got = [e.captions for e in reader.examples()]
    assert got == [("a red one",), (), (), ("nothing",), ("unknown",)]


def test_a_data_set_has_the_same_stamp_when_it_is_loaded_again(data_set: Path) -> None:
    one, two = ([e.stamp for e in hub(data_set).examples()] for _ in range(2))
    assert one == two
    assert all(one)


@pytest.mark.parametrize(
    "options",
    [
        {"splits": ("train", "test")},
        {"image_column": "image"},
        {"label_column": "class"},
        {"caption_column": "caption"},
    ],
    ids=lambda o: next(iter(o)),
)
def test_a_missing_part_of_a_data_set_is_named(data_set: Path, options: dict[str, Any]) -> None:
    value = next(iter(options.values()))
    name = value if isinstance(value, str) else value[-1]
    with pytest.raises(ExampleError, match=name) as refused:
        list(hub(data_set, **options).examples())
    assert "\n" not in str(refused.value)


def test_a_data_set_that_is_not_to_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ExampleError, match=r"data set 'nobody/nothing'.*cannot be loaded"
    ) as refused:
        hub("nobody/nothing", splits=("train",))
    assert "\n" not in str(refused.value)
    assert "HF_TOKEN" in str(refused.value)


def test_a_name_that_is_not_utf8_is_skipped_with_its_reason(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8), "red")
    picture.save(tmp_path / "good.png")
    try:
        with open(bytes(tmp_path) + b"/bad\xff.png", "wb") as file:
            picture.save(file, "PNG")
    except OSError:
        pytest.skip("this file system takes no such name")
    source = readers.FolderReader(config.Folder(kind="folder", path=tmp_path))
    skipped: dict[str, str] = {}
    read = [
        e.uri
        for batch in batches_of(source, list(source.examples()), batch=8, skipped=skipped)
        for e, _ in batch
    ]
    assert read == ["good.png"]
    assert list(skipped) == ["bad\\xff.png"]
    assert "not UTF-8" in skipped["bad\\xff.png"]
