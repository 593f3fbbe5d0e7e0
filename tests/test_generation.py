"""Edits while a model generates: with a cache, without one, in chunks, in beams, behind padding."""

from collections.abc import Sequence
from typing import Any

import pytest
import tiny_families as families
import torch
from generating import MODES, NEW, PICTURES, PROMPTS, generated, talking
from torch import Tensor

from pipeline import hooks, models
from pipeline.models.layout import Scope, code

SCOPES: tuple[Scope, ...] = ("image", "prompt", "generated", "all")


def shapes(adapter: models.Adapter, hook: str, **options: Any) -> list[tuple[int, ...]]:
    """What an edit at the hook point is given, call by call."""
    seen = []

    def look(acts: Tensor) -> Tensor:
        seen.append(tuple(acts.shape[:2]))
        return acts

    with hooks.edit(adapter, hook, look):
        generated(adapter, adapter.prepare(PICTURES, PROMPTS), **options)
    return seen


@talking
def test_an_edit_sees_the_prompt_once_and_then_each_token(name: str) -> None:
    adapter = families.adapter(name)
    hook = "language.0.resid_post"
    long = adapter.prepare(PICTURES, PROMPTS).tensors["input_ids"].shape[1]
    assert shapes(adapter, hook) == [(2, long), *[(2, 1)] * (NEW - 1)]
    assert shapes(adapter, hook, use_cache=False) == [(2, long + i) for i in range(NEW)]
    assert shapes(adapter, hook, num_beams=3)[0] == (6, long)
    pieces = shapes(adapter, hook, prefill_chunk_size=8)
    assert pieces[0] == (2, 8)
    assert sum(tokens for _, tokens in pieces) == long + NEW - 1


@pytest.mark.parametrize("name", [n for n in families.TALK if n in families.SEE])
def test_the_image_is_seen_once(name: str) -> None:
    adapter = families.adapter(name)
    for hook in ("vision.0.resid_post", "vision.projection"):
        layout = adapter.layout(adapter.prepare(PICTURES, PROMPTS), hook)
        assert shapes(adapter, hook) == [tuple(layout.kind.shape)]


def meant(adapter: models.Adapter, batch: models.Inputs, scope: Scope) -> Tensor:
    """The tokens of prompt and answer that a scope means, told by the ids alone."""
    ids, read = batch.tensors["input_ids"], batch.tensors["attention_mask"].bool()
    image = torch.zeros_like(read)
    if batch.sizes:
        image = ids == adapter.image_token
        if adapter.settings.id == str(families.folder("llava-next")):
            # Among the image tokens are the ends of rows; test_layout finds them in the embeddings.
            kind = adapter.layout(batch, "language.0.resid_post").kind
            image &= kind != code("special")
    prompt = {"image": image, "prompt": read & ~image, "all": read}.get(scope)
    new = torch.full((len(ids), NEW), scope in ("generated", "all"))
    return torch.cat([torch.zeros_like(read) if prompt is None else prompt, new], 1)


@talking
@pytest.mark.parametrize("mode", MODES)
def test_an_edit_changes_the_tokens_of_its_scope_and_no_others(name: str, mode: str) -> None:
    adapter = families.adapter(name)
    hook = "language.1.resid_post"
    batch = adapter.prepare(PICTURES, PROMPTS)
    assert not batch.tensors["attention_mask"].all(), "the shorter prompt is padded"
    layout, options = adapter.layout(batch, hook), MODES[mode]
    copies = options.get("num_beams", options.get("num_return_sequences", 1))
    marked = 77.0
    for scope in SCOPES:
        changed: list[Tensor] = []
        with hooks.edit(
            adapter, hook, lambda acts: torch.full_like(acts, marked), where=layout.where(scope)
        ):
            handle = adapter.module(hook).register_forward_hook(
                lambda _m, _i, made, into=changed: into.append(_marks(made, marked))
            )
            generated(adapter, batch, **options)
            handle.remove()
        wanted = meant(adapter, batch, scope).repeat_interleave(copies, 0)
        first = 0
        for found in changed:
            assert torch.equal(found, wanted[:, first : first + found.shape[1]]), (scope, first)
            first += found.shape[1] * options.get("use_cache", True)
        assert len(changed) >= NEW
        assert any(found.any() for found in changed) == bool(wanted.any())


def _marks(made: Tensor | Sequence[Tensor], marked: float) -> Tensor:
    return ((made if isinstance(made, Tensor) else made[0]) == marked).all(-1)


@talking
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_steering_with_and_without_the_cache_says_the_same(
    name: str, options: dict[str, Any]
) -> None:
    adapter = families.adapter(name)
    hook = "language.0.resid_post"
    batch = adapter.prepare(PICTURES, PROMPTS)
    bare = generated(adapter, batch, **options)
    steered = []
    for scope in SCOPES:
        for use_cache in (True, False):
            with hooks.edit(
                adapter,
                hook,
                _towards(adapter.towers[-1].width),
                where=_scoped(adapter, batch, hook, scope),
            ):
                steered.append(generated(adapter, batch, use_cache=use_cache, **options))
        assert torch.equal(steered[-2], steered[-1]), scope
    assert any(not torch.equal(bare, answer) for answer in steered)
    assert torch.equal(generated(adapter, batch, **options), bare)


def _towards(width: int) -> hooks.Edit:
    direction = 20 * torch.linspace(-1, 1, width).cos()
    return lambda acts: acts + direction


def _scoped(adapter: models.Adapter, batch: models.Inputs, hook: str, scope: Scope) -> hooks.Where:
    return adapter.layout(batch, hook).where(scope)


@pytest.mark.parametrize("hook", ["vision.0.resid_post", "vision.projection"])
@pytest.mark.parametrize("name", [n for n in families.TALK if n in families.SEE])
def test_one_edit_serves_several_answers(name: str, hook: str) -> None:
    """What was generated before does not move where the next image's tokens are thought to be."""
    adapter = families.adapter(name)
    batch = adapter.prepare(PICTURES, PROMPTS)
    calls = []

    def count(acts: Tensor) -> Tensor:
        calls.append(acts.shape)
        return acts.flip(1) * 3

    with hooks.edit(adapter, hook, count, where=_scoped(adapter, batch, hook, "image")):
        first = generated(adapter, batch)
        second = generated(adapter, batch)
    assert len(calls) == 2
    assert torch.equal(first, second)


@talking
def test_a_batch_says_what_its_examples_say_alone(name: str) -> None:
    """Left padding, and what becomes of it under an edit, does not change an answer."""
    adapter = families.adapter(name)
    hook = "language.0.resid_post"
    batch = adapter.prepare(PICTURES, PROMPTS)
    width = adapter.towers[-1].width
    with hooks.edit(adapter, hook, _towards(width), where=_scoped(adapter, batch, hook, "all")):
        together = generated(adapter, batch)
    for row in range(2):
        one = adapter.prepare(PICTURES[row : row + 1], PROMPTS[row : row + 1])
        with hooks.edit(adapter, hook, _towards(width), where=_scoped(adapter, one, hook, "all")):
            assert torch.equal(generated(adapter, one)[0], together[row])
