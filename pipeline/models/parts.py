"""Finding a transformers model's parts: its layers, its CLS tokens, how it crops a picture."""

from typing import Any

from torch import nn

from pipeline.models.hook_points import Region, Tower
from pipeline.models.loading import ModelError

VISION = ("vision_tower", "vision_model", "vision_encoder", "visual")
PROJECTOR = ("multi_modal_projector", "connector", "aligner", "mm_projector", "embed_vision")
LANGUAGE = ("language_model", "text_model")
_LAYERS = (
    "encoder.layers",
    "vision_model.encoder.layers",
    "encoder.layer",
    "transformer.layers",
    "layers",
    "blocks",
)
_ATTENTION = ("self_attn", "attention", "attn")
_MLP = ("mlp", "feed_forward", "ffn")
_SCALES = ("lambda_1", "residual_multiplier")
"""Attributes of layers that scale what attention and MLP give before they add it (InternVL,
Granite): there no module's output is what is added."""


def find(owner: nn.Module, paths: tuple[str, ...], *, what: str) -> nn.Module:
    """The first of the submodules `paths` that `owner` has.

    Raises:
        ModelError: it has none of them; the line names them.
    """
    for path in paths:
        try:
            return owner.get_submodule(path)
        except AttributeError:
            continue
    raise ModelError(
        f"{type(owner).__name__}: no {what}: none of the attributes {', '.join(paths)}; "
        "its family needs an adapter in pipeline/models"
    )


def vision_tower(module: Any) -> Tower:
    """A Hugging Face vision transformer's layers, with the grid of its own image size.

    Raises:
        ModelError: an attribute is missing; the line names it.
    """
    layers = find(module, _LAYERS, what="layers of the vision tower")
    assert isinstance(layers, nn.ModuleList)
    config = module.config
    for name in ("image_size", "patch_size", "hidden_size"):
        if not hasattr(config, name):
            raise ModelError(
                f"{type(module).__name__}: its config lacks the attribute {name}; its family "
                "needs an adapter in pipeline/models"
            )
    grid = patch_grid(_pair(config.image_size), config)
    special = cls_tokens(module)
    return Tower(
        "vision",
        module,
        layers,
        config.hidden_size,
        ("cls", "patch") if special else ("patch",),
        attention=_adds(layers[0], _ATTENTION, what="attention"),
        mlp=_adds(layers[0], _MLP, what="MLP"),
        tokens=special + grid[0] * grid[1],
        grid=grid,
    )


def language_tower(
    module: Any, *, kinds: tuple[str, ...], grid: tuple[int, int] | None = None
) -> Tower:
    """A Hugging Face decoder's layers.

    Raises:
        ModelError: an attribute is missing; the line names it.
    """
    layers = find(module, _LAYERS, what="layers of the language model")
    assert isinstance(layers, nn.ModuleList)
    # Gemma 2 norms what attention and MLP give before it adds it to the residual stream; elsewhere
    # post_attention_layernorm is the norm before the MLP.
    normed = hasattr(layers[0], "pre_feedforward_layernorm")
    return Tower(
        "language",
        module,
        layers,
        module.config.hidden_size,
        kinds,
        attention="post_attention_layernorm"
        if normed
        else _adds(layers[0], _ATTENTION, what="attention"),
        mlp="post_feedforward_layernorm" if normed else _adds(layers[0], _MLP, what="MLP"),
        grid=grid,
    )


def patch_grid(size: tuple[int, int], config: Any) -> tuple[int, int]:
    """Rows and columns of the patches of an image of this height and width."""
    patch = _pair(config.patch_size)
    return size[0] // patch[0], size[1] // patch[1]


def cls_tokens(module: nn.Module) -> int:
    """How many CLS and register tokens stand before a vision tower's patches."""
    count = 0
    for path, tensor in module.named_parameters():
        name = path.rpartition(".")[2]
        if name in ("class_embedding", "cls_token"):
            count += 1
        if name == "register_tokens":
            count += tensor.shape[-2]
    return count


_FIXED = ("clip_vision_model", "siglip_vision_model")
"""Vision towers that know no position beyond their own grid."""


def other_size(pixels: Any, config: Any) -> str | None:
    """What is wrong where pictures of a size come that a vision tower does not take; None where it
    takes them, as far as is known.

    Args:
        pixels: [..., height, width].
        config: the vision tower's.
    """
    height, width = pixels.shape[-2:]
    if config.model_type not in _FIXED or (height, width) == _pair(config.image_size):
        return None
    return (
        f"its processor makes pictures of {height} x {width} pixels, but its vision tower takes "
        f"image_size = {config.image_size}; mend size and crop_size in preprocessor_config.json"
    )


def seen_region(processor: Any, size: tuple[int, int]) -> Region:
    """What a Hugging Face image processor leaves of a picture of this width and height: left, top,
    right, bottom in its pixels. A picture smaller than the crop is padded: the region is larger."""
    width, height = size
    wide, high = _resized(processor, size)
    if not getattr(processor, "do_center_crop", False):
        return (0, 0, width, height)
    crop = processor.crop_size
    # As transformers crops: half of what is cut off, rounded down, is cut off at the left and top.
    left, top = (wide - crop["width"]) // 2, (high - crop["height"]) // 2
    x, y = width / wide, height / high
    return (left * x, top * y, (left + crop["width"]) * x, (top + crop["height"]) * y)


def _resized(processor: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height after the processor's resize."""
    width, height = size
    if not getattr(processor, "do_resize", False):
        return width, height
    to = {name: side for name, side in dict(processor.size).items() if side}
    if "shortest_edge" in to:
        short = to["shortest_edge"]
        scale = short / min(width, height)
        return (short, int(height * scale)) if width <= height else (int(width * scale), short)
    return to["width"], to["height"]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _adds(layer: nn.Module, names: tuple[str, ...], *, what: str) -> str | None:
    """The name of the module whose output the layer adds to the residual stream."""
    if any(hasattr(layer, name) for name in _SCALES):
        return None
    for name in names:
        if hasattr(layer, name):
            return name
    raise ModelError(
        f"{type(layer).__name__}: no {what}: none of the attributes {', '.join(names)}; "
        "its family needs an adapter in pipeline/models"
    )
