"""What reading a model costs: recording at one layer and encoding with an SAE, against the model's
own bare forward, in the same run and in turns.

    python bench/recording.py                       CLIP ViT-B/32 on this machine, random weights
    python bench/recording.py --models vit-l14-336 llava-1.5-7b --dtype bfloat16 --device cuda
    python bench/recording.py --jpegs FOLDER ...    also from JPEG files, with the device's share
                                                    of the time in a profile (CUDA)

Both see the same tensors. `recording` is `Adapter.record` at the hook point and `SAE.encode_sparse`
of all of its tokens; the bare forward is the model's own, as one calls it without Loupe. With
`stop` the forward is left behind the hook point, as the pipeline leaves it; `whole` runs it to its
end.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from pipeline import config, hooks
from pipeline.models.adapter import Inputs
from pipeline.models.families.clip import ClipAdapter
from pipeline.models.families.llava import LlavaAdapter
from pipeline.saes.sae import SAE

SHAPES = {
    "vit-b32": {"image_size": 224, "patch_size": 32, "hidden_size": 768, "num_hidden_layers": 12},
    "vit-l14-336": {
        "image_size": 336,
        "patch_size": 14,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
    },
}
IMAGE_TOKEN, PROMPT_TOKENS = 32_000, 32


def vision_config(name: str) -> CLIPVisionConfig:
    shape = SHAPES[name]
    width = shape["hidden_size"]
    return CLIPVisionConfig(
        **shape, intermediate_size=4 * width, num_attention_heads=width // 64, projection_dim=768
    )


def adapter(name: str, *, dtype: str, device: str) -> Any:
    """The model at random weights behind its adapter, which loading from files would make."""
    if name == "llava-1.5-7b":
        kind, made = LlavaAdapter, _llava(dtype, device)
    else:
        kind = ClipAdapter
        with torch.device(device):
            made = CLIPVisionModelWithProjection(vision_config(name)).to(getattr(torch, dtype))
    built = kind.__new__(kind)
    built.settings = config.Model(id=name, dtype=dtype, hooks=("vision.0.resid_post",))
    built.model, built.device = made.eval(), torch.device(device)
    side = SHAPES.get(name, SHAPES["vit-l14-336"])["image_size"]
    built.processor = CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    if name == "llava-1.5-7b":
        # Which tokens are words is asked of the tokenizer; nothing here is read with it.
        known = {"<pad>": 0, "<s>": 1, "</s>": 2, "<image>": IMAGE_TOKEN}
        built.processor.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(WordLevel(known)), bos_token="<s>", pad_token="<pad>"
        )
    return built


def _llava(dtype: str, device: str) -> LlavaForConditionalGeneration:
    settings = LlavaConfig(
        vision_config=vision_config("vit-l14-336"),
        text_config=LlamaConfig(vocab_size=32_064),
        image_token_index=IMAGE_TOKEN,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            return LlavaForConditionalGeneration(settings)
    finally:
        torch.set_default_dtype(before)


def inputs_for(model: Any, batch: int) -> Inputs:
    side = model.processor.crop_size["height"]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(batch, 3, side, side, generator=generator)
    tensors = {"pixel_values": pixels.to(getattr(torch, model.settings.dtype))}
    if isinstance(model, LlavaAdapter):
        patches = (side // model.model.config.vision_config.patch_size) ** 2
        words = torch.randint(3, 32_000, (batch, PROMPT_TOKENS), generator=generator)
        ids = torch.cat([torch.full((batch, patches), IMAGE_TOKEN), words], 1)
        tensors |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    tensors = {k: v.to(model.device) for k, v in tensors.items()}
    return Inputs(tensors, ((side, side),) * batch)


def random_sae(d_in: int, *, expansion: int, k: int, device: str) -> SAE:
    """An SAE of which about k features fire on a vector like those it is made from."""
    generator = torch.Generator().manual_seed(1)
    d_sae = d_in * expansion
    directions = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=1)
    # Of a standard normal the share k / d_sae lies above this.
    level = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - k / d_sae)).item()
    return SAE(
        W_enc=directions.T.contiguous(),
        b_enc=torch.zeros(d_sae),
        W_dec=directions,
        b_dec=torch.zeros(d_in),
        activation="jumprelu",
        threshold=torch.full((d_sae,), level),
    ).to(device)


def seconds(work: Callable[[], Any], device: str) -> float:
    start = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


@torch.inference_mode()
def compare(model: Any, hook: str, *, batch: int, rounds: int, expansion: int) -> dict[str, float]:
    """Median images a second of the bare forward and of reading, measured in turns."""
    point = model.resolve(hook)
    inputs = inputs_for(model, batch)
    device = str(model.device)
    acts = model.record(inputs, [point.name])[point.name].float()
    sae = random_sae(point.d_in, expansion=expansion, k=32, device=device)
    # A random model's activations in the units that the random SAE expects.
    scale = acts.norm(dim=-1).mean() / point.d_in**0.5

    def encode(found: torch.Tensor) -> int:
        return len(sae.encode_sparse(found.flatten(0, 1).float() / scale).value)

    def stopped() -> None:
        encode(model.record(inputs, [point.name])[point.name])

    def whole() -> None:
        with hooks.record(model, [point.name], stop=False) as found:
            model.forward(inputs)
        encode(found[point.name])

    ways = {
        "bare": lambda: model.model(**inputs.tensors, **model.options),
        "stop": stopped,
        "whole": whole,
    }
    for work in ways.values():
        seconds(work, device)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            taken[name].append(seconds(work, device))
    rates = {name: batch / statistics.median(times) for name, times in taken.items()}
    rates["l0"] = encode(acts) / acts[..., 0].numel()
    return rates


def from_jpegs(model: Any, hook: str, folder: Path, *, batch: int, expansion: int) -> None:
    """Images a second from files to codes, and how much of that time the device was busy."""
    from torch.profiler import ProfilerActivity, profile

    from pipeline.inputs import readers, reading

    source = config.Folder(kind="folder", path=folder)
    reader = readers.FolderReader(source)
    wanted = list(reader.examples())
    point = model.resolve(hook)
    sae = random_sae(point.d_in, expansion=expansion, k=32, device=str(model.device))

    def prepare(pictures: reading.Pictures) -> Inputs:
        images = [image for _, image in pictures]
        pixels = model.processor(images=images, return_tensors="pt")["pixel_values"]
        pixels = pixels.to(getattr(torch, model.settings.dtype))
        made = Inputs({"pixel_values": pixels}, tuple(i.size for i in images))
        return made.pinned() if model.device.type == "cuda" else made

    def run() -> int:
        skipped: dict[str, str] = {}
        read = reading.read(reader, wanted, prepare, batch=batch, skipped=skipped)
        for _, inputs in read:
            for _, acts in model.recorded(inputs, [point.name]):
                sae.encode_sparse(acts[point.name].flatten(0, 1).float())
        return len(wanted) - len(skipped)

    run()
    activities = [ProfilerActivity.CPU]
    if model.device.type == "cuda":
        activities = [ProfilerActivity.CUDA]
    with profile(activities=activities) as profiled:
        start = time.perf_counter()
        count = run()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        taken = time.perf_counter() - start
    line = f"from {count} JPEG files: {count / taken:,.0f} images/s"
    if model.device.type == "cuda":
        busy = sum(e.self_device_time_total for e in profiled.key_averages()) / 1e6
        line += f", device busy {busy / taken:.1%} of the time"
    print(line)


def write_jpegs(folder: Path, count: int) -> None:
    """Noisy pictures of 500 x 375 pixels, as large in the file as photographs are."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = rng.integers(0, 256, (47, 63, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        image.save(folder / f"{i:05}.jpg", quality=90)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["vit-b32"])
    parser.add_argument("--hook", help="default: the last layer but one, and the last")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--expansion", type=int, default=8)
    parser.add_argument("--jpegs", type=Path, help="a folder of JPEGs; made if it is not there")
    parser.add_argument("--count", type=int, default=4096, help="how many JPEGs are made")
    options = parser.parse_args(argv)
    print("| model | hook | bare images/s | read, stopping | share | read, whole | share | l0 |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.models:
        model = adapter(name, dtype=options.dtype, device=options.device)
        tower = "language" if name.startswith("llava") else "vision"
        for hook in (
            [options.hook]
            if options.hook
            else [
                f"{tower}.-2.resid_post",
                f"{tower}.-1.resid_post",
            ]
        ):
            got = compare(
                model, hook, batch=options.batch, rounds=options.rounds, expansion=options.expansion
            )
            print(
                f"| {name} | {model.resolve(hook).name} | {got['bare']:,.1f} | {got['stop']:,.1f} "
                f"| {got['stop'] / got['bare']:.3f} | {got['whole']:,.1f} "
                f"| {got['whole'] / got['bare']:.3f} | {got['l0']:.0f} |"
            )
        if options.jpegs and not name.startswith("llava"):
            if not options.jpegs.is_dir():
                write_jpegs(options.jpegs, options.count)
            hook = options.hook or "vision.-2.resid_post"
            from_jpegs(model, hook, options.jpegs, batch=options.batch, expansion=options.expansion)


if __name__ == "__main__":
    main()
