"""A run over several families at once: tiles, words, published SAEs; its tables against single
examples read one by one."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
import tiny_families as tf
import torch
from PIL import Image
from run_commands import assert_one_line, command, done
from torch import Tensor

from pipeline import config, models
from pipeline.bundle import opening
from pipeline.bundle.verify import faults
from pipeline.inputs import listing, readers
from pipeline.models.layout import KINDS
from pipeline.saes.sae import SAE

COUNT = 36
CONFIG = """
name = "families"
[examples]
shard_size = 10
training_tokens = 4
[examples.source]
kind = "folder"
path = "{pictures}"
captions = "{pictures}/captions.csv"
[models.llava]
id = "{llava}"
prompt = "What is {{caption}}?"
hooks = ["vision.-2.resid_post", "vision.projection", "language.1.resid_post"]
[models.next]
id = "{next}"
hooks = ["vision.1.mlp_out", "language.0.attn_out"]
[models.gemma]
id = "{gemma}"
hooks = ["language.-1.resid_post"]
[encoders.judge]
id = "{encoder}"
[dictionaries.neurons]
kind = "neurons"
models = ["llava", "next"]
[dictionaries.words]
kind = "neurons"
tokens = "text"
pooling = "mean"
hooks = ["language.1.resid_post"]
models = ["llava", "gemma"]
[dictionaries.trained]
kind = "batchtopk"
tokens = "all"
k = 4
hooks = ["language.1.resid_post"]
models = ["llava"]
training = {{ samples = 1000, batch = 64 }}
[dictionaries.theirs]
kind = "published"
models = ["llava"]
tokens = "{tokens}"
[dictionaries.theirs.sources]
"{hook}" = "{sae}"
[machine]
device = "cpu"
batch_size = 4
"""


def picture(seed: int) -> Image.Image:
    """Pictures of several shapes: wide, tall, small, large."""
    rng = np.random.default_rng(seed)
    width, height = [(40, 40), (90, 30), (33, 80), (70, 64)][seed % 4]
    blocks = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def parts(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The models, pictures with captions of several lengths, and somebody's SAE."""
    root = tmp_path_factory.mktemp("families")
    pictures = root / "pictures"
    pictures.mkdir()
    rows = ["image,caption"]
    for i in range(COUNT):
        picture(i).save(pictures / f"{i:02}.png")
        rows.append(f"{i:02}.png,{'blue cat on a red mat'[: 3 + i % 15]}")
    (pictures / "captions.csv").write_text("\n".join(rows))
    generator = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    theirs = SAE(
        W_enc=draw(tf.WORDS, 40), b_enc=draw(40), W_dec=draw(40, tf.WORDS), b_dec=draw(tf.WORDS),
        activation="relu", architecture="standard",
    )  # fmt: skip
    dead = theirs.b_enc.clone()
    dead[7] = -1e6
    theirs = dataclasses.replace(theirs, b_enc=dead)
    theirs.save(root / "sae", model="x", hook="y", facts={})
    return {
        "pictures": pictures,
        "llava": tf.llava(root / "llava"),
        "next": tf.llava_next(root / "next"),
        "gemma": tf.gemma2(root / "gemma"),
        "encoder": tiny_encoder,
        "sae": root / "sae",
    }


def write(parts: dict[str, Path], folder: Path, **change: str) -> Path:
    file = folder / "families.toml"
    file.write_text(
        CONFIG.format(**{"hook": "language.1.resid_post", "tokens": "patches", **parts, **change})
    )
    return file


@pytest.fixture(scope="module")
def run(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    done("run", write(parts, root), "--out", root / "out")
    return root


@pytest.fixture(scope="module")
def tables(run: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(opening.open_bundle(run / "out").database), read_only=True) as opened:
        yield opened


def test_the_bundle_is_sound(run: Path) -> None:
    assert list(faults(run / "out")) == []


def test_again_nothing_is_left_to_do(run: Path) -> None:
    result = done("status", run / "families.toml", "--out", run / "out")
    assert {line.split()[1] for line in result.stdout.splitlines()} == {"done"}


def one_by_one(run: Path, place: str) -> tuple[models.Adapter, dict[int, tuple[Tensor, object]]]:
    """Of each val example, read alone: its activations [r, t, d] and their layout."""
    settings = config.load(run / "families.toml")
    name, hook = place.split("/")
    adapter = models.load(settings.models[name], device="cpu")
    reader = readers.reader(settings.examples.source)
    found = {}
    for example in listing.listing(settings.examples, source=reader):
        if example.split == "val":
            inputs = adapter.inputs([(example, reader.image(example))])
            acts = adapter.record(inputs, [adapter.resolve(hook).name])
            (only,) = acts.values()
            found[example.example_id] = only, adapter.layout(inputs, hook)
    return adapter, found


def tokens_of(acts: Tensor, layout: object, kinds: set[str]) -> Tensor:
    wanted = torch.tensor([KINDS[kind] in kinds for kind in layout.kind.flatten().tolist()])
    return acts.flatten(0, 1)[wanted]


@pytest.mark.parametrize(
    ("place", "dictionary", "kinds", "how"),
    [
        ("llava/vision.1.resid_post", "neurons", {"patch"}, "max"),
        ("llava/vision.projection", "neurons", {"patch"}, "max"),
        ("llava/language.1.resid_post", "neurons", {"patch"}, "max"),
        ("llava/language.1.resid_post", "words", {"text", "caption"}, "mean"),
        ("next/vision.1.mlp_out", "neurons", {"patch"}, "max"),
        ("next/language.0.attn_out", "neurons", {"patch"}, "max"),
        ("gemma/language.1.resid_post", "words", {"text"}, "mean"),
    ],
)
def test_neurons_of_every_example(
    place: str, dictionary: str, kinds: set[str], how: str, run: Path,
    tables: duckdb.DuckDBPyConnection,
) -> None:  # fmt: skip
    """What batches of several shapes and lengths give is what each example alone gives."""
    _, found = one_by_one(run, place)
    rows = tables.execute(
        "SELECT example_id, feature_id, activation FROM activations WHERE dictionary_id = ?",
        [f"{place}/{dictionary}"],
    ).fetchall()
    assert {row[0] for row in rows} == set(found)
    pooled = {}
    for example, (acts, layout) in found.items():
        of = tokens_of(acts, layout, kinds)
        pooled[example] = of.amax(0) if how == "max" else of.mean(0)
    got = torch.tensor([activation for _, _, activation in rows])
    wanted = torch.stack([pooled[example][feature] for example, feature, _ in rows])
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_published_sae(
    run: Path, parts: dict[str, Path], tables: duckdb.DuckDBPyConnection
) -> None:
    """Its codes, l0, fvu and dead features are those of its formula on the image tokens."""
    _, found = one_by_one(run, "llava/language.1.resid_post")
    x = torch.cat([tokens_of(acts, layout, {"patch"}) for acts, layout in found.values()]).double()
    w = {name: tensor.double() for name, tensor in SAE.load(parts["sae"]).tensors().items()}
    codes = torch.relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
    recon = codes @ w["W_dec"] + w["b_dec"]
    where = "dictionary_id = 'llava/language.1.resid_post/theirs'"
    l0, fvu, dead, source, architecture = tables.execute(
        f"SELECT l0, fvu, dead, source, architecture FROM dictionaries WHERE {where}"
    ).fetchone()
    assert l0 == pytest.approx((codes > 0).double().sum(1).mean().item(), rel=1e-3)
    error, spread = ((x - recon) ** 2).sum(), ((x - x.mean(0)) ** 2).sum()
    assert fvu == pytest.approx((error / spread).item(), rel=1e-3)
    assert dead == int((codes.amax(0) == 0).sum()) >= 1
    assert (source, architecture) == (str(parts["sae"]), "standard")
    high = tables.execute(f"SELECT max FROM features WHERE {where} ORDER BY feature_id").fetchall()
    np.testing.assert_allclose([h for (h,) in high], codes.amax(0), rtol=1e-3, atol=1e-4)


def test_on_which_tokens_a_feature_fires(
    run: Path, parts: dict[str, Path], tables: duckdb.DuckDBPyConnection
) -> None:
    """Density over tokens, and the norm of the tokens on which it fires over that of all."""
    _, found = one_by_one(run, "llava/language.1.resid_post")
    x = torch.cat([tokens_of(acts, layout, {"patch"}) for acts, layout in found.values()])
    fires = (SAE.load(parts["sae"]).encode(x) > 0).double()
    norm = x.double().norm(dim=1)
    rows = tables.execute(
        "SELECT token_density, norm_ratio, dead FROM artefacts "
        "WHERE dictionary_id = 'llava/language.1.resid_post/theirs' ORDER BY feature_id"
    ).fetchall()
    density = fires.mean(0)
    ratio = (fires.T @ norm) / fires.sum(0) / norm.mean()
    assert [dead for _, _, dead in rows] == (density == 0).tolist()
    np.testing.assert_allclose([row[0] for row in rows], density, rtol=1e-3, atol=1e-4)
    for (_, got, dead), wanted in zip(rows, ratio.tolist(), strict=True):
        assert got is None if dead else got == pytest.approx(wanted, rel=1e-3)


def test_kinds_of_token_are_told_apart(tables: duckdb.DuckDBPyConnection) -> None:
    kinds = tables.execute(
        "SELECT dictionary_id, list(token_type ORDER BY token_type) FROM reconstruction GROUP BY 1"
    ).fetchall()
    assert dict(kinds) == {
        "llava/language.1.resid_post/trained": [
            "caption",
            "caption_alone",
            "patch",
            "special",
            "text",
        ],
        "llava/language.1.resid_post/theirs": ["caption", "caption_alone", "patch", "text"],
    }


def test_a_tiles_heat_map_is_on_the_whole_pictures_grid(
    run: Path, tables: duckdb.DuckDBPyConnection
) -> None:
    """Of several patches in one cell the strongest shows."""
    _, found = one_by_one(run, "next/vision.1.mlp_out")
    rows = tables.execute(
        "SELECT feature_id, example_id, patches, patch_acts FROM top_examples "
        "WHERE dictionary_id = 'next/vision.1.mlp_out/neurons' AND rank <= 2"
    ).fetchall()
    assert any(len(found[example][0]) > 2 for _, example, _, _ in rows), "some have tiles"
    for feature, example, patches, acts in rows:
        of, layout = found[example]
        assert patches == list(range(16))
        for cell, act in zip(patches, acts, strict=True):
            strongest = of[layout.cell == cell][:, feature].max().item()
            assert act == pytest.approx(strongest, rel=1e-3, abs=1e-4)


def test_the_part_of_the_picture(tables: duckdb.DuckDBPyConnection) -> None:
    fits = tables.execute("SELECT DISTINCT model, grid_fit FROM dictionaries").fetchall()
    assert set(fits) == {("llava", "crop"), ("next", "whole"), ("gemma", None)}


def test_another_width_is_refused(parts: dict[str, Path], tmp_path: Path) -> None:
    file = write(parts, tmp_path, hook="vision.0.resid_post")
    assert_one_line(command("run", file, "--out", tmp_path / "out"), "theirs", "24", "32")


def test_tokens_that_are_not_there_are_refused(parts: dict[str, Path], tmp_path: Path) -> None:
    file = write(parts, tmp_path, tokens="cls")
    assert_one_line(command("run", file, "--out", tmp_path / "out"), "theirs", "cls", "text")


def test_images_without_a_caption(parts: dict[str, Path], tmp_path: Path) -> None:
    """Where the prompt names the caption and most images have none, they are asked without."""
    captions = parts["pictures"] / "captions.csv"
    few = tmp_path / "few.csv"
    few.write_text("\n".join(captions.read_text().splitlines()[:5]))
    text = write(parts, tmp_path).read_text().replace(str(captions), str(few))
    (tmp_path / "few.toml").write_text(text)
    done("run", tmp_path / "few.toml", "--out", tmp_path / "out")
    assert list(faults(tmp_path / "out")) == []


def test_hooks_are_listed_with_shapes(parts: dict[str, Path], run: Path, tmp_path: Path) -> None:
    """From the configuration alone: without the weights."""
    lines = done("hooks", run / "families.toml").stdout.splitlines()
    marked = {line.split()[1] for line in lines if line.startswith(" *")}
    assert marked >= {"vision.1.resid_post", "vision.projection", "language.0.attn_out"}
    assert "vision.projection        [n, 16, 24]" in "\n".join(lines)
    assert "language.1.mlp_out       [n, t, 24]" in "\n".join(lines)
