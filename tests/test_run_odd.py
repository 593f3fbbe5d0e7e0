"""Runs over odd but possible inputs: refused early in one line, or right to the end."""

import json
from pathlib import Path

import pytest
import tiny
import tiny_families as tf
import torch
from run_commands import assert_one_line, command, done
from torch import Tensor, nn

from pipeline import config, hooks, models
from pipeline.bundle import opening
from pipeline.bundle.verify import faults
from pipeline.run import identity

CONFIG = """
name = "odd"
[examples]
shard_size = 8
[examples.source]
kind = "folder"
path = "{pictures}"
captions = "{captions}"
[models.one]
{model}
[encoders.judge]
id = "{encoder}"
[dictionaries.it]
{dictionary}
[machine]
device = "cpu"
batch_size = 5
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(16):
        tiny.picture(i).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tf.gemma2(tmp_path_factory.mktemp("gemma"))


def write(
    folder: Path, pictures: Path, encoder: Path, *, model: str, dictionary: str,
    captions: list[str] | None = None,
) -> Path:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    said = captions or [f"a cat {i}" for i in range(16)]
    rows = ["image,caption", *(f"{i:02}.png,{text}" for i, text in enumerate(said))]
    (folder / "captions.csv").write_text("\n".join(rows))
    file = folder / "odd.toml"
    file.write_text(CONFIG.format(pictures=pictures, captions=folder / "captions.csv",
                                  encoder=encoder, model=model, dictionary=dictionary))  # fmt: skip
    return file


@pytest.fixture
def clip_gemma(gemma: Path, tiny_clip: Path, tmp_path: Path) -> str:
    """A CLIP-Gemma with a projector from a file, as a config names it."""
    weights = {"module.weight": torch.randn(tf.WORDS, tiny.WIDTH) / 4,
               "module.bias": torch.zeros(tf.WORDS)}  # fmt: skip
    torch.save(weights, tmp_path / "projector.pth")
    return (
        f'family = "clip-gemma"\nid = "{gemma}"\nvision = "{tiny_clip}"\n'
        f'projector = "{tmp_path / "projector.pth"}"\nhooks = ["language.1.resid_post"]'
    )


def test_clip_gemma_through_to_the_bundle(
    clip_gemma: str, pictures: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path, pictures, tiny_encoder, model=clip_gemma, dictionary='kind = "neurons"')
    done("run", file, "--out", tmp_path / "run")
    assert list(faults(tmp_path / "run")) == []
    manifest = json.loads(
        (opening.open_bundle(tmp_path / "run").root / "manifest.json").read_text()
    )
    assert manifest["models"]["one"]["projector"].endswith("projector.pth")


def test_clip_gemma_without_a_projector_is_refused(
    clip_gemma: str, pictures: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    without = "\n".join(line for line in clip_gemma.splitlines() if "projector" not in line)
    file = write(tmp_path, pictures, tiny_encoder, model=without, dictionary='kind = "neurons"')
    result = command("run", file, "--out", tmp_path / "run")
    assert_one_line(result, "models.one.projector", "fit-projector")


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_an_example_without_words_counts_as_nothing(
    pooling: str, gemma: Path, pictures: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    file = write(
        tmp_path, pictures, tiny_encoder, model=f'id = "{gemma}"\nhooks = ["language.0.mlp_out"]',
        dictionary=f'kind = "neurons"\ntokens = "text"\npooling = "{pooling}"',
        captions=["<eos>" if i % 3 == 0 else f"cat {i}" for i in range(16)],
    )  # fmt: skip
    done("run", file, "--out", tmp_path / "run")
    assert list(faults(tmp_path / "run")) == []


def test_tokens_that_no_example_has_are_said(
    clip_gemma: str, pictures: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    """CLIP-Gemma's own prompt is empty: there are no words to read."""
    trained = 'kind = "batchtopk"\nk = 2\ntokens = "text"\ntraining = { samples = 99, batch = 9 }'
    file = write(tmp_path, pictures, tiny_encoder, model=clip_gemma, dictionary=trained)
    assert_one_line(command("run", file, "--out", tmp_path / "run"), "no activations", "text")


@pytest.mark.parametrize(
    ("more", "named"),
    [('tokens = "text"', "tokens = 'text'"), ('hooks = ["vision.9.resid_post"]', "vision.9")],
)
def test_a_dictionary_that_cannot_read_is_refused_before_the_work(
    more: str, named: str, tiny_clip: Path, pictures: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    file = write(
        tmp_path, pictures, tiny_encoder,
        model=f'id = "{tiny_clip}"\nhooks = ["vision.1.resid_post"]',
        dictionary=f'kind = "batchtopk"\nk = 2\n{more}',
    )  # fmt: skip
    assert_one_line(command("run", file, "--out", tmp_path / "run"), named)
    assert not list((tmp_path / "run").glob("parts/collect/*"))


def test_a_device_that_is_not_there(
    tiny_clip: Path, pictures: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    file = write(
        tmp_path, pictures, tiny_encoder,
        model=f'id = "{tiny_clip}"\nhooks = ["vision.1.resid_post"]', dictionary='kind = "neurons"',
    )  # fmt: skip
    file.write_text(file.read_text().replace('device = "cpu"', 'device = "abacus"'))
    assert_one_line(command("run", file, "--out", tmp_path / "run"), "machine.device = 'abacus'")


def test_what_a_model_is_made_of_is_in_its_identity(tmp_path: Path) -> None:
    """Weights in any format, and what words are made with."""
    (tmp_path / "config.json").write_text("{}")
    before = {identity.model_identity(str(tmp_path), None)}
    for name in ("open_clip_pytorch_model.pth", "chat_template.jinja", "merges.txt",
                 "tokenizer.model", "model.safetensors", "weights.pt"):  # fmt: skip
        (tmp_path / name).write_text("one")
        before.add(identity.model_identity(str(tmp_path), None))
        (tmp_path / name).write_text("two")
        before.add(identity.model_identity(str(tmp_path), None))
    assert len(before) == 13


def test_what_a_published_sae_is_made_of_is_in_its_identity(tmp_path: Path) -> None:
    (tmp_path / "ae.pt").write_text("weights")
    source = str(tmp_path / "ae.pt")
    before = {identity.source_identity(source, None)}
    (tmp_path / "config.json").write_text("{}")
    before.add(identity.source_identity(source, None))
    (tmp_path / "config.json").write_text("{ }")
    before.add(identity.source_identity(source, None))
    assert len(before) == 3
    with pytest.raises(config.ConfigError, match="no such file"):
        identity.source_identity(str(tmp_path / "none.pt"), None)


def test_a_caption_may_hold_the_image_token(tmp_path: Path) -> None:
    """By chance: it is words, and takes no part in where the image is."""
    adapter = models.load(
        config.Model(id=str(tf.llava(tmp_path)), prompt="Is it {caption}?",
                     hooks=("language.0.resid_post",)),
        device="cpu",
    )  # fmt: skip

    class Example:
        uri, captions = "a.png", ("a <image> of a cat",)

    inputs = adapter.inputs([(Example, tiny.picture(0))])
    assert int((inputs.tensors["input_ids"] == adapter.image_token).sum()) == 16
    adapter.record(inputs, ["language.0.resid_post"])


class Layers(nn.Module):
    """Two layers, each its own hook point."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.layers[0](x))

    def module(self, hook: str) -> nn.Module:
        return self.layers[int(hook)]

    def stack(self, hook: str) -> nn.Module:
        return self


@torch.no_grad()
def test_an_edit_in_place_keeps_to_its_mask() -> None:
    model, x = Layers(), torch.randn(2, 3, 4)
    before = model.layers[0](x)
    mask = torch.tensor([[True, False, False], [False, False, True]])

    def clear(acts: Tensor) -> Tensor:
        return acts.mul_(0)

    with hooks.edit(model, "0", clear, where=lambda *_: mask):
        after = model.layers[1](torch.where(mask[..., None], 0, before))
        assert torch.equal(model(x), after)


@torch.no_grad()
@pytest.mark.parametrize("inner", ["record", "edit"])
def test_what_is_recorded_is_what_an_edit_made(inner: str) -> None:
    model, x = Layers(), torch.randn(2, 3, 4)
    wanted = model.layers[0](x) + 1

    def add(acts: Tensor) -> Tensor:
        return acts + 1

    if inner == "record":
        with hooks.edit(model, "0", add), hooks.record(model, ["0"]) as acts:
            model(x)
    else:
        with hooks.record(model, ["0"]) as acts, hooks.edit(model, "0", add):
            model(x)
    assert torch.equal(acts["0"], wanted)
