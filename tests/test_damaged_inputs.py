"""Damaged files of every text that a user writes, and of data sets: a good result or one line."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import damaged
from PIL import Image
from typer.testing import CliRunner

from pipeline import config
from pipeline.__main__ import app
from pipeline.errors import LoupeError
from pipeline.inputs import examples, readers
from pipeline.labelling import vocabulary
from pipeline.projector import conversations

CSV = (
    'image,caption,label\na.png,"A dog, a cat and a ""bird"".",animal\na.png,Two of them,\n'
    "b.png,Ein Hund in Köln,animal\nsub/c.png,,car\nsub/c.png,x,\n"
).encode()
RUN = b"""name = "tiny"
[examples]
val_fraction = 0.5
limit = 1000
[examples.source]
kind = "scenes"
count = 20
seed = 3
[models.clip]
id = "some/clip"
hooks = ["vision.0.resid_post"]
[encoders.judge]
id = "some/encoder"
[dictionaries.sae]
kind = "matryoshka"
k = 4
expansion = 2.5
levels = [0.25, 0.75]
training = { samples = 1000, batch = 8, lr = 1e-3 }
[relations]
neighbors = 4
"""
SAID = json.dumps(
    [
        {
            "id": str(i),
            "image": f"00/{i}.png",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat is it? é"},
                {"from": "gpt", "value": "A dog."},
            ],
        }
        for i in range(4)
    ],
    ensure_ascii=False,
).encode()
WORDS = "# of animals\ndog\nfire truck\nHäuser\n\nزرافه\n街\n".encode()
TELLING = b"\"',;\t\r\n\0{}[]=\\#:-.0\xff"
"""Bytes that mean something in texts."""


def garbled(data: bytes, *, seed: int) -> Iterator[bytes]:
    """Damage of any kind, and such as texts know: marks too many, and in other encodings."""
    yield from damaged(data, seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(100):
        made = bytearray(data)
        for at in rng.integers(len(made), size=rng.integers(1, 4)):
            made[at:at] = bytes(rng.choice(list(TELLING), rng.integers(1, 4)))
        yield bytes(made)
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        yield data.decode().encode(encoding)
    yield data.replace(b"\n", b"\r")
    yield data * 200
    yield b""


def one_line(error: LoupeError) -> None:
    text = str(error)
    assert text and all(c.isprintable() for c in text), text
    assert len(text) < 1500


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "sub/c.png"):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_captions_files(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    whole = {'A dog, a cat and a "bird".', "Two of them", "Ein Hund in Köln", "x"}
    good = refused = 0
    for data in garbled(CSV, seed=1):
        table.write_bytes(data)
        try:
            source = readers.FolderReader(config.Folder(kind="folder", path=root, captions=table))
            found = list(source.examples())
        except LoupeError as error:
            one_line(error)
            refused += 1
            continue
        good += 1
        assert {e.uri for e in found} == {"a.png", "b.png", "sub/c.png"}
        told = [
            note
            for note in source.notes
            if not note.endswith("columns `image`, `caption`, `label`")
        ]
        lost = whole - {text for e in found for text in e.captions}
        if len(lost) == len(whole):
            assert told, "all captions are gone, and nothing is said"
    assert good > 20 and refused > 20


def test_configs(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    good = refused = 0
    for data in garbled(RUN, seed=2):
        file.write_bytes(data)
        try:
            config.load(file)
            good += 1
        except LoupeError as error:
            for line in str(error).split("\n"):
                one_line(LoupeError(line))
            refused += 1
    assert good > 3 and refused > 100


def test_status_of_damaged_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run.toml"
    for data in list(garbled(RUN, seed=3))[::8]:
        file.write_bytes(data)
        ran = CliRunner().invoke(app, ["status", str(file), "--out", str(tmp_path / "out")])
        assert ran.exit_code in (0, 2), ran.exception
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception


def test_conversations(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    settings = config.Conversations(path=file, images=tmp_path)
    good = 0
    for data in garbled(SAID, seed=4):
        file.write_bytes(data)
        try:
            found, left_out = conversations.read(settings)
        except LoupeError as error:
            one_line(error)
            continue
        good += 1
        assert len(found) + sum(left_out.values()) == len(json.loads(data))
        assert all(tmp_path in (tmp_path / one.image).parents for one in found)
    assert good > 10


def test_vocabularies(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    good = 0
    for data in garbled(WORDS, seed=5):
        file.write_bytes(data)
        try:
            found = vocabulary.read(file)
        except LoupeError as error:
            one_line(error)
            continue
        good += 1
        assert found and all(word and not set(word) & set("\0\x01\x1b\x7f") for word in found)
    assert good > 20


# --- Data sets ---


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 8 rows: saved to a folder `disk`, and a Parquet file in a folder `files`."""
    import datasets

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "said": [{"raw": datasets.Value("string"), "n": datasets.Value("int64")}],
            "kind": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )
    row: dict[str, Any] = {"image": {"bytes": buffer.getvalue(), "path": None}, "kind": 1}
    rows = [row | {"said": [{"raw": f"A dog, {i}", "n": i}] * 2} for i in range(8)]
    path = tmp_path_factory.mktemp("sets")
    data = datasets.Dataset.from_list(rows, features=features)
    data.save_to_disk(path / "disk")
    (path / "files").mkdir()
    data.to_parquet(path / "files/train.parquet")
    return path


def opened(path: Path) -> list[examples.Example]:
    source = readers.HuggingFaceReader(
        config.HuggingFace(
            kind="huggingface", dataset=str(path), caption_column="said", label_column="kind"
        )
    )
    found = list(source.examples())
    for example in found:
        try:
            source.image(example)
        except LoupeError as error:
            one_line(error)
    return found


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for what the library keeps."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "count"),
    [("data-00000-of-00001.arrow", 100), ("state.json", 100), ("dataset_info.json", 100)],
)
def test_data_sets_saved_to_disk(data_set: Path, apart: Path, name: str, count: int) -> None:
    shutil.copytree(data_set / "disk", apart / "disk")
    file = apart / "disk" / name
    whole = file.read_bytes()
    outcomes = set()
    for data in damaged(whole, seed=6, count=count):
        file.unlink()  # the library keeps the last one mapped
        file.write_bytes(data)
        try:
            opened(apart / "disk")
            outcomes.add("good")
        except LoupeError as error:
            one_line(error)
            outcomes.add("refused")
    assert outcomes == {"good", "refused"}


def test_folders_of_parquet(data_set: Path, apart: Path) -> None:
    whole = (data_set / "files/train.parquet").read_bytes()
    refused = 0
    for number, data in enumerate(damaged(whole, seed=7)):
        folder = apart / f"files{number}"
        folder.mkdir()
        (folder / "train.parquet").write_bytes(data)
        try:
            opened(folder)
        except LoupeError as error:
            one_line(error)
            refused += 1
        shutil.rmtree(folder)
    assert refused > 20
