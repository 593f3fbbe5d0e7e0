"""The shipped configs: they parse, and their hook points are there in models of the real shapes.

Of each hub model only the form is made, from a config of its published numbers; no weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_families as tf
from run_commands import done
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    Gemma2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaProcessor,
    MistralConfig,
    PaliGemmaConfig,
    PaliGemmaProcessor,
    SiglipConfig,
    SiglipImageProcessor,
)

from pipeline import config, models
from pipeline.run import plan

FOLDER = Path(config.__file__).parent / "configs"
RUNS = sorted(p for p in FOLDER.glob("*.toml") if "projector" not in p.name)
VIT_L = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "image_size": 336, "patch_size": 14, "projection_dim": 768,
}  # fmt: skip
SO400M = {
    "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
    "num_attention_heads": 16, "patch_size": 14,
}  # fmt: skip
GEMMA_2B = {
    "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
}  # fmt: skip
IMAGE = tf.VOCABULARY.index("<image>")


def crop(side: int) -> CLIPImageProcessor:
    return CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def clip(folder: Path, *, vision: dict[str, int] = VIT_L) -> None:
    CLIPConfig(vision_config=vision, projection_dim=vision["projection_dim"]).save_pretrained(
        folder
    )
    crop(vision["image_size"]).save_pretrained(folder)
    tf.tokenizer(image_token=None).save_pretrained(folder)


def clip_224(folder: Path) -> None:
    clip(folder, vision={**VIT_L, "image_size": 224})


def clip_b32(folder: Path) -> None:
    base = {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "image_size": 224, "patch_size": 32, "projection_dim": 512,
    }  # fmt: skip
    clip(folder, vision=base)


def siglip(folder: Path) -> None:
    SiglipConfig(vision_config={**SO400M, "image_size": 384}).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 384, "width": 384}).save_pretrained(folder)


def llava(folder: Path) -> None:
    LlavaConfig(
        vision_config={**VIT_L, "model_type": "clip_vision_model"},
        text_config=LlamaConfig(vocab_size=32064),
        image_token_index=IMAGE,
    ).save_pretrained(folder)
    LlavaProcessor(crop(336), tf.tokenizer(), patch_size=14,
                   vision_feature_select_strategy="default", num_additional_image_tokens=1,
                   chat_template=tf.TEMPLATE).save_pretrained(folder)  # fmt: skip


def llava_next(folder: Path) -> None:
    LlavaNextConfig(
        vision_config={**VIT_L, "model_type": "clip_vision_model"},
        text_config=MistralConfig(vocab_size=32064),
        image_token_index=IMAGE,
    ).save_pretrained(folder)
    LlavaNextProcessor(
        LlavaNextImageProcessor(
            size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
        ),
        tf.tokenizer(), patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=tf.TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip


def gemma(folder: Path) -> None:
    Gemma2Config(**GEMMA_2B).save_pretrained(folder)
    tf.tokenizer(image_token=None).save_pretrained(folder)


def paligemma(folder: Path) -> None:
    PaliGemmaConfig(
        vision_config={**SO400M, "image_size": 224, "model_type": "siglip_vision_model"},
        text_config={**GEMMA_2B, "model_type": "gemma2"},
        image_token_index=IMAGE,
        projection_dim=2304,
    ).save_pretrained(folder)
    pictures = SiglipImageProcessor(size={"height": 224, "width": 224})
    pictures.image_seq_length = 256
    PaliGemmaProcessor(pictures, tf.tokenizer()).save_pretrained(folder)


FORMS: dict[str, Callable[[Path], None]] = {
    "openai/clip-vit-large-patch14-336": clip,
    "openai/clip-vit-large-patch14": clip_224,
    "openai/clip-vit-base-patch32": clip_b32,
    "google/siglip-so400m-patch14-384": siglip,
    "llava-hf/llava-1.5-7b-hf": llava,
    "llava-hf/llava-v1.6-mistral-7b-hf": llava_next,
    "google/gemma-2-2b": gemma,
    "google/paligemma2-3b-pt-224": paligemma,
}
SHAPES = {
    ("clip-l14-336", "vision.11.resid_post"): (577, 1024),
    ("clip-l14-336", "vision.projection"): (1, 768),
    ("clip-l14-captions", "vision.22.resid_post"): (257, 1024),
    ("clip-l14-captions", "vision.projection"): (1, 768),
    ("siglip-so400m", "vision.25.resid_post"): (729, 1152),
    ("siglip-so400m", "vision.projection"): (1, 1152),
    ("llava-1.5-7b", "vision.22.resid_post"): (577, 1024),
    ("llava-1.5-7b", "language.15.resid_post"): (None, 4096),
    ("llava-next-mistral-7b", "language.31.resid_post"): (None, 4096),
    ("gemma-2-paligemma-2", "language.20.resid_post"): (None, 2304),
    ("clip-gemma", "language.25.resid_post"): (None, 2304),
}


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Hub id -> folder with the model's config and processor."""
    root = tmp_path_factory.mktemp("forms")
    made = {name: root / name.replace("/", "--") for name in FORMS}
    for name, folder in made.items():
        FORMS[name](folder)
    return made


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_runs_hook_points_are_there(path: Path, forms: dict[str, Path], tmp_path: Path) -> None:
    run = config.load(path)
    for called, settings in run.models.items():
        local = {
            field: str(forms[name])
            for field in ("id", "vision")
            if (name := getattr(settings, field)) in forms
        }
        adapter = models.load(settings.model_copy(update=local), device="meta")
        assert all(tensor.is_meta for tensor in adapter.model.parameters())
        for hook in settings.hooks:
            point = adapter.resolve(hook)
            wanted = SHAPES.get((run.name, point.name))
            assert wanted in (None, (point.tokens, point.d_in))
        for place in plan.places(run, model=called):
            if "captions" in getattr(run.dictionaries[place.dictionary], "learnt", ()):
                assert adapter.takes_words(adapter.resolve(place.hook))


@pytest.mark.parametrize(
    ("name", "reach"),
    [("clip-l14-captions", "vision.projection"), ("llava-1.5-7b", "language.15.resid_post"),
     ("llava-next-mistral-7b", "language.15.resid_post"), ("clip-gemma", "language.12.resid_post")],
)  # fmt: skip
def test_pictures_and_captions_meet_in_the_configs_of_real_models(name: str, reach: str) -> None:
    """Captions are given, reach a dictionary alone, and stand behind the image of causal models."""
    run = config.load(FOLDER / f"{name}.toml")
    assert run.examples.source.captions is not None and run.captions.per_image > 0
    assert any(place.hook == reach for place in plan.places(run))
    (settings,) = run.models.values()
    if "clip-l14" not in name:
        before, _, _ = settings.prompt.partition("{caption}")
        assert "{caption}" in settings.prompt
        assert "<image>" in before or name == "clip-gemma"  # which puts the image first itself


def test_every_shape_is_of_a_config_that_there_is() -> None:
    asked = {
        (run.name, hook) for run in map(config.load, RUNS) for m in run.models.values()
        for hook in m.hooks
    }  # fmt: skip
    named = {(run, hook) for run, hook in SHAPES if "-" not in hook}
    assert {run for run, _ in named} <= {run for run, _ in asked}


def test_published_saes_are_at_hook_points_that_are_read() -> None:
    """At the same layer as its source names."""
    for run in map(config.load, RUNS):
        for dictionary in run.dictionaries.values():
            if isinstance(dictionary, config.PublishedSAE):
                for hook, source in dictionary.sources.items():
                    assert f"/layer_{hook.split('.')[1]}/" in source
                    for model in dictionary.models or run.models:
                        assert hook in run.models[model].hooks


def test_the_projectors_config() -> None:
    fit = config.load(FOLDER / "clip-gemma-projector.toml", config.FitProjector)
    run = config.load(FOLDER / "clip-gemma.toml")
    model = run.models["clip-gemma"]
    assert (fit.model.id, fit.model.vision) == (model.id, model.vision)
    assert Path("data/projectors") / fit.name / "projector.safetensors" == model.projector


def test_the_command_lists_them(forms: dict[str, Path], tmp_path: Path) -> None:
    text = (FOLDER / "gemma-2-paligemma-2.toml").read_text()
    for name, folder in forms.items():
        text = text.replace(name, str(folder))
    (tmp_path / "run.toml").write_text(text)
    lines = done("hooks", tmp_path / "run.toml").stdout.splitlines()
    assert sum(line.startswith(" *") for line in lines) == 6
    assert sum("resid_post" in line for line in lines) == 26 + 27 + 26
    assert any("vision.projection        [n, 256, 2304]" in line for line in lines)
