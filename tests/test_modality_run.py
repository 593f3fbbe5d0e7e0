"""What a run says of pictures and words, against transformers: the demo's models read a few scenes
once more, pictures without any caption and captions without a picture."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from PIL import Image
from run_commands import done
from safetensors.torch import load_file
from scipy import sparse
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    CLIPModel,
    LlavaForConditionalGeneration,
)

from pipeline.bundle import opening
from pipeline.bundle.verify import faults
from pipeline.contract.tables import (
    ACTIVATIONS,
    MODALITY,
    RECONSTRUCTION,
    TOP_CAPTIONS,
    TOP_K,
    Table,
)
from pipeline.demo import CLIP_FOLDER, LLAVA_FOLDER
from pipeline.demo.scenes import render, sample
from pipeline.steps.modality import _largest

CONFIG = """
name = "both"
[examples]
shard_size = 20
training_tokens = 32
[examples.source]
kind = "scenes"
count = 90
seed = 6
[models.llava]
id = "{llava}"
prompt = "USER: <image>\\nDescribe the image. ASSISTANT: {{caption}}"
hooks = ["language.1.resid_post"]
[models.clip]
id = "{clip}"
hooks = ["vision.projection"]
[encoders.judge]
id = "{encoder}"
[dictionaries.joint]
kind = "batchtopk"
learns = ["all", "captions"]
k = 8
training = {{ samples = 20_000, batch = 256, lr = 1e-3 }}
[dictionaries.neurons]
kind = "neurons"
[machine]
device = "cpu"
batch_size = 16
"""
PROMPT = "USER: <image>\nDescribe the image. ASSISTANT:"
PLACES = {"llava": "llava/language.1.resid_post/joint", "clip": "clip/vision.projection/joint"}
NEAR = 1e-3
"""Activations so near to the threshold may fall on either side of it."""


@dataclass
class Read:
    """What transformers and the SAE's formula make of the val scenes, in the bundle's order.

    Attributes:
        images, texts: of each scene the vectors of its image tokens and of its caption's, [t, d].
    """

    bundle: opening.Bundle
    place: str
    images: list[Tensor] = field(default_factory=list)
    texts: list[Tensor] = field(default_factory=list)

    @cached_property
    def sae(self) -> dict[str, Tensor]:
        found = load_file(self.bundle.sae(self.place) / "sae_weights.safetensors")
        return {name: tensor.double() for name, tensor in found.items()}

    def before(self, x: Tensor) -> Tensor:
        return (x.double() - self.sae["b_dec"]) @ self.sae["W_enc"] + self.sae["b_enc"]

    def threshold(self, x: Tensor) -> float:
        """That of captions alone, or of images, as the SAE's config states them."""
        config = json.loads((self.bundle.sae(self.place) / "cfg.json").read_text())
        spoken = any(torch.equal(x[:1].float(), one[:1]) for one in self.texts)
        return config["metadata"]["thresholds"]["caption_alone" if spoken else "image"]

    def codes(self, x: Tensor) -> Tensor:
        before = self.before(x)
        return torch.where(before > self.threshold(x), before, 0)

    def unsure(self, x: Tensor) -> Tensor:
        return (self.before(x) - self.threshold(x)).abs() < NEAR

    def rows(self, table: Table) -> pa.Table:
        rows = pq.read_table(self.bundle.table(table.name))
        return rows.filter(pa.compute.equal(rows["dictionary_id"], self.place))

    def stored(self, modality: str) -> np.ndarray:
        """The table `activations`, [n, s]."""
        found = np.zeros((len(self.images), len(self.sae["b_enc"])))
        for row in self.rows(ACTIVATIONS).to_pylist():
            if row["modality"] == modality:
                found[self.ids.index(row["example_id"]), row["feature_id"]] = row["activation"]
        return found

    @cached_property
    def ids(self) -> list[int]:
        return [row["example_id"] for row in self.scenes]

    @cached_property
    def scenes(self) -> list[dict]:
        rows = pq.read_table(self.bundle.table("examples")).to_pylist()
        return [row for row in rows if row["split"] == "val"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    folder = tmp_path_factory.mktemp("both")
    settings = CONFIG.format(llava=LLAVA_FOLDER, clip=CLIP_FOLDER, encoder=tiny_encoder)
    (folder / "both.toml").write_text(settings, encoding="utf-8")
    done("run", folder / "both.toml", "--out", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def found(run: Path) -> Iterator[dict[str, Read]]:
    reads = {name: Read(opening.open_bundle(run), place) for name, place in PLACES.items()}
    with torch.inference_mode():
        read_llava(reads["llava"])
        read_clip(reads["clip"])
        yield reads


def picture(row: dict) -> Image.Image:
    """The scene, drawn again from its number."""
    seed, index = map(int, row["uri"].split("/")[1:])
    return Image.fromarray(render(sample(index, seed=seed)))


def read_llava(read: Read) -> None:
    model = LlavaForConditionalGeneration.from_pretrained(LLAVA_FOLDER, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(LLAVA_FOLDER)
    tokenizer = processor.tokenizer
    for row in read.scenes:
        inputs = processor(images=picture(row), text=PROMPT, return_tensors="pt")
        states = model(**inputs, output_hidden_states=True).hidden_states[2][0]
        read.images.append(states[inputs["input_ids"][0] == model.config.image_token_id])
        (text,) = row["captions"]
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        assert ids[0, 0] == tokenizer.bos_token_id and ids.shape[1] == len(text.split()) + 1
        said = model.model.language_model(input_ids=ids, output_hidden_states=True)
        read.texts.append(said.hidden_states[2][0, 1:])


def read_clip(read: Read) -> None:
    model = CLIPModel.from_pretrained(CLIP_FOLDER, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(CLIP_FOLDER)
    tokenizer = AutoTokenizer.from_pretrained(CLIP_FOLDER)
    for row in read.scenes:
        seen = model.vision_model(**processor(images=picture(row), return_tensors="pt"))
        read.images.append(model.visual_projection(seen.pooler_output))
        said = model.text_model(**tokenizer(row["captions"][0], return_tensors="pt"))
        read.texts.append(model.text_projection(said.pooler_output))


def assert_pooled(read: Read, got: np.ndarray, vectors: list[Tensor]) -> None:
    """What is stored is the strongest token's activation, up to what lies at the threshold."""
    for row, x in enumerate(vectors):
        sure = ~read.unsure(x).any(0).numpy()
        wanted = read.codes(x).amax(0).numpy()
        np.testing.assert_allclose(got[row, sure], wanted[sure], rtol=1e-3, atol=1e-3)
        assert sure.mean() > 0.97


def test_the_bundle_is_sound(run: Path) -> None:
    assert list(faults(run)) == []


@pytest.mark.parametrize("name", PLACES)
def test_activations_on_pictures_and_on_words(name: str, found: dict[str, Read]) -> None:
    """Of pictures as a prompt without their caption gives them: none of it leaks into them."""
    read = found[name]
    image, text = read.stored("image"), read.stored("text")
    assert_pooled(read, image, read.images)
    assert_pooled(read, text, read.texts)
    assert (image > 0).any(0).sum() > 20 and (text > 0).any(0).sum() > 20


@pytest.mark.parametrize("name", PLACES)
def test_top_captions_and_where_in_them(name: str, found: dict[str, Read]) -> None:
    read = found[name]
    captions = pq.read_table(read.bundle.table("captions")).to_pylist()
    place = {row["caption_id"]: read.ids.index(row["example_id"]) for row in captions}
    tokens = pq.read_table(read.bundle.table("caption_tokens")).to_pylist()
    pieces = {row["caption_id"]: row["tokens"] for row in tokens if row["model"] == name}
    for row in captions:
        assert (
            "".join(pieces[row["caption_id"]])
            == read.scenes[place[row["caption_id"]]]["captions"][0]
        )
    by_feature: dict[int, list[dict]] = {}
    for row in read.rows(TOP_CAPTIONS).to_pylist():
        by_feature.setdefault(row["feature_id"], []).append(row)
    text = read.stored("text")
    assert set(by_feature) == set(np.flatnonzero(text.any(0)))
    for feature, rows in by_feature.items():
        wanted = sorted(text[text[:, feature] > 0, feature])[::-1][:TOP_K]
        assert [row["rank"] for row in rows] == list(range(1, len(wanted) + 1))
        np.testing.assert_allclose([row["activation"] for row in rows], wanted, rtol=1e-6)
        for row in rows[:4]:
            x = read.texts[place[row["caption_id"]]]
            codes = read.codes(x)[:, feature]
            if name == "clip":
                assert row["token"] is None and row["tokens"] == row["token_acts"] == []
                assert row["activation"] == pytest.approx(codes.item(), rel=1e-3, abs=1e-3)
            elif not read.unsure(x)[:, feature].any():
                assert row["tokens"] == codes.nonzero()[:, 0].tolist()
                np.testing.assert_allclose(row["token_acts"], codes[codes > 0], rtol=1e-3)
                assert codes[row["token"]] == pytest.approx(row["activation"], rel=1e-3)
                assert len(pieces[row["caption_id"]]) == len(codes)


@pytest.mark.parametrize("name", PLACES)
def test_what_is_said_of_a_feature(name: str, found: dict[str, Read]) -> None:
    """Densities, means, modality score and correlation over the pairs, as numpy has them."""
    read = found[name]
    rows = read.rows(MODALITY).to_pylist()
    image, text = read.stored("image"), read.stored("text")
    means = [read.codes(torch.cat(vectors)).mean(0) for vectors in (read.images, read.texts)]
    correlated = 0
    for s, row in enumerate(rows):
        assert row["feature_id"] == s
        assert row["image_density"] == pytest.approx((image[:, s] > 0).mean())
        assert row["text_density"] == pytest.approx((text[:, s] > 0).mean())
        for side, mean in zip(("image", "text"), means, strict=True):
            assert row[f"{side}_mean"] == pytest.approx(mean[s].item(), rel=0.01, abs=0.01)
        total = row["image_mean"] + row["text_mean"]
        share = row["image_mean"] / total if total else None
        assert row["modality_score"] == (None if share is None else pytest.approx(share, abs=1e-4))
        assert row["bridge"] == pytest.approx((image[:, s] * text[:, s]).mean(), rel=1e-4)
        if row["correlation"] is not None:
            wanted = np.corrcoef(image[:, s], text[:, s])[0, 1]
            assert row["correlation"] == pytest.approx(wanted, abs=1e-5)
            correlated += row["correlation"] > 0.5
    assert correlated >= 3, "some features mean the same in both"
    shuffled = [row["correlation_shuffled"] for row in rows if row["correlation_shuffled"]]
    assert abs(np.mean(shuffled)) < 0.1


@pytest.mark.parametrize("name", PLACES)
def test_reconstruction_of_captions_alone(name: str, found: dict[str, Read]) -> None:
    read = found[name]
    kinds = {row["token_type"]: row for row in read.rows(RECONSTRUCTION).to_pylist()}
    seen = kinds["patch" if name == "llava" else "image"]
    for row, vectors in ((kinds["caption_alone"], read.texts), (seen, read.images)):
        x = torch.cat(vectors).double()
        codes = read.codes(x)
        error = (x - codes @ read.sae["W_dec"] - read.sae["b_dec"]).square().sum()
        spread = (x - x.mean(0)).square().sum()
        assert row["tokens"] == len(x)
        assert row["mse"] == pytest.approx((error / len(x)).item(), rel=5e-3)
        assert row["fvu"] == pytest.approx((error / spread).item(), rel=5e-3)
        assert row["l0"] == pytest.approx((codes > 0).double().sum(1).mean().item(), rel=5e-3)


def test_of_several_captions_the_largest_counts() -> None:
    acts = sparse.csr_matrix([[1.0, 0, 2], [3, 0, 0], [2, 0, 5], [0, 4, 0]])
    made = _largest(acts, np.array([2, 0, 2, 2]), rows=3)  # image 1 has none
    assert made.toarray().tolist() == [[3, 0, 0], [0, 0, 0], [2, 4, 5]]


def test_the_tables_of_the_findings_are_printed(run: Path) -> None:
    command = [sys.executable, "bench/modalities.py", str(run)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for place in PLACES.values():
        assert told.count(f"| {place.split('/', 1)[1].replace('/', ' / ')} |") == 6
    assert "| language.1.resid_post / neurons |" in told and "nan" not in told
