"""Every family: what is recorded is what the model says, and an edit is what it then reads."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tiny
import tiny_families as families
import torch
from torch import Tensor, nn
from transformers import AutoModel

from pipeline import hooks, models
from pipeline.models.hook_points import LAYER_POINTS

PICTURES = [tiny.picture(0), tiny.picture(1, side=77).resize((70, 30))]
PROMPTS = ["abc", "What is it?"]
EXACT: dict[str, float] = {"rtol": 0, "atol": 1e-5}

every = pytest.mark.parametrize("name", families.FAMILIES)
seeing = pytest.mark.parametrize("name", families.SEE)
talking = pytest.mark.parametrize("name", families.TALK)


def inputs(adapter: models.Adapter) -> models.Inputs:
    return adapter.prepare(PICTURES, PROMPTS)


@torch.inference_mode()
def output(adapter: models.Adapter, **options: Any) -> Any:
    """What the bare model gives, without anything of the adapter but its inputs."""
    return adapter.model(**inputs(adapter).tensors, **options)


def answer(adapter: models.Adapter) -> Tensor:
    """The end of the model: its logits or its joint embedding."""
    made = output(adapter)
    for name in ("logits", "image_embeds", "pooler_output"):
        if (found := getattr(made, name, None)) is not None:
            return found
    assert isinstance(made, Tensor)
    return made


@torch.inference_mode()
def states(adapter: models.Adapter, tower: str) -> tuple[list[Tensor], Tensor | None]:
    """The model's own hidden states after each layer, and what its last state is when that is past
    the final norm."""
    pixels = inputs(adapter).tensors.get("pixel_values")
    if adapter.settings.family == "openclip":
        made = adapter.model.forward_intermediates(
            inputs(adapter).tensors["x"], output_fmt="NLC", output_extra_tokens=True
        )
        pairs = zip(made["image_intermediates"], made["image_intermediates_prefix"], strict=True)
        return [torch.cat([front, patches], 1) for patches, front in pairs], None
    if tower == "language":
        found = output(adapter, output_hidden_states=True, use_cache=False).hidden_states
        return list(found[1:-1]), found[-1]
    if len(adapter.towers) == 1:
        whole = AutoModel.from_pretrained(adapter.settings.id).eval()
        return list(whole.vision_model(pixels, output_hidden_states=True).hidden_states[1:]), None
    assert pixels is not None
    if pixels.ndim == 5:  # LLaVA-NeXT: as many tiles as the size of each picture asks for
        tiles = adapter.layout(inputs(adapter), "vision.projection").example.bincount()
        pixels = torch.cat([p[:n] for p, n in zip(pixels, tiles, strict=True)])
    own = adapter.model.model.vision_tower(pixels, output_hidden_states=True)
    return list(own.hidden_states[1:]), None


@every
def test_the_hook_points_are_all_layers_from_the_first_to_the_last(name: str) -> None:
    adapter = families.adapter(name)
    wanted = []
    for tower in families.FAMILIES[name].towers:
        count = tiny.LAYERS if tower == "vision" else 2
        if name == "openclip-timm":
            count = len(adapter.model.trunk.blocks)
        wanted += [f"{tower}.{i}.{p}" for i in range(count) for p in LAYER_POINTS]
        wanted += ["vision.projection"] * (tower == "vision")
    assert list(adapter.hook_points) == wanted
    depths = [p.depth for p in adapter.hook_points.values() if p.point in wanted[-1]]
    assert depths == sorted(set(depths))


@every
def test_records_have_the_widths_and_tokens_that_their_points_say(name: str) -> None:
    adapter = families.adapter(name)
    batch = inputs(adapter)
    acts = adapter.record(batch, list(adapter.hook_points))
    for point in adapter.hook_points.values():
        layout = adapter.layout(batch, point.name)
        assert acts[point.name].shape == (*layout.kind.shape, point.d_in)
        assert point.tokens in (None, layout.kind.shape[1])
        assert layout.examples == len(batch) == 2
        found = {models.layout.KINDS[code] for code in layout.kind.unique().tolist()}
        assert found <= {*point.kinds, "pad"}


@every
def test_records_are_the_models_own_hidden_states(name: str) -> None:
    adapter = families.adapter(name)
    for tower in adapter.towers:
        names = [f"{tower.name}.{i}.resid_post" for i in range(len(tower.layers))]
        acts = [adapter.record(inputs(adapter), [at])[at] for at in names]
        own, normed = states(adapter, tower.name)
        if normed is not None:
            torch.testing.assert_close(tower.stack.norm(acts[-1]), normed, **EXACT)
            acts = acts[:-1]
        assert len(own) == len(acts) > 0
        for mine, theirs in zip(acts, own, strict=True):
            torch.testing.assert_close(mine, theirs, **EXACT)
        for one, two in itertools.pairwise(own):
            assert (one - two).abs().max() > 1e-2, "layers differ, so that the order is tested"


@every
def test_attention_and_mlp_add_up_to_the_residual_stream(name: str) -> None:
    adapter = families.adapter(name)
    for tower in adapter.towers:
        entered: list[Tensor] = []
        handle = tower.layers[0].register_forward_pre_hook(
            lambda _m, args, kwargs, into=entered: into.append(
                args[0] if args else kwargs["hidden_states"]
            ),
            with_kwargs=True,
        )
        acts = adapter.record(inputs(adapter), list(adapter.hook_points))
        handle.remove()
        (before,) = entered
        for i in range(len(tower.layers)):
            attention, mlp, after = (acts[f"{tower.name}.{i}.{p}"] for p in LAYER_POINTS)
            scale = max(1.0, float(after.abs().max()))
            torch.testing.assert_close(attention + mlp, after - before, rtol=0, atol=1e-5 * scale)
            assert min(attention.abs().max(), mlp.abs().max()) > 1e-3
            before = after


@seeing
@torch.inference_mode()
def test_the_projection_is_what_the_model_calls_its_image_features(name: str) -> None:
    adapter = families.adapter(name)
    batch = inputs(adapter)
    acts = adapter.record(batch, ["vision.projection"])["vision.projection"]
    if adapter.settings.family == "openclip":
        whole = open_clip.create_model(f"local-dir:{adapter.settings.id}").eval()
        wanted = whole.encode_image(batch.tensors["x"])[:, None]
    elif len(adapter.towers) == 1:
        whole = AutoModel.from_pretrained(adapter.settings.id).eval()
        found = whole.get_image_features(**batch.tensors)
        wanted = (found if isinstance(found, Tensor) else found.pooler_output)[:, None]
    else:
        found = adapter.model.model.get_image_features(
            **{k: v for k, v in batch.tensors.items() if k in ("pixel_values", "image_sizes")}
        )
        wanted = torch.cat(list(getattr(found, "pooler_output", found))).reshape(-1, acts.shape[-1])
        if name == "llava-next":
            pytest.skip("packed with the ends of rows: test_layout compares each token")
        acts = acts.flatten(0, 1)
    torch.testing.assert_close(acts, wanted, **EXACT)


class Replaced:
    """A layer's forward that gives another tensor, without any hook."""

    def __init__(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        self.forward, self.change = module.forward, change

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = self.forward(*args, **kwargs)
        if isinstance(made, tuple):
            return (self.change(made[0]), *made[1:])
        return self.change(made)


def edited_points(adapter: models.Adapter) -> Iterator[str]:
    for tower in adapter.towers:
        yield from (f"{tower.name}.0.{point}" for point in LAYER_POINTS)
        if tower.name == "vision" and len(adapter.towers) > 1:
            yield "vision.projection"


@every
def test_an_edit_is_what_the_rest_of_the_model_reads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = families.adapter(name)
    bare = answer(adapter)

    def change(acts: Tensor) -> Tensor:
        return 0.5 * acts + torch.linspace(-1, 1, acts.shape[-1])

    for hook in edited_points(adapter):
        module = adapter.module(hook)
        with monkeypatch.context() as patched:
            patched.setattr(module, "forward", Replaced(module, change))
            by_hand = answer(adapter)
        with hooks.edit(adapter, hook, change):
            edited = answer(adapter)
        assert torch.equal(edited, by_hand), hook
        assert (edited - bare).abs().max() > 1e-4, hook
        assert torch.equal(answer(adapter), bare), "afterwards the model is as it was"


@every
def test_edits_of_nothing_are_bit_identical(name: str) -> None:
    adapter = families.adapter(name)
    bare = answer(adapter)

    def nowhere(_: int, rows: int, tokens: int) -> Tensor:
        return torch.zeros(rows, tokens, dtype=torch.bool)

    def never(acts: Tensor) -> Tensor:
        raise AssertionError("nothing is meant, so nothing is computed")

    for hook in edited_points(adapter):
        with hooks.edit(adapter, hook, lambda acts: acts):
            assert torch.equal(answer(adapter), bare), hook
        with hooks.edit(adapter, hook, never, where=nowhere):
            assert torch.equal(answer(adapter), bare), hook


@every
def test_an_edit_of_some_tokens_leaves_the_others_to_the_bit(name: str) -> None:
    adapter = families.adapter(name)
    hook = f"{adapter.towers[-1].name}.0.resid_post"
    batch = inputs(adapter)
    before = adapter.record(batch, [hook])[hook].clone()
    chosen = torch.zeros(before.shape[:2], dtype=torch.bool)
    chosen[1, -2:] = True
    seen: list[Tensor] = []
    with hooks.edit(adapter, hook, lambda acts: acts + 1, where=lambda *_: chosen):
        late = adapter.module(hook).register_forward_hook(
            lambda _m, _i, made: seen.append(made[0] if isinstance(made, tuple) else made)
        )
        output(adapter)
        late.remove()
    assert torch.equal(seen[0][~chosen], before[~chosen])
    assert torch.equal(seen[0][chosen], before[chosen] + 1)


@every
def test_the_models_own_hooks_and_no_others_remain(name: str) -> None:
    adapter = families.adapter(name)
    output(adapter)  # transformers registers its own at the first forward
    hook = f"{adapter.towers[-1].name}.1.resid_post"

    def registered() -> list[Any]:
        return [
            (path, [*module._forward_hooks.values(), *module._forward_pre_hooks.values()])
            for path, module in adapter.model.named_modules()
        ]

    before, bare = registered(), answer(adapter)
    adapter.record(inputs(adapter), [hook])
    with hooks.edit(adapter, hook, lambda acts: acts * 2):
        output(adapter)
    with pytest.raises(ZeroDivisionError), hooks.edit(adapter, hook, lambda _: 1 / 0):
        output(adapter)
    with pytest.raises(ZeroDivisionError), hooks.record(adapter, [hook]):
        _ = 1 / 0
    assert registered() == before
    assert torch.equal(answer(adapter), bare)


@pytest.mark.parametrize("name", ["llava", "llava-full", "llava-next"])
def test_an_edit_of_the_layer_that_the_model_reads_by_its_own_hook_takes_effect(name: str) -> None:
    """transformers captures hidden states by a hook that it registers at the first forward: an edit
    that ran after it would silently change nothing."""
    adapter = families.load(name)
    bare = answer(adapter)
    hook = "vision.-2.resid_post"
    assert adapter.model.config.vision_feature_layer == -2
    with hooks.edit(adapter, hook, lambda acts: acts.flip(1)):
        assert (answer(adapter) - bare).abs().max() > 1e-4
    # The layer after it is computed and not read.
    with hooks.edit(adapter, "vision.-1.resid_post", lambda acts: acts.flip(1)):
        assert torch.equal(answer(adapter), bare)


@every
def test_eager_and_sdpa_attention_agree(name: str) -> None:
    if families.FAMILIES[name].family == "openclip":
        pytest.skip("open_clip chooses its own attention")
    if name in ("gemma2", "paligemma2", "clip-gemma"):
        with pytest.raises(models.ModelError, match=r"machine\.attention") as refused:
            families.load(name, attention="sdpa")
        assert "\n" not in str(refused.value)
        return
    made = []
    for attention in ("eager", "sdpa"):
        adapter = families.load(name, attention=attention)
        for tower in adapter.towers:
            assert tower.stack.config._attn_implementation == attention
        made.append(adapter.record(inputs(adapter), list(adapter.hook_points)))
    for hook, eager in made[0].items():
        # Padding attends to nothing, and each makes something else of that.
        means = adapter.layout(inputs(adapter), hook).read("all")
        scale = max(1.0, float(eager.abs().max()))
        torch.testing.assert_close(eager[means], made[1][hook][means], rtol=0, atol=1e-5 * scale)


@every
def test_the_form_without_weights_has_the_same_hook_points(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(families.folder(name), tmp_path / name)
    for file in [*folder.rglob("*.safetensors")]:
        file.unlink()
    with pytest.raises(models.ModelError):
        models.load(families.settings(name, at=folder), device="cpu")
    form = models.load(families.settings(name, at=folder), device="meta")
    loaded = families.adapter(name)

    def told(point: models.HookPoint) -> Any:
        return (point.name, point.tower, point.layer, point.point, point.depth, point.d_in,
                point.kinds, point.tokens, point.grid)  # fmt: skip

    assert [told(p) for p in form.hook_points.values()] == [
        told(p) for p in loaded.hook_points.values()
    ]
    assert all(p.is_meta for tower in form.towers for p in tower.stack.parameters())


@every
def test_the_dtype_is_kept_and_edits_are_cast_to_it(name: str) -> None:
    half = models.load(families.settings(name, dtype="bfloat16"), device="cpu")
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    names = list(half.hook_points)
    acts = half.record(inputs(half), names)
    assert {a.dtype for a in acts.values()} == {torch.bfloat16}
    hook = f"{half.towers[0].name}.0.resid_post"
    last = names[-1]
    with hooks.edit(half, hook, lambda acts: acts.float() * 2):
        edited = half.record(inputs(half), [hook, last])
    assert edited[last].dtype == torch.bfloat16
    assert not torch.equal(edited[last], acts[last])


def test_a_model_of_words_alone_reads_no_pictures() -> None:
    assert inputs(families.adapter("gemma2")).sizes == ()
