"""The shipped demo models load as any others do and see what they are said to see."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoProcessor,
    AutoTokenizer,
    CLIPModel,
    CLIPProcessor,
    CLIPVisionModelWithProjection,
    ResNetModel,
)

from pipeline.demo import CLIP_FOLDER, ENCODER_FOLDER
from pipeline.demo.scenes import caption, render, sample
from scripts.demo import clip_files, measure

SEED = 31_337
SIZE_LIMIT = 10_000_000
# Well under what the cards report: a few hundred scenes fit a probe less well than thousands.
BARS = {"colour": 0.97, "texture": 0.92, "background": 0.97, "shape": 0.92}


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    return CLIPModel.from_pretrained(CLIP_FOLDER).eval()


@pytest.fixture(scope="module")
def encoder() -> ResNetModel:
    return AutoModel.from_pretrained(ENCODER_FOLDER).eval()


@pytest.fixture(scope="module")
def probed() -> Callable[[measure.Embed], dict[str, dict[str, float]]]:
    """Probes of an image model on a small sample."""
    scenes = measure.scenes(900, seed=SEED, count=1)

    def probe(embed: measure.Embed) -> dict[str, dict[str, float]]:
        rows = measure.embed_scenes(scenes, embed)
        return measure.probe_single((scenes[:600], rows[:600]), (scenes[600:], rows[600:]))

    return probe


def picture(index: int, *, size: int = 128) -> Image.Image:
    return Image.fromarray(render(sample(index, seed=SEED), size=size))


@pytest.mark.parametrize("folder", [CLIP_FOLDER, ENCODER_FOLDER], ids=lambda f: f.name)
def test_folder_is_small_and_complete(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_size <= SIZE_LIMIT
    for name in ("README.md", "config.json", "log.csv", "probes.json"):
        assert (folder / name).exists(), name


def test_clip_loads_through_every_door() -> None:
    assert isinstance(AutoModel.from_pretrained(CLIP_FOLDER), CLIPModel)
    assert isinstance(AutoProcessor.from_pretrained(CLIP_FOLDER), CLIPProcessor)
    tower = CLIPVisionModelWithProjection.from_pretrained(CLIP_FOLDER)
    pixels = AutoImageProcessor.from_pretrained(CLIP_FOLDER)(picture(0), return_tensors="pt")
    assert tower(**pixels).image_embeds.shape == (1, 128)


@pytest.mark.parametrize("size", [64, 128, 300])
def test_image_processor_takes_any_size(size: int) -> None:
    for folder in (CLIP_FOLDER, ENCODER_FOLDER):
        processor = AutoImageProcessor.from_pretrained(folder)
        pixels = processor(picture(0, size=size), return_tensors="pt")["pixel_values"]
        assert pixels.shape == (1, 3, 64, 64)


def test_image_processors_agree_with_training() -> None:
    plain = clip_files.to_pixel_values(np.array(picture(1, size=64))[None])
    for folder in (CLIP_FOLDER, ENCODER_FOLDER):
        processor = AutoImageProcessor.from_pretrained(folder)
        pixels = processor(picture(1, size=64), return_tensors="pt")["pixel_values"]
        assert torch.allclose(pixels, plain, atol=1e-5)


def test_tokenizer_knows_the_captions_and_no_more(clip: CLIPModel) -> None:
    tokenizer = AutoTokenizer.from_pretrained(CLIP_FOLDER)
    for index in range(200):
        ids = tokenizer(caption(sample(index, seed=SEED)))["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert ids[0] == tokenizer.bos_token_id
        assert ids[-1] == tokenizer.eos_token_id == clip.config.text_config.eos_token_id
        assert len(ids) <= clip.config.text_config.max_position_embeddings
    assert tokenizer.unk_token_id in tokenizer("a zebra on grass")["input_ids"]
    # Id 2 as the end token would switch CLIP's text tower to a legacy way of pooling.
    assert tokenizer.eos_token_id != 2


def test_padding_does_not_change_a_text(clip: CLIPModel) -> None:
    tokenizer = AutoTokenizer.from_pretrained(CLIP_FOLDER)
    short, long = "a red star", caption(sample(0, seed=SEED, count=3))
    alone = clip_files.embed_texts(clip, tokenizer, [short])
    padded = clip_files.embed_texts(clip, tokenizer, [short, long])
    assert np.allclose(alone[0], padded[0], atol=1e-4)


def test_clip_embeddings_know_the_scene(
    clip: CLIPModel, probed: Callable[[measure.Embed], dict[str, dict[str, float]]]
) -> None:
    embed = clip_files.image_embedder(clip, AutoImageProcessor.from_pretrained(CLIP_FOLDER))
    found = probed(embed)
    for attribute, bar in BARS.items():
        assert found[attribute]["accuracy"] >= bar, attribute


def test_clip_finds_captions(clip: CLIPModel) -> None:
    embed = clip_files.image_embedder(clip, AutoImageProcessor.from_pretrained(CLIP_FOLDER))
    pool = measure.distinct_captions(400, seed=SEED)
    tokenizer = AutoTokenizer.from_pretrained(CLIP_FOLDER)
    texts = clip_files.embed_texts(clip, tokenizer, [caption(scene) for scene in pool])
    assert measure.recall(measure.embed_scenes(pool, embed), texts)["image_to_caption@5"] >= 0.95


def test_encoder_embeddings_know_the_scene(
    encoder: ResNetModel, probed: Callable[[measure.Embed], dict[str, dict[str, float]]]
) -> None:
    processor = AutoImageProcessor.from_pretrained(ENCODER_FOLDER)

    def embed(images: list[Image.Image]) -> torch.Tensor:
        return encoder(**processor(images, return_tensors="pt")).pooler_output.flatten(1)

    found = probed(embed)
    for attribute, bar in BARS.items():
        assert found[attribute]["accuracy"] >= bar, attribute


def test_the_two_models_share_nothing(clip: CLIPModel, encoder: ResNetModel) -> None:
    assert clip.config.model_type != encoder.config.model_type
    first = load_file(CLIP_FOLDER / "model.safetensors")
    second = load_file(ENCODER_FOLDER / "model.safetensors")
    assert not first.keys() & second.keys()
    seen = {weights.numpy().tobytes() for weights in first.values() if weights.numel() > 128}
    assert not any(weights.numpy().tobytes() in seen for weights in second.values())


def test_retrieval_figures() -> None:
    images = np.eye(4, dtype=np.float32)
    texts = images[[1, 0, 2, 3]] + 0.5 * images
    found = measure.recall(images, texts, ks=(1, 2))
    assert found["image_to_caption@1"] == pytest.approx(0.5)
    assert found["image_to_caption@2"] == pytest.approx(1.0)
    assert found["caption_to_image@1"] == pytest.approx(0.5)
