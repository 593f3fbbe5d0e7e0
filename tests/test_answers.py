"""What a model says in several ways at once: against plain generation, against each way alone,
and what may go wrong while it speaks."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import tiny
import tiny_families as families
import torch
from edited_saes import made, published, rewired, sae_at
from generating import IMAGE, talking
from PIL import Image
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordLevel
from transformers import PreTrainedTokenizerFast

from pipeline import models
from pipeline.hooks import Edit
from pipeline.interventions import (
    Along,
    Answer,
    AnswerToken,
    FeatureEdit,
    InterventionError,
    Setting,
    Turned,
    Way,
    add_direction,
    answers,
    as_record,
    delta,
    edits_of,
    replace,
    ways_of,
)
from pipeline.interventions.setting import JUDGED, PROMPTED, RECONSTRUCTION, STEERED, UNSTEERED
from pipeline.saes.sae import SAE

PICTURES = [tiny.picture(0), tiny.picture(1, side=77).resize((70, 30)), tiny.picture(2)]
EOS = families.VOCABULARY.index("<eos>")
READ = tiny.LAYERS - 2
"""The vision layer whose hidden state the tiny LLaVA reads."""
LONG = 6
WORDS = "language.0.resid_post"


@cache
def adapter(name: str) -> models.Adapter:
    """The family's adapter, which neither ends of itself nor says the image's token."""
    loaded = families.load(name)
    loaded.model.generation_config.suppress_tokens = [EOS, IMAGE]
    return loaded


def said(answer: Answer) -> list[int]:
    return [one.token for one in answer.said]


def chances(answer: Answer) -> list[float]:
    return [one.chance for one in answer.said]


@torch.inference_mode()
def plainly(at: models.Adapter, picture: Image.Image, prompt: str, **options: Any) -> list[int]:
    """The new tokens of transformers' own `generate`."""
    batch = at.prepare([picture], [prompt])
    made = at.model.generate(
        **batch.tensors, **{"max_new_tokens": LONG, "do_sample": False, **options}
    )
    return made[0, batch.tensors["input_ids"].shape[1] :].tolist()


def pushed(at: models.Adapter, hook: str, *, strength: float = 30.0, feature: int = 5) -> Edit:
    return delta(sae_at(at, hook), [FeatureEdit(feature, "clamp", strength)])


def ways_for(at: models.Adapter) -> list[Way]:
    """Of several prompts, hook points and scopes."""
    found = [
        Way("What is it?"),
        Way("What is it?", {WORDS: [pushed(at, WORDS)]}, "generated"),
        Way("abc", {WORDS: [pushed(at, WORDS)], "language.1.mlp_out": []}, "prompt"),
    ]
    if len(at.towers) > 1:
        seen = "vision.0.resid_post"
        found[1] = Way("What is it?", {seen: [pushed(at, seen)], WORDS: [pushed(at, WORDS)]})
    return found


@talking
def test_side_by_side_is_as_each_alone(name: str) -> None:
    at = adapter(name)
    ways = ways_for(at)
    together = answers(at, PICTURES, ways, longest=LONG)
    assert [len(answer.said) for answer in together] == [LONG] * len(ways)
    for picture, way, answer in zip(PICTURES, ways, together, strict=True):
        (alone,) = answers(at, [picture], [way], longest=LONG)
        assert said(alone) == said(answer)
        assert chances(alone) == pytest.approx(chances(answer), rel=1e-3, abs=1e-6)
    unedited = answers(at, PICTURES, [Way(way.prompt) for way in ways], longest=LONG)
    assert chances(unedited[1]) != pytest.approx(chances(together[1]), rel=1e-3)
    assert chances(unedited[2]) != pytest.approx(chances(together[2]), rel=1e-3)


@talking
def test_an_unsteered_row_says_what_plain_generation_says(name: str) -> None:
    at = adapter(name)
    ways = [*ways_for(at), Way("")]
    together = answers(at, [*PICTURES, PICTURES[0]], ways, longest=LONG)
    assert said(together[0]) == plainly(at, PICTURES[0], "What is it?")
    assert said(together[3]) == plainly(at, PICTURES[0], "")
    whole = at.reader.tokenizer.decode(said(together[0]), skip_special_tokens=True)
    assert together[0].text == whole.strip()


@pytest.mark.parametrize("name", ["llava", "llava-next", "paligemma2", "gemma2"])
def test_edits_of_nothing_keep_every_bit_of_a_row(name: str) -> None:
    at = adapter(name)
    hooks = [WORDS] + ["vision.0.resid_post"] * (len(at.towers) > 1)
    nothing = {
        "add 0": [FeatureEdit(5, "add", 0.0)],
        "scale 1": [FeatureEdit(5, "scale", 1.0), FeatureEdit(6, "scale", 1.0)],
        "no feature": [],
    }
    ways = [
        Way("abc"),
        *(
            Way("abc", {hook: [delta(sae_at(at, hook), edits)] for hook in hooks})
            for edits in nothing.values()
        ),
    ]
    pictures = [PICTURES[0]] * len(ways)
    edited = answers(at, pictures, ways, longest=LONG)
    bare = answers(at, pictures, [Way("abc")] * len(ways), longest=LONG)
    assert [one.said for one in edited] == [one.said for one in bare]
    assert len({tuple(said(one)) for one in edited}) == 1


@pytest.mark.parametrize("name", ["llava", "gemma2"])
@torch.inference_mode()
def test_who_follows_finds_what_a_plain_forward_finds(name: str) -> None:
    at = adapter(name)
    ways = [
        Way("What is it?"),
        Way("abc", {WORDS: [pushed(at, WORDS)]}),
        Way("abc", follows=1),
        Way("What is it?", follows=2),
    ]
    _, steered, judged, other = answers(at, [PICTURES[0]] * 4, ways, longest=LONG)
    assert said(judged) == said(steered) == said(other)
    assert chances(judged) != pytest.approx(chances(steered), rel=1e-3)
    for prompt, answer in (("abc", judged), ("What is it?", other)):
        batch = at.prepare([PICTURES[0]], [prompt])
        tensors = dict(batch.tensors)
        new = torch.tensor([said(answer)])
        tensors["input_ids"] = torch.cat([tensors["input_ids"], new], 1)
        tensors["attention_mask"] = torch.ones_like(tensors["input_ids"])
        logits = at.model(**tensors).logits[0, -LONG - 1 : -1].float()
        logits[:, [EOS, IMAGE]] = -math.inf  # as its settings of generation have it
        wanted = logits.log_softmax(-1)
        own = wanted.gather(1, new.T)[:, 0]
        torch.testing.assert_close(torch.tensor(chances(answer)).log(), own, rtol=1e-3, atol=1e-3)
        assert answer.perplexity == pytest.approx(float(own.neg().mean().exp()), rel=1e-3)
        for place, one in enumerate(answer.said):
            assert [p for _, p in one.likely] == pytest.approx(
                wanted[place].exp().topk(8).values.tolist(), rel=1e-3
            )


def test_who_follows_nobody_is_refused() -> None:
    for follows in (1, 2):
        with pytest.raises(InterventionError, match="follows none"):
            answers(
                adapter("gemma2"), PICTURES[:2], [Way("a"), Way("a", follows=follows)], longest=1
            )


# A setting: its ways against the edits that they stand for.


def saes(at: models.Adapter) -> dict[str, SAE]:
    hooks = ("vision.0.resid_post", f"vision.{READ}.resid_post", WORDS)
    return {f"tiny/{hook}/sight": sae_at(at, hook) for hook in hooks}


def setting(**more: Any) -> Setting:
    turned = Turned(dictionary=f"tiny/{WORDS}/sight", feature=5, strength=30.0)
    return Setting(
        **{"prompt": "abc", "features": (turned,), "scope": "all", "longest": LONG, **more}
    )


def by_name(at: models.Adapter, asked: Setting, directions: Any = None) -> dict[str, Answer]:
    ways = ways_of(asked, saes(at).__getitem__, directions or {})
    made = answers(
        at,
        [PICTURES[0]] * len(ways),
        list(ways.values()),
        longest=asked.longest,
        temperature=asked.temperature,
        seed=asked.seed,
    )
    return dict(zip(ways, made, strict=True))


def test_the_ways_of_a_setting() -> None:
    at = adapter("llava")
    found = by_name(at, setting(concept="a dog"))
    assert list(found) == [UNSTEERED, RECONSTRUCTION, STEERED, JUDGED, PROMPTED]
    assert said(found[UNSTEERED]) == plainly(at, PICTURES[0], "abc")
    assert said(found[PROMPTED]) == plainly(at, PICTURES[0], "abc Say that there is a dog in it.")
    rebuilt = Way("abc", {WORDS: [replace(sae_at(at, WORDS), [])]})
    (alone,) = answers(at, PICTURES[:1], [rebuilt], longest=LONG)
    assert said(found[RECONSTRUCTION]) == said(alone)
    assert chances(found[RECONSTRUCTION]) == pytest.approx(chances(alone), rel=1e-3)
    assert chances(alone) != pytest.approx(chances(found[UNSTEERED]), rel=1e-3)
    steered = Way("abc", {WORDS: [pushed(at, WORDS)]})
    (alone,) = answers(at, PICTURES[:1], [steered], longest=LONG)
    assert said(found[STEERED]) == said(found[JUDGED]) == said(alone)
    assert found[STEERED].perplexity != pytest.approx(found[JUDGED].perplexity, rel=1e-3)
    assert list(by_name(at, Setting(prompt="abc", longest=1))) == [UNSTEERED, STEERED, JUDGED]


@pytest.mark.parametrize("layer", range(tiny.LAYERS))
def test_replace_in_a_setting_is_the_published_procedure(layer: int) -> None:
    """Also of the very layer that LLaVA reads; one behind it changes nothing."""
    at, hook = adapter("llava"), f"vision.{layer}.resid_post"
    sae = sae_at(at, hook)
    others = set()
    for feature, strength in ((5, 100.0), (11, -100.0)):
        turned = (
            Turned(dictionary=f"tiny/{hook}/sight", feature=feature, strength=strength),
            Turned(dictionary=f"tiny/{hook}/sight", feature=40, strength=7.0),
        )
        asked = setting(features=turned, form="replace", scope="image", longest=12)
        # The scope of the picture holds all that is before the language model.
        ways = ways_of(asked, lambda _: sae, {})
        found = dict(
            zip(ways, answers(at, [PICTURES[0]] * 4, list(ways.values()), longest=12), strict=True)
        )
        with rewired(at.module(hook), published(sae, {feature: strength, 40: 7.0})):
            wanted = plainly(at, PICTURES[0], "abc", max_new_tokens=12)
        assert said(found[STEERED]) == wanted
        bare = plainly(at, PICTURES[0], "abc", max_new_tokens=12)
        assert said(found[UNSTEERED]) == bare
        if layer > READ:
            assert found[STEERED].said == found[UNSTEERED].said
        else:
            assert wanted != bare
        others.add(tuple(wanted))
    assert (len(others) > 1) == (layer <= READ), "the answers tell the features apart"


def test_dictionaries_and_directions_at_several_places_at_once() -> None:
    at = adapter("llava")
    seen, wide = "vision.0.resid_post", at.resolve(WORDS).d_in
    one, two = torch.arange(wide).float().cos(), torch.arange(wide).float().sin()
    asked = setting(
        features=(
            Turned(dictionary=f"tiny/{seen}/sight", feature=3, strength=20.0),
            Turned(dictionary=f"tiny/{WORDS}/sight", feature=5, strength=20.0),
            Turned(dictionary=f"tiny/{seen}/sight", feature=9, strength=5.0),
        ),
        directions=(
            Along(hook=WORDS, kind="add", direction="one", strength=8.0),
            Along(hook="language.1.resid_post", kind="move", direction="one", to="two", strength=2),
            Along(hook="vision.projection", kind="project_out", direction="two"),
        ),
        mode="add",
    )
    vectors = {"one": one, "two": two}
    edits = edits_of(asked, saes(at).__getitem__, vectors)
    assert {hook: len(of) for hook, of in edits.items()} == {
        seen: 1,
        WORDS: 2,
        "language.1.resid_post": 1,
        "vision.projection": 1,
    }
    found = by_name(at, asked, vectors)
    by_hand = Way(
        "abc",
        {
            seen: [
                delta(sae_at(at, seen), [FeatureEdit(3, "add", 20.0), FeatureEdit(9, "add", 5.0)])
            ],
            WORDS: [
                delta(sae_at(at, WORDS), [FeatureEdit(5, "add", 20.0)]),
                add_direction(one / one.norm(), 8.0),
            ],
            "language.1.resid_post": edits["language.1.resid_post"],
            "vision.projection": edits["vision.projection"],
        },
    )
    (alone,) = answers(at, PICTURES[:1], [by_hand], longest=LONG)
    assert said(found[STEERED]) == said(alone)
    assert chances(found[STEERED]) == pytest.approx(chances(alone), rel=1e-3)
    # Each of them has its part in it.
    for left_out in range(3):
        fewer = tuple(f for i, f in enumerate(asked.directions) if i != left_out)
        other = by_name(at, asked.model_copy(update={"directions": fewer}), vectors)
        assert chances(other[STEERED]) != pytest.approx(chances(alone), rel=1e-4)


def test_scopes_differ_and_hold_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    at = adapter("llava")
    scopes = ("image", "prompt", "generated", "all")
    ways = [Way("abc", {WORDS: [pushed(at, WORDS)]}, scope) for scope in scopes]
    cached = answers(at, [PICTURES[0]] * 4, ways, longest=LONG)
    assert len({tuple(chances(one)) for one in cached}) == 4
    bare = plainly(at, PICTURES[0], "abc")
    assert said(cached[2])[0] == bare[0], "the first token is said before one is generated"
    monkeypatch.setattr(at.model.generation_config, "use_cache", False)
    uncached = answers(at, [PICTURES[0]] * 4, ways, longest=LONG)
    for one, other in zip(cached, uncached, strict=True):
        assert said(one) == said(other)
        assert chances(one) == pytest.approx(chances(other), rel=1e-3)


def test_what_has_a_strength_sweeps() -> None:
    along = Along(hook=WORDS, kind="add", direction="one", strength=8.0)
    out = along.model_copy(update={"kind": "project_out"})
    assert setting().sweeps and setting(features=(), directions=(out, along)).sweeps
    assert not setting(mode="ablate").sweeps and not setting(features=(), directions=(out,)).sweeps
    assert setting(mode="ablate", directions=(along,)).sweeps


def test_two_dictionaries_at_one_hook_point() -> None:
    at = adapter("llava")
    both = (
        Turned(dictionary=f"tiny/{WORDS}/sight", feature=5, strength=30.0),
        Turned(dictionary=f"tiny/{WORDS}/other", feature=6, strength=20.0),
    )
    with pytest.raises(ValueError, match=f"two dictionaries at {WORDS}: .* one dictionary a hook"):
        setting(features=both, form="replace")
    asked = setting(features=both)
    other = sae_at(at, WORDS)
    found = ways_of(asked, {**saes(at), f"tiny/{WORDS}/other": other}.__getitem__, {})
    assert list(found) == [UNSTEERED, STEERED, JUDGED], "nothing rebuilds by both"
    assert len(found[STEERED].edits[WORDS]) == 2
    elsewhere = both[0].model_copy(update={"dictionary": "tiny/vision.0.resid_post/sight"})
    apart = setting(features=(both[0], elsewhere), form="replace")
    assert RECONSTRUCTION in ways_of(apart, saes(at).__getitem__, {})


@pytest.mark.parametrize("strength", [math.nan, math.inf, 1e39])
def test_a_strength_that_is_none_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        Turned(dictionary="a/b/c", feature=1, strength=strength)


# By chance.


def test_rows_share_their_chance() -> None:
    at = adapter("gemma2")
    ways = [Way("abc"), Way("abc"), Way("abc", {WORDS: [pushed(at, WORDS)]})]
    pictures = PICTURES[:1] * 3
    one, same, edited = answers(at, pictures, ways, longest=20, temperature=1.0, seed=1)
    assert said(one) == said(same)
    assert said(one) != said(edited)
    again, *_ = answers(at, pictures, ways, longest=20, temperature=1.0, seed=1)
    other, *_ = answers(at, pictures, ways, longest=20, temperature=1.0, seed=2)
    assert said(one) == said(again)
    assert said(one) != said(other)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_their_chance_says(temperature: float) -> None:
    """The surprise of what is drawn is the entropy, on average: of 400 draws the sum lies within
    four standard deviations."""
    at, count = adapter("gemma2"), len(families.VOCABULARY)
    (answer,) = answers(
        at, PICTURES[:1], [Way("abc")], longest=400, temperature=temperature, likely=count
    )
    off, variance = 0.0, 0.0
    for one in answer.said:
        # Those of the same letters are told apart by their chance.
        p = torch.tensor([chance for _, chance in one.likely], dtype=torch.float64)
        q = p.pow(1 / temperature) / p.pow(1 / temperature).sum()
        surprise = -q[q > 0].log()
        entropy = float((q[q > 0] * surprise).sum())
        own = one.chance ** (1 / temperature) / float(p.pow(1 / temperature).sum())
        off += -math.log(own) - entropy
        variance += float((q[q > 0] * surprise.square()).sum()) - entropy**2
    assert variance > 10, "there is something to choose"
    assert abs(off) < 4 * math.sqrt(variance)


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-45, 1e-300])
def test_hardly_any_temperature_is_none(temperature: float) -> None:
    at = adapter("gemma2")
    cold, greedy = (
        answers(at, PICTURES[:1], [Way("abc")], longest=LONG, temperature=t)[0]
        for t in (temperature, 0.0)
    )
    assert said(cold) == said(greedy)


# The model's own settings of generation.


@pytest.mark.parametrize(
    "own",
    [
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram_size": 1},
        {"forced_eos_token_id": EOS, "suppress_tokens": None},
        {"begin_suppress_tokens": [*range(40)]},
        {"do_sample": True, "temperature": 0.7, "top_k": 3, "top_p": 0.5, "min_p": 0.1},
        {"num_beams": 3},
    ],
    ids=lambda own: next(iter(own)),
)
def test_the_models_own_settings_hold(own: dict[str, Any]) -> None:
    at = families.load("gemma2")
    at.model.generation_config.suppress_tokens = [EOS]
    for name, value in own.items():
        setattr(at.model.generation_config, name, value)
    ways = [Way("abc"), Way("abc", {WORDS: [pushed(at, WORDS)]}), Way("abc", follows=1)]
    plain, steered, judged = answers(at, PICTURES, ways, longest=LONG)
    assert said(plain) == plainly(at, PICTURES[0], "abc", num_beams=1)
    assert said(judged) == said(steered)
    assert all(0 < chance <= 1 for chance in chances(judged))


@pytest.mark.parametrize("several", [False, True])
def test_an_answer_ends_at_any_of_the_ends(several: bool) -> None:
    at = families.load("llava")
    at.model.generation_config.suppress_tokens = [EOS, IMAGE]
    ways = [Way("abc"), Way("abc", {WORDS: [pushed(at, WORDS)]}), Way("abc", follows=1)]
    whole = answers(at, [PICTURES[0]] * 3, ways, longest=12)
    assert not any(answer.ended for answer in whole)
    end = said(whole[0])[3]
    at.model.generation_config.eos_token_id = [EOS, end] if several else end
    for before, after in zip(whole, answers(at, [PICTURES[0]] * 3, ways, longest=12), strict=True):
        ids = said(before)
        wanted = ids[: ids.index(end) + 1] if end in ids else ids
        assert said(after) == wanted
        assert after.ended == (end in ids)
    assert answers(at, PICTURES[:1], ways[:1], longest=2)[0].ended is False


def test_an_answer_may_be_empty() -> None:
    at = families.load("llava")
    at.model.generation_config.sequence_bias = [[[EOS], 1e4]]
    heard: list[Sequence[Answer]] = []
    (answer,) = answers(at, PICTURES[:1], [Way("abc")], heard=heard.append)
    assert (answer.text, answer.ended, said(answer)) == ("", True, [EOS])
    assert len(heard) == 1
    assert math.isnan(Answer((), False).perplexity)
    record = as_record(Setting(), {"nothing": Answer((), False), "empty": answer})
    assert record["answers"]["nothing"]["perplexity"] is None
    assert record["answers"]["empty"]["perplexity"] == pytest.approx(1)


def test_what_a_prompt_holds_by_chance_is_no_image() -> None:
    at = adapter("llava")
    ways = [Way("a<image>b<eos>c"), Way("abc")]
    one, other = answers(at, [PICTURES[0]] * 2, ways, longest=LONG)
    assert one.said == other.said


def test_pictures_of_other_shapes_stand_side_by_side() -> None:
    """LLaVA-NeXT cuts each into other tiles, which are rows of their own in the vision tower."""
    at, hook = adapter("llava-next"), "vision.0.resid_post"
    pictures = [
        tiny.picture(i).resize(size) for i, size in enumerate([(96, 30), (40, 40), (30, 70)])
    ]
    edits = [{}, {hook: [pushed(at, hook, strength=100.0)]}, {}]
    ways = [Way("abc", of, "image") for of in edits]
    together = answers(at, pictures, ways, longest=LONG)
    for picture, way, answer in zip(pictures, ways, together, strict=True):
        (alone,) = answers(at, [picture], [way], longest=LONG)
        assert said(alone) == said(answer)
    (bare,) = answers(at, pictures[1:2], [Way("abc")], longest=LONG)
    assert chances(bare) != pytest.approx(chances(together[1]), rel=1e-3)


# Letter by letter.


def bytewise() -> PreTrainedTokenizerFast:
    """As the families', but what it knows beside special tokens are bytes, of which two or three
    make a letter."""
    letters = [*pre_tokenizers.ByteLevel.alphabet()]
    high = sorted(letters, key=lambda letter: letter.isascii())[: len(families.VOCABULARY) - 7]
    known = {word: i for i, word in enumerate([*families.SPECIAL, *high])}
    raw = Tokenizer(BPE(known, [], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return fast(raw)


def fast(raw: Tokenizer, **more: Any) -> PreTrainedTokenizerFast:
    names = {name: f"<{name}>" for name in ("bos", "eos", "pad", "unk")}
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, **{f"{name}_token": word for name, word in names.items()}, **more
    )
    made.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return made


def speak_with(at: models.Adapter, tokenizer: PreTrainedTokenizerFast) -> None:
    """Give the model another tokenizer; it has read with its own when it was loaded."""
    at.processor.tokenizer = tokenizer
    del at.reader


def test_half_a_letter_waits_for_its_other_half() -> None:
    at = families.load("llava")
    at.model.generation_config.suppress_tokens = [EOS, IMAGE]
    at._equip(at.processor)
    speak_with(at, bytewise())
    shown: list[str] = []
    (answer,) = answers(
        at,
        PICTURES[:1],
        [Way("abc")],
        longest=200,
        temperature=5.0,
        heard=lambda so_far: shown.append("".join(one.piece for one in so_far[0].said)),
    )
    whole = at.processor.tokenizer.decode(said(answer), skip_special_tokens=True)
    assert whole.startswith(shown[-1])
    assert set(whole[len(shown[-1]) :]) <= {"\ufffd"}
    assert all(after.startswith(before) for before, after in pairwise(shown))
    assert sum(not one.piece for one in answer.said) > 3
    assert {len(one.piece.encode()) for one in answer.said} > {0, 2}, "letters of several bytes"


def test_a_tokenizer_that_tidies_up_loses_no_letter() -> None:
    """Theirs makes "a'b" of "a ' b", and so changes what is said already."""
    at = families.load("llava")
    at.model.generation_config.suppress_tokens = [EOS, IMAGE]
    known = {"'" if word == "Z" else word: i for i, word in enumerate(families.VOCABULARY)}
    raw = Tokenizer(WordLevel(known, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    speak_with(at, fast(raw, clean_up_tokenization_spaces=True))
    (answer,) = answers(at, PICTURES[:1], [Way("abc")], longest=200, temperature=5.0)
    tokenizer = at.reader.tokenizer
    assert tokenizer.decode(said(answer)) != tokenizer.decode(
        said(answer), clean_up_tokenization_spaces=False
    )
    words = [tokenizer.decode([token], skip_special_tokens=True) for token in said(answer)]
    pieces = "".join(one.piece for one in answer.said)
    assert pieces.replace(" ", "") == "".join(words).replace(" ", "")


# Who listens.


def hooks_of(at: models.Adapter) -> int:
    """How many are registered, once transformers has put its own there."""
    answers(at, PICTURES[:1], [Way("abc")], longest=1)
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in at.model.modules()
    )


def test_each_token_is_told() -> None:
    at, heard = adapter("llava"), list[list[list[int]]]()
    ways = [Way("abc"), Way("abc", follows=0)]
    final = answers(
        at, [PICTURES[0]] * 2, ways, longest=LONG, heard=lambda a: heard.append([*map(said, a)])
    )
    assert heard == [[said(one)[:n] for one in final] for n in range(1, LONG + 1)]


class _Left(Exception):
    pass


def test_who_stops_listening_stops_it_within_a_token() -> None:
    at, calls, reached = adapter("llava"), 0, list[int]()
    before = hooks_of(at)

    def leave(_: Sequence[Answer]) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise _Left

    def count(acts: torch.Tensor) -> torch.Tensor:
        reached.append(acts.shape[1])
        return acts

    with pytest.raises(_Left):
        answers(at, PICTURES[:1], [Way("abc", {WORDS: [count]})], longest=50, heard=leave)
    assert calls == len(reached) == 3
    assert hooks_of(at) == before


# What cannot be.


@pytest.mark.parametrize(("dtype", "strength"), [("float16", 1e6), ("float32", 3e38)])
def test_numbers_that_break_are_told(dtype: str, strength: float) -> None:
    at = models.load(families.settings("llava", dtype=dtype), device="cpu")
    broken = Way("abc", {WORDS: [pushed(at, WORDS, strength=strength)]})
    before = hooks_of(at)
    with pytest.raises(InterventionError, match="broke the model's numbers; use a smaller"):
        answers(at, PICTURES[:2], [Way("abc"), broken], longest=LONG)
    assert hooks_of(at) == before
    with torch.no_grad():
        at.model.get_output_embeddings().weight[5] = math.nan
    with pytest.raises(InterventionError, match="without any edit"):
        answers(at, PICTURES[:1], [Way("abc")], longest=LONG)


def test_a_model_without_words_is_refused() -> None:
    with pytest.raises(InterventionError, match="says nothing; choose one with a language model"):
        answers(families.adapter("clip"), PICTURES[:1], [Way("abc")])


def test_an_edit_that_does_not_fit_leaves_no_hook() -> None:
    at = adapter("llava")
    before = hooks_of(at)
    wide = Way("abc", {WORDS: [delta(made("relu"), [FeatureEdit(1, "clamp", 1.0)])]})
    nowhere = Way("abc", {"vision.0.resid_post": [pushed(at, "vision.0.resid_post")]}, "generated")
    for way, message in (
        (wide, "12 wide at a hook point 24 wide"),
        (nowhere, "no tokens of scope"),
    ):
        with pytest.raises(InterventionError, match=message):
            answers(at, PICTURES[:2], [Way("abc"), way], longest=2)
        assert hooks_of(at) == before


def test_answers_are_alike_by_tokens_and_chances() -> None:
    one = Answer((AnswerToken(3, "a", 0.5, ()), AnswerToken(4, "b", 0.25, ())), True)
    rounded = Answer(
        (AnswerToken(3, "a", 0.5 * (1 + 1e-7), ()), AnswerToken(4, "b", 0.25, ())), True
    )
    assert one.as_likely_as(rounded) and rounded.as_likely_as(one)
    for other in (
        one.said[:1],
        (AnswerToken(3, "a", 0.5001, ()), one.said[1]),
        (AnswerToken(5, "a", 0.5, ()), one.said[1]),
    ):
        assert not one.as_likely_as(Answer(other, True))
