"""Whatever bytes a file of a picture holds: a picture, or the reason why not; nothing is run by
them, and neither memory nor time goes without bounds."""

import gc
import io
import json
import os
import resource
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pyarrow.parquet as pq
import pytest
from picture_files import OTHERS, READ, picture, png, saved
from PIL import Image
from typer.testing import CliRunner

from pipeline import config
from pipeline.__main__ import app
from pipeline.bundle import opening
from pipeline.inputs import pictures, readers, reading
from pipeline.inputs.examples import Example
from pipeline.inputs.pictures import Unreadable, read_rgb

# What Pillow says of damaged EXIF, and of formats that it is about to leave.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::DeprecationWarning:PIL")

RUNS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"}
"""What Python says when a program is started (sys.addaudithook)."""


@pytest.fixture
def programs(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment where what decoders are known to call leaves a mark; and the mark."""
    folder, mark = tmp_path / "bin", tmp_path / "mark"
    folder.mkdir()
    for name in ("gs", "gswin32c", "djpeg", "xdg-open", "display"):
        (folder / name).write_text(f"#!/bin/sh\necho $0 >> {mark}\n")
        (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}, mark


def outcome(content: bytes) -> str:
    """`picture`, or the reason why there is none."""
    try:
        image = read_rgb(io.BytesIO(content))
    except Unreadable as reason:
        return str(reason)
    whole = type(image) is Image.Image and image.mode == "RGB" and not image.info
    assert whole
    assert max(image.size) <= 50 * min(image.size)
    return "picture"


def swept() -> dict[str, Any]:
    """Reads 100 damaged files of each form, and says what came of it."""
    started: list[str] = []
    sys.addaudithook(lambda event, _: started.append(event) if event in RUNS else None)
    found: dict[str, Any] = {"forms": {}, "other": [], "started": started}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed, (name, make) in enumerate((READ | OTHERS).items()):
        counts = found["forms"][name] = {"picture": 0, "reason": 0}
        whole = make()
        for content in [whole, *damage.damaged(whole, seed=seed), *declared(whole, seed=seed)]:
            try:
                came = outcome(content)
            except BaseException as error:
                found["other"].append(f"{name}: {error!r}")
                continue
            counts["picture" if came == "picture" else "reason"] += 1
            if not came or "\n" in came:
                found["other"].append(f"{name}: {came}")
    found["peak"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return found


def declared(content: bytes, *, seed: int) -> Iterator[bytes]:
    """Files that say of themselves that they hold far more than they do."""
    rng = np.random.default_rng(seed)
    for width, value in ((2, 5000), (2, 65535), (4, 5000), (4, 2**31 - 1)):
        for order in ("little", "big"):
            for at in rng.integers(4, min(len(content), 256), 3).tolist():
                yield content[:at] + value.to_bytes(width, order) + content[at + width :]


def test_any_damage_gives_a_picture_or_a_reason(programs: tuple[dict[str, str], Path]) -> None:
    """In a process of its own, which has the memory and the time for nothing else."""
    environment, mark = programs
    result = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["other"] == []
    assert found["started"] == []
    assert not mark.exists()
    assert found["peak"] < 900, "MB, of a picture of 25 million pixels in its several forms"
    for name in READ:
        assert found["forms"][name]["picture"] > 0, name
        assert sum(found["forms"][name].values()) > 100, name
    for name in OTHERS:
        assert found["forms"][name]["picture"] == 0, name


@pytest.mark.parametrize("name", READ)
def test_whole_files_are_read(name: str, tmp_path: Path) -> None:
    """Whatever the name says."""
    (tmp_path / "x.eps").write_bytes(READ[name]())
    read_rgb(tmp_path / "x.eps")


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_refused_whatever_they_are_called(
    name: str, tmp_path: Path, programs: tuple[dict[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    environment, mark = programs
    monkeypatch.setenv("PATH", environment["PATH"])
    Image.init()  # as any library may have done
    for kind in ("jpg", "eps", "png"):
        file = tmp_path / f"x.{kind}"
        file.write_bytes(OTHERS[name]())
        with pytest.raises(Unreadable, match="not an image that is read"):
            read_rgb(file)
    assert not mark.exists()


# --- Size ---


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((60_000, 1), "60000 pixels long"),
        ((1, 60_000), "60000 pixels long"),
        ((24_000_000, 1), "24000000 pixels long"),
        ((20_001, 1000), "20001 pixels long"),
        ((10_000, 100), "10000 x 100, over 50 times"),
        ((51, 1), "51 x 1, over 50 times"),
        ((5001, 5000), "million pixels"),
    ],
)
def test_long_and_thin_pictures_are_refused(size: tuple[int, int], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_rgb(io.BytesIO(png(*size)))


@pytest.mark.parametrize("size", [(20_000, 1250), (1000, 20), (50, 1), (1, 1)])
def test_wide_pictures_are_read(size: tuple[int, int]) -> None:
    assert read_rgb(io.BytesIO(png(*size))).size == size


def test_what_a_file_says_beside_its_picture_is_bounded() -> None:
    """Text that swells, and a great deal of it: a picture that keeps nothing of it, or a reason."""
    swollen = zlib.compress(bytes(60_000_000), 9)
    texts = [(b"tEXt", b"key%d\0" % i + b"x" * 90) for i in range(20_000)]
    for chunks in ([(b"zTXt", b"a\0\0" + swollen)], [(b"iCCP", b"a\0\0" + swollen)], texts):
        assert "\n" not in outcome(png(8, 8, *chunks))


def test_a_picture_of_endless_passes_is_refused() -> None:
    whole = READ["progressive.jpeg"]()
    last = whole[whole.rfind(b"\xff\xda") : -2]
    assert outcome(whole[:-2] + 400 * last + whole[-2:]) == "picture"
    assert "over 500 scans" in outcome(whole[:-2] + 600 * last + whole[-2:])


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.webp").open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
        file.truncate(1 << 40)
    with pytest.raises(Unreadable, match="MB, over 268"):
        read_rgb(tmp_path / "x.webp")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, Path("/dev/zero"), tmp_path / "a\0b"):
        with pytest.raises(Unreadable):
            read_rgb(path)


def test_what_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(png(8, 8))

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(Unreadable, match=r"cannot be read: Permission denied$"):
        read_rgb(file)


def test_nothing_stays_of_what_cannot_be_read(tmp_path: Path) -> None:
    """A folder of large pictures that are cut off would fill the memory."""
    content = saved("JPEG", picture(size=(600, 400)))[:-4000]
    (tmp_path / "x.jpg").write_bytes(content)
    source = readers.FolderReader(config.Folder(kind="folder", path=tmp_path))
    wanted = list(source.examples()) * 3

    def alive() -> int:
        return sum(isinstance(one, Image.Image) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = alive()
        assert "truncated" in outcome(content)
        for one in wanted:
            with pytest.raises(Unreadable, match="truncated"):
                reading.picture(source, one)
        assert alive() == before
    finally:
        gc.enable()


# --- Odd but whole ---


def test_of_several_frames_the_first_is_read() -> None:
    first = picture()
    for name in ("mpo", "apng", "frames.webp", "pages.tiff", "frames.avif"):
        found = np.asarray(read_rgb(io.BytesIO(READ[name]())), np.float32)
        assert np.abs(found - np.asarray(first, np.float32)).mean() < 12, name


def test_a_float_that_is_no_number_is_black() -> None:
    values = np.full((4, 4), 200, np.float32)
    values[0, 0], values[1, 1] = np.nan, -np.inf
    read = read_rgb(io.BytesIO(saved("TIFF", Image.fromarray(values))))
    assert [read.getpixel(at) for at in ((0, 0), (1, 1), (2, 2))] == [
        (0,) * 3,
        (0,) * 3,
        (200,) * 3,
    ]


def test_colours_that_are_not_converted_are_named() -> None:
    with pytest.raises(Unreadable, match="LAB; convert it to RGB"):
        read_rgb(io.BytesIO(saved("TIFF", Image.new("LAB", (8, 8)))))


def test_a_damaged_thumbnail_is_a_reason() -> None:
    whole = pictures.thumbnail(picture(), side=32)
    assert pictures.small(whole).size == (32, 32)
    for content in (
        whole[:40],
        b"",
        OTHERS["eps"](),
        saved("PNG"),
        saved("WEBP", picture("RGB", (1025, 8))),
    ):
        with pytest.raises(Unreadable, match="thumbnail"):
            pictures.small(content)


# --- Readers and what they meet ---


class Odd:
    """A source whose images are as their uris say."""

    def examples(self) -> list[Example]:
        return []

    def described(self, example: Example) -> Example:
        if example.uri == "undescribed":
            raise KeyError("captions")
        return example

    def image(self, example: Example) -> Image.Image:
        if example.uri.startswith("stuck"):
            threading.Event().wait()
        if example.uri == "raises":
            raise NotImplementedError("two\nlines")
        return Image.new("RGB", (64, 2 if example.uri == "flat" else 64))


def read_of(uris: list[str], prepare: Callable[[reading.Pictures], Any] = len, **more: Any) -> Any:
    wanted = [Example(i, uri, "val") for i, uri in enumerate(uris)]
    skipped: dict[str, str] = {}
    more = {"batch": 2, "workers": 2} | more
    batches = reading.read(Odd(), wanted, prepare, skipped=skipped, **more)
    return [[e.uri for e, _ in batch] for batch, _ in batches], skipped


def test_whatever_is_raised_on_one_image_the_others_are_read() -> None:
    batches, skipped = read_of(["a", "raises", "undescribed", "b", "c"])
    assert batches == [["a"], ["b"], ["c"]]
    assert skipped == {"raises": "cannot be read: two", "undescribed": "cannot be read: 'captions'"}


def test_a_reader_that_is_stuck_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PATIENCE", 0.3)
    batches, skipped = read_of(["stuck 1", "a", "stuck 2", "stuck 3", "b"])
    assert batches == [["a"], ["b"]]
    assert set(skipped) == {"stuck 1", "stuck 2", "stuck 3"}
    assert "not read within 0.3 s, given up" in skipped["stuck 1"]


def test_a_stuck_reader_does_not_hold_up_the_end_of_the_process() -> None:
    code = (
        "import threading\nfrom pipeline.inputs import pictures\n"
        "try: pictures.in_time(threading.Event().wait, seconds=0.2)\n"
        "except pictures.Unreadable: print('given up')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "given up\n"


def test_what_cannot_be_prepared_is_skipped() -> None:
    """A processor that takes no flat picture, nor a batch that holds one."""

    def prepare(batch: reading.Pictures) -> int:
        if any(image.height == 2 for _, image in batch):
            raise ValueError("height must be over 2\nmore")
        return len(batch)

    batches, skipped = read_of(["a", "flat", "b", "c"], prepare)
    assert batches == [["a"], ["b", "c"]]
    assert skipped == {"flat": "cannot be prepared for the model: height must be over 2"}
    assert read_of(["flat"], prepare)[0] == []


def test_what_no_picture_can_mend_is_raised() -> None:
    def prepare(batch: reading.Pictures) -> None:
        raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        read_of(["a", "b", "c"], prepare)


# --- A whole run ---

CONFIG = """
name = "damaged"
[examples]
shard_size = 40
training_tokens = 4
thumbnail = 32
[examples.source]
kind = "folder"
path = "{pictures}"
[models.clip]
id = "{clip}"
hooks = ["vision.1.resid_post"]
[encoders.judge]
id = "{encoder}"
[dictionaries.neurons]
kind = "neurons"
[machine]
device = "cpu"
batch_size = 16
"""


def test_a_run_skips_all_that_is_damaged(
    tiny_clip: Path, tiny_encoder: Path, tmp_path: Path, programs: tuple[dict[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    environment, mark = programs
    monkeypatch.setenv("PATH", environment["PATH"])
    folder = tmp_path / "pictures"
    folder.mkdir()
    bad = {f"{name}.jpg": make() for name, make in OTHERS.items()}
    bad |= {"thin.png": png(60_000, 1), "thinner.png": png(24_000_000, 1)}
    for seed, (name, make) in enumerate(READ.items()):
        for number, content in enumerate(damage.damaged(make(), seed=seed, count=12)):
            try:
                read_rgb(io.BytesIO(content))
            except Unreadable:
                bad[f"{name} {number}.jpg"] = content
    assert len(bad) > 150
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    for number in range(24):
        picture(size=(40 + number, 40)).save(folder / f"good {number}.png")
    file = tmp_path / "run.toml"
    file.write_text(CONFIG.format(pictures=folder, clip=tiny_clip, encoder=tiny_encoder))
    result = CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    bundle = opening.open_bundle(tmp_path / "run")
    skipped = {
        row["uri"]: row["reason"] for row in pq.read_table(bundle.table("skipped")).to_pylist()
    }
    assert skipped.keys() == bad.keys()
    assert all(reason and "\n" not in reason for reason in skipped.values())
    assert pq.read_table(bundle.table("examples")).num_rows == 24
    assert not mark.exists()


if __name__ == "__main__":
    print(json.dumps(swept()))
