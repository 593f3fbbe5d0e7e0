"""Texts read without an image: which letters each token is, and what the models make of them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import tiny_families as families
import torch
from PIL import Image
from tiny_families import LONGEST, VOCABULARY
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoTokenizer,
    CanineTokenizer,
    CLIPModel,
    Gemma2ForCausalLM,
    PreTrainedTokenizerFast,
    SiglipModel,
)

from pipeline import config, models
from pipeline.demo import LLAVA_FOLDER
from pipeline.demo.scenes import caption, render, sample
from pipeline.inputs.examples import Example
from pipeline.models.adapter import Inputs
from pipeline.models.layout import Layout, code
from pipeline.models.memory import Halving
from pipeline.models.words import Reader, any_of, sliced, without

DEMO_CLIP = Path(__file__).parents[1] / "data" / "demo" / "clip"
DEMO_LLAVA = DEMO_CLIP.with_name("llava")
EXACT: dict[str, float] = {"rtol": 0, "atol": 1e-5}
PLAIN = ["a red cat", "dog", "Is it a dog or a cat, on a mat?"]
ODD = {
    "empty": "",
    "blanks": "  \n ",
    "long": "a dog and " * 1000,
    "one long word": "x" * 10_000,
    "Chinese": "一只戴着红帽子的狗",
    "Arabic": "كلب أحمر على العشب",
    "emoji": "a 👩‍👩‍👧‍👦 and a 🏳️‍🌈!",
    "newlines": "one\ntwo\r\n\nthree",
    "image token": "a <image> of a <image><image> cat",
    "image token in itself": "a <im<image>age>",
    "special": "<s>a</s> <bos>dog<eos><pad> <unused0> <|endoftext|> [INST] <end_of_turn>",
    "nul": "a\0b",
    "half a letter": "\ud800 a dog",
    "markup": "<script>alert('é')</script> &amp; İstanbul",
}
speaking = pytest.mark.parametrize("name", families.TALK)
JOINT = ["clip", "siglip", "openclip", "openclip-timm"]
contrastive = pytest.mark.parametrize("name", JOINT)


@cache
def adapter(name: str) -> models.Adapter:
    """The family's tiny model; of contrastive ones that with a tokenizer."""
    build = {"clip": families.speaking_clip, "siglip": families.speaking_siglip}.get(name)
    if build is None:
        return families.adapter(name)
    folder = families.folder(name).with_name(f"{name} that reads")
    return models.load(families.settings(name, at=build(folder)), device="cpu")


def read(of: models.Adapter, texts: list[str], *, longest: int = 64) -> models.Words:
    return of.read_words(texts, longest=longest)


def recorded(of: models.Adapter, words: models.Words, names: list[str]) -> tuple[dict, Layout]:
    """All texts in one piece."""
    ((count, acts, layout),) = of.recorded_words(words, names)
    assert count == len(words) == len(layout.kind)
    return acts, layout


def points(of: models.Adapter) -> list[str]:
    """The hook points that words reach."""
    return [point.name for point in of.hook_points.values() if of.takes_words(point)]


# Which hook points words reach.


@speaking
def test_words_reach_the_language_model(name: str) -> None:
    of = families.adapter(name)
    assert points(of) == [n for n, p in of.hook_points.items() if p.tower == "language"]


@contrastive
def test_words_reach_the_joint_space(name: str) -> None:
    assert points(adapter(name)) == ["vision.projection"]


@contrastive
def test_that_words_can_be_read_is_known_without_their_weights(name: str) -> None:
    of = models.load(adapter(name).settings, device="cpu")
    assert points(of) == ["vision.projection"]
    read(of, ["a dog"])
    assert "text_tower" not in vars(of)
    (_, _) = recorded(of, read(of, ["a dog"]), ["vision.projection"])
    assert vars(of)["text_tower"] is of.text_tower, "loaded once"
    form = models.load(of.settings, device="meta")
    assert points(form) == ["vision.projection"]


def test_a_model_without_a_tokenizer_reads_no_words(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPVisionModelWithProjection

    silent = tiny.clip(tmp_path / "silent")
    blind = families.speaking_clip(tmp_path / "blind")
    seeing = CLIPConfig.from_pretrained(blind)
    seeing.vision_config.projection_dim = seeing.projection_dim
    CLIPVisionModelWithProjection.from_pretrained(
        blind, config=seeing.vision_config
    ).save_pretrained(blind)  # no text tower
    for folder in (silent, tmp_path / "blind"):
        settings = config.Model(id=str(folder), hooks=("vision.0.resid_post",))
        of = (
            models.load(settings, device="cpu")
            if folder == silent
            else models.load(settings, device="meta")
        )
        assert points(of) == []
        with pytest.raises(models.ModelError, match="reads no words without an image") as fault:
            read(of, ["a dog"])
        assert str(folder) in str(fault.value)
        assert "\n" not in str(fault.value)


# Which letters each token is.


@speaking
def test_a_letter_a_token(name: str) -> None:
    words = read(families.adapter(name), PLAIN)
    assert words.pieces == tuple(tuple(text) for text in PLAIN)
    assert words.cut == (0, 0, 0)
    assert len(words) == 3
    assert words[1:].pieces == words.pieces[1:] and len(words[1:].inputs) == 2


@speaking
@pytest.mark.parametrize("longest", [1, 2, 7])
def test_what_is_cut_is_counted(name: str, longest: int) -> None:
    """The first token, which begins a text, is one of those that are read."""
    words = read(families.adapter(name), PLAIN, longest=longest)
    assert words.pieces == tuple(tuple(text[: longest - 1]) for text in PLAIN)
    assert words.cut == tuple(max(0, len(text) - longest + 1) for text in PLAIN)
    assert words.inputs.tensors["input_ids"].shape[1] <= max(2, longest)


@contrastive
def test_a_contrastive_model_reads_no_more_than_it_can(name: str) -> None:
    of = adapter(name)
    whole, part = read(of, ODD.values()), read(of, ["a dog"], longest=4)
    assert max(map(len, whole.pieces)) == (LONGEST - 2 if "open" in name else LONGEST - 1)
    wanted = ("a", " dog") if "open" in name else ("a", " ", "d")
    assert part.pieces == (wanted,)
    assert part.cut == (len("a dog") - sum(map(len, wanted)),)
    none = read(of, PLAIN, longest=1)
    assert none.pieces == ((), (), ())
    assert none.cut == tuple(map(len, PLAIN))


def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2's and Llama 3's: rare letters are several tokens."""
    made = Tokenizer(BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        PLAIN * 9, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="!", eos_token="<|end|>")


def metaspace() -> PreTrainedTokenizerFast:
    """As Llama 2's and Gemma's: a blank is part of the word behind it."""
    made = Tokenizer(BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    made.train_from_iterator(PLAIN * 9, trainers.BpeTrainer(vocab_size=340, special_tokens=special))
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        pad_token="</s>",
    )  # fmt: skip


def slow() -> Any:
    """A tokenizer in Python, which does not tell which letters a token is."""
    return CanineTokenizer()


def of_demo() -> Any:
    return AutoTokenizer.from_pretrained(DEMO_CLIP)


TOKENIZERS = {
    "letters": families.tokenizer, "bytes": byte_level, "metaspace": metaspace, "slow": slow,
    "words": of_demo,
}  # fmt: skip


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("longest", [12, 100_000])
def test_pieces_are_the_part_of_the_text_that_is_read(tokenizer: str, longest: int) -> None:
    reader = Reader(TOKENIZERS[tokenizer](), most=100_000, extra=["<image>"])
    reader.tokenizer.model_max_length = 100_000
    reader.most = 100_000
    texts = [*ODD.values(), *PLAIN]
    words = reader.read(texts, longest=longest)
    for text, pieces, cut in zip(texts, words.pieces, words.cut, strict=True):
        plain = reader.plain(text)
        joined = "".join(pieces)
        assert plain.startswith(joined)
        rest = plain[len(joined) :]
        assert cut == (len(rest) if cut else 0)
        assert cut or not rest.strip(), "what is not cut is read, but for blanks"
        assert len(pieces) <= longest
        assert cut == 0 or longest == 12


def test_a_letter_of_several_tokens_belongs_to_the_first() -> None:
    reader = Reader(byte_level(), most=100)
    assert reader.read(["é一"], longest=99).pieces == (("é", "", "一", "", ""),)
    assert reader.read(["é一"], longest=3).pieces == (("é", "", "一"),)


def test_pieces_stand_for_the_tokens_that_the_model_reads() -> None:
    """Each piece alone is the token in its place."""
    tokenizer = byte_level()
    words = Reader(tokenizer, most=100).read(PLAIN, longest=99)
    ids, mask = words.inputs.tensors["input_ids"], words.inputs.tensors["attention_mask"]
    for row, seen, pieces in zip(ids, mask.bool(), words.pieces, strict=True):
        assert [tokenizer.decode([token]) for token in row[seen].tolist()] == list(pieces)
    assert any(len(piece) > 1 for pieces in words.pieces for piece in pieces)


def test_pieces_found_by_what_they_look_like() -> None:
    assert sliced("A big Dog", ["a", "big", "dog"]) == ("A", " big", " Dog")
    assert sliced("a?b", ["a", "�", "b"]) == ("a", "", "?b")
    assert sliced("İ am", ["i̇", "am"]) == ("", "İ am")
    assert sliced("", ["", "x"]) == ("", "")


def test_special_tokens_are_no_words() -> None:
    special = any_of(["<s>", "<s>>", "<image>", ""])
    assert without(special, "<<s>s>a<s>>b<image>") == "ab"
    assert without(any_of([]), "<s>") == "<s>"
    for name in families.TALK:
        of = families.adapter(name)
        words = read(of, list(ODD.values()))
        ids, mask = (words.inputs.tensors[key] for key in ("input_ids", "attention_mask"))
        if name != "gemma2":
            assert not (ids == of.image_token).any()
        begun = (ids == VOCABULARY.index("<bos>")) & (mask == 1)
        assert (begun.sum(1) == 1).all(), "but for the first, which the tokenizer puts there"


def test_unknown_words_are_words() -> None:
    """Also in a prompt: the model reads that something is said."""
    of = families.adapter("llava")
    words = read(of, ["aé"])
    assert words.pieces == (("a", "é"),)
    _, layout = recorded(of, words, ["language.0.resid_post"])
    assert [models.layout.KINDS[kind] for kind in layout.kind[0]] == ["special", "text", "text"]


# What the models make of them.


@dataclass
class Reference:
    """A language model as transformers loads and runs it, without anything of the adapter."""

    model: Any
    first: list[int]
    more: dict[str, Any]

    @torch.inference_mode()
    def states(self, text: str) -> list[Tensor]:
        """Of each layer the text's hidden states [t, d]; of the last one past the norm."""
        ids = torch.tensor([[*self.first, *map(VOCABULARY.index, text)]])
        more = {name: make(ids) for name, make in self.more.items()}
        found = self.model(input_ids=ids, output_hidden_states=True, use_cache=False, **more)
        return [state[0, len(self.first) :] for state in found.hidden_states[1:]]


def reference(name: str) -> Reference:
    folder, first = families.folder(name), [VOCABULARY.index("<bos>")]
    if name in ("gemma2", "clip-gemma"):  # frozen: the language model is what it was
        return Reference(Gemma2ForCausalLM.from_pretrained(folder).eval(), first, {})
    # PaliGemma's words attend both ways, as its processor has it behind an image.
    more = {"token_type_ids": torch.zeros_like} if "paligemma" in name else {}
    return Reference(AutoModelForImageTextToText.from_pretrained(folder).eval(), first, more)


@speaking
def test_activations_are_the_models_own_hidden_states(name: str) -> None:
    of, theirs = families.adapter(name), reference(name)
    names = [f"language.{i}.resid_post" for i in range(2)]
    acts, layout = recorded(of, read(of, PLAIN), names)
    assert layout.grid is None
    assert layout.example.tolist() == [0, 1, 2]
    for row, text in enumerate(PLAIN):
        at = layout.kind[row] == code("text")
        assert layout.cell[row, at].tolist() == list(range(len(text)))
        assert (layout.cell[row, ~at] == -1).all()
        first, last = theirs.states(text)
        torch.testing.assert_close(acts[names[0]][row, at], first, **EXACT)
        normed = of.towers[-1].stack.norm(acts[names[1]][row, at])
        torch.testing.assert_close(normed, last, **EXACT)
    assert (first[0] - first[1]).abs().max() > 1e-2, "tokens differ, so that their order is tested"


@torch.inference_mode()
def joint(name: str, text: str, *, folder: str) -> Tensor:
    """The text's vector as the family's own code makes it, not of unit length."""
    if "open" in name:
        import open_clip

        model = open_clip.create_model(f"local-dir:{folder}").eval()
        return model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")([text]))[0]
    ids = [VOCABULARY.index("<bos>"), *map(VOCABULARY.index, text)][:LONGEST]
    kind = CLIPModel if name == "clip" else SiglipModel
    model = kind.from_pretrained(folder).eval()
    mask = torch.ones(1, len(ids), dtype=torch.long)
    if name == "siglip":
        room = (0, LONGEST - len(ids))
        ids = [*ids, *[VOCABULARY.index("<pad>")] * room[1]]
        mask = torch.nn.functional.pad(mask, room)
    made = model.get_text_features(input_ids=torch.tensor([ids]), attention_mask=mask)
    return (made if isinstance(made, Tensor) else made.pooler_output)[0]


@contrastive
def test_vectors_are_the_models_own_text_features(name: str) -> None:
    of = adapter(name)
    acts, layout = recorded(of, read(of, PLAIN), ["vision.projection"])
    found = acts["vision.projection"]
    assert found.shape == (3, 1, of.resolve("vision.projection").d_in)
    assert [models.layout.KINDS[kind] for kind in layout.kind.flatten()] == ["text"] * 3
    assert layout.cell.tolist() == [[-1]] * 3
    for row, text in enumerate(PLAIN):
        wanted = joint(name, text, folder=of.settings.id)
        torch.testing.assert_close(found[row, 0], wanted, **EXACT)
        assert abs(float(wanted.norm()) - 1) > 1e-2
    assert (found[0] - found[1]).abs().max() > 1e-3, "texts differ"


@contrastive
def test_the_dtype_is_kept(name: str) -> None:
    half = models.load(
        adapter(name).settings.model_copy(update={"dtype": "bfloat16"}), device="cpu"
    )
    acts, _ = recorded(half, read(half, PLAIN), ["vision.projection"])
    assert acts["vision.projection"].dtype == torch.bfloat16


@pytest.mark.parametrize("name", [*families.TALK, *JOINT])
def test_odd_texts_are_read(name: str) -> None:
    of, texts = adapter(name), list(ODD.values())
    names = points(of)
    words = read(of, texts)
    acts, layout = recorded(of, words, names)
    for hook, found in acts.items():
        assert found.shape == (*layout.kind.shape, of.resolve(hook).d_in)
        assert found[layout.read("all")].isfinite().all()
    said = (layout.kind == code("text")).sum(1)
    if name in JOINT:
        assert said.tolist() == [min(1, len(pieces)) for pieces in words.pieces]
        assert (layout.cell == -1).all()
    else:
        assert said.tolist() == [len(pieces) for pieces in words.pieces]
    assert said[0] == 0, "nothing is read of an empty text"
    alone, layout = recorded(of, read(of, ["", ""]), names)
    assert (layout.kind != code("text")).all() and layout.examples == 2
    assert all(found.isfinite().all() for found in alone.values())


@pytest.mark.parametrize("name", [*families.TALK, *JOINT])
def test_what_else_is_in_the_batch_does_not_matter(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, texts = adapter(name), [*PLAIN, "", ODD["long"], ODD["Arabic"]]
    names = points(of)
    acts, layout = recorded(of, read(of, texts), names)
    few = Halving("words")
    few.limit = 2
    monkeypatch.setattr(of, "_fits", few)
    parts = list(of.recorded_words(read(of, texts), names))
    assert [count for count, _, _ in parts] == [2, 2, 2]
    monkeypatch.undo()
    single = [recorded(of, read(of, [text]), names) for text in texts]
    for hook in names:
        scale = max(1.0, float(acts[hook].abs().max()))
        close = {"rtol": 0, "atol": 1e-5 * scale}
        wanted = acts[hook][layout.kind == code("text")]
        pieces = torch.cat([a[hook][la.kind == code("text")] for _, a, la in parts])
        torch.testing.assert_close(pieces, wanted, **close)
        alone = torch.cat([a[hook][la.kind == code("text")] for a, la in single])
        torch.testing.assert_close(alone, wanted, **close)


def test_a_text_without_any_token_of_a_tokenizer_that_begins_none() -> None:
    """Nothing can be computed of no tokens at all: one of padding stands there, and is no word."""
    reader = Reader(byte_level(), most=100)
    for texts in (["", ""], ["", "dog"]):
        words = reader.read(texts, longest=9)
        assert words.pieces[0] == ()
        assert words.inputs.tensors["attention_mask"].any(1).all()
        assert words.inputs.tensors["input_ids"][0, 0] == reader.tokenizer.pad_token_id


# The caption in a prompt.

BEHIND = [name for name in families.TALK if name != "gemma2"]


def example(*captions: str) -> Any:
    return SimpleNamespace(uri="a.png", captions=captions)


def prompted(name: str, prompt: str | None, captions: list[str], **more: Any) -> models.Inputs:
    of = families.adapter(name)
    settings = of.settings
    pictures = [tiny.picture(0), tiny.picture(1, side=77).resize((70, 30)), tiny.picture(2)]
    try:
        of.settings = settings.model_copy(update={"prompt": prompt})
        return of.inputs(
            [(example(said), pictures[i % 3]) for i, said in enumerate(captions)], **more
        )
    finally:
        of.settings = settings


def spoken(of: models.Adapter, inputs: models.Inputs) -> list[str]:
    """The letters of each prompt's caption, by its layout."""
    kind = of.layout(inputs, "language.0.resid_post").kind
    ids = inputs.tensors["input_ids"]
    return [
        "".join(VOCABULARY[token] for token in row[at == code("caption")].tolist())
        for row, at in zip(ids, kind, strict=True)
    ]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "prompt",
    ["{caption}", "It is {caption}", "Is it {caption}, or not?", "{caption} or {caption}"],
)
@pytest.mark.parametrize("name", BEHIND)
def test_the_captions_words_are_found(name: str, prompt: str, side: str) -> None:
    """Whatever letters stand around them: another caption as long as it has the same places."""
    of = families.adapter(name)
    tokenizer = of.processor.tokenizer
    assert tokenizer.padding_side == "left"
    tokenizer.padding_side = side
    try:
        captions = ["or not", "It is", "n"]
        found = prompted(name, prompt, captions)
        other = prompted(name, prompt, ["zzzzzz", "zzzzz", "z"])
    finally:
        tokenizer.padding_side = "left"
    times = prompt.count("{caption}")
    assert spoken(of, found) == [said * times for said in captions]
    assert found.caption is not None and other.caption is not None
    assert torch.equal(other.caption, other.tensors["input_ids"] == VOCABULARY.index("z"))
    assert torch.equal(found.caption, other.caption)
    acts = of.record(found, ["language.1.resid_post"])["language.1.resid_post"]
    assert acts.shape[:2] == found.caption.shape
    kinds = of.resolve("language.0.resid_post").kinds
    layout = of.layout(found, "language.0.resid_post")
    assert {models.layout.KINDS[kind] for kind in layout.kind.unique()} <= {*kinds, "pad"}


@pytest.mark.parametrize("name", ["llava", "llava-next", "clip-gemma"])
def test_a_caption_before_the_image_is_found(name: str) -> None:
    of = families.adapter(name)
    token = of.processor.image_token
    found = prompted(name, f"{{caption}}: {token}: a", ["a", "a: a"])
    assert spoken(of, found) == ["a", "a: a"]
    at = found.caption.int().argmax(1)
    assert (at < (found.tensors["input_ids"] == of.image_token).int().argmax(1)).all()


@pytest.mark.parametrize("name", BEHIND)
def test_the_model_reads_the_same_whether_or_not_the_caption_is_marked(name: str) -> None:
    of = families.adapter(name)
    marked = prompted(name, "Is it {caption}?", ["a cat", "one dog"])
    pictures = [tiny.picture(0), tiny.picture(1, side=77).resize((70, 30))]
    plain = of.prepare(pictures, ["Is it a cat?", "Is it one dog?"])
    assert plain.caption is None
    assert marked.tensors.keys() == plain.tensors.keys()
    assert all(torch.equal(marked.tensors[key], plain.tensors[key]) for key in plain.tensors)
    one, two = (of.layout(made, "language.0.resid_post") for made in (marked, plain))
    changed = one.kind != two.kind
    assert torch.equal(changed, marked.caption)
    assert (two.kind[changed] == code("text")).all()
    assert torch.equal(one.read("text"), two.read("text"))
    assert torch.equal(one.read("patches"), two.read("patches"))
    assert prompted(name, "Is it a cat?", ["a cat"]).caption is None
    part = marked[1:]
    assert torch.equal(part.caption, marked.caption[1:])


@pytest.mark.parametrize("name", families.TALK)
@pytest.mark.parametrize("prompt", [None, "{caption}", "Is it {caption}?"])
def test_missing_and_odd_captions_of_a_prompt(name: str, prompt: str | None) -> None:
    of = families.adapter(name)
    for captions in (list(ODD.values()), [""], ["", ""]):
        inputs = prompted(name, prompt, captions, longest=32)
        assert len(inputs) == len(captions)
        acts = of.record(inputs, ["language.0.resid_post"])["language.0.resid_post"]
        layout = of.layout(inputs, "language.0.resid_post")
        assert acts[layout.read("all")].isfinite().all()
    kind = "text" if name == "gemma2" else "caption"
    if prompt == "{caption}" or (name == "gemma2" and prompt is None):
        assert not (layout.kind == code(kind)).any()
    without_any = of.inputs([(example(), tiny.picture(0)), (example("a"), tiny.picture(1))])
    assert len(without_any) == 2


@pytest.mark.parametrize("name", BEHIND)
def test_a_long_caption_of_a_prompt_is_cut_as_it_is_alone(name: str) -> None:
    of = families.adapter(name)
    inputs = prompted(name, "Is it {caption}?", [ODD["long"], "a"], longest=12)
    assert spoken(of, inputs) == [ODD["long"][:12], "a"]


@pytest.mark.parametrize("tokenizer", ["letters", "bytes", "metaspace", "words"])
def test_the_caption_is_found_whatever_the_tokens(tokenizer: str) -> None:
    """Between padding and an image's tokens, of which the tokenizer knows nothing."""
    made = TOKENIZERS[tokenizer]()
    image, pad, captions = 900, [901] * 3, ["red dog", "a", "dog on a mat", "一只狗", "red"]
    for said in captions:
        around = ["a red dog on ", " a red dog"]
        letters = made(said.join(around), add_special_tokens=False, return_offsets_mapping=True)
        ids = torch.tensor([image, image, *pad, *letters["input_ids"], *pad, image])
        at = Reader(made, most=LONGEST).marked(ids, around, said).nonzero()[:, 0].tolist()
        assert at == list(range(at[0], at[-1] + 1))
        start, end = (
            letters["offset_mapping"][at[0] - 5][0],
            letters["offset_mapping"][at[-1] - 5][1],
        )
        assert said.join(around)[start:end].strip() == said
        assert len(around[0]) - 1 <= start <= len(around[0])


# Real and shipped models.


def test_the_demos_clip_finds_the_picture_of_a_caption() -> None:
    """Words and pictures are in one space: among 40 scenes a caption is nearest to its own."""
    settings = config.Model(id=str(DEMO_CLIP), hooks=("vision.projection",))
    of = models.load(settings, device="cpu")
    scenes = [sample(index, seed=5) for index in range(40)]
    said = [caption(scene) for scene in scenes]
    pictures = of.prepare([Image.fromarray(render(scene)) for scene in scenes])
    images = of.record(pictures, ["vision.projection"])["vision.projection"][:, 0]
    words = read(of, said)
    assert ["".join(pieces) for pieces in words.pieces] == said
    acts, _ = recorded(of, words, ["vision.projection"])
    unit = torch.nn.functional.normalize
    near = unit(acts["vision.projection"][:, 0], dim=1) @ unit(images, dim=1).T
    assert (near.argmax(1) == torch.arange(40)).float().mean() > 0.9
    whole = CLIPModel.from_pretrained(DEMO_CLIP).eval()
    tokens = AutoTokenizer.from_pretrained(DEMO_CLIP)(said, padding=True, return_tensors="pt")
    with torch.inference_mode():
        theirs = whole.get_text_features(tokens["input_ids"], tokens["attention_mask"])
    theirs = theirs if isinstance(theirs, Tensor) else theirs.pooler_output
    torch.testing.assert_close(acts["vision.projection"][:, 0], theirs, rtol=1e-5, atol=1e-5)


def test_the_demos_llava_reads_captions_behind_a_picture_and_alone() -> None:
    prompt = "USER: <image>\nDescribe the image. ASSISTANT: {caption}"
    hook = "language.1.resid_post"
    settings = config.Model(id=str(DEMO_LLAVA), hooks=(hook,), prompt=prompt)
    of: Any = models.load(settings, device="cpu")
    scenes = [sample(index, seed=3) for index in range(3)]
    said = [caption(scenes[0]), "", caption(scenes[2])]
    pictures = [Image.fromarray(render(scene)) for scene in scenes]
    inputs = of.inputs([(example(text), pic) for text, pic in zip(said, pictures, strict=True)])
    layout, ids = of.layout(inputs, hook), inputs.tensors["input_ids"]
    words = read(of, said)
    acts, alone = recorded(of, words, [hook])
    assert acts[hook].isfinite().all()
    for row, text in enumerate(said):
        assert "".join(words.pieces[row]) == text
        behind = ids[row, layout.kind[row] == code("caption")]
        assert of.processor.tokenizer.decode(behind) == text
        bare = words.inputs.tensors["input_ids"][row, alone.kind[row] == code("text")]
        assert torch.equal(behind, bare), "the same words, with the picture and without"


def test_a_real_clip_reads_captions(clip_dir: Path) -> None:
    of = models.load(config.Model(id=str(clip_dir), hooks=("vision.projection",)), device="cpu")
    texts = [*PLAIN, *ODD.values(), "a photo of a dog"]
    words = read(of, texts, longest=10_000)
    acts, layout = recorded(of, words, ["vision.projection"])
    assert acts["vision.projection"].isfinite().all()
    for text, pieces, cut in zip(texts, words.pieces, words.cut, strict=True):
        plain = of.reader.plain(text)
        joined = "".join(pieces)
        assert plain.startswith(joined)
        assert (plain[len(joined) :].strip() == "") == (cut == 0)
    assert words.pieces[-1] == ("a", " photo", " of", " a", " dog")
    assert layout.kind[3] == code("pad")
    whole, tokenizer = AutoModel.from_pretrained(clip_dir).eval(), of.reader.tokenizer
    for row in (0, 2, len(texts) - 1):
        with torch.inference_mode():
            theirs = whole.get_text_features(**tokenizer([texts[row]], return_tensors="pt"))
        theirs = theirs if isinstance(theirs, Tensor) else theirs.pooler_output
        found = acts["vision.projection"][row]
        torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)


def test_batches_that_are_prepared_at_once_do_not_disturb_each_other() -> None:
    """Images are prepared in threads: a tokenizer keeps how it was last told to cut and to pad."""
    prompt = "USER: <image>\nDescribe the image. ASSISTANT: {caption}"
    settings = config.Model(id=str(LLAVA_FOLDER), prompt=prompt, hooks=("language.1.resid_post",))
    llava = models.load(settings, device="cpu")
    picture = Image.new("RGB", (64, 64))

    def prepared(number: int) -> Inputs:
        captions = ["a small red solid circle " * (1 + (number + i) % 5) for i in range(4)]
        of = [Example(i, "", "val", (caption,)) for i, caption in enumerate(captions)]
        return llava.inputs([(each, picture) for each in of], longest=5 + number % 3)

    alone = [prepared(number) for number in range(15)]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda k: prepared(k % 15), range(600)))
    for number, made in enumerate(together):
        wanted = alone[number % 15]
        assert torch.equal(made.tensors["input_ids"], wanted.tensors["input_ids"])
        assert torch.equal(made.caption, wanted.caption)
