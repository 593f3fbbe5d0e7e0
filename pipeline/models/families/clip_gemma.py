"""CLIP-Gemma (Venhoff et al. 2025): a frozen CLIP, a linear projector, a frozen Gemma 2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from pipeline import config
from pipeline.models.families.llava import LlavaAdapter
from pipeline.models.loading import (
    ModelError,
    describe,
    pretrained,
    pretrained_model,
    quiet,
    weights_options,
)

IMAGE_TOKEN = "<image>"
VISION_LAYER = -1
"""CLIP's last layer gives the patches, before the norm behind it, as in the authors' code."""


def asked(question: str) -> str:
    """The prompt that asks a question as `fit-projector` does: on a line of its own, since a Gemma
    that was not taught to chat knows no other form; without a question the answer comes at once."""
    return f"{question}\n" if question else ""


class Projector(nn.Module):
    """A linear map from the vision tower's width into the language model's residual stream.

    Gemma multiplies its word embeddings by the root of its width. The published projectors were
    trained behind that: what they give goes into the first layer as it is. Newer transformers
    multiply in the embedding layer, which the image does not pass, and `scale` is 1. Older ones
    multiply all that enters the language model, which `scale` undoes.
    """

    def __init__(self, d_vision: int, d_language: int, *, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(d_vision, d_language)
        self.scale = scale

    def forward(self, features: Float[Tensor, "b t v"]) -> Float[Tensor, "b t d"]:
        # While it is trained the linear map is more precise than the parts around it.
        projected: Tensor = self.linear(features.to(self.linear.weight.dtype))
        return projected * self.scale


class SoftCapped(nn.Module):
    """Gemma's head with its soft cap on logits, which LLaVA's class does not apply."""

    def __init__(self, head: nn.Module, cap: float) -> None:
        super().__init__()
        self.head, self.cap = head, cap

    @property
    def weight(self) -> Tensor:
        weight = self.head.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, hidden: Float[Tensor, "b t d"]) -> Float[Tensor, "b t v"]:
        logits: Tensor = self.head(hidden)
        return torch.tanh(logits / self.cap) * self.cap


class ClipGemmaAdapter(LlavaAdapter):
    """The three parts as one `LlavaForConditionalGeneration`, whose forward and generation they
    share; `vision.projection` is what the linear map gives."""

    prompt = ""
    model_types = ()

    def __init__(self, settings: config.Model, *, machine: config.Machine, device: str) -> None:
        assert settings.vision is not None
        self.settings = settings
        self.device = torch.device(device)
        options = {"machine": machine, "device": device, **weights_options(settings)}
        vision = pretrained_model(
            CLIPVisionModel,
            settings.vision,
            **{**options, "revision": settings.vision_revision},
            config=_vision_config(settings),
        )
        language = pretrained_model(AutoModelForCausalLM, settings.id, **options)
        if language.config.model_type != "gemma2":
            raise ModelError(
                f"model {settings.id}: is {language.config.model_type}, not Gemma 2; "
                "mend models.*.id"
            )
        processor = _processor(settings, vision)
        self.model = _joined(vision, language, image_token=processor.image_token_id)
        # Not the whole model: what it keeps more precise, as the angles of positions, stays so.
        self.projector.to(device, getattr(torch, settings.dtype))
        if device != "meta" and settings.projector is not None:
            read_projector(Path(settings.projector), into=self.projector)
        self._equip(processor)

    @property
    def projector(self) -> nn.Linear:
        """The linear map."""
        linear = self.model.get_submodule("model.multi_modal_projector.linear")
        assert isinstance(linear, nn.Linear)
        return linear

    def bare(self, prompt: str) -> str:
        return f"{self.processor.image_token}{prompt}"


def read_projector(path: Path, *, into: nn.Linear) -> None:
    """Load a projector's `weight` [d_language, d_vision] and `bias`, as published (`.pth`, also
    under `module.`) or as `fit-projector` writes them (`.safetensors`).

    Raises:
        ModelError: no such file, or it holds something else.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in into.state_dict().items()}
    remedy = f"name a file of the tensors weight {wanted['weight']} and bias {wanted['bias']}"
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"projector {path}: no such file; {remedy}") from None
    except Exception as error:  # torch raises whatever a damaged archive leads to
        line = str(error).split("\n")[0].split(". ")[0] or type(error).__name__
        raise ModelError(f"projector {path}: cannot be read ({line}); {remedy}") from None
    items = dict(found) if isinstance(found, Mapping) else {}
    tensors = {str(k).removeprefix("module."): v for k, v in items.items() if isinstance(v, Tensor)}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != wanted or len(items) != len(wanted):
        holds = ", ".join(f"{k} {v}" for k, v in list(shapes.items())[:4]) or "no tensors by name"
        raise ModelError(f"projector {path}: holds {holds}; {remedy}, as CLIP and Gemma are wide")
    into.load_state_dict(tensors)


def _vision_config(settings: config.Model) -> Any:
    assert settings.vision is not None
    found = describe(settings.vision, revision=settings.vision_revision)
    if found.model_type not in ("clip", "clip_vision_model"):
        raise ModelError(
            f"model {settings.vision}: is {found.model_type}, not CLIP; mend models.*.vision"
        )
    return getattr(found, "vision_config", found)


def _processor(settings: config.Model, vision: Any) -> LlavaProcessor:
    assert settings.vision is not None
    tokenizer = pretrained(AutoTokenizer, settings.id, revision=settings.revision)
    words = tokenizer.get_vocab()
    # Gemma knows no image; one of the words that its vocabulary keeps free stands for it.
    free = [w for w in (IMAGE_TOKEN, *(f"<unused{i}>" for i in range(100))) if w in words]
    if not free:
        raise ModelError(
            f"model {settings.id}: its vocabulary holds neither {IMAGE_TOKEN} nor <unused0>, one "
            "of which would stand for the image; use a Gemma 2"
        )
    tokenizer.add_special_tokens({"additional_special_tokens": [free[0]]})
    pictures = pretrained(AutoImageProcessor, settings.vision, revision=settings.vision_revision)
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=vision.config.patch_size,
        vision_feature_select_strategy="default",
        image_token=free[0],
        num_additional_image_tokens=1,
    )


def _joined(vision: Any, language: Any, *, image_token: int) -> Any:
    """The parts as one model, without a copy of their weights."""
    settings = LlavaConfig(
        vision_config=vision.config,
        text_config=language.config,
        image_token_index=image_token,
        vision_feature_layer=VISION_LAYER,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    with torch.device("meta"), quiet():
        model = LlavaForConditionalGeneration(settings)
    width = language.config.hidden_size
    apart = hasattr(language.get_input_embeddings(), "scalar_embed_scale")
    model.model.vision_tower = vision
    model.model.language_model = language.model
    model.model.multi_modal_projector = Projector(
        vision.config.hidden_size, width, scale=1.0 if apart else width**-0.5
    )
    cap = getattr(language.config, "final_logit_softcapping", None)
    model.lm_head = SoftCapped(language.lm_head, cap) if cap else language.lm_head
    model.generation_config = language.generation_config
    return model.eval()


ADAPTER = ClipGemmaAdapter
