"""Published SAEs open with the codes that their own libraries give, or are refused in one line.

Every format is written from random weights as its library writes it, and each expectation is the
library's formula, written out here in float64.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny  # noqa: F401, sets torch's threads
import torch
from sae_files import (
    GROUPS,
    D,
    K,
    Malicious,
    S,
    Tensors,
    buffers,
    flat_folder,
    learned,
    lens_folder,
    linear,
    matryoshka,
    scoped,
    vectors,
    weights,
    without,
)
from safetensors.torch import save_file
from torch import Tensor

from pipeline.saes import published
from pipeline.saes.sae import SAE, SAEError


def before(w: Tensors, *, centred: bool) -> Tensor:
    """What goes into the activation function, in float64."""
    x = vectors().double()
    return (x - w["b_dec"].double() * centred) @ w["W_enc"].double() + w["b_enc"].double()


def relu(pre: Tensor) -> Tensor:
    return pre.clamp_min(0)


def above(pre: Tensor, threshold: Tensor | float) -> Tensor:
    """relu(z) * (z > threshold), as JumpReLU and BatchTopK have it."""
    return pre.clamp_min(0) * (pre > threshold)


def largest(pre: Tensor, k: int = K) -> Tensor:
    """relu of each row's k largest, 0 elsewhere."""
    codes = torch.zeros_like(pre)
    for row, values in enumerate(pre):
        for feature in values.argsort(descending=True)[:k]:
            codes[row, feature] = max(float(values[feature]), 0.0)
    return codes


def assert_runs(sae: SAE, codes: Tensor, w: Tensors, *, W_dec: Tensor | None = None) -> None:
    """Its codes and their reconstructions are these."""
    assert 0 < (codes > 0).float().mean() < 1, "the expectation itself says something"
    rows = w["W_dec"] if W_dec is None else W_dec
    torch.testing.assert_close(sae.encode(vectors()).double(), codes, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        sae.decode(sae.encode(vectors())).double(),
        codes @ rows.double() + w["b_dec"].double(),
        rtol=1e-6,
        atol=1e-5,
    )


def refusal(source: str | Path, **options: Any) -> str:
    """The one line with which a source is refused."""
    with pytest.raises(SAEError) as refused:
        published.load(str(source), **options)
    message = str(refused.value)
    assert "\n" not in message
    return message


# --- The three formats, written as their libraries do ---


# --- sae-lens's folders ---


@pytest.mark.parametrize("centred", [False, True], ids=["plain", "minus b_dec"])
@pytest.mark.parametrize(
    ("name", "settings", "formula"),
    [
        ("standard", {}, lambda pre, w: relu(pre)),
        ("jumprelu", {}, lambda pre, w: above(pre, w["threshold"])),
        ("topk", {"k": K}, lambda pre, w: largest(pre)),
    ],
    ids=["standard", "jumprelu", "topk"],
)
def test_sae_lens_folders(
    name: str, settings: dict[str, Any], formula: Callable, centred: bool, tmp_path: Path
) -> None:
    w = weights()
    tensors = w if name == "jumprelu" else without(w, "threshold")
    folder = lens_folder(
        tmp_path, tensors, architecture=name, apply_b_dec_to_input=centred, **settings
    )
    save_file({"sparsity": torch.zeros(S)}, folder / "sparsity.safetensors")
    sae = published.load(str(folder))
    assert sae.architecture == name
    assert_runs(sae, formula(before(w, centred=centred), w), w)


def test_topk_by_decoder_norm_is_folded_into_the_weights(tmp_path: Path) -> None:
    w = without(weights(), "threshold")
    settings = {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True}
    sae = published.load(str(lens_folder(tmp_path, w, **settings)))
    norm = w["W_dec"].double().norm(dim=1)
    codes = largest(before(w, centred=True) * norm)
    assert not torch.equal(codes > 0, largest(before(w, centred=True)) > 0), "it selects others"
    assert_runs(sae, codes, w, W_dec=w["W_dec"] / norm[:, None])
    w["W_dec"][3] = 0
    assert "rescale_acts_by_decoder_norm" in refusal(lens_folder(tmp_path, w, **settings))


@pytest.mark.parametrize(
    ("metadata", "architecture", "groups"),
    [
        ({"training_architecture": "batchtopk"}, "batchtopk", ()),
        (
            {
                "training_architecture": "matryoshka_batchtopk",
                "training_architecture_details": {"matryoshka_widths": [6, 15, 30]},
            },
            "matryoshka",
            GROUPS,
        ),
    ],
)
def test_exported_batchtopk_says_how_it_was_trained(
    metadata: dict[str, Any], architecture: str, groups: tuple[int, ...], tmp_path: Path
) -> None:
    w = weights() | {"threshold": torch.full((S,), 0.7)}
    metadata = {"sae_lens_version": "6.54.12", **metadata}
    sae = published.load(str(lens_folder(tmp_path, w, architecture="jumprelu", metadata=metadata)))
    assert (sae.architecture, sae.group_sizes) == (architecture, groups)
    assert_runs(sae, above(before(w, centred=True), torch.tensor(0.7)), w)


@pytest.mark.parametrize(
    ("settings", "formula"),
    [
        ({}, relu),
        ({"activation_fn_str": "relu", "normalize_activations": "none"}, relu),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}, largest),
        (
            {"architecture": "topk", "activation_fn_kwargs": {"k": K}, "activation_fn": "topk"},
            largest,
        ),
    ],
    ids=["bare", "relu", "topk", "named topk"],
)
def test_flat_configs_of_older_versions(
    settings: dict[str, Any], formula: Callable, tmp_path: Path
) -> None:
    w = without(weights(), "threshold")
    tensors = w | {"scaling_factor": torch.ones(S)}  # all ones says nothing
    sae = published.load(str(flat_folder(tmp_path, tensors, **settings)))
    assert_runs(sae, formula(before(w, centred=True)), w)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"architecture": "gated"}, "gated"),
        ({"architecture": "batchtopk", "k": K}, "batchtopk"),
        ({"architecture": ["standard"]}, "standard"),
        ({"normalize_activations": "layer_norm"}, "layer_norm"),
        ({"normalize_activations": "expected_average_only_in"}, "expected_average"),
        ({"reshape_activations": "hook_z"}, "hook_z"),
        ({"architecture": "topk"}, "k is None"),
        ({"architecture": "topk", "k": S + 1}, f"k is {S + 1}"),
        ({"d_in": D + 1}, f"{D + 1} for the width of the input"),
        ({"d_sae": S + 1}, f"{S + 1} for the width of the features"),
        ({"metadata": {"sae_lens_version": "6.1", "trained_as": "m", "group_sizes": [1]}}, "[1]"),
        # Flat ones:
        ({"activation_fn_str": "tanh-relu", "metadata": None}, "tanh-relu"),
        ({"normalize_activations": True, "metadata": None}, "expected_average"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_sae_lens_folders_that_do_not_run_exactly(
    settings: dict[str, Any], named: str, tmp_path: Path
) -> None:
    folder = lens_folder(tmp_path, without(weights(), "threshold"), **settings)
    message = refusal(folder)
    assert named in message
    assert str(folder) in message


def test_a_flat_config_reshapes_attention_heads_without_saying_so(tmp_path: Path) -> None:
    folder = flat_folder(tmp_path, without(weights(), "threshold"), hook_point="a.1.hook_z")
    assert "reshape_activations" in refusal(folder)


# --- dictionary_learning ---


@pytest.mark.parametrize("named_by", ["folder", "file"])
@pytest.mark.parametrize(
    ("state", "dict_class", "architecture", "formula"),
    [
        (
            lambda w: linear(w, "b_dec") | buffers(0.8),
            "BatchTopKSAE",
            "batchtopk",
            lambda pre: above(pre, 0.8),
        ),
        (
            lambda w: matryoshka(w, 0.8),
            "MatryoshkaBatchTopKSAE",
            "matryoshka",
            lambda pre: above(pre, 0.8),
        ),
        (
            lambda w: matryoshka(w, 0.8),
            "MatroyshkaBatchTopKSAE",
            "matryoshka",
            lambda pre: above(pre, 0.8),
        ),
        (lambda w: matryoshka(w, 0.8), None, "matryoshka", lambda pre: above(pre, 0.8)),
        # Its threshold is another way of running it, not the default.
        (lambda w: linear(w, "b_dec") | buffers(0.8), "AutoEncoderTopK", "topk", largest),
        (
            lambda w: linear(w, "b_dec") | {"k": torch.tensor(K)},  # before it had a threshold
            "AutoEncoderTopK",
            "topk",
            largest,
        ),
        (lambda w: linear(w, "b_dec"), "AutoEncoderTopK", "topk", largest),  # k in the config
    ],
    ids=[
        "batchtopk",
        "Matryoshka",
        "Matroyshka",
        "matryoshka, no config",
        "topk",
        "topk, no threshold",
        "topk, k in config",
    ],
)
def test_dictionary_learning(
    state: Callable,
    dict_class: str | None,
    architecture: str,
    formula: Callable,
    named_by: str,
    tmp_path: Path,
) -> None:
    w = weights()
    folder = learned(tmp_path, state(w), dict_class)
    sae = published.load(str(folder if named_by == "folder" else folder / "ae.pt"))
    assert sae.architecture == architecture
    assert sae.group_sizes == (GROUPS if architecture == "matryoshka" else ())
    assert_runs(sae, formula(before(w, centred=True)), w)


def test_autoencoder_has_unit_decoder_rows(tmp_path: Path) -> None:
    w = weights()
    sae = published.load(str(learned(tmp_path, linear(w, "bias"), "AutoEncoder")))
    norm = w["W_dec"].double().norm(dim=1)
    assert sae.architecture == "relu"
    assert_runs(
        sae, relu(before(w, centred=True)) * norm, w, W_dec=w["W_dec"].double() / norm[:, None]
    )
    w["W_dec"][3] = 0  # a feature that writes nothing stays one
    sae = published.load(str(learned(tmp_path, linear(w, "bias"))))
    assert sae.W_dec[3].abs().sum() == 0
    assert sae.encode(vectors()).isfinite().all()


def test_jumprelu_does_not_subtract_b_dec(tmp_path: Path) -> None:
    w = weights()
    sae = published.load(str(learned(tmp_path, w, "JumpReluAutoEncoder")))
    assert sae.architecture == "jumprelu"
    assert_runs(sae, above(before(w, centred=False), w["threshold"]), w)


@pytest.mark.parametrize("kept", [buffers(0.8), {"k": torch.tensor(K)}, {}], ids=len)
@pytest.mark.parametrize("dict_class", [None, "", "MadeUpSAE"])
def test_topk_and_batchtopk_are_not_guessed(
    dict_class: str | None, kept: Tensors, tmp_path: Path
) -> None:
    message = refusal(learned(tmp_path, linear(weights(), "b_dec") | kept, dict_class))
    assert "dict_class" in message and "BatchTopKSAE" in message


@pytest.mark.parametrize("kept", [{"k": torch.tensor(K)}, {}, buffers(-1.0)], ids=str)
def test_batchtopk_without_a_threshold_is_refused(kept: Tensors, tmp_path: Path) -> None:
    """Its batches kept k a row on average; top k by row fires other features."""
    w = weights()
    folder = learned(tmp_path / "a", linear(w, "b_dec") | kept, "BatchTopKSAE")
    message = refusal(folder)
    assert "batchtopk" in message and "threshold" in message and str(folder / "ae.pt") in message
    levels = {"group_sizes": torch.tensor(GROUPS)}
    state = without(w, "threshold") | kept | levels
    assert "matryoshka" in refusal(learned(tmp_path / "b", state))
    # As the message says, it opens with the smallest activation that the batches keep.
    pre = before(w, centred=True)
    least = float(pre.flatten().sort(descending=True).values[K * len(pre) - 1])
    again = linear(w, "b_dec") | {"threshold": torch.tensor(least)}
    learned(folder, again, "BatchTopKSAE")
    assert int((published.load(str(folder)).encode(vectors()) > 0).sum()) == K * len(pre) - 1


@pytest.mark.parametrize(
    ("state", "stated", "named"),
    [
        (lambda w: linear(w, "bias"), {"dict_class": "BatchTopKSAE"}, "those of AutoEncoder"),
        (lambda w: linear(w, "bias"), {"trainer_class": "TopKTrainer"}, "those of AutoEncoder"),
        (lambda w: linear(w, "bias"), {"dict_class": "GatedAutoEncoder"}, "those of AutoEncoder"),
        (lambda w: w, {"dict_class": "AutoEncoder"}, "those of JumpReluAutoEncoder"),
        (lambda w: matryoshka(w, 0.8), {"dict_class": "BatchTopKSAE"}, "those of Matryoshka"),
        (
            lambda w: linear(w, "b_dec") | buffers(0.8),
            {"dict_class": "JumpReluAutoEncoder"},
            "those of AutoEncoderTopK or BatchTopKSAE",
        ),
        (
            lambda w: linear(w, "b_dec") | buffers(0.8),
            {"dict_class": "BatchTopKSAE", "trainer_class": "TopKTrainer"},
            "those of BatchTopKSAE",
        ),
        (
            lambda w: linear(w, "b_dec") | buffers(0.8),
            {"dict_class": "AutoEncoderTopK", "k": K + 1},
            f"k = {K + 1}, its tensors {K}",
        ),
    ],
    ids=lambda value: "tensors" if callable(value) else str(value)[:60],
)
def test_a_config_that_names_another_class_is_refused(
    state: Callable, stated: dict[str, Any], named: str, tmp_path: Path
) -> None:
    folder = learned(tmp_path, state(weights()), **({"dict_class": ""} | stated))
    message = refusal(folder)
    assert named in message
    assert str(list(stated.values())[-1]) in message, "it names both"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"architecture": "topk", "k": K}, "those of jumprelu (threshold)"),
        ({"architecture": "standard"}, "those of jumprelu (threshold)"),
        ({"architecture": "jumprelu", "k": K}, f"k = {K}, which only topk has"),
        ({"architecture": "jumprelu", "activation_fn": "topk"}, "activation_fn = topk"),
        ({"architecture": "jumprelu", "apply_b_dec_to_input": "false"}, "not true or false"),
        ({"architecture": None}, "names no architecture"),
        ({"architecture": "gated"}, "use an SAE of one of these"),
        ({"architecture": "batchtopk"}, "save_inference_model"),
    ],
    ids=str,
)
def test_settings_that_contradict_the_tensors_are_refused(
    settings: dict[str, Any], named: str, tmp_path: Path
) -> None:
    assert named in refusal(lens_folder(tmp_path, weights(), **settings))


def test_architectures_are_known_in_any_case(tmp_path: Path) -> None:
    w = weights()
    sae = published.load(str(lens_folder(tmp_path, w, architecture="JumpReLU")))
    assert_runs(sae, above(before(w, centred=True), w["threshold"]), w)


def test_a_threshold_below_0_is_0(tmp_path: Path) -> None:
    w = weights()
    w["threshold"] = -w["threshold"]
    sae = published.load(str(lens_folder(tmp_path, w, architecture="jumprelu")))
    assert_runs(sae, relu(before(w, centred=True)), w)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_settings_of_any_encoding_are_read(encoding: str, tmp_path: Path) -> None:
    w = weights()
    lens = lens_folder(tmp_path / "a", w, architecture="jumprelu")
    theirs = learned(tmp_path / "b", linear(w, "b_dec") | buffers(0.8), "BatchTopKSAE")
    for file in (lens / "cfg.json", theirs / "config.json"):
        file.write_bytes(file.read_text().encode(encoding))
        assert published.load(str(file.parent)).d_sae == S


def damaged_state(damage: str) -> Any:
    w = weights()
    state: dict[str, Any] = linear(w, "b_dec") | buffers(0.8)
    changes: dict[str, Any] = {
        "missing": without(state, "encoder.bias"),
        "unknown": state | {"normalize_to_sqrt_d": torch.tensor(True)},
        "misfit": state | {"encoder.bias": torch.zeros(S + 1)},
        "turned": state | {"encoder.weight": w["W_enc"]},
        "flat": state | {"encoder.weight": w["W_enc"].flatten()},
        "nan": state | {"encoder.bias": torch.full((S,), float("nan"))},
        "inf": state | {"decoder.weight": torch.full((D, S), float("inf"))},
        "threshold": state | {"threshold": torch.tensor(float("nan"))},
        "two thresholds": state | {"threshold": torch.zeros(2)},
        "integers": state | {"encoder.bias": torch.zeros(S, dtype=torch.int8)},
        "list": [state],
        "nested": {"state_dict": state},
        "groups": matryoshka(w, 0.8) | {"group_sizes": torch.tensor([1, 2])},
        "gated": linear(w, "decoder_bias") | {"gate_bias": torch.zeros(S), "r_mag": torch.zeros(S)},
        "number": {"a": 1},
    }
    return changes[damage]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("missing", "lacks tensors ['encoder.bias']"),
        ("unknown", "normalize_to_sqrt_d"),
        ("misfit", "b_enc"),
        ("turned", "do not fit"),
        ("flat", "W_enc has shape"),
        ("nan", "encoder.bias"),
        ("inf", "decoder.weight"),
        ("threshold", "threshold"),
        ("two thresholds", "threshold"),
        ("integers", "plain floats"),
        ("list", "state_dict"),
        ("nested", "state_dict"),
        ("groups", "[1, 2]"),
        ("gated", "gated SAE"),
        ("number", "state_dict"),
    ],
)
def test_damaged_states_are_refused(damage: str, named: str, tmp_path: Path) -> None:
    dict_class = "MatryoshkaBatchTopKSAE" if damage == "groups" else "BatchTopKSAE"
    message = refusal(learned(tmp_path, damaged_state(damage), dict_class))
    assert named in message
    assert message.startswith(str(tmp_path / "ae.pt"))


@pytest.mark.parametrize("key", ["activation_dim", "dict_size"])
def test_a_config_of_another_sae_is_refused(key: str, tmp_path: Path) -> None:
    state = linear(weights(), "b_dec") | buffers(0.8)
    assert "7 for the width" in refusal(learned(tmp_path, state, "BatchTopKSAE", **{key: 7}))


def test_a_damaged_config_is_refused(tmp_path: Path) -> None:
    folder = learned(tmp_path, linear(weights(), "b_dec") | buffers(0.8), "BatchTopKSAE")
    for text in ("{", "[]"):
        (folder / "config.json").write_text(text)
        assert "config.json" in refusal(folder)


def test_nothing_in_a_pickle_is_executed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    folder = learned(tmp_path / "sae", weights() | {"extra": Malicious(made)})
    assert "never" in refusal(folder)
    assert not made.exists()
    torch.load(folder / "ae.pt", weights_only=False)  # it would have
    assert made.exists()


@pytest.mark.parametrize(("size", "told"), [(0, "is empty"), (100, "cut"), (1500, "cut")])
def test_a_cut_file_is_refused(size: int, told: str, tmp_path: Path) -> None:
    file = learned(tmp_path, matryoshka(weights(), 0.8)) / "ae.pt"
    file.write_bytes(file.read_bytes()[:size])
    assert told in refusal(file)


# --- Gemma Scope ---


@pytest.mark.parametrize("spelling", ["W_", "w_"])
@pytest.mark.parametrize("named_by", ["folder", "file"])
def test_gemma_scope(named_by: str, spelling: str, tmp_path: Path) -> None:
    w = weights()
    arrays = {name.replace("W_", spelling): tensor for name, tensor in w.items()}
    folder = scoped(tmp_path, arrays | {"scaling_factor": torch.ones(S)})
    sae = published.load(str(folder if named_by == "folder" else folder / "params.npz"))
    assert sae.architecture == "jumprelu"
    assert_runs(sae, above(before(w, centred=False), w["threshold"]), w)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scaling_factor": torch.full((S,), 2.0)}, "scaling_factor"),
        ({"threshold": torch.zeros(S + 1)}, "threshold"),
        ({"b_dec": torch.full((D,), float("inf"))}, "b_dec"),
        ({"W_enc": torch.zeros(0, S)}, "W_enc has shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: Tensors, named: str, tmp_path: Path) -> None:
    assert named in refusal(scoped(tmp_path, weights() | change))


def test_npz_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    np.savez(tmp_path / "params.npz", W_enc=np.array([Malicious(made)], dtype=object))
    assert "params.npz" in refusal(tmp_path)
    assert not made.exists()
    (tmp_path / "params.npz").write_bytes(b"PK\x03\x04 cut")
    assert "a zip archive without its end" in refusal(tmp_path)
    assert not made.exists()


# --- All formats ---

WRITERS: dict[str, Callable[[Path, Tensors], Path]] = {
    "sae-lens": lambda folder, w: lens_folder(folder, w, architecture="jumprelu"),
    "batchtopk": lambda folder, w: learned(
        folder, linear(w, "b_dec") | buffers(0.8), "BatchTopKSAE"
    ),
    "matryoshka": lambda folder, w: learned(folder, matryoshka(w, 0.8)),
    "topk": lambda folder, w: learned(folder, linear(w, "b_dec") | buffers(0.8), "AutoEncoderTopK"),
    "gemma scope": scoped,
}
EVERY = pytest.mark.parametrize("written", WRITERS.values(), ids=WRITERS)


@EVERY
def test_saved_again_it_is_the_same(written: Callable, tmp_path: Path) -> None:
    sae = published.load(str(written(tmp_path / "theirs", weights())))
    sae.save(tmp_path / "ours", model="m", hook="h", facts={"source": "theirs"})
    back = SAE.load(tmp_path / "ours")
    assert torch.equal(back.encode(vectors()), sae.encode(vectors()))
    assert (back.architecture, back.group_sizes) == (sae.architecture, sae.group_sizes)
    assert back.fingerprint("h") == sae.fingerprint("h")
    other = published.load(str(written(tmp_path / "other", weights(seed=1))))
    assert other.fingerprint("h") != sae.fingerprint("h")
    sparse = sae.encode_sparse(vectors())
    torch.testing.assert_close(
        sae.decode_sparse(sparse), sae.decode(sae.encode(vectors())), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (name, dtype)
        for name in WRITERS
        for dtype in (torch.float16, torch.bfloat16, torch.float64)
        if (name, dtype) != ("gemma scope", torch.bfloat16)  # numpy has none
    ],
    ids=str,
)
def test_weights_of_other_precisions_become_float32(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    written = WRITERS[name]
    w = weights(dtype=dtype)
    sae = published.load(str(written(tmp_path / "a", w)))
    same = published.load(str(written(tmp_path / "b", {n: t.float() for n, t in w.items()})))
    assert {tensor.dtype for tensor in sae.tensors().values()} == {torch.float32}
    assert sae.fingerprint() == same.fingerprint()


def test_what_is_no_sae_is_refused_with_the_known_formats(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    for source in (tmp_path, tmp_path / "model.safetensors"):
        message = refusal(source)
        assert str(source) in message
        for name in ("cfg.json", "ae.pt", "params.npz"):
            assert name in message
    assert "no such file" in refusal(tmp_path / "nowhere")
    assert "revision" in refusal(tmp_path, revision="main")


@pytest.mark.parametrize("damage", ["no weights", "cut weights", "bad json", "list"])
def test_damaged_sae_lens_folders_are_refused(damage: str, tmp_path: Path) -> None:
    folder = lens_folder(tmp_path / "sae", weights(), architecture="jumprelu")
    file = folder / "sae_weights.safetensors"
    if damage == "no weights":
        file.unlink()
    elif damage == "cut weights":
        file.write_bytes(file.read_bytes()[:200])
    else:
        (folder / "cfg.json").write_text("{" if damage == "bad json" else "[1]")
    assert str(folder) in refusal(folder)


# --- The hub, as folders here ---


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A hub whose repositories lie under `root`; `fetched` lists what was downloaded of them."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
    from huggingface_hub.utils import filter_repo_objects

    state = SimpleNamespace(root=tmp_path / "hub", fetched=[], revisions=[])
    cache = tmp_path / "cache"

    def one(repo: str, name: str) -> str:
        source, target = state.root / repo / name, cache / repo / name
        if not source.is_file():
            raise EntryNotFoundError(f"{repo} has no {name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        state.fetched.append(name)
        return str(target)

    def snapshot(repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        if not (state.root / repo).is_dir():
            response = SimpleNamespace(headers={}, request=None)
            raise RepositoryNotFoundError("404\nno such repository", response=response)
        state.revisions.append(revision)
        files = [p for p in sorted((state.root / repo).rglob("*")) if p.is_file()]
        names = [p.relative_to(state.root / repo).as_posix() for p in files]
        for name in filter_repo_objects(names, allow_patterns=allow_patterns):
            one(repo, name)
        return str(cache / repo)

    def download(
        repo_id: str, filename: str, subfolder: str | None = None, force_download: bool = False
    ) -> str:
        return one(repo_id, f"{subfolder}/{filename}" if subfolder else filename)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    state.download = download
    return state


def test_hub_folders_and_files(hub: SimpleNamespace) -> None:
    repo, w = hub.root / "owner" / "saes", weights()
    learned(repo / "a" / "trainer_0", matryoshka(w, 0.8), "MatroyshkaBatchTopKSAE")
    learned(repo / "a" / "trainer_1", linear(w, "b_dec") | buffers(0.8), "BatchTopKSAE")
    (repo / "a" / "trainer_0" / "activations.bin").write_bytes(b"0" * 9)
    wanted = above(before(w, centred=True), 0.8)
    sae = published.load("hf:owner/saes/a/trainer_0", revision="v1")
    assert_runs(sae, wanted, w)
    assert sae.group_sizes == GROUPS
    assert sorted(hub.fetched) == ["a/trainer_0/ae.pt", "a/trainer_0/config.json"]
    assert hub.revisions == ["v1"]
    # A file needs its config: without it this one would be refused.
    assert_runs(published.load("hf:owner/saes/a/trainer_1/ae.pt"), wanted, w)
    assert sorted(hub.fetched[2:]) == ["a/trainer_1/ae.pt", "a/trainer_1/config.json"]


def test_hub_places_with_odd_names_and_roots(hub: SimpleNamespace) -> None:
    w = weights()
    scoped(hub.root / "owner" / "scope" / "layer_[2]", w)
    lens_folder(hub.root / "owner" / "root", w, architecture="jumprelu")
    sae = published.load("hf:owner/scope/layer_[2]/params.npz")
    assert_runs(sae, above(before(w, centred=False), w["threshold"]), w)
    wanted = above(before(w, centred=True), w["threshold"])
    for source in ("hf:owner/root", "hf:owner/root/cfg.json"):
        assert_runs(published.load(source), wanted, w)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("hf:owner", "OWNER/REPO"),
        ("hf:owner/saes/../x", "OWNER/REPO"),
        ("hf:owner/saes/nowhere", "nowhere"),
        ("hf:owner/missing/a", "404"),
    ],
)
def test_hub_sources_that_are_not_there(source: str, named: str, hub: SimpleNamespace) -> None:
    scoped(hub.root / "owner" / "saes", weights())
    message = refusal(source)
    assert message.startswith(f"{source}: ") and named in message


# --- sae-lens itself: it takes seconds to import ---


@pytest.fixture(scope="module")
def lens() -> Any:
    import sae_lens

    return sae_lens


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "settings"),
    [
        (lens_folder, {"architecture": "jumprelu"}),
        (lens_folder, {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True}),
        (lens_folder, {"architecture": "topk", "k": K, "apply_b_dec_to_input": False}),
        (flat_folder, {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
        (flat_folder, {"architecture": "jumprelu"}),
        (flat_folder, {}),
    ],
    ids=["jumprelu", "topk by norm", "topk", "flat topk", "flat jumprelu", "flat"],
)
def test_sae_lens_gives_the_same_codes(
    written: Callable, settings: dict[str, Any], lens: Any, tmp_path: Path
) -> None:
    jumps = settings.get("architecture") == "jumprelu"
    folder = written(tmp_path, weights() if jumps else without(weights(), "threshold"), **settings)
    theirs, ours = lens.SAE.load_from_disk(folder, device="cpu"), published.load(str(folder))
    codes = theirs.encode(vectors())
    torch.testing.assert_close(ours.encode(vectors()), codes, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        ours.decode(ours.encode(vectors())), theirs.decode(codes), rtol=1e-6, atol=1e-5
    )


@pytest.mark.slow
def test_what_sae_lens_exports_keeps_its_levels(lens: Any, tmp_path: Path) -> None:
    from sae_lens.saes import matryoshka_batchtopk_sae as module

    cfg = module.MatryoshkaBatchTopKTrainingSAEConfig(
        d_in=D, d_sae=S, k=K, matryoshka_widths=[6, 15, 30]
    )
    trained = module.MatryoshkaBatchTopKTrainingSAE(cfg)
    w = without(weights(), "threshold")
    trained.load_state_dict(w | {"topk_threshold": torch.tensor(0.5, dtype=torch.float64)})
    trained.save_inference_model(tmp_path)
    theirs, ours = lens.SAE.load_from_disk(tmp_path, device="cpu"), published.load(str(tmp_path))
    assert (ours.architecture, ours.group_sizes) == ("matryoshka", GROUPS)
    assert (ours.encode(vectors()) > 0).any()
    torch.testing.assert_close(
        ours.encode(vectors()), theirs.encode(vectors()), rtol=1e-6, atol=1e-6
    )


@pytest.fixture
def releases(lens: Any, hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Registers a release of the local hub with sae-lens; its own loaders read it."""
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.loading import pretrained_saes_directory as registry

    monkeypatch.setattr(loaders, "hf_hub_download", hub.download)

    def register(repo: str, sae_id: str, path: str, loader: str | None, **more: Any) -> None:
        entry = registry.PretrainedSAELookup(
            release="local",
            repo_id=repo,
            model="m",
            conversion_func=loader,
            saes_map={sae_id: path},
            expected_var_explained={},
            expected_l0={},
            neuronpedia_id={},
            norm_scaling_factor={},
            config_overrides=more or None,
        )
        monkeypatch.setitem(registry.get_pretrained_saes_directory(), "local", entry)

    return register


@pytest.mark.slow
@pytest.mark.parametrize("flat", [False, True])
def test_a_sae_lens_release(flat: bool, hub: SimpleNamespace, releases: Callable) -> None:
    w = without(weights(), "threshold")
    folder = hub.root / "owner" / "saes" / "blocks" / "3"
    if flat:
        flat_folder(
            folder,
            w,
            activation_fn_str="topk",
            activation_fn_kwargs={"k": K},
            sae_lens_version="5.9.1",
        )
    else:
        lens_folder(folder, w, architecture="topk", k=K)
    releases("owner/saes", "blocks.3/width_30", "blocks/3", None)
    sae = published.load("sae-lens:local/blocks.3/width_30")
    assert sae.architecture == "topk"
    assert_runs(sae, largest(before(w, centred=True)), w)


@pytest.mark.slow
def test_a_gemma_scope_release(hub: SimpleNamespace, releases: Callable) -> None:
    w = weights()
    path = "layer_3/width_16k/average_l0_7"
    scoped(hub.root / "google" / "gemma-scope-2b-pt-res" / path, w)
    releases("google/gemma-scope-2b-pt-res", path, path, "gemma_2", d_in=D, d_sae=S)
    sae = published.load(f"sae-lens:local/{path}")
    assert not sae.apply_b_dec_to_input
    assert_runs(sae, above(before(w, centred=False), w["threshold"]), w)


@pytest.mark.slow
def test_a_dictionary_learning_release_keeps_its_threshold(
    hub: SimpleNamespace, releases: Callable
) -> None:
    """sae-lens's own loader makes a plain ReLU of this spelling, or fails on the blank config."""
    w = weights()
    learned(hub.root / "owner" / "vlm" / "a", matryoshka(w, 0.8), "MatroyshkaBatchTopKSAE")
    releases("owner/vlm", "layer_3/a", "a", "dictionary_learning_1")
    sae = published.load("sae-lens:local/layer_3/a")
    assert_runs(sae, above(before(w, centred=True), 0.8), w)
    assert sae.group_sizes == GROUPS


@pytest.mark.slow
def test_releases_that_do_not_open(hub: SimpleNamespace, releases: Callable) -> None:
    w = without(weights(), "threshold")
    folder = hub.root / "owner" / "saes" / "a"
    releases("owner/saes", "x/y", "a", None)
    assert "sae-lens:RELEASE/SAE_ID" in refusal("sae-lens:local")
    assert "nobody" in refusal("sae-lens:nobody/x/y")
    assert "not found in release" in refusal("sae-lens:local/other")
    assert "owner/saes has no a/cfg.json" in refusal("sae-lens:local/x/y")
    # sae-lens only warns here and would run it unscaled.
    lens_folder(
        folder, w, normalize_activations="expected_average_only_in", architecture="standard"
    )
    assert "expected_average_only_in" in refusal("sae-lens:local/x/y")
    assert "revision" in refusal("sae-lens:local/x/y", revision="main")
