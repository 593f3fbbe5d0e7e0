"""Tiny models with random weights of every family, saved with real processors and tokenizers."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import tiny
import torch
from safetensors.torch import save_file
from tiny import JOINT, LAYERS, PATCH, SIDE, WIDTH, clip_config, seeded
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionConfig,
    Gemma2Config,
    Gemma2ForCausalLM,
    GemmaConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaProcessor,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipVisionConfig,
)

from pipeline import config, models

WORDS = 24
"""Width of the tiny language models."""
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<image>", "<unused0>", "<end_of_turn>")
VOCABULARY = (
    *SPECIAL,
    "\n",
    *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:?! ",
)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


BEGUN_TEMPLATE = "{{ bos_token }}" + TEMPLATE.replace("<image>", "<unused0>")
"""As Gemma 3's: it writes the first token itself."""


def tokenizer(*, image_token: str | None = "<image>", **more: object) -> PreTrainedTokenizerFast:
    """One token a letter, after a first token, as Llama's and Gemma's begin."""
    known = {word: i for i, word in enumerate(VOCABULARY)}
    raw = Tokenizer(WordLevel(known, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    raw.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", known["<bos>"])]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        **more,
    )
    if image_token is not None:
        made.add_special_tokens({"additional_special_tokens": [image_token]})
    return made


def vision_config() -> CLIPVisionConfig:
    return clip_config().vision_config


def siglip_vision_config() -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
    )


def llama_config() -> LlamaConfig:
    return LlamaConfig(
        hidden_size=WORDS,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=len(VOCABULARY),
        max_position_embeddings=512,
        **_ends(),
    )


def gemma2_config(kind: type = Gemma2Config) -> Gemma2Config | GemmaConfig:
    # Most prompts are longer than the window.
    window = {} if kind is GemmaConfig else {"sliding_window": 16}
    return kind(
        hidden_size=WORDS,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=12,
        vocab_size=len(VOCABULARY),
        max_position_embeddings=512,
        **window,
        **_ends(),
    )


def _ends() -> dict[str, int]:
    return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def clip_pictures() -> CLIPImageProcessor:
    return CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )


def siglip_pictures() -> SiglipImageProcessor:
    return SiglipImageProcessor(size={"height": SIDE, "width": SIDE})


def louder(model: torch.nn.Module, *, scale: float = 4) -> torch.nn.Module:
    """As initialised, all images look alike and no word outweighs another."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2 and "position" not in name:
                weight.mul_(scale)
    return model


def siglip(folder: Path, *, seed: int = 10) -> Path:
    text = {
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 8,
    }
    settings = SiglipConfig(text_config=text, vision_config=siglip_vision_config().to_dict())
    louder(seeded(SiglipModel, settings, seed)).save_pretrained(folder)
    siglip_pictures().save_pretrained(folder)
    return folder


def openclip(folder: Path, *, timm: bool = False, resize: str = "shortest", seed: int = 11) -> Path:
    """A folder as open_clip's `local-dir:` reads it."""
    import open_clip

    vision: dict[str, object] = {
        "image_size": SIDE,
        "layers": LAYERS,
        "width": WIDTH,
        "head_width": 16,
        "patch_size": PATCH,
    }
    if timm:
        vision = {
            "image_size": 2 * SIDE,  # its patches are of 16 pixels
            "timm_model_name": "test_vit",
            "timm_pool": "token",
            "timm_proj": "linear",
        }
    # As many words as open_clip's own tokenizer knows.
    text = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    described = {
        "model_cfg": {"embed_dim": JOINT, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {
            "size": vision["image_size"],
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "resize_mode": resize,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(louder(model).state_dict(), folder / "open_clip_model.safetensors")
    return folder


LONGEST = 8
"""Tokens that the tiny contrastive models read at most."""


def speaking_clip(folder: Path, *, seed: int = 4) -> Path:
    """A CLIP with a tokenizer: a token a letter, `<bos>` first."""
    tiny.clip(folder)
    settings = clip_config()
    settings.text_config.vocab_size = len(VOCABULARY)
    settings.text_config.eos_token_id = VOCABULARY.index("<eos>")
    louder(seeded(CLIPModel, settings, seed)).save_pretrained(folder)
    tokenizer(image_token=None).save_pretrained(folder)
    return folder


def speaking_siglip(folder: Path, *, seed: int = 5) -> Path:
    """A SigLIP with the same."""
    text = {
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": len(VOCABULARY),
        "max_position_embeddings": LONGEST,
    }
    settings = SiglipConfig(text_config=text, vision_config=siglip_vision_config().to_dict())
    louder(seeded(SiglipModel, settings, seed)).save_pretrained(folder)
    siglip_pictures().save_pretrained(folder)
    tokenizer(image_token=None).save_pretrained(folder)
    return folder


def llava(
    folder: Path, *, seed: int = 12, template: bool = True, strategy: str = "default"
) -> Path:
    settings = LlavaConfig(
        vision_config=vision_config(),
        text_config=llama_config(),
        image_token_index=VOCABULARY.index("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy=strategy,
    )
    louder(seeded(LlavaForConditionalGeneration, settings, seed)).save_pretrained(folder)
    LlavaProcessor(
        image_processor=clip_pictures(),
        tokenizer=tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=TEMPLATE if template else None,
    ).save_pretrained(folder)
    return folder


def llava_next(folder: Path, *, seed: int = 13) -> Path:
    pinpoints = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE], [SIDE, 3 * SIDE]]
    settings = LlavaNextConfig(
        vision_config=vision_config(),
        text_config=llama_config(),
        image_token_index=VOCABULARY.index("<image>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=-2,
    )
    louder(seeded(LlavaNextForConditionalGeneration, settings, seed)).save_pretrained(folder)
    pictures = LlavaNextImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=pinpoints,
    )
    LlavaNextProcessor(
        image_processor=pictures,
        tokenizer=tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def paligemma(folder: Path, *, seed: int = 14, second: bool = True) -> Path:
    """PaliGemma 2, or the first with Gemma behind."""
    settings = PaliGemmaConfig(
        vision_config=siglip_vision_config(),
        text_config=gemma2_config(Gemma2Config if second else GemmaConfig),
        image_token_index=VOCABULARY.index("<image>"),
        projection_dim=WORDS,
    )
    louder(seeded(PaliGemmaForConditionalGeneration, settings, seed)).save_pretrained(folder)
    pictures = siglip_pictures()
    pictures.image_seq_length = (SIDE // PATCH) ** 2
    PaliGemmaProcessor(image_processor=pictures, tokenizer=tokenizer()).save_pretrained(folder)
    return folder


def gemma2(folder: Path, *, seed: int = 15) -> Path:
    louder(seeded(Gemma2ForCausalLM, gemma2_config(), seed)).save_pretrained(folder)
    tokenizer(image_token=None).save_pretrained(folder)
    return folder


def gemma3(folder: Path, *, seed: int = 16) -> Path:
    """A family without an adapter of its own: 4 image tokens for 16 patches."""
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
    )

    names = {"boi_token": "<unused0>", "eoi_token": "<end_of_turn>", "image_token": "<image>"}
    made = tokenizer(extra_special_tokens=names)
    settings = Gemma3Config(
        vision_config=siglip_vision_config(),
        text_config=gemma2_config(Gemma3TextConfig),
        mm_tokens_per_image=4,
        boi_token_index=VOCABULARY.index("<unused0>"),
        eoi_token_index=VOCABULARY.index("<end_of_turn>"),
        image_token_index=VOCABULARY.index("<image>"),
    )
    model = louder(seeded(Gemma3ForConditionalGeneration, settings, seed))
    # As initialised it is zero.
    rising = torch.linspace(-0.3, 0.3, WIDTH * WORDS).sin().view(WIDTH, WORDS)
    model.model.multi_modal_projector.mm_input_projection_weight.data = rising
    model.save_pretrained(folder)
    Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer=made,
        image_seq_length=4,
        chat_template=BEGUN_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def clip_gemma(folder: Path, *, seed: int = 17) -> Path:
    """Gemma 2 in the folder itself, CLIP in `clip`, the projector between them in a file."""
    gemma2(folder)
    tiny.clip(folder / "clip")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = {"weight": torch.randn(WORDS, WIDTH), "bias": torch.randn(WORDS)}
    save_file(weights, folder / "projector.safetensors")
    return folder


@dataclass(frozen=True)
class Family:
    """How a tiny model is made and which settings load it.

    Attributes:
        family: where its config does not tell.
        parts: settings that name files in its folder.
        towers: that it has.
    """

    build: Callable[[Path], Path]
    family: str | None = None
    parts: dict[str, str] = field(default_factory=dict)
    towers: tuple[str, ...] = ("vision", "language")


SEES, READS = ("vision",), ("language",)
FAMILIES = {
    "clip": Family(tiny.clip, towers=SEES),
    "siglip": Family(siglip, towers=SEES),
    "openclip": Family(openclip, "openclip", towers=SEES),
    "openclip-timm": Family(partial(openclip, timm=True), "openclip", towers=SEES),
    "llava": Family(llava),
    "llava-full": Family(partial(llava, strategy="full", template=False)),
    "llava-next": Family(llava_next),
    "paligemma": Family(partial(paligemma, second=False)),
    "paligemma2": Family(paligemma),
    "gemma2": Family(gemma2, towers=READS),
    "clip-gemma": Family(
        clip_gemma, "clip-gemma", {"vision": "clip", "projector": "projector.safetensors"}
    ),
    "gemma3": Family(gemma3),
}
TALK = [name for name, family in FAMILIES.items() if "language" in family.towers]
"""Those that generate words."""
SEE = [name for name, family in FAMILIES.items() if "vision" in family.towers]

_FOLDERS = tempfile.TemporaryDirectory()


@cache
def folder(name: str) -> Path:
    """The folder of a family's model, made once; not to be changed."""
    return FAMILIES[name].build(Path(_FOLDERS.name) / name)


def settings(name: str, at: Path | None = None, **more: object) -> config.Model:
    """The settings that load the family's model, from `at` or from its own folder."""
    at, family = at or folder(name), FAMILIES[name]
    parts = {key: str(at / file) for key, file in family.parts.items()}
    hooks = (f"{family.towers[0]}.0.resid_post",)
    return config.Model(**{"id": str(at), "family": family.family, "hooks": hooks, **parts, **more})


def load(name: str, *, device: str = "cpu", **machine: object) -> models.Adapter:
    """A fresh adapter."""
    return models.load(settings(name), device=device, machine=config.Machine(**machine))


@cache
def adapter(name: str) -> models.Adapter:
    """The family's adapter, loaded once: for tests that leave it as it is."""
    return load(name)
