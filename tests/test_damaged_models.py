"""Damaged files of models: a refusal in one line, or the same outputs; nothing else, and no hang.

Seeds are fixed. Each damage is done to one file of a tiny model's folder.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families as families
import torch

from pipeline import config, models
from pipeline.models.encoder import ImageEncoder
from pipeline.models.loading import ModelError

PICTURES = [tiny.picture(i, side=60) for i in range(2)]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 605247071\n"
HTML = b"<!DOCTYPE html><html><body>Access denied</body></html>"


def bytes_of(data: bytes, *, count: int, seed: int) -> Iterator[bytes]:
    """Damages of any file: what a download leaves, cuts, flips, runs of zeros, doubled parts."""
    rng = random.Random(seed)
    yield from (b"", b"\0" * len(data), LFS, HTML, b"\xef\xbb\xbf" + data, data[:-1], b"\x80\x04.")
    for number in range(count - 7):
        at, end = sorted(rng.randrange(len(data)) for _ in range(2))
        made = bytearray(data)
        if number % 4 == 0:
            made = made[:at]
        elif number % 4 == 1:
            for _ in range(rng.choice((1, 3, 30))):
                made[rng.randrange(min(len(made), rng.choice((64, 4096, 10**9))))] ^= 1 << (
                    rng.randrange(8)
                )
        elif number % 4 == 2:
            made[at:end] = b"\0" * (end - at)
        else:
            made[end:end] = made[at:end]
        yield bytes(made)


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 7, 2**31, 10**9, 1e300, float("nan"), "", "x", "../../etc", [], [1], {},
    {"a": 1}, [[]], "1" * 5000,
)  # fmt: skip


def values_of(data: bytes, *, count: int, seed: int) -> Iterator[bytes]:
    """Damages of JSON that leave it JSON: keys lost, other values, other types."""
    rng = random.Random(seed)
    yield from (b"{}", b"[]", b"null", b"3", b'"x"', b"[" * 5000, b'{"a":' * 5000)
    for number in range(count - 7):
        described = json.loads(data)
        for _ in range(rng.choice((1, 1, 2))):
            owner: Any = described
            while True:
                keys = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
                if not keys:
                    break
                key = rng.choice(keys)
                inner = owner[key]
                if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
                    owner = inner
                    continue
                if number % 3 == 0:
                    del owner[key]
                else:
                    owner[key] = rng.choice(ODD)
                break
        yield json.dumps(described).encode()


def mixed(data: bytes, *, count: int, seed: int) -> Iterator[bytes]:
    yield from bytes_of(data, count=count // 2, seed=seed)
    yield from values_of(data, count=count - count // 2, seed=seed)


def outputs(adapter: models.Adapter) -> dict[str, torch.Tensor]:
    last = adapter.towers[-1]
    hooks = [f"{last.name}.{len(last.layers) - 1}.resid_post"]
    return adapter.record(adapter.prepare(PICTURES, ["ab", "c"]), hooks)


def attempt(
    load: Callable[[], dict[str, torch.Tensor]],
    wanted: dict[str, torch.Tensor],
    *,
    exact: bool,
    what: str,
) -> bool:
    """Whether it is refused; else it does what it did, where its numbers alone are damaged."""
    said = None
    try:
        made = load()
    except ModelError as error:
        said = str(error)
    if said is not None:
        assert "\n" not in said and len(said) < 1200, what
        return True
    if exact:
        assert made.keys() == wanted.keys(), what
        for key, tensor in wanted.items():
            torch.testing.assert_close(made[key], tensor, rtol=0, atol=0, msg=what)
    return False


COUNTS = {"clip": 100, "llava": 12}
FILES = {
    "clip": ("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
             "model.safetensors"),
    "llava": ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
              "model.safetensors"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    speaking = families.speaking_clip(tmp_path_factory.mktemp("whole") / "clip")
    return {"clip": speaking, "llava": families.folder("llava")}


def texts(adapter: models.Adapter) -> dict[str, torch.Tensor]:
    words = adapter.read_words(["a cat"], longest=8)
    return {"words": next(iter(adapter.recorded_words(words, ["vision.projection"])))[1][
        "vision.projection"]}  # fmt: skip


@pytest.mark.parametrize(("name", "file"), [(n, f) for n, files in FILES.items() for f in files])
def test_damaged_files_of_a_model(
    name: str, file: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(whole[name], tmp_path / name)
    # A damaged number of a config may be another that is as good: its outputs differ, and are no
    # fault. Damaged weights of the right form cannot be told from others either.
    hook = "vision.-1.resid_post" if name == "clip" else "language.-1.resid_post"
    settings = config.Model(id=str(folder), hooks=(hook,))
    spoken = name == "clip" and file.startswith("tokenizer")

    def load() -> dict[str, torch.Tensor]:
        adapter = models.load(settings, device="cpu")
        return texts(adapter) if spoken and adapter.reader is not None else outputs(adapter)

    wanted = load()
    data = (folder / file).read_bytes()
    damages = (mixed if file.endswith(".json") else bytes_of)(
        data, count=COUNTS[name], seed=len(file)
    )
    refused = 0
    for number, damaged in enumerate(damages):
        (folder / file).write_bytes(damaged)
        what = f"{file} {number}: {damaged[:80]!r}"
        refused += attempt(load, wanted, exact=damaged == data, what=what)
    assert refused > COUNTS[name] // 3
    (folder / file).write_bytes(data)
    assert not attempt(load, wanted, exact=True, what="mended")


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_damaged_files_of_an_encoder(file: str, tmp_path: Path) -> None:
    folder = tiny.resnet(tmp_path / "resnet")
    data = (folder / file).read_bytes()
    damages = (mixed if file.endswith(".json") else bytes_of)(data, count=30, seed=3)

    def load() -> dict[str, torch.Tensor]:
        return {"image": ImageEncoder(config.Encoder(id=str(folder)), device="cpu").embed(PICTURES)}

    wanted, refused = load(), 0
    for number, damaged in enumerate(damages):
        (folder / file).write_bytes(damaged)
        refused += attempt(load, wanted, exact=False, what=f"{file} {number}")
    assert refused > 10


@pytest.mark.parametrize("file", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_damaged_files_of_open_clip(file: str, tmp_path: Path) -> None:
    folder = shutil.copytree(families.folder("openclip"), tmp_path / "openclip")
    data = (folder / file).read_bytes()
    damages = (mixed if file.endswith(".json") else bytes_of)(data, count=30, seed=4)
    settings = families.settings("openclip", at=folder, hooks=("vision.-1.resid_post",))

    def load() -> dict[str, torch.Tensor]:
        return outputs(models.load(settings, device="cpu"))

    wanted, refused = load(), 0
    for number, damaged in enumerate(damages):
        (folder / file).write_bytes(damaged)
        refused += attempt(load, wanted, exact=False, what=f"{file} {number}: {damaged[:80]!r}")
    assert refused > 10


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_hidden_layers", 10**9), ("num_hidden_layers", 0), ("hidden_size", 0),
     ("hidden_size", 10**12), ("num_attention_heads", 0), ("image_size", 10**6),
     ("patch_size", 0), ("num_hidden_layers", -1)],
)  # fmt: skip
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("weighed", [True, False], ids=["weights", "config alone"])
def test_sizes_that_no_model_has(
    key: str, value: int, device: str, weighed: bool, tmp_path: Path, tiny_clip: Path
) -> None:
    folder = shutil.copytree(tiny_clip, tmp_path / "clip")
    described = json.loads((folder / "config.json").read_text())
    described["vision_config"][key] = value
    (folder / "config.json").write_text(json.dumps(described))
    if not weighed:
        (folder / "model.safetensors").unlink()
    settings = config.Model(id=str(folder), hooks=("vision.0.resid_post",))
    with pytest.raises(ModelError) as refused:
        models.load(settings, device=device)
    assert key in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [(LFS, "is a git-LFS pointer"), (b"\xef\xbb\xbf{}", "begins with a byte-order mark"),
     (b"{", "is no JSON"), (b"", "is no JSON")],
)  # fmt: skip
def test_what_a_download_left_is_named(
    damage: bytes, said: str, tmp_path: Path, tiny_clip: Path
) -> None:
    for file in ("config.json", "preprocessor_config.json"):
        folder = shutil.copytree(tiny_clip, tmp_path / file)
        (folder / file).write_bytes(damage)
        settings = config.Model(id=str(folder), hooks=("vision.0.resid_post",))
        for device in ("cpu", "meta"):
            with pytest.raises(ModelError) as refused:
                models.load(settings, device=device)
            assert f"{file} {said}" in str(refused.value)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_weights_that_were_cut_short_or_never_fetched(
    device: str, tmp_path: Path, tiny_clip: Path
) -> None:
    folder = shutil.copytree(tiny_clip, tmp_path / "clip")
    file = folder / "model.safetensors"
    data = file.read_bytes()
    settings = config.Model(id=str(folder), hooks=("vision.0.resid_post",))
    for damage, said in ((data[:-100], "is damaged or cut short"), (LFS, "is a git-LFS pointer")):
        file.write_bytes(damage)
        for load in (
            lambda: models.load(settings, device=device),
            lambda: ImageEncoder(config.Encoder(id=str(folder)), device=device),
        ):
            with pytest.raises(ModelError) as refused:
                load()
            assert f"model.safetensors {said}" in str(refused.value)
