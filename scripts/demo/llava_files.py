"""The demo LLaVA's parts as Hugging Face objects: tokenizer, processor, models, files.

Prompts have the form of LLaVA-1.5's, "USER: <image>\\nDescribe the image. ASSISTANT:". The words of
the demo CLIP's tokenizer keep their ids; those of questions and answers follow.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoImageProcessor,
    BatchEncoding,
    CLIPModel,
    CLIPVisionModel,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from pipeline.demo import CLIP_FOLDER
from scripts.demo import clip_files, talk

IMAGE, USER, ASSISTANT = "<image>", "USER:", "ASSISTANT:"
PATCHES = (clip_files.IMAGE_SIZE // clip_files.PATCH) ** 2
VISION_LAYER = -2
"""The layer that the projector reads, as in LLaVA-1.5: the output of the last block but one, which
is the hook point vision.2.resid_post."""
TEXT_LENGTH = 256
ANSWER_LENGTH = 40
WORD_SCALE = 0.5
"""Standard deviation of the words' first embeddings, and about that of the projected patches'."""
PAD, BEGIN, END = 0, 1, 3
CHAT = (
    "{% for message in messages %}"
    "{{ message['role'] | upper }}: "
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }} {% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The demo CLIP's words and those of questions, as `<s> words`: a prompt has no end token."""
    known = [*clip_files.SPECIAL, *clip_files.words()]
    ids = {word: index for index, word in enumerate(dict.fromkeys([*known, *talk.words()]))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    spelling = normalizers.Replace(Regex(r"\bcolor\b"), "colour")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), spelling])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(
        [AddedToken(name, normalized=False) for name in (IMAGE, USER, ASSISTANT)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", BEGIN)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={
            "image_token": IMAGE,
            "user_token": USER,
            "assistant_token": ASSISTANT,
        },
        padding_side="left",
        model_max_length=TEXT_LENGTH,
    )


def build_processor(clip: Path = CLIP_FOLDER) -> LlavaProcessor:
    """Pictures as the demo CLIP takes them, and prompts with one image token a patch."""
    return LlavaProcessor(
        AutoImageProcessor.from_pretrained(clip, trust_remote_code=False),
        build_tokenizer(),
        patch_size=clip_files.PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )


def language_config() -> LlamaConfig:
    """A Llama of 4 layers x 128."""
    return LlamaConfig(
        vocab_size=len(build_tokenizer()),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=TEXT_LENGTH,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=END,
        tie_word_embeddings=False,
        initializer_range=0.06,
    )


def build_language(*, seed: int) -> LlamaForCausalLM:
    """The language model, untrained; `seed` is of the draw."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(language_config())
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=WORD_SCALE)
    model.generation_config = generation()
    return model


def build_llava(
    language: LlamaForCausalLM, *, seed: int, clip: Path = CLIP_FOLDER
) -> LlavaForConditionalGeneration:
    """A LLaVA of the demo CLIP's vision tower, frozen, an untrained projector, and the language
    model's weights.

    Args:
        language: the text-only model; it is copied.
        seed: of the projector's draw.
        clip: folder of the CLIP.
    """
    torch.manual_seed(seed)
    vision = CLIPModel.from_pretrained(clip, trust_remote_code=False).config.vision_config
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=language.config,
            image_token_index=build_tokenizer().convert_tokens_to_ids(IMAGE),
            image_seq_length=PATCHES,
            vision_feature_layer=VISION_LAYER,
            vision_feature_select_strategy="default",
            tie_word_embeddings=False,
        )
    )
    tower = CLIPVisionModel.from_pretrained(clip, trust_remote_code=False)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.model.vision_tower.requires_grad_(False)
    # The tower's vectors are large (standard deviation 5): bring them to the words' scale.
    model.model.multi_modal_projector.linear_1.weight.data *= 0.3
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.lm_head.load_state_dict(language.lm_head.state_dict())
    model.generation_config = generation()
    return model


def generation() -> GenerationConfig:
    """Greedy, to the end token."""
    return GenerationConfig(
        bos_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=PAD,
        do_sample=False,
        max_new_tokens=ANSWER_LENGTH,
    )


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write a complete Hugging Face folder, weights in float16; it replaces older files.

    A language model gets its tokenizer, a LLaVA its processor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "part"
    # A copy: saving notes the weights' type in the config, which the one in training shares.
    copy.deepcopy(model).half().save_pretrained(part)
    words = build_processor() if isinstance(model, LlavaForConditionalGeneration) else None
    (words or build_tokenizer()).save_pretrained(part)
    for file in part.iterdir():
        file.replace(folder / file.name)
    part.rmdir()


def prompt_of(question: str, *, picture: bool = True) -> str:
    """The text that asks for an answer, with the picture's place in it or without a picture."""
    return (
        f"{USER} {IMAGE}\n{question} {ASSISTANT}" if picture else f"{USER} {question} {ASSISTANT}"
    )


@torch.inference_mode()
def answers(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pictures: Sequence[Image.Image],
    questions: Sequence[str],
    *,
    batch: int = 120,
) -> list[str]:
    """What the model says, greedily and with its cache, of each picture to its question."""
    said: list[str] = []
    for start in range(0, len(questions), batch):
        part = slice(start, start + batch)
        inputs = processor(
            images=list(pictures[part]),
            text=[prompt_of(question) for question in questions[part]],
            padding=True,
            return_tensors="pt",
        )
        said += _generated(model, processor.tokenizer, inputs)
    return said


@torch.inference_mode()
def continued(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    *,
    batch: int = 120,
) -> list[str]:
    """What a model says, greedily and with its cache, to prompts of words alone."""
    said: list[str] = []
    for start in range(0, len(prompts), batch):
        inputs = tokenizer(list(prompts[start : start + batch]), padding=True, return_tensors="pt")
        said += _generated(model, tokenizer, inputs)
    return said


def _generated(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, inputs: BatchEncoding
) -> list[str]:
    made = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    return tokenizer.batch_decode(made, skip_special_tokens=True)
