"""Reading and editing activations: exact, early, and without a trace in the model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
import tiny
import torch
from torch import Tensor, nn
from transformers import CLIPModel, CLIPVisionModelWithProjection

from pipeline import hooks


@dataclass
class Named:
    """Modules by name, as adapters name theirs; `whole` runs once a forward."""

    whole: nn.Module
    modules: Mapping[str, nn.Module] = field(default_factory=dict)

    def module(self, hook: str) -> nn.Module:
        return self.modules[hook]

    def stack(self, hook: str) -> nn.Module:
        return self.whole


@pytest.fixture(scope="module")
def model() -> CLIPVisionModelWithProjection:
    """The vision tower as the adapter loads it."""
    model = tiny.seeded(CLIPVisionModelWithProjection, tiny.clip_config().vision_config, 0)
    # transformers keeps the hooks that its own capturing registers; let it have them first.
    model(pixel_values=torch.zeros(1, 3, tiny.SIDE, tiny.SIDE), output_hidden_states=True)
    return model


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 3, tiny.SIDE, tiny.SIDE, generator=generator)


@pytest.fixture(autouse=True)
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """After every test the model has the hooks that it had."""
    before = registered(model)
    yield
    assert registered(model) == before


def registered(model: nn.Module) -> list[tuple[str, list[object], list[object]]]:
    return [
        (name, list(module._forward_hooks.values()), list(module._forward_pre_hooks.values()))
        for name, module in model.named_modules()
    ]


def layers(model: CLIPVisionModelWithProjection) -> nn.ModuleList:
    return model.vision_model.encoder.layers


def named(model: CLIPVisionModelWithProjection) -> Named:
    """Its layers by their numbers, its projection and the whole tower."""
    numbers = {str(i): layer for i, layer in enumerate(layers(model))}
    tower = model.vision_model
    return Named(tower, {**numbers, "projection": model.visual_projection, "tower": tower})


@torch.no_grad()
def out(model: nn.Module, pixels: Tensor) -> Tensor:
    return model(pixel_values=pixels).image_embeds


@torch.no_grad()
def test_records_are_the_hidden_states(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    wanted = [*(str(i) for i in range(tiny.LAYERS)), "projection"]
    with hooks.record(named(model), wanted, stop=False) as acts:
        output = model(pixel_values=pixels, output_hidden_states=True)
    assert len(output.hidden_states) == tiny.LAYERS + 1
    for i in range(tiny.LAYERS):
        assert torch.equal(acts[str(i)], output.hidden_states[i + 1])
        assert acts[str(i)].shape == (3, 17, tiny.WIDTH)
    assert torch.equal(acts["projection"], output.image_embeds)


def test_records_carry_no_graph(model: CLIPVisionModelWithProjection, pixels: Tensor) -> None:
    with hooks.record(named(model), ["0"]) as acts:
        model(pixel_values=pixels)
    assert not acts["0"].requires_grad


@torch.no_grad()
def test_the_forward_stops_after_the_last_that_is_wanted(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    ran: list[int] = []
    counters = [
        layer.register_forward_pre_hook(lambda *_, at=at: ran.append(at))
        for at, layer in enumerate(layers(model))
    ]
    reached = False
    # Asked for in another order than they run, and one of them twice.
    with hooks.record(named(model), ["1", "0", "0"]) as acts:
        model(pixel_values=pixels)
        reached = True
    for counter in counters:
        counter.remove()
    assert ran == [0, 1]
    assert not reached
    assert set(acts) == {"0", "1"}


@torch.no_grad()
def test_recording_early_does_not_upset_transformers_own_capturing(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    """transformers patches forwards for hidden states; leaving by an exception must undo it."""
    before = model(pixel_values=pixels, output_hidden_states=True)
    with hooks.record(named(model), ["0"]):
        model(pixel_values=pixels, output_hidden_states=True)
    after = model(pixel_values=pixels, output_hidden_states=True)
    plain = model(pixel_values=pixels)
    assert plain.hidden_states is None
    assert len(after.hidden_states) == len(before.hidden_states)
    for a, b in zip(after.hidden_states, before.hidden_states, strict=True):
        assert torch.equal(a, b)


@torch.no_grad()
def test_recording_without_stopping_changes_nothing(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    before = out(model, pixels)
    with hooks.record(named(model), ["0"], stop=False):
        assert torch.equal(out(model, pixels), before)
    assert torch.equal(out(model, pixels), before)


@torch.no_grad()
def test_an_edit_is_what_later_layers_see(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    direction = torch.randn(tiny.WIDTH, generator=torch.Generator().manual_seed(2))

    def change(acts: Tensor) -> Tensor:
        return acts * 0.5 + direction

    states = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    by_hand = change(states[1])
    for layer in layers(model)[1:]:
        made = layer(by_hand, attention_mask=None)
        by_hand = made[0] if isinstance(made, tuple) else made
    by_hand = model.visual_projection(model.vision_model.post_layernorm(by_hand[:, 0]))
    with hooks.edit(named(model), "0", change):
        edited = model(pixel_values=pixels, output_hidden_states=True)
    assert torch.equal(edited.image_embeds, by_hand)
    assert not torch.equal(edited.image_embeds, out(model, pixels))
    assert torch.equal(edited.hidden_states[1], change(states[1])), "captured states are edited too"


@torch.no_grad()
def test_edits_nest_and_records_see_them(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    with (
        hooks.edit(named(model), "0", lambda acts: torch.zeros_like(acts)),
        hooks.record(named(model), ["1"]) as first,
    ):
        model(pixel_values=pixels)
    zeros = torch.zeros(3, 17, tiny.WIDTH)
    made = layers(model)[1](zeros, attention_mask=None)
    assert torch.equal(first["1"], made[0] if isinstance(made, tuple) else made)


@torch.no_grad()
def test_an_edit_of_nothing_is_bit_identical(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    before = out(model, pixels)
    with hooks.edit(named(model), "1", lambda acts: acts + 0):
        assert torch.equal(out(model, pixels), before)
    assert torch.equal(out(model, pixels), before)


@torch.no_grad()
def test_an_exception_within_leaves_the_model_as_it_was(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    before = out(model, pixels)

    def fail(_: Tensor) -> Tensor:
        raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"), hooks.edit(named(model), "1", fail):
        model(pixel_values=pixels)
    with pytest.raises(ZeroDivisionError), hooks.record(named(model), ["2"]):
        _ = 1 / 0
    with pytest.raises(AttributeError), hooks.record(named(model), ["2"]):
        model(pixel_values="not pixels")
    assert torch.equal(out(model, pixels), before)


@torch.no_grad()
def test_an_edit_keeps_the_dtype(pixels: Tensor) -> None:
    half = tiny.seeded(CLIPVisionModelWithProjection, tiny.clip_config().vision_config, 0)
    half.to(torch.bfloat16)
    seen: list[torch.dtype] = []

    def change(acts: Tensor) -> Tensor:
        seen.append(acts.dtype)
        return acts.double() * 2

    with hooks.edit(named(half), "0", change), hooks.record(named(half), ["1"]) as acts:
        half(pixel_values=pixels.bfloat16())
    assert seen == [torch.bfloat16]
    assert acts["1"].dtype == torch.bfloat16


@torch.no_grad()
def test_an_edit_to_another_shape_is_refused(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    with (
        pytest.raises(ValueError, match=r"an edit made \(3, 16, 32\) of \(3, 17, 32\)"),
        hooks.edit(named(model), "0", lambda acts: acts[:, 1:]),
    ):
        model(pixel_values=pixels)


@torch.no_grad()
def test_outputs_that_are_tuples_are_read_and_edited() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, str]:
            return x, "kept"

    pair = Pair()
    model = Named(pair, {"x": pair})
    with hooks.record(model, ["x"], stop=False) as acts:
        pair(torch.ones(1, 2, 3))
    assert torch.equal(acts["x"], torch.ones(1, 2, 3))
    with hooks.edit(model, "x", lambda x: x * 3):
        made, rest = pair(torch.ones(1, 2, 3))
    assert rest == "kept"
    assert torch.equal(made, torch.full((1, 2, 3), 3.0))


@torch.no_grad()
def test_one_vector_a_row_is_edited_as_a_row_of_one_token(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    before, seen = out(model, pixels), []

    def change(acts: Tensor) -> Tensor:
        seen.append(acts.shape)
        return acts * 3

    second = torch.tensor([[False], [True], [False]])
    with hooks.edit(named(model), "projection", change):
        assert torch.equal(out(model, pixels), before * 3)
    with hooks.edit(named(model), "projection", change, where=lambda *_: second):
        assert torch.equal(out(model, pixels), torch.where(second, before * 3, before))
    assert seen == [(3, 1, before.shape[-1]), (1, 1, before.shape[-1])], "rows not meant stay out"


def test_an_output_that_is_no_tensor_is_refused(
    model: CLIPVisionModelWithProjection, pixels: Tensor
) -> None:
    with (
        pytest.raises(TypeError, match="not a tensor"),
        hooks.record(named(model), ["tower"]),
    ):
        model(pixel_values=pixels)


@torch.no_grad()
def test_the_whole_clip_reads_the_same_as_its_tower(pixels: Tensor) -> None:
    """Hook points work on the class that people load for both towers, too."""
    whole = tiny.seeded(CLIPModel, tiny.clip_config(), 0)
    model = Named(whole.vision_model, {"1": whole.vision_model.encoder.layers[1]})
    with hooks.record(model, ["1"]) as acts:
        whole.get_image_features(pixel_values=pixels)
    states = whole.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states
    assert torch.equal(acts["1"], states[2])
