"""What a model's files hold: whether they are whole, and whether they are those of the model."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import nn

_WEIGHTS = ("*.safetensors", "*.bin", "*.pth")
_READ = (
    "*config.json",
    "*.index.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "chat_template.json",
    "model*.safetensors",
    "open_clip*.safetensors",
    "pytorch_model*.bin",
    "open_clip*.bin",
    "tokenizer.model",
    "spiece.model",
)
"""What of a folder libraries read; whatever else lies there is nobody's concern."""
_POINTER = b"version https://git-lfs"
_BOM = b"\xef\xbb\xbf"

_LAYERS = re.compile(r"(^|_)(layers|depth|depths)$")
_SIZES = re.compile(r"(^|_)(size|heads|width|dim|embeddings|channels)s?$")
_AT_LEAST_ONE = re.compile(
    r"^(num_hidden_layers|num_attention_heads|hidden_size|image_size|patch_size|vocab_size)$"
)
_MOST_LAYERS, _LARGEST, _WIDEST_PICTURE = 2_000, 2**27, 2**14

_HARMLESS = re.compile(r"(^|\.)(position_ids|inv_freq|mask_token|masked_bias|num_batches_tracked)$")
"""Ends of keys that models once wrote and now work out themselves, or need for training alone."""


def weights(name: str) -> list[Path]:
    """The files of weights in a folder; none where `name` is none."""
    return sorted(file for kind in _WEIGHTS for file in Path(name).glob(kind))


def broken(name: str) -> str | None:
    """What is wrong with a file of the folder `name`, as far as can be told without reading
    weights; None where nothing is, or where it is no folder."""
    read = {file for kind in _READ for file in Path(name).glob(kind) if file.is_file()}
    for file in sorted(read):
        with file.open("rb") as opened:
            begin = opened.read(len(_POINTER))
        if begin == _POINTER:
            return f"{file.name} is a git-LFS pointer, not the file itself; run git lfs pull in it"
        if file.suffix == ".json" and (wrong := _no_json(file)):
            return f"{file.name} {wrong}; fetch it again"
        if file.suffix == ".safetensors" and (wrong := _no_tensors(file)):
            return f"{file.name} is damaged or cut short ({wrong}); fetch it again"
    return None


def _no_json(file: Path) -> str | None:
    try:
        data = file.read_bytes()
        if data.startswith(_BOM):
            return "begins with a byte-order mark, which no library reads"
        json.loads(data)
    except (ValueError, RecursionError) as error:
        return f"is no JSON ({str(error).splitlines()[0][:100]})"
    return None


def _no_tensors(file: Path) -> str | None:
    try:
        with safe_open(file, framework="pt"):
            return None
    except Exception as error:  # the library's own class is no subclass of another
        return str(error).splitlines()[0][:100]


def two_scales(name: str) -> str | None:
    """What is wrong where open_clip's and transformers' configs of one folder scale the numbers of
    a picture differently: one of them is not what the weights were trained with."""
    ours = described(Path(name, "open_clip_config.json")).get("preprocess_cfg")
    theirs = described(Path(name, "preprocessor_config.json"))
    for key in ("mean", "std"):
        first = _numeric(ours.get(key) if isinstance(ours, dict) else None)
        second = _numeric(theirs.get(f"image_{key}"))
        if len(first) == len(second) and any(
            abs(a - b) > 0.01 for a, b in zip(first, second, strict=True)
        ):
            return (
                f"open_clip_config.json has {key} = {first}, preprocessor_config.json "
                f"image_{key} = {second}; mend the one that the weights were not trained with"
            )
    return None


def _numeric(given: Any) -> list[float]:
    """A list of numbers; an empty one in the place of anything else."""
    plain = isinstance(given, list) and all(isinstance(each, int | float) for each in given)
    return given if plain else []


def described(file: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where it is not there or holds something else."""
    found = json.loads(file.read_bytes()) if file.is_file() else {}
    return found if isinstance(found, dict) else {}


def absurd(config: Mapping[str, Any]) -> str | None:
    """A number of a model's config.json that no model has, so that building it would never end or
    come to nothing: `num_hidden_layers = 1000000000`."""
    for key, value in _numbers(config):
        name = key.rpartition(".")[2]
        most = _LARGEST
        if _LAYERS.search(name):
            most = _MOST_LAYERS
        elif name in ("image_size", "patch_size"):
            most = _WIDEST_PICTURE
        elif not _SIZES.search(name):
            continue
        least = 1 if _AT_LEAST_ONE.match(name) else -1
        if not least <= value <= most:
            return f"{key} = {value}, which no model has"
    return None


def _numbers(given: Any, key: str = "") -> Iterator[tuple[str, int | float]]:
    """Every number in it, with its key: `vision_config.hidden_size`."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            yield from _numbers(value, f"{key}.{name}" if key else str(name))
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _numbers(value, key)
    elif isinstance(given, int | float) and not isinstance(given, bool):
        yield key, given


def misfits(model: nn.Module, info: Mapping[str, Any]) -> str | None:
    """Why the numbers of a model would be wrong that was made from files of these facts.

    Args:
        info: what transformers tells of a load: missing, unexpected and mismatched keys.
    """
    kind = type(model).__name__
    if missing := sorted(info["missing_keys"]):
        return (
            f"its files lack {len(missing)} weights of {kind} ({_some(missing)}), which would be "
            "drawn at random; use a checkpoint that holds the whole model"
        )
    if mismatched := sorted(info["mismatched_keys"]):
        key, found, wanted = mismatched[0]
        return (
            f"{len(mismatched)} weights are of another shape than config.json says ({key} is "
            f"{list(found)}, not {list(wanted)}); fetch both again from one place"
        )
    if foreign := sorted(key for key in info["unexpected_keys"] if _inside(model, key)):
        return (
            f"its files hold {len(foreign)} weights that {kind} leaves out ({_some(foreign)}), so "
            "that it would give other numbers; config.json is not that of these weights, or "
            "adapters have to be merged into them first"
        )
    return None


def _inside(model: nn.Module, key: str) -> bool:
    """Whether a key is one of the model's own parts, not of a tower or head beside it that is not
    wanted."""
    if _HARMLESS.search(key):
        return False
    base = getattr(model, "base_model_prefix", "")
    key = key.removeprefix(f"{base}.") if base and not hasattr(model, base) else key
    # An image or text tower alone does not repeat its own name.
    for name in ("vision_model", "text_model"):
        if name.partition("_")[0] in type(model).__name__.lower() and not hasattr(model, name):
            key = key.removeprefix(f"{name}.")
    return key.partition(".")[0] in dict(model.named_children())


def _some(keys: Iterable[str]) -> str:
    shown = list(keys)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")
