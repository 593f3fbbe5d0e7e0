"""Tiny models with random weights in Hugging Face format, and folders of small pictures."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
    ResNetModel,
)

torch.set_num_threads(1)
"""The tensors are so small that a second thread only waits."""

SIDE, PATCH, WIDTH, LAYERS, JOINT = 32, 8, 32, 3, 16


def clip_config() -> CLIPConfig:
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    text = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 8,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=JOINT)


def clip(folder: Path, *, seed: int = 0, scale: float = 4) -> Path:
    """A CLIPModel of LAYERS layers with its image processor; its weights are `scale` times what a
    training would begin with."""
    model = seeded(CLIPModel, clip_config(), seed)
    # As initialised, all images look alike to it.
    with torch.no_grad():
        for name, weight in model.vision_model.named_parameters():
            if "embedding" in name or weight.ndim == 2:
                weight.mul_(scale)
    model.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)
    return folder


def resnet(folder: Path, *, seed: int = 1) -> Path:
    """An image encoder of another architecture, with its image processor."""
    settings = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    seeded(ResNetModel, settings, seed).save_pretrained(folder)
    processor(folder)
    return folder


def dinov2(folder: Path, *, seed: int = 2) -> Path:
    settings = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=SIDE, patch_size=8
    )
    seeded(Dinov2Model, settings, seed).save_pretrained(folder)
    processor(folder)
    return folder


def bert(folder: Path) -> Path:
    """A model of quite another family."""
    settings = BertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=32,
    )
    seeded(BertModel, settings, 3).save_pretrained(folder)
    return folder


def processor(folder: Path) -> None:
    BitImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)


def seeded(kind: type, settings: object, seed: int) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(settings).eval()


def picture(seed: int, *, side: int = 40) -> Image.Image:
    """A few blocks of random colours: pictures that a random model tells apart."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST)
