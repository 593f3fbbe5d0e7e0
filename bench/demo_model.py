"""Measure the shipped demo models on held-out scenes, and how quick the renderer is.

    python bench/demo_model.py

Prints the figures and writes them beside the weights as probes.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The command works from any folder, whether or not the project is installed.
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import sklearn  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import (  # noqa: E402
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    CLIPModel,
)

from pipeline.demo import CLIP_FOLDER, ENCODER_FOLDER  # noqa: E402
from pipeline.demo.scenes import caption, render  # noqa: E402
from scripts.demo import clip_files, measure  # noqa: E402

# No seed of a training run: those scenes were seen.
SEED = 770_077
FIT, TEST, PAIRS = 4000, 2000, 2000


def renderer_speed(number: int = 1000) -> dict[str, float]:
    """Pictures painted in a second of one core, by size in pixels; others' load does not count."""
    speeds: dict[str, float] = {}
    scenes = measure.scenes(number, seed=SEED, count=None)
    for size in (64, 128, 224):
        render(scenes[0], size=size)
        started = time.process_time()
        for scene in scenes:
            render(scene, size=size)
        speeds[f"{size} px"] = round(number / (time.process_time() - started))
    return speeds


def probes(embed: measure.Embed) -> dict[str, dict[str, dict[str, float]]]:
    """Linear probes of an image model, on scenes of one item and on scenes of two or three."""
    result = {}
    for name, counts, probe in (
        ("single", (1,), measure.probe_single),
        ("multi", (2, 3), measure.probe_multi),
    ):
        parts = []
        for part, number in enumerate((FIT, TEST)):
            each = number // len(counts)
            chosen = [
                scene
                for count in counts
                for scene in measure.scenes(each, seed=SEED + part, count=count)
            ]
            parts.append((chosen, measure.embed_scenes(chosen, embed)))
        result[name] = probe(*parts)
    return result


def measure_clip(folder: Path) -> dict[str, object]:
    """All figures of a CLIP folder."""
    model = CLIPModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    embed = clip_files.image_embedder(model, AutoImageProcessor.from_pretrained(folder))
    pool = measure.distinct_captions(PAIRS, seed=SEED + 2)
    texts = clip_files.embed_texts(model, tokenizer, [caption(scene) for scene in pool])
    singles = measure.scenes(TEST, seed=SEED + 1, count=1)

    def embed_texts(words: list[str]) -> np.ndarray:
        return clip_files.embed_texts(model, tokenizer, words)

    return {
        "probes": probes(embed),
        "recall_among": len(pool),
        "recall": measure.recall(measure.embed_scenes(pool, embed), texts),
        "zero_shot": measure.zero_shot(measure.embed_scenes(singles, embed), singles, embed_texts),
    }


def measure_encoder(folder: Path) -> dict[str, object]:
    """All figures of an image encoder's folder: the pooled output is the embedding."""
    model = AutoModel.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)

    def embed(images: list) -> torch.Tensor:
        return model(**processor(images, return_tensors="pt")).pooler_output.flatten(1)

    return {"probes": probes(embed)}


def describe(folder: Path, figures: Callable[[Path], dict[str, object]]) -> dict[str, object]:
    """Figures of a folder with what they were measured on and with."""
    size = (folder / "model.safetensors").stat().st_size
    return {
        **figures(folder),
        "scenes": {"seed": SEED, "fit": FIT, "test": TEST, "pixels": measure.RENDER_SIZE},
        "weights_mb": round(size / 1e6, 2),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def rounded(value: object) -> object:
    """The same figures with four digits after the point."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=CLIP_FOLDER)
    parser.add_argument("--encoder", type=Path, default=ENCODER_FOLDER)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    speed = renderer_speed()
    for folder, figures in ((options.clip, measure_clip), (options.encoder, measure_encoder)):
        if not (folder / "model.safetensors").exists():
            print(f"{folder}: no model.safetensors; nothing measured")
            continue
        report = describe(folder, figures) | {"renderer_images_per_second": speed}
        text = json.dumps(rounded(report), indent=2)
        (folder / "probes.json").write_text(text + "\n")
        print(f"{folder}\n{text}")


if __name__ == "__main__":
    main()
