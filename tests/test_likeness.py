"""A model that judges itself is known by its weights, whatever it is called."""

import shutil
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPVisionModel

from pipeline import config
from pipeline.demo import CLIP_FOLDER, ENCODER_FOLDER, LLAVA_FOLDER
from pipeline.models import likeness


def run(model: Path, encoder: Path, *, more: str = "", of_model: str = "") -> config.RunConfig:
    return config.parse(
        f'name = "it"\n[examples.source]\nkind = "scenes"\n'
        f'[models.studied]\nid = "{model}"\nhooks = ["vision.0.resid_post"]\n{of_model}\n'
        f'[encoders.judge]\nid = "{encoder}"\n{more}\n'
        '[dictionaries.neurons]\nkind = "neurons"\n'
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("likeness") / "clip"
    tiny.clip(folder)
    return folder


def copied(clip: Path, to: Path) -> Path:
    shutil.copytree(clip, to)
    return to


def tower_alone(clip: Path, to: Path) -> Path:
    CLIPVisionModel.from_pretrained(clip).save_pretrained(to)
    return to


def in_half(clip: Path, to: Path) -> Path:
    copied(clip, to)
    file = to / "model.safetensors"
    tensors = {n: t.bfloat16() if t.is_floating_point() else t for n, t in load_file(file).items()}
    file.unlink()
    save_file(tensors, file)
    return to


def as_pickle(clip: Path, to: Path) -> Path:
    copied(clip, to)
    file = to / "model.safetensors"
    torch.save(load_file(file), to / "pytorch_model.bin")
    file.unlink()
    return to


def under_other_names(clip: Path, to: Path) -> Path:
    copied(clip, to)
    file = to / "model.safetensors"
    tensors = {f"model.vision_tower.{name}": t for name, t in load_file(file).items()}
    file.unlink()
    save_file(tensors, file)
    return to


def last_layer_trained_on(clip: Path, to: Path) -> Path:
    model = CLIPModel.from_pretrained(clip)
    with torch.no_grad():
        for one in model.vision_model.encoder.layers[-1].parameters():
            one.add_(torch.randn_like(one))
    model.save_pretrained(to)
    return to


SAME = [copied, tower_alone, in_half, as_pickle, under_other_names, last_layer_trained_on]


@pytest.mark.parametrize("made", SAME, ids=lambda f: f.__name__)
@pytest.mark.parametrize("turned", [False, True], ids=["encoder", "model"])
def test_the_same_tower_is_known(made, turned: bool, clip: Path, tmp_path: Path) -> None:
    other = made(clip, tmp_path / "another")
    settings = run(other, clip) if turned else run(clip, other)
    assert likeness.selves(settings) == {"judge": ("studied",)}
    with pytest.raises(config.ConfigError, match=r"encoders\.judge: .*models\.studied") as refused:
        likeness.refuse_selves(settings)
    assert "\n" not in str(refused.value)
    assert "judges_itself = true" in str(refused.value)


def test_it_may_be_meant_or_not_judge(clip: Path) -> None:
    meant = run(clip, clip, more="judges_itself = true")
    assert likeness.selves(meant) == {"judge": ("studied",)}
    likeness.refuse_selves(meant)
    silent = run(clip, clip, more='judges = false\n[encoders.other]\nid = "some/encoder"')
    assert likeness.selves(silent) == {}
    with pytest.raises(config.ConfigError, match="drop one of them"):
        run(clip, clip, more="judges = false\njudges_itself = true")


def test_other_models_are_others(clip: Path, tmp_path: Path) -> None:
    torch.manual_seed(77)
    tiny.clip(tmp_path / "drawn")
    settings = CLIPModel.from_pretrained(clip).config
    CLIPModel(settings).save_pretrained(tmp_path / "redrawn")
    for encoder in (tmp_path / "redrawn", ENCODER_FOLDER):
        assert likeness.selves(run(clip, encoder)) == {}
    assert likeness.selves(run(CLIP_FOLDER, ENCODER_FOLDER)) == {}


def test_a_frozen_tower_in_a_language_model_is_known() -> None:
    """The demo's LLaVA looks through the demo's CLIP."""
    assert likeness.selves(run(LLAVA_FOLDER, CLIP_FOLDER)) == {"judge": ("studied",)}
    assert likeness.selves(run(LLAVA_FOLDER, ENCODER_FOLDER)) == {}


def test_a_hub_name_is_itself_without_its_weights() -> None:
    here, there = Path("nobody/such-clip"), Path("nobody/other")
    assert likeness.selves(run(here, here)) == {"judge": ("studied",)}
    assert likeness.selves(run(here, there)) == {}
    joined = 'family = "clip-gemma"\nvision = "nobody/other"\nprojector = "x.safetensors"'
    assert likeness.selves(run(here, there, of_model=joined)) == {"judge": ("studied",)}


def test_damaged_weights_are_no_fault_of_the_comparison(clip: Path, tmp_path: Path) -> None:
    other = copied(clip, tmp_path / "damaged")
    (other / "model.safetensors").write_bytes(b"\xff" * 100)
    assert likeness.selves(run(clip, other)) == {}


@pytest.mark.parametrize("file", sorted(Path("pipeline/configs").glob("demo*.toml")), ids=str)
def test_no_shipped_demo_judges_itself(file: Path) -> None:
    assert likeness.selves(config.load(file)) == {}
