"""What steering costs: tokens a second of `generate()` with an edit at one layer of the language
model, against the same without, in turns.

    python bench/steering.py                        the shape of the demo's LLaVA, on this machine
    python bench/steering.py --shape small --features 1 8
    python bench/steering.py --shape llava-1.5-7b --dtype bfloat16 --device cuda

Random weights and random SAEs; every way says as many tokens, greedily and with its cache, and the
edit is made at every token of image, prompt and answer. The share is what is left of the plain
tokens a second: the median over rounds of plain seconds / steered seconds, with its quartiles; a
round runs every way once, in another order than the last. The goal is a share >= 0.9 for a delta of
one feature of a ReLU or JumpReLU SAE. "five at once" is the batch of the page Steering: two rows
unedited, one rebuilt, one steered, one asked otherwise; its tokens are those of one row.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from pipeline import config
from pipeline.hooks import Edit
from pipeline.interventions import FeatureEdit, delta, replace, steering
from pipeline.models.families.llava import LlavaAdapter
from pipeline.models.inputs import Inputs
from pipeline.saes.sae import SAE

# Picture side, patch, vision width and layers; words, width, layers and inner width.
SHAPES = {
    "demo": (64, 8, 128, 4, 81, 128, 4, 384),
    "small": (112, 14, 256, 8, 4_096, 512, 8, 1_408),
    "llava-1.5-7b": (336, 14, 1024, 24, 32_064, 4096, 32, 11_008),
}
BEGIN, IMAGE = 1, 3
TOPK = 32
Ways = Mapping[str, Sequence[Edit | None]]
"""Name -> the edit of each row of the batch."""


def adapter_for(shape: str, *, dtype: str, device: str) -> LlavaAdapter:
    """A LLaVA at random weights behind its adapter, as loading from files would make it."""
    side, patch, seen, seen_layers, words, width, layers, inner = SHAPES[shape]
    vision = CLIPVisionConfig(
        image_size=side,
        patch_size=patch,
        hidden_size=seen,
        intermediate_size=4 * seen,
        num_hidden_layers=seen_layers,
        num_attention_heads=max(4, seen // 64),
    )
    language = LlamaConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=max(4, width // 128),
        pad_token_id=0,
    )
    described = LlavaConfig(vision_config=vision, text_config=language, image_token_index=IMAGE)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            model = LlavaForConditionalGeneration(described).eval()
    finally:
        torch.set_default_dtype(before)
    model.generation_config.pad_token_id = 0
    made = LlavaAdapter.__new__(LlavaAdapter)
    made.settings = config.Model(id=shape, dtype=dtype, hooks=("vision.0.resid_post",))
    made.model, made.device = model, torch.device(device)
    known = {"<pad>": 0, "<s>": BEGIN, "</s>": 2, "<image>": IMAGE}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(known)), bos_token="<s>", pad_token="<pad>"
    )
    made.processor = SimpleNamespace(tokenizer=tokenizer, image_token="<image>")
    return made


def inputs_for(adapter: LlavaAdapter, *, prompt: int) -> Inputs:
    """One image and `prompt` words."""
    vision, words = adapter.model.config.vision_config, adapter.model.config.text_config.vocab_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, vision.image_size, vision.image_size, generator=generator)
    patches = (vision.image_size // vision.patch_size) ** 2
    ids = torch.cat(
        [
            torch.tensor([[BEGIN]]),
            torch.full((1, patches), IMAGE),
            torch.randint(IMAGE + 1, words, (1, prompt), generator=generator),
        ],
        1,
    )
    return Inputs(
        {
            "pixel_values": pixels.to(getattr(torch, adapter.settings.dtype)),
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
        },
        ((vision.image_size, vision.image_size),),
    )


def random_sae(activation: str, *, d_in: int, d_sae: int, device: str) -> SAE:
    generator = torch.Generator(device).manual_seed(1)
    rows = torch.randn(d_sae, d_in, generator=generator, device=device) / d_in**0.5
    return SAE(
        W_enc=rows.T.contiguous(),
        b_enc=torch.zeros(d_sae, device=device),
        W_dec=rows,
        b_dec=torch.zeros(d_in, device=device),
        activation=activation,
        threshold=torch.full((d_sae,), 0.1, device=device) if activation == "jumprelu" else None,
        k=TOPK if activation == "topk" else None,
    )


def ways_for(d_in: int, *, d_sae: int, features: Sequence[int], device: str) -> Ways:
    """What runs in turns: nothing, deltas of so many features, and what reads the whole code."""
    saes = {
        activation: random_sae(activation, d_in=d_in, d_sae=d_sae, device=device)
        for activation in ("relu", "jumprelu", "topk")
    }

    def edits(count: int) -> list[FeatureEdit]:
        return [FeatureEdit(feature, "clamp", 1.0) for feature in range(count)]

    ways: dict[str, Sequence[Edit | None]] = {"plain": [None]}
    for count in features:
        for activation, sae in saes.items():
            ways[f"delta of {count}, {activation}"] = [delta(sae, edits(count))]
    ways["replace, jumprelu"] = [replace(saes["jumprelu"], edits(1))]
    ways["replace, topk"] = [replace(saes["topk"], edits(1))]
    rebuilt, steered = replace(saes["jumprelu"], []), delta(saes["jumprelu"], edits(1))
    ways["five at once, jumprelu"] = [None, rebuilt, steered, None, None]
    return ways


def seconds(
    adapter: LlavaAdapter, inputs: Inputs, hook: str, rows: Sequence[Edit | None], new: int
) -> float:
    """Of a batch with a row for each edit."""
    inputs = Inputs(
        {name: torch.cat([tensor] * len(rows)) for name, tensor in inputs.tensors.items()},
        inputs.sizes * len(rows),
    )
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        for row, edit in enumerate(rows):
            if edit is not None:
                stack.enter_context(steering(adapter, inputs, {hook: [edit]}, examples=[row]))
        made = adapter.generate(inputs, max_new_tokens=new, min_new_tokens=new, do_sample=False)
    made.cpu()  # waits for the GPU
    assert made.shape[1] == inputs.tensors["input_ids"].shape[1] + new
    return time.perf_counter() - start


def compare(
    adapter: LlavaAdapter, inputs: Inputs, hook: str, ways: Ways, *, new: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds of every way, round by round."""
    for rows in ways.values():
        seconds(adapter, inputs, hook, rows, new)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(seconds(adapter, inputs, hook, ways[name], new))
    return taken


def row(name: str, taken: Mapping[str, list[float]], new: int) -> str:
    shares = [plain / own for plain, own in zip(taken["plain"], taken[name], strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4, method="inclusive")
    rate = new / statistics.median(taken[name])
    return f"| {name} | {rate:,.1f} | {middle:.3f} | {low:.3f} to {high:.3f} |"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="demo")
    parser.add_argument("--hook", help="default: the language model's middle layer")
    parser.add_argument("--features", nargs="+", type=int, default=[1])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--expansion", type=int, default=8, help="features for each of d_in")
    parser.add_argument("--prompt", type=int, default=16, help="words of the prompt")
    parser.add_argument("--new", type=int, default=32, help="tokens that are generated")
    parser.add_argument("--rounds", type=int, default=15)
    options: Any = parser.parse_args(argv)
    adapter = adapter_for(options.shape, dtype=options.dtype, device=options.device)
    hook = options.hook or f"language.{len(adapter.towers[-1].layers) // 2}.resid_post"
    point, inputs = adapter.resolve(hook), inputs_for(adapter, prompt=options.prompt)
    d_sae = point.d_in * options.expansion
    ways = ways_for(point.d_in, d_sae=d_sae, features=options.features, device=options.device)
    taken = compare(adapter, inputs, hook, ways, new=options.new, rounds=options.rounds)
    print(
        f"{options.shape}, {options.dtype} on {options.device}, {point.name}, {d_sae:,} features, "
        f"{inputs.tensors['input_ids'].shape[1]} tokens read and {options.new} said, "
        f"{options.rounds} rounds\n"
    )
    print("| generation | tokens/s | share of plain | quartiles |")
    print("|---|---|---|---|")
    for name in ways:
        print(row(name, taken, options.new))


if __name__ == "__main__":
    main()
