"""The SAE that runs: literal, equal to sae-lens's own, and better for training."""

import json
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import tiny  # noqa: F401, sets torch's threads
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline import config
from pipeline.metrics.reconstruction import ReconstructionSums
from pipeline.saes.sae import SAE, SAEError
from pipeline.saes.train import ActsFiles, between, level_sizes, shares, train

D, S, K = 12, 30, 4
KINDS = pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
CENTRES = pytest.mark.parametrize("centred", [False, True], ids=["plain", "minus b_dec"])


def made(activation: str, *, centred: bool = True, seed: int = 0) -> SAE:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return SAE(
        W_enc=draw(D, S) * 0.5,
        b_enc=draw(S) * 0.3,
        W_dec=draw(S, D),
        b_dec=draw(D),
        activation=activation,
        threshold=draw(S).abs() * 0.5 if activation == "jumprelu" else None,
        k=K if activation == "topk" else None,
        apply_b_dec_to_input=centred,
        architecture="made",
        group_sizes=(10, 20),
    )


def vectors(n: int = 50, *, seed: int = 1) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def literal_codes(sae: SAE, x: Tensor) -> Tensor:
    """The formula, one feature of one vector at a time."""
    codes = torch.zeros(len(x), S)
    for i in range(len(x)):
        v = x[i] - sae.b_dec if sae.apply_b_dec_to_input else x[i]
        for s in range(S):
            before = float(v @ sae.W_enc[:, s] + sae.b_enc[s])
            above = float(sae.threshold[s]) if sae.threshold is not None else 0.0
            codes[i, s] = before if before > max(above, 0) else 0
        if sae.k is not None:
            kept = codes[i].argsort(descending=True)[: sae.k]
            mask = torch.zeros(S)
            mask[kept] = 1
            codes[i] *= mask
    return codes


def dense(sae: SAE, x: Tensor) -> Tensor:
    sparse = sae.encode_sparse(x)
    codes = torch.zeros(sparse.shape)
    codes[sparse.row, sparse.feature] = sparse.value
    return codes


@KINDS
@CENTRES
def test_encoding_and_decoding_are_the_formula(activation: str, centred: bool) -> None:
    sae, x = made(activation, centred=centred), vectors()
    codes = sae.encode(x)
    torch.testing.assert_close(codes, literal_codes(sae, x), rtol=1e-5, atol=1e-5)
    assert (codes >= 0).all()
    assert 0 < (codes > 0).float().mean() < 1
    if activation == "topk":
        assert (codes > 0).sum(1).max() == K
    torch.testing.assert_close(sae.decode(codes), codes @ sae.W_dec + sae.b_dec)


@KINDS
@CENTRES
def test_sparse_and_dense_agree(activation: str, centred: bool) -> None:
    sae, x = made(activation, centred=centred), vectors()
    sparse = sae.encode_sparse(x)
    assert torch.equal(dense(sae, x), sae.encode(x))
    assert (sparse.value > 0).all()
    key = sparse.row * S + sparse.feature
    assert (key[1:] > key[:-1]).all(), "sorted by row then feature"
    torch.testing.assert_close(
        sae.decode_sparse(sparse), sae.decode(sae.encode(x)), rtol=1e-5, atol=1e-5
    )


def test_vectors_that_activate_nothing_decode_to_the_bias() -> None:
    sae = replace(made("relu"), b_enc=torch.full((S,), -1e6))
    for x in (vectors(3), vectors(0)):
        sparse = sae.encode_sparse(x)
        assert len(sparse.value) == 0
        assert sparse.shape == (len(x), S)
        assert torch.equal(sae.decode_sparse(sparse), sae.b_dec.expand(len(x), D))


def test_some_vectors_that_activate_nothing_do_not_shift_the_others() -> None:
    sae = made("jumprelu")
    x = vectors(9)
    quiet = replace(sae, threshold=torch.full((S,), 1e6))
    strong = x.clone()
    strong[[0, 4, 8]] = 0  # together with a huge threshold below: rows without a code
    sparse = sae.encode_sparse(strong)
    torch.testing.assert_close(sae.decode_sparse(sparse), sae.decode(sae.encode(strong)))
    assert len(quiet.encode_sparse(x).value) == 0


def test_sparse_encoding_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.saes import sae as module

    sae, x = made("topk"), vectors()
    whole = dense(sae, x)
    monkeypatch.setattr(module, "DENSE_LIMIT", 7 * S)
    torch.testing.assert_close(dense(sae, x), whole)


def test_leading_axes_are_kept() -> None:
    sae, x = made("topk"), vectors(24)
    codes = sae.encode(x.view(2, 3, 4, D))
    assert codes.shape == (2, 3, 4, S)
    torch.testing.assert_close(codes.view(24, S), sae.encode(x))
    assert sae.decode(codes).shape == (2, 3, 4, D)


def test_half_precision_is_encoded_in_float32() -> None:
    sae, x = made("jumprelu"), vectors().bfloat16()
    assert torch.equal(sae.encode(x), sae.encode(x.float()))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(AssertionError):
        replace(made("relu"), b_enc=torch.zeros(S + 1))
    with pytest.raises(AssertionError):
        replace(made("jumprelu"), threshold=None)
    with pytest.raises(AssertionError):
        replace(made("relu"), k=3)


# --- On disk ---


@KINDS
@CENTRES
def test_sae_lens_opens_it_with_equal_codes(activation: str, centred: bool, tmp_path: Path) -> None:
    from sae_lens import SAE as Lens  # noqa: N811, it has the same name

    sae, x = made(activation, centred=centred), vectors(200)
    sae.save(tmp_path / "sae", model="some/clip", hook="vision.1.resid_post", facts={"k": 4})
    lens = Lens.load_from_disk(tmp_path / "sae", device="cpu")
    codes = lens.encode(x)
    codes = codes.to_dense() if codes.is_sparse else codes
    torch.testing.assert_close(codes, sae.encode(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(lens.decode(codes), sae.decode(sae.encode(x)), rtol=0, atol=1e-5)
    assert lens.cfg.metadata.hook_name == "vision.1.resid_post"
    assert lens.cfg.metadata.model_name == "some/clip"


@KINDS
@CENTRES
def test_it_comes_back_from_disk(activation: str, centred: bool, tmp_path: Path) -> None:
    sae = made(activation, centred=centred)
    sae.save(tmp_path, model="m", hook="h", facts={})
    back = SAE.load(tmp_path)
    for name, tensor in sae.tensors().items():
        assert torch.equal(back.tensors()[name], tensor)
    same = ("activation", "k", "apply_b_dec_to_input", "architecture", "group_sizes")
    assert [getattr(back, name) for name in same] == [getattr(sae, name) for name in same]
    assert back.fingerprint("h") == sae.fingerprint("h")


def test_sae_lens_own_files_are_read(tmp_path: Path) -> None:
    from sae_lens import StandardSAE, StandardSAEConfig

    lens = StandardSAE(StandardSAEConfig(d_in=D, d_sae=S, apply_b_dec_to_input=True))
    with torch.no_grad():
        for n, parameter in enumerate(lens.parameters()):
            generator = torch.Generator().manual_seed(n)
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    lens.save_model(tmp_path)
    sae, x = SAE.load(tmp_path), vectors()
    torch.testing.assert_close(sae.encode(x), lens.encode(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"architecture": "gated"}, "gated"),
        ({"normalize_activations": "layer_norm"}, "layer_norm"),
        ({"reshape_activations": "hook_z"}, "hook_z"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_it_does_not_run_is_refused(
    change: dict[str, object], named: str, tmp_path: Path
) -> None:
    made("relu").save(tmp_path, model="m", hook="h", facts={})
    settings = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(settings | change))
    with pytest.raises(SAEError, match=named) as refused:
        SAE.load(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}: ")


@pytest.mark.parametrize("damage", ["empty", "cfg", "weights", "tensor", "shape"])
def test_a_damaged_folder_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "sae"
    folder.mkdir()
    if damage != "empty":
        sae = made("relu")
        sae.save(folder, model="m", hook="h", facts={})
        weights = folder / "sae_weights.safetensors"
        if damage == "cfg":
            (folder / "cfg.json").write_text("{")
        elif damage == "weights":
            weights.write_bytes(weights.read_bytes()[:100])
        else:
            tensors = sae.tensors()
            wrong = {"b_enc": torch.zeros(S + 1)} if damage == "shape" else {"extra": torch.ones(1)}
            save_file(tensors | wrong, weights)
    with pytest.raises(SAEError) as refused:
        SAE.load(folder)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_fingerprint_follows_weights_and_hook_point() -> None:
    sae = made("jumprelu")
    prints = {
        sae.fingerprint("h", "w"),
        sae.fingerprint("h2", "w"),
        sae.fingerprint("h", "w2"),
        replace(sae, b_dec=sae.b_dec + 1e-3).fingerprint("h", "w"),
        replace(sae, threshold=sae.threshold * 2).fingerprint("h", "w"),
        replace(sae, apply_b_dec_to_input=False).fingerprint("h", "w"),
        replace(sae, activation="relu", threshold=None).fingerprint("h", "w"),
    }
    assert len(prints) == 7
    assert made("jumprelu").fingerprint("h", "w") == sae.fingerprint("h", "w")
    assert len(sae.fingerprint()) == 16


# --- Training ---


def written(folder: Path, rows: Tensor, *, files: int) -> list[Path]:
    paths = []
    for n, part in enumerate(rows.tensor_split(files)):
        paths.append(folder / f"{n}.safetensors")
        save_file({"acts": part.contiguous(), "other": torch.zeros(1)}, paths[-1])
    return paths


def numbered(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float32)[:, None].expand(n, 3)


@pytest.mark.parametrize(("files", "size"), [(1, 10), (4, 10), (4, 50), (7, 13)])
def test_batches_hold_every_vector_about_once_a_pass(files: int, size: int, tmp_path: Path) -> None:
    acts = ActsFiles(written(tmp_path, numbered(100), files=files), ["acts"], seed=0)
    assert acts.d_in == 3
    batches = list(islice(acts.batches(size), 5 * 100 // size))
    assert {tuple(batch.shape) for batch in batches} == {(size, 3)}
    seen = torch.cat(batches)[:, 0].long().bincount(minlength=100)
    assert seen.min() >= 4
    assert seen.max() <= 6
    first = torch.cat(batches)[:100, 0]
    assert not torch.equal(first, first.sort().values), "shuffled"


def test_fewer_vectors_than_a_batch_are_repeated(tmp_path: Path) -> None:
    acts = ActsFiles(written(tmp_path, numbered(10), files=3), ["acts"], seed=0)
    batches = list(islice(acts.batches(64), 10))
    seen = torch.cat(batches)[:, 0].long().bincount(minlength=10)
    assert all(len(batch) == 64 for batch in batches)
    assert seen.min() > 0.7 * 64
    assert seen.max() < 1.4 * 64


def test_no_more_than_the_buffer_is_held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pipeline.saes import train as module

    monkeypatch.setattr(module, "_BUFFER", 30)
    acts = ActsFiles(written(tmp_path, numbered(200), files=20), ["acts"], seed=0)
    largest = 0
    drain = acts._drain

    def watched(held: list[Tensor], size: int):
        nonlocal largest
        largest = max(largest, sum(map(len, held)))
        return (yield from drain(held, size))

    monkeypatch.setattr(acts, "_drain", watched)
    batches = list(islice(acts.batches(8), 200 // 8 * 4))
    assert largest <= 30 + 10
    seen = torch.cat(batches)[:, 0].long().bincount(minlength=200)
    assert seen.min() >= 3
    assert seen.max() <= 5


def test_the_same_seed_gives_the_same_batches(tmp_path: Path) -> None:
    files = written(tmp_path, numbered(100), files=4)
    one, two, other = (
        torch.cat(list(islice(ActsFiles(files, ["acts"], seed=seed).batches(10), 30)))
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_sample_is_the_first_vectors(tmp_path: Path) -> None:
    acts = ActsFiles(written(tmp_path, numbered(20), files=4), ["acts"], seed=0)
    assert acts.sample(7)[:, 0].tolist() == list(range(7))
    assert acts.sample(999)[:, 0].tolist() == list(range(20))


def test_files_without_vectors_are_passed_over(tmp_path: Path) -> None:
    """All images of a shard may have been unreadable; it then holds no tensor at all."""
    files = written(tmp_path, numbered(20), files=2)
    save_file({}, tmp_path / "none.safetensors")
    acts = ActsFiles([tmp_path / "none.safetensors", *files], ["acts"], seed=0)
    assert acts.d_in == 3
    assert len(acts.sample(99)) == 20
    seen = torch.cat(list(islice(acts.batches(5), 8)))[:, 0].long().bincount(minlength=20)
    assert seen.tolist() == [2] * 20


def test_no_vectors_at_all_are_refused(tmp_path: Path) -> None:
    save_file({}, tmp_path / "none.safetensors")
    with pytest.raises(SAEError, match="no activations"):
        ActsFiles([tmp_path / "none.safetensors"], ["acts"], seed=0)


def test_level_sizes() -> None:
    assert level_sizes(64, (0.0625, 0.125, 0.25, 0.5625)) == (4, 8, 16, 36)
    for d_sae in (4, 5, 17, 1000):
        sizes = level_sizes(d_sae, (0.01, 0.02, 0.3, 0.67))
        assert sum(sizes) == d_sae
        assert min(sizes) >= 1


def synthetic(n: int, *, seed: int = 0) -> Tensor:
    """Sums of three of 24 fixed directions, far from the origin: what an SAE can find."""
    fixed = torch.Generator().manual_seed(99)
    directions = torch.nn.functional.normalize(torch.randn(24, D, generator=fixed), dim=1)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(n, 24, generator=generator).argsort(1)[:, :3]
    sizes = torch.rand(n, 3, generator=generator) + 0.5
    return (sizes[..., None] * directions[chosen]).sum(1) * 7 + 5


def figures(sae: SAE, x: Tensor) -> dict[str, float]:
    codes = sae.encode_sparse(x)
    recon = sae.decode_sparse(codes)
    return ReconstructionSums.of(x, recon, active=len(codes.value)).figures()


def settings(kind: str, *, samples: int, seed: int = 0, **more: object) -> config.TrainedSAE:
    training = config.Training(samples=samples, batch=256, lr=3e-3, seed=seed)
    return config.TrainedSAE(kind=kind, k=3, expansion=4, training=training, **more)


@pytest.fixture(scope="module")
def acts_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written(tmp_path_factory.mktemp("acts"), synthetic(4000), files=3)


@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka"])
def test_training_learns(kind: str, acts_files: list[Path]) -> None:
    def trained(samples: int) -> tuple[SAE, list[dict[str, float]], int]:
        told: list[int] = []
        acts = ActsFiles(acts_files, ["acts"], seed=0)
        sae, curve = train(settings(kind, samples=samples), acts, device="cpu", advance=told.append)
        return sae, curve, sum(told)

    before, _, _ = trained(1)
    after, curve, told = trained(60_000)
    unseen = synthetic(2000, seed=1)
    at_start, at_end = figures(before, unseen), figures(after, unseen)
    assert at_end["fvu"] < 0.7 * at_start["fvu"]
    assert at_end["fvu"] < 0.35
    assert at_end["l0"] == pytest.approx(3, rel=0.15)
    assert told == 60_000 // 256 * 256 == curve[-1]["samples"]
    assert curve[-1]["mse"] < curve[0]["mse"]
    assert (after.activation, after.architecture) == ("jumprelu", kind)
    assert (after.d_in, after.d_sae) == (D, 4 * D)
    torch.testing.assert_close(after.W_dec.norm(dim=1), torch.ones(4 * D))
    assert after.group_sizes == ((3, 6, 12, 27) if kind == "matryoshka" else ())


def test_the_inner_levels_come_first(acts_files: list[Path]) -> None:
    """The first level alone must reconstruct better than as many of the last level's features."""
    acts = ActsFiles(acts_files, ["acts"], seed=0)
    how = settings("matryoshka", samples=40_000, levels=(0.5, 0.5))
    sae, _ = train(how, acts, device="cpu")
    assert sae.group_sizes == (24, 24)
    x = synthetic(2000, seed=1)
    codes = sae.encode(x)

    def fvu(part: slice) -> float:
        kept = torch.zeros_like(codes)
        kept[:, part] = codes[:, part]
        return ReconstructionSums.of(x, sae.decode(kept), active=0).figures()["fvu"]

    assert fvu(slice(0, 24)) < fvu(slice(24, 48))


def test_the_same_seed_gives_the_same_weights(acts_files: list[Path]) -> None:
    def trained(seed: int) -> SAE:
        torch.rand(3)  # the state of torch's own generator must not matter
        acts = ActsFiles(acts_files, ["acts"], seed=seed)
        return train(settings("batchtopk", samples=3000, seed=seed), acts, device="cpu")[0]

    state = torch.get_rng_state()
    one = trained(0)
    assert torch.equal(torch.rand(3), _after(state)), "training leaves torch's generator alone"
    assert one.fingerprint() == trained(0).fingerprint()
    assert one.fingerprint() != trained(1).fingerprint()


def _after(state: Tensor) -> Tensor:
    torch.set_rng_state(state)
    torch.rand(3)
    return torch.rand(3)


def test_more_active_features_than_there_are_is_refused(acts_files: list[Path]) -> None:
    how = config.TrainedSAE(kind="batchtopk", k=64, expansion=2)
    with pytest.raises(SAEError, match=r"k = 64.*24 features"):
        train(how, ActsFiles(acts_files, ["acts"], seed=0), device="cpu")


def test_constant_activations_do_not_break_training(tmp_path: Path) -> None:
    files = written(tmp_path, torch.zeros(300, D), files=1)
    sae, _ = train(
        settings("batchtopk", samples=600), ActsFiles(files, ["acts"], seed=0), device="cpu"
    )
    assert all(tensor.isfinite().all() for tensor in sae.tensors().values())


def test_a_training_that_diverges_is_refused_in_one_line(acts_files: list[Path]) -> None:
    # Beyond what a config may say, so that it diverges at once.
    training = config.Training(samples=2048, batch=256).model_copy(update={"lr": 1e30})
    how = config.TrainedSAE(kind="batchtopk", k=4, training=training)
    with pytest.raises(SAEError, match=r"diverged; lower dictionaries\.\*\.training\.lr"):
        train(how, ActsFiles(acts_files, ["acts"], seed=0), device="cpu")


def test_several_kinds_of_activations_are_read_together(tmp_path: Path) -> None:
    """Tokens of images and of captions; a file without captions holds only the former."""
    rows = numbered(30).contiguous()
    save_file({"all": rows[:10], "captions": rows[10:15]}, tmp_path / "a.safetensors")
    save_file({"all": rows[15:30]}, tmp_path / "b.safetensors")
    files = [tmp_path / f"{name}.safetensors" for name in "ab"]
    seen = torch.cat(list(islice(ActsFiles(files, ["all", "captions"], seed=0).batches(10), 3)))
    assert sorted(seen[:, 0].long().tolist()) == list(range(30))
    of_images = torch.cat(list(islice(ActsFiles(files, ["all"], seed=0).batches(5), 5)))
    assert sorted(of_images[:, 0].long().tolist()) == [*range(10), *range(15, 30)]


def test_the_threshold_lies_between_activations() -> None:
    """Captions begin alike: the same activation comes back with other last digits."""
    generator = torch.Generator().manual_seed(0)
    distinct = torch.rand(400, generator=generator) * 10 + 1
    again = distinct.repeat(50)
    values = again * (1 + 1e-6 * torch.randn(len(again), generator=generator))
    for kept in (8_000, 10_000, 15_025, 19_990, 20_000, 30_000):
        threshold = between(values, kept=kept)
        near = (values - threshold).abs().min() / threshold
        assert near > 1e-4, "far from every activation, and so from what rounding makes of it"
        fires = int((values > threshold).sum())
        assert abs(fires - min(kept, len(values))) <= 0.01 * kept


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0, 2.0]])
def test_the_threshold_of_few_activations(values: list[float]) -> None:
    threshold = float(between(torch.tensor(values), kept=5))
    assert 0 <= threshold < 2
    assert math.isfinite(threshold)


# --- Several kinds of token ---

IMAGES, ALONE = ("image", "cls"), ("caption_alone",)


def said_of(n: int, *, seed: int) -> Tensor:
    """The same about as far from the origin, a third as far from each other."""
    return (synthetic(n, seed=seed) - 5) / 3 + 5


@pytest.fixture(scope="module")
def mixed_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images, and three times as many captions of a third of their size; one file has no
    captions."""
    folder, files = tmp_path_factory.mktemp("mixed"), []
    images, captions = synthetic(1500), said_of(4500, seed=2)
    for n, (some, said) in enumerate(
        zip(images.tensor_split(3), captions.tensor_split(3), strict=True)
    ):
        files.append(folder / f"{n}.safetensors")
        held = {"cls": some.contiguous(), "captions": said.contiguous()}
        save_file(held if n < 2 else {"cls": held["cls"]}, files[-1])
    return files


def of_both(files: list[Path], kind: str, *, turned: bool = False) -> SAE:
    names, kinds = ["cls", "captions"], [IMAGES, ALONE]
    if turned:
        names, kinds = names[::-1], kinds[::-1]
    acts = ActsFiles(files, names, seed=0)
    return train(settings(kind, samples=30_000), acts, device="cpu", kinds=kinds)[0]


@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka"])
@pytest.mark.parametrize("turned", [False, True], ids=["images first", "captions first"])
def test_k_features_of_each_kind_fire(kind: str, turned: bool, mixed_files: list[Path]) -> None:
    sae = of_both(mixed_files, kind, turned=turned)
    images, captions = synthetic(1000, seed=5), said_of(1000, seed=6)
    assert set(sae.thresholds) == {*IMAGES, *ALONE}
    for x, of in ((images, "image"), (captions, "caption_alone")):
        found = figures(sae.of_kind(of), x)
        assert found["l0"] == pytest.approx(3, rel=0.2)
        assert found["fvu"] < 0.5
    assert figures(sae, images) == figures(sae.of_kind("image"), images), "what knows one threshold"


def test_each_vector_has_the_threshold_of_its_kind(mixed_files: list[Path]) -> None:
    sae = of_both(mixed_files, "batchtopk")
    x = torch.cat([synthetic(30, seed=5), said_of(30, seed=6)])
    at = torch.tensor([sae.thresholds["caption_alone"]] * 60)[:, None]
    at[::2] = torch.nan  # the SAE's own
    found = sae.encode_sparse(x, at=at)
    codes = torch.zeros(found.shape)
    codes[found.row, found.feature] = found.value
    assert torch.equal(codes[::2], sae.encode(x[::2]))
    assert torch.equal(codes[1::2], sae.of_kind("caption_alone").encode(x[1::2]))
    assert not torch.equal(codes[1::2], sae.encode(x[1::2]))


def test_thresholds_come_back_and_sae_lens_has_those_of_images(
    mixed_files: list[Path], tmp_path: Path
) -> None:
    from sae_lens import SAE as Lens  # noqa: N811

    sae = of_both(mixed_files, "batchtopk")
    sae.save(tmp_path, model="m", hook="h", facts={})
    back = SAE.load(tmp_path)
    assert back.thresholds == sae.thresholds
    assert back.fingerprint() == sae.fingerprint() != replace(sae, thresholds={}).fingerprint()
    x = synthetic(50, seed=5)
    lens = Lens.load_from_disk(tmp_path, device="cpu").encode(x)
    torch.testing.assert_close(lens, sae.of_kind("image").encode(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("odd", [[1], {"image": "x"}, {"image": 1e400}, {"image": True}, "image"])
def test_thresholds_that_are_none_are_refused(odd: object, tmp_path: Path) -> None:
    made("jumprelu").save(tmp_path, model="m", hook="h", facts={"thresholds": odd})
    with pytest.raises(SAEError, match=r"metadata\.thresholds"):
        SAE.load(tmp_path)


def test_a_kind_without_vectors_leaves_one_threshold(acts_files: list[Path]) -> None:
    acts = ActsFiles(acts_files, ["acts", "captions"], seed=0)
    how = settings("batchtopk", samples=2000)
    sae, _ = train(how, acts, device="cpu", kinds=[IMAGES, ALONE])
    alone, _ = train(how, ActsFiles(acts_files, ["acts"], seed=0), device="cpu")
    assert set(sae.thresholds) == set(IMAGES)
    for name, tensor in alone.tensors().items():
        assert torch.equal(sae.tensors()[name], tensor)


def test_a_batch_is_shared_out() -> None:
    assert shares(100, [1, 3]) == [25, 75]
    assert shares(2048, [196, 980]) == [341, 1707]
    assert shares(10, [1, 10_000]) == [1, 10]
    assert sum(shares(997, [3, 5, 7, 11])) == 997
