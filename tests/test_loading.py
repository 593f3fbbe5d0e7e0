"""Loading what is rare or broken, and going on with less where memory runs out."""

import importlib.util
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import tiny_families as families
import torch
from torch import Tensor, nn
from transformers import AutoProcessor

from pipeline import config, models
from pipeline.models.encoder import ImageEncoder
from pipeline.models.loading import ModelError

PICTURES = [tiny.picture(i, side=60).resize(size) for i, size in enumerate(
    [(40, 40), (70, 30), (50, 121), (33, 33), (30, 70)])]  # fmt: skip
PROMPTS = ["abc", "What is it?", "no", "", "x y"]


def refusal(make: Callable[[], object]) -> str:
    """The one line in which a model is refused."""
    with pytest.raises(ModelError) as refused:
        make()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a family's folder, to be damaged."""
    return lambda name: Path(shutil.copytree(families.folder(name), tmp_path / name))


# ---- memory


class Narrow:
    """A forward with room for no more than `room` examples; notes how many it was given."""

    def __init__(self, module: nn.Module, room: int) -> None:
        self.forward, self.room, self.tried = module.forward, room, list[int]()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else next(v for v in kwargs.values() if isinstance(v, Tensor))
        self.tried.append(len(given))
        if len(given) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.forward(*args, **kwargs)


def pieces(found: Iterator[tuple[models.Inputs, dict[str, Tensor]]], hook: str) -> list[Any]:
    return [(len(inputs), acts[hook].clone()) for inputs, acts in found]


@pytest.mark.parametrize("name", ["clip", "openclip", "llava", "llava-next", "paligemma", "gemma2"])
def test_a_batch_that_does_not_fit_is_halved(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = families.load(name)
    hook = f"{adapter.towers[-1].name}.1.resid_post"
    batch = adapter.prepare(PICTURES, PROMPTS)
    ((_, whole),) = pieces(adapter.recorded(batch, [hook]), hook)
    narrow = Narrow(adapter.model, room=2)
    monkeypatch.setattr(adapter.model, "forward", narrow)
    with caplog.at_level(logging.WARNING):
        found = pieces(adapter.recorded(batch, [hook]), hook)
    assert narrow.tried == [5, 2, 2, 1]
    assert [count for count, _ in found] == [2, 2, 1]
    torch.testing.assert_close(torch.cat([acts for _, acts in found]), whole, rtol=0, atol=1e-4)
    assert "out of memory with 5 examples; 2 at once" in caplog.text
    narrow.tried.clear()
    pieces(adapter.recorded(batch, [hook]), hook)
    assert narrow.tried == [2, 2, 1], "what fits is remembered"


def test_the_tiles_of_each_image_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = families.load("llava-next")
    batch = adapter.prepare(PICTURES, PROMPTS)
    tiles = adapter.layout(batch, "vision.projection").example.bincount()
    assert len(tiles.unique()) > 1
    ((_, whole),) = pieces(adapter.recorded(batch, ["vision.projection"]), "vision.projection")
    monkeypatch.setattr(adapter.model, "forward", Narrow(adapter.model, room=1))
    found = list(adapter.recorded(batch, ["vision.projection"]))
    rows = [len(acts["vision.projection"]) for _, acts in found]
    assert rows == tiles.tolist()
    for part, acts in found:
        layout = adapter.layout(part, "vision.projection")
        assert layout.kind.shape == acts["vision.projection"].shape[:2]
    joined = torch.cat([acts["vision.projection"] for _, acts in found])
    torch.testing.assert_close(joined, whole, rtol=0, atol=1e-4)


def test_one_example_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = families.load("llava")
    batch = adapter.prepare(PICTURES, PROMPTS)
    monkeypatch.setattr(adapter.model, "forward", Narrow(adapter.model, room=0))
    line = refusal(lambda: list(adapter.recorded(batch, ["language.0.resid_post"])))
    assert "out of memory with a single example" in line


def test_other_errors_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = families.load("clip")

    def fail(**_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(adapter.model, "forward", fail)
    with pytest.raises(RuntimeError, match="something else"):
        list(adapter.recorded(adapter.prepare(PICTURES), ["vision.0.resid_post"]))


def test_inputs_whose_rows_are_not_examples_are_never_cut() -> None:
    tensors = {"input_ids": torch.zeros(2, 5), "pixel_values": torch.zeros(12, 3, 8, 8)}
    inputs = models.Inputs(tensors, ((8, 8), (24, 32)))
    assert inputs[0:2].tensors["pixel_values"].shape == (12, 3, 8, 8)
    assert "pixel_values of shape (12, 3, 8, 8) for 2 examples" in refusal(lambda: inputs[1:2])


ENCODERS = {"openclip": "openclip", "openclip-timm": "openclip", "clip": None, "siglip": None}


@pytest.mark.parametrize("name", [*ENCODERS, "dinov2"])
def test_an_encoder_halves_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.dinov2(tmp_path / name) if name == "dinov2" else families.folder(name)
    settings = config.Encoder(id=str(folder), family=ENCODERS.get(name))
    encoder = ImageEncoder(settings, device="cpu")
    whole = encoder.embed(PICTURES)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(5))
    assert (whole[0] - whole[1]).abs().max() > 1e-4
    inner, tried = encoder._vectors, list[int]()

    def vectors(images: Any) -> Tensor:
        tried.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return inner(images)

    monkeypatch.setattr(encoder, "_vectors", vectors)
    torch.testing.assert_close(encoder.embed(PICTURES), whole, rtol=0, atol=1e-5)
    assert tried == [5, 2, 2, 1]
    if name in families.FAMILIES:  # its embedding is the projection of the model under study
        adapter = families.adapter(name)
        acts = adapter.record(adapter.prepare(PICTURES), ["vision.projection"])
        joint = nn.functional.normalize(acts["vision.projection"][:, 0], dim=1)
        torch.testing.assert_close(whole, joint, rtol=0, atol=1e-5)


# ---- device maps and quantization


@pytest.mark.parametrize("name", ["clip", "llava", "paligemma2", "gemma2", "gemma3"])
def test_a_model_that_accelerate_places_records_the_same(name: str) -> None:
    spread, plain = families.load(name, device_map="auto"), families.adapter(name)
    names = list(plain.hook_points)
    batch = plain.prepare(PICTURES, PROMPTS)
    acts, wanted = spread.record(batch, names), plain.record(batch, names)
    for hook in names:
        torch.testing.assert_close(acts[hook], wanted[hook], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "llava", "gemma2"])
def test_four_bits_without_their_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda at, *more: None if at == "bitsandbytes" else found(at, *more),
    )
    settings = families.settings(name, quantization="4bit")
    line = refusal(lambda: models.load(settings, device="cpu"))
    assert line.startswith(
        f"model {families.folder(name)}: quantization = '4bit' needs bitsandbytes"
    )


# ---- one line for what cannot be loaded


def test_open_clip_never_draws_weights(changed: Callable[[str], Path]) -> None:
    folder = changed("openclip")
    (folder / "open_clip_model.safetensors").unlink()
    settings = families.settings("openclip", at=folder)
    assert str(folder) in refusal(lambda: models.load(settings, device="cpu"))
    encoder = config.Encoder(id=str(folder), family="openclip")
    assert str(folder) in refusal(lambda: ImageEncoder(encoder, device="cpu"))


@pytest.mark.parametrize("name", ["ViT-B-32/nonesuch", "ViT-B-32", "nonesuch/openai"])
def test_weights_that_open_clip_does_not_know(name: str) -> None:
    settings = config.Model(id=name, family="openclip", hooks=("vision.0.resid_post",))
    line = refusal(lambda: models.load(settings, device="cpu"))
    assert line.startswith(f"model {name}: ") and "ARCHITECTURE/PRETRAINED" in line


@pytest.mark.parametrize(
    ("name", "family"),
    [("llava", "clip"), ("gemma2", "siglip"), ("clip", "llava"), ("clip", "openclip"),
     ("siglip", "gemma2"), ("clip", "generic"), ("gemma2", "paligemma")],
)  # fmt: skip
def test_a_family_that_does_not_fit(name: str, family: str) -> None:
    settings = families.settings(name).model_copy(update={"family": family})
    assert str(families.folder(name)) in refusal(lambda: models.load(settings, device="cpu"))


def test_a_model_of_no_known_family(tmp_path: Path) -> None:
    settings = config.Model(id=str(tiny.bert(tmp_path)), hooks=("language.0.resid_post",))
    line = refusal(lambda: models.load(settings, device="cpu"))
    assert "bert is of no known family; set its family to one of clip, clip-gemma, gemma2" in line


@pytest.mark.parametrize("name", ["llava", "paligemma", "gemma2", "gemma3"])
def test_weights_that_are_not_in_the_folder(name: str, changed: Callable[[str], Path]) -> None:
    from safetensors.torch import load_file, save_file

    folder = changed(name)
    tensors = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in tensors.items() if "layers.1." not in k}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    settings = families.settings(name, at=folder)
    assert "its files lack" in refusal(lambda: models.load(settings, device="cpu"))


def test_a_processor_without_words(changed: Callable[[str], Path]) -> None:
    folder = changed("llava")
    for file in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        (folder / file).unlink(missing_ok=True)
    families.clip_pictures().save_pretrained(folder)
    settings = families.settings("llava", at=folder)
    assert str(folder) in refusal(lambda: models.load(settings, device="cpu"))


def test_a_processor_of_pictures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoProcessor gives whatever the folder holds."""
    pictures = families.clip_pictures()
    monkeypatch.setattr(AutoProcessor, "from_pretrained", lambda *_, **__: pictures)
    line = refusal(lambda: families.load("llava"))
    assert "which lacks a tokenizer or an image_processor" in line


@pytest.mark.parametrize(
    ("part", "at", "wanted"),
    [
        ("vision_tower", "model", "no vision tower: none of the attributes vision_tower, "),
        ("language_model", "model", "no language model: none of the attributes language_model, "),
        ("multi_modal_projector", "model", "no projector: none of the attributes multi_modal"),
        ("encoder", "model.vision_tower", "no layers of the vision tower: none of the attributes"),
        ("layers", "model.language_model", "no layers of the language model: none of the attr"),
        ("mlp", "model.language_model.layers.0", "no MLP: none of the attributes mlp, "),
        ("self_attn", "model.vision_tower.encoder.layers.0", "no attention: none of the attrib"),
    ],
)
def test_parts_by_other_names_are_named(part: str, at: str, wanted: str) -> None:
    """As the generic adapter meets a class whose parts are called something else."""
    settings = families.settings("llava").model_copy(update={"family": "generic"})
    adapter = models.load(settings, device="cpu")
    for known in ("hook_points", "towers", "vision", "projection", "token_grid"):
        adapter.__dict__.pop(known, None)
    owner = adapter.model.get_submodule(at)
    owner.add_module(f"other_{part}", owner.get_submodule(part))
    delattr(owner, part)
    line = refusal(lambda: adapter.hook_points)
    assert line.startswith(f"{type(owner).__name__}: {wanted}")
    assert "needs an adapter in pipeline/models" in line


def test_a_vision_tower_that_does_not_tell_its_size_is_named() -> None:
    settings = families.settings("llava").model_copy(update={"family": "generic"})
    adapter = models.load(settings, device="cpu")
    for known in ("hook_points", "towers", "vision", "projection", "token_grid"):
        adapter.__dict__.pop(known, None)
    adapter.model.model.vision_tower.config = SimpleNamespace(patch_size=8, hidden_size=32)
    assert "its config lacks the attribute image_size" in refusal(lambda: adapter.hook_points)


def test_an_attention_that_is_not_to_be_had() -> None:
    if importlib.util.find_spec("flash_attn") is not None:
        pytest.skip("flash_attn is installed")
    line = refusal(lambda: families.load("llava", attention="flash_attention_2"))
    assert "machine.attention names, or its package is not installed" in line


def test_the_model_type_in_the_config_chooses_the_family(changed: Callable[[str], Path]) -> None:
    folder = changed("llava-next")
    described = json.loads((folder / "config.json").read_text())
    described["architectures"] = ["LlavaForConditionalGeneration"]
    (folder / "config.json").write_text(json.dumps(described))
    form = models.load(families.settings("llava-next", at=folder), device="meta")
    assert type(form).__name__ == "LlavaNextAdapter"
