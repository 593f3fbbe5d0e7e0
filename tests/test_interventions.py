"""Steering: literal in every mode, silent where nothing is asked, and there on every token."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import pytest
import tiny
import tiny_families as families
import torch
from edited_saes import D, S, encoded, made, published, rewired, sae_at
from generating import MODES, NEW, generated
from torch import Tensor

from pipeline import hooks, interventions, models
from pipeline.interventions import FeatureEdit, InterventionError, delta, replace, steering
from pipeline.models.layout import Scope
from pipeline.saes.sae import SAE

ACTIVATIONS = ("relu", "jumprelu", "topk")
IMAGE = families.VOCABULARY.index("<image>")
kinds = pytest.mark.parametrize("activation", ACTIVATIONS)
halves = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])


def vectors(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed)) * 2


def literal(sae: SAE, acts: Tensor, edits: Sequence[FeatureEdit]) -> tuple[Tensor, Tensor]:
    """acts + decode(f') - decode(f), and decode(f')."""
    codes = encoded(sae, acts)
    wanted = codes.clone()
    for edit in edits:
        for at in product(*map(range, acts.shape[:-1])):
            f = codes[at][edit.feature]
            wanted[at][edit.feature] = {
                "clamp": edit.strength,
                "add": max(f + edit.strength, 0),
                "scale": f * edit.strength,
                "ablate": 0,
            }[edit.mode]
    before, after = (f @ sae.W_dec + sae.b_dec for f in (codes, wanted))
    return acts + after - before, after


EDITS = {
    "clamp": [FeatureEdit(3, "clamp", 5.0)],
    "clamp to less than nothing": [FeatureEdit(3, "clamp", -2.5)],
    "add": [FeatureEdit(3, "add", 1.5)],
    "take away": [FeatureEdit(3, "add", -0.7)],
    "scale": [FeatureEdit(3, "scale", 3.0)],
    "turn around": [FeatureEdit(3, "scale", -1.0)],
    "ablate": [FeatureEdit(3, "ablate")],
    "several": [
        FeatureEdit(29, "ablate"),
        FeatureEdit(0, "clamp", 4.0),
        FeatureEdit(7, "add", -1.0),
        FeatureEdit(12, "scale", 0.5),
    ],
    "all": [FeatureEdit(feature, "add", 0.1 * feature) for feature in range(S)],
}


@pytest.mark.parametrize("centred", [False, True], ids=["plain", "minus b_dec"])
@pytest.mark.parametrize("name", EDITS)
@kinds
def test_every_mode_is_what_it_says(activation: str, name: str, centred: bool) -> None:
    sae, acts = made(activation, centred=centred), vectors(2, 40)
    fires = encoded(sae, acts)[..., 3] > 0
    assert fires.any() and not fires.all(), "tokens with the feature and without"
    shifted, decoded = literal(sae, acts, EDITS[name])
    torch.testing.assert_close(delta(sae, EDITS[name])(acts), shifted, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(replace(sae, EDITS[name])(acts), decoded, rtol=1e-5, atol=1e-4)


@kinds
def test_without_edits_replace_is_the_reconstruction(activation: str) -> None:
    sae, acts = made(activation), vectors(2, 9)
    assert torch.equal(
        replace(sae, [])(acts), sae.decode(sae.encode(acts.flatten(0, 1))).view_as(acts)
    )


def as_bits(acts: Tensor) -> Tensor:
    """What torch.equal does not see: 0 and -0 are two."""
    return acts.view({4: torch.int32, 2: torch.int16}[acts.element_size()])


NOTHING = {
    "none": [],
    "add 0": [FeatureEdit(f, "add", 0.0) for f in range(S)],
    "scale 1": [FeatureEdit(f, "scale", 1.0) for f in range(S)],
}


@halves
@pytest.mark.parametrize("name", NOTHING)
@kinds
def test_a_delta_of_nothing_keeps_every_bit(activation: str, name: str, dtype: str) -> None:
    acts = vectors(3, 20).to(getattr(torch, dtype))
    acts[0, 0] = -0.0
    changed = delta(made(activation), NOTHING[name])(acts).to(acts.dtype)
    assert torch.equal(as_bits(changed), as_bits(acts))


@halves
@kinds
def test_a_delta_keeps_every_bit_of_tokens_that_it_does_not_change(
    activation: str, dtype: str
) -> None:
    sae, acts = made(activation), vectors(3, 20).to(getattr(torch, dtype))
    acts[0, 0] = -0.0
    silent = encoded(sae, acts.float())[..., [3, 5]].eq(0).all(-1)
    assert silent.any() and not silent.all()
    edits = [FeatureEdit(3, "ablate"), FeatureEdit(5, "scale", 9.0)]
    changed = delta(sae, edits)(acts).to(acts.dtype)
    same = as_bits(changed).eq(as_bits(acts)).all(-1)
    assert torch.equal(same, silent)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of the codes that SAEs make."""
    shapes, fires = [], SAE._fires

    def watched(self: SAE, before: Tensor) -> Tensor:
        shapes.append(before.shape)
        return fires(self, before)

    monkeypatch.setattr(SAE, "_fires", watched)
    return shapes


@kinds
def test_a_delta_computes_the_edited_features_alone_where_it_can(
    activation: str, held: list[torch.Size]
) -> None:
    """What it costs must not grow with the dictionary."""
    delta(made(activation), EDITS["several"])(vectors(2, 9))
    assert held == [(2, 9, S if activation == "topk" else 4)]


@kinds
def test_codes_are_held_in_pieces(
    activation: str, held: list[torch.Size], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2,880 image tokens in beams, a wide dictionary's codes would fill the memory."""
    sae, acts = made(activation), vectors(2, 40)
    whole = [work(sae, EDITS["several"])(acts) for work in (delta, replace)]
    monkeypatch.setattr(interventions.base, "DENSE_LIMIT", 7 * S)
    held.clear()
    pieces = [work(sae, EDITS["several"])(acts) for work in (delta, replace)]
    torch.testing.assert_close(pieces, whole)
    assert max(shape.numel() for shape in held) <= 7 * S


@kinds
def test_edits_compute_in_float32(activation: str) -> None:
    """Half precision flips which features fire."""
    acts = vectors(2, 40).bfloat16()
    for work in (delta, replace):
        found = work(made(activation), EDITS["several"])(acts)
        assert torch.equal(found, work(made(activation), EDITS["several"])(acts.float()))


def test_edits_leave_what_they_are_given_alone() -> None:
    acts = vectors(2, 9)
    before = acts.clone()
    for work in (delta, replace):
        work(made("relu"), EDITS["several"])(acts)
    assert torch.equal(acts, before)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([(30, "clamp", 1.0)], r"no feature 30: the dictionary has 30, 0 to 29"),
        ([(1, "ablate", 0.0), (-1, "ablate", 0.0)], r"no feature -1: the dictionary has 30"),
        ([(3, "clamp", 1.0), (3, "add", 1.0)], r"feature 3 is edited twice"),
        ([(3, "clamp", float("nan"))], r"feature 3: its strength is nan; give a finite number"),
        ([(3, "add", float("-inf"))], r"feature 3: its strength is -inf"),
        ([(3, "scale", 1e39)], r"feature 3: its strength is 1e\+39"),
        ([(3, "boost", 1.0)], r"feature 3: no mode 'boost'; use one of clamp, add, scale, ablate"),
    ],
)
@pytest.mark.parametrize("work", [delta, replace])
def test_what_cannot_be_made_is_refused(work: Callable, edits: list[Any], message: str) -> None:
    with pytest.raises(InterventionError, match=message) as raised:
        work(made("relu"), [FeatureEdit(*edit) for edit in edits])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("work", [delta, replace])
def test_an_sae_of_another_width_is_refused(work: Callable) -> None:
    edit = work(made("relu"), EDITS["clamp"])
    with pytest.raises(InterventionError, match="an edit 12 wide at a hook point 13 wide"):
        edit(torch.zeros(1, 2, 13))


# In a model: a tiny LLaVA whose language model reads the vision tower's last layer but one.

VISION, READ = tuple(range(tiny.LAYERS)), tiny.LAYERS - 2


def batch_for(adapter: models.Adapter) -> models.Inputs:
    return adapter.prepare([tiny.picture(0)], ["What is it?"])


@pytest.mark.parametrize("layer", [layer for layer in VISION if layer <= READ])
@kinds
def test_replace_says_token_for_token_what_the_published_procedure_says(
    activation: str, layer: int
) -> None:
    adapter, hook = families.adapter("llava"), f"vision.{layer}.resid_post"
    batch, sae = batch_for(adapter), sae_at(adapter, hook, activation)
    bare, said = generated(adapter, batch), set()
    for feature, strength in ((5, 100.0), (11, 100.0), (11, -100.0)):
        with rewired(adapter.module(hook), published(sae, {feature: strength, 40: 7.0})):
            wanted = generated(adapter, batch)
        edits = [FeatureEdit(feature, "clamp", strength), FeatureEdit(40, "clamp", 7.0)]
        with steering(adapter, batch, {hook: [replace(sae, edits)]}):
            assert torch.equal(generated(adapter, batch), wanted)
        assert not torch.equal(wanted, bare)
        said.add(tuple(wanted[0].tolist()))
    assert len(said) > 1, "the answers tell the features apart"
    assert torch.equal(generated(adapter, batch), bare)


@torch.inference_mode()
def logits(adapter: models.Adapter, batch: models.Inputs) -> Tensor:
    return adapter.forward(batch).logits


@halves
@pytest.mark.parametrize("name", NOTHING)
@kinds
def test_a_delta_of_nothing_leaves_the_model_bit_identical(
    activation: str, name: str, dtype: str
) -> None:
    adapter = models.load(families.settings("llava", dtype=dtype), device="cpu")
    batch = batch_for(adapter)
    before, answer = logits(adapter, batch), generated(adapter, batch)
    points = ("vision.0.attn_out", "vision.1.resid_post", "vision.projection", "language.0.mlp_out")
    edits = {p: [delta(sae_at(adapter, p, activation), NOTHING[name])] for p in points}
    with steering(adapter, batch, edits):
        assert torch.equal(as_bits(logits(adapter, batch)), as_bits(before))
        assert torch.equal(generated(adapter, batch), answer)


def test_an_edit_reaches_the_layer_that_llava_reads_and_none_behind_it_matters() -> None:
    adapter = families.adapter("llava")
    batch = batch_for(adapter)
    before = logits(adapter, batch)
    for layer in VISION:
        hook = f"vision.{layer}.resid_post"
        edit = delta(sae_at(adapter, hook), [FeatureEdit(5, "clamp", 100.0)])
        with steering(adapter, batch, {hook: [edit]}, scope="image"):
            assert torch.equal(logits(adapter, batch), before) == (layer > READ)


@pytest.mark.parametrize("scope", ["image", "prompt", "generated", "all"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("work", ["delta", "replace"])
def test_steering_holds_on_every_token_of_its_scope(work: str, mode: str, scope: Scope) -> None:
    """Before and after at the hook point, call by call, against the literal formula."""
    adapter, hook = families.adapter("llava"), "language.0.resid_post"
    batch, sae, options = batch_for(adapter), sae_at(adapter, hook, "jumprelu"), MODES[mode]
    edits = [FeatureEdit(5, "clamp", 20.0), FeatureEdit(9, "scale", 2.0)]
    ids = batch.tensors["input_ids"][0]
    meant = {"image": ids == IMAGE, "prompt": ids != IMAGE}.get(
        scope, torch.full_like(ids, scope == "all", dtype=torch.bool)
    )
    meant = torch.cat([meant, torch.full((NEW,), scope in ("generated", "all"))])

    befores, afters = [], []
    edit = getattr(interventions, work)(sae, edits)
    with steering(adapter, batch, {hook: [edit]}, scope=scope), _seen(adapter, hook, befores):
        handle = adapter.module(hook).register_forward_hook(
            lambda _m, _i, out: afters.append((out if isinstance(out, Tensor) else out[0]).clone())
        )
        generated(adapter, batch, **options)
        handle.remove()

    first, reached = 0, set()
    for before, after in zip(befores, afters, strict=True):
        at = meant[first : first + before.shape[1]]
        wanted = literal(sae, before, edits)[work == "replace"]
        torch.testing.assert_close(after[:, at], wanted[:, at], rtol=1e-5, atol=1e-3)
        assert torch.equal(as_bits(after[:, ~at]), as_bits(before[:, ~at]))
        reached |= {first + i for i, steered in enumerate(at.tolist()) if steered}
        first += before.shape[1] * options.get("use_cache", True)
    # The last token that is said is never read again.
    assert reached == {i for i in range(len(ids) + NEW - 1) if meant[i]}


@contextlib.contextmanager
def _seen(adapter: models.Adapter, hook: str, into: list[Tensor]) -> Iterator[None]:
    """What comes to the hook point before the edits that are already there."""

    def look(acts: Tensor) -> Tensor:
        into.append(acts.clone())
        return acts

    with hooks.edit(adapter, hook, look):
        yield


@pytest.mark.parametrize("work", [delta, replace])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_steered_answers_do_not_depend_on_the_cache(work: Callable, options: Any) -> None:
    adapter, hook = families.adapter("llava"), "language.0.resid_post"
    batch = batch_for(adapter)
    bare, answers = generated(adapter, batch, **options), set()
    for scope in ("image", "prompt", "generated", "all"):
        edit = work(sae_at(adapter, hook), [FeatureEdit(5, "clamp", 30.0)])
        with steering(adapter, batch, {hook: [edit]}, scope=scope):
            cached = generated(adapter, batch, **options)
            assert torch.equal(generated(adapter, batch, use_cache=False, **options), cached)
        answers.add(tuple(cached[0].tolist()))
    assert answers - {tuple(bare[0].tolist())}
    assert len(answers) > 1, "the scopes differ"


def test_several_edits_at_several_hook_points_at_once() -> None:
    adapter, batch = families.adapter("llava"), batch_for(families.adapter("llava"))
    picture, words = "vision.0.resid_post", "language.0.resid_post"
    saes = {hook: sae_at(adapter, hook) for hook in (picture, words)}
    few = [FeatureEdit(3, "clamp", 9.0), FeatureEdit(8, "ablate")]
    other = [FeatureEdit(21, "add", 4.0)]
    direction = torch.linspace(-1, 1, adapter.resolve(words).d_in).cos()
    edits = {
        picture: [delta(saes[picture], few)],
        words: [
            delta(saes[words], other),
            interventions.add_direction(direction, 2.0),
            replace(saes[words], few),
        ],
    }

    def by_hand(acts: Tensor) -> Tensor:
        shifted = literal(saes[words], acts, other)[0] + 2 * direction
        return literal(saes[words], shifted, few)[1]

    with (
        rewired(adapter.module(picture), lambda acts: literal(saes[picture], acts, few)[0]),
        rewired(adapter.module(words), by_hand),
    ):
        wanted, answer = logits(adapter, batch), generated(adapter, batch)
    with steering(adapter, batch, edits):
        torch.testing.assert_close(logits(adapter, batch), wanted, rtol=1e-4, atol=1e-3)
        assert torch.equal(generated(adapter, batch), answer)
    assert not torch.allclose(logits(adapter, batch), wanted, atol=1e-1)


def test_scopes_nest() -> None:
    """An edit of the image beside another of what is generated."""
    adapter, hook = families.adapter("llava"), "language.0.resid_post"
    batch = batch_for(adapter)
    ids = batch.tensors["input_ids"]
    direction = torch.ones(adapter.resolve(hook).d_in)
    with (
        steering(adapter, batch, {hook: [interventions.add_direction(direction, 1.0)]}),
        steering(
            adapter, batch, {hook: [interventions.add_direction(direction, 5.0)]}, scope="image"
        ),
    ):
        found = adapter.record(batch, [hook])[hook]
    added = (found - adapter.record(batch, [hook])[hook])[..., 0]
    torch.testing.assert_close(added, torch.where(ids == IMAGE, 6.0, 1.0))


@pytest.mark.parametrize("scope", ["prompt", "generated"])
def test_a_scope_without_tokens_is_refused(scope: Scope) -> None:
    """It would look as if the feature did nothing."""
    adapter, hook = families.adapter("llava"), "vision.1.resid_post"
    edit = delta(sae_at(adapter, hook), [FeatureEdit(5, "clamp", 100.0)])
    with (
        pytest.raises(InterventionError, match=rf"vision.1.resid_post has no .* scope '{scope}'"),
        steering(adapter, batch_for(adapter), {hook: [edit]}, scope=scope),
    ):
        pass


def test_a_refused_edit_leaves_the_model_as_it_was() -> None:
    adapter, hook = families.adapter("llava"), "vision.1.resid_post"
    batch = batch_for(adapter)
    before = logits(adapter, batch)
    with (
        pytest.raises(InterventionError, match="12 wide at a hook point 32 wide"),
        steering(adapter, batch, {hook: [delta(made("relu"), EDITS["clamp"])]}),
    ):
        logits(adapter, batch)
    assert torch.equal(logits(adapter, batch), before)


@pytest.mark.parametrize("name", ["clip", "siglip", "openclip"])
@pytest.mark.parametrize("scope", ["image", "all"])
def test_a_contrastive_model_is_steered_at_its_projection(name: str, scope: Scope) -> None:
    adapter, hook = families.adapter(name), "vision.projection"
    batch = adapter.prepare([tiny.picture(seed) for seed in range(3)])
    sae = sae_at(adapter, hook)
    bare = adapter.record(batch, [hook])[hook]
    edits = [FeatureEdit(5, "clamp", 3.0)]
    with steering(adapter, batch, {hook: [delta(sae, edits)]}, scope=scope):
        steered = adapter.record(batch, [hook])[hook]
    torch.testing.assert_close(steered, literal(sae, bare, edits)[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(steered, bare, atol=1e-2)
