"""Whole runs over captions as people leave them: empty, endless, in any script, or missing."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from run_commands import assert_one_line, command, done

from pipeline import config
from pipeline.bundle.verify import faults
from pipeline.contract.tables import (
    ACTIVATIONS,
    CAPTION_TOKENS,
    CAPTIONS,
    DICTIONARIES,
    EXAMPLES,
    FEATURES,
    MODALITY,
    OVERLAP,
    RECONSTRUCTION,
    SKIPPED,
    TOP_CAPTIONS,
    Table,
)
from pipeline.demo import CLIP_FOLDER, LLAVA_FOLDER
from pipeline.inputs.listing import listing
from pipeline.inputs.readers import reader
from pipeline.run import plan

ODD = {
    3: ["a small red solid circle on grass " * 300],
    4: ["", "   "],
    5: ["红色的圆形", "دائرة حمراء", "красный круг"],
    6: ["👩‍👩‍👧‍👦🏳️‍🌈" * 3],
    7: ["<image> <s> a red </s> star <unk>"],
    8: ['two\nlines,\tand "quotes" and \'); DROP TABLE captions; --'],
    9: [f"a large {colour} star on sand" for colour in ("red", "blue", "green", "white", "pink")],
    10: ["<script>alert(1)</script>"],
    11: ["a\u0000b \u202e turned \ufeff"],
}
"""Image -> its captions; images 0 to 2 are not in the file at all."""
PICTURES, VAL = 24, 16
CONFIG = """
name = "odd"
[examples]
shard_size = 5
training_tokens = 8
[examples.source]
kind = "folder"
path = "{pictures}"
captions = "{captions}"
[captions]
per_image = 3
longest = 40
[models.clip]
id = "{clip}"
hooks = ["vision.2.resid_post", "vision.projection"]
[models.llava]
id = "{llava}"
prompt = "USER: <image>\\nDescribe the image. ASSISTANT: {{caption}}"
hooks = ["language.1.resid_post"]
[encoders.judge]
id = "{encoder}"
[dictionaries.joint]
kind = "batchtopk"
models = ["clip"]
hooks = ["vision.projection"]
learns = ["all", "captions"]
k = 4
training = {{ samples = 2000, batch = 64 }}
[dictionaries.seen]
kind = "batchtopk"
models = ["clip"]
hooks = ["vision.2.resid_post"]
k = 4
training = {{ samples = 2000, batch = 64 }}
[dictionaries.words]
kind = "batchtopk"
models = ["llava"]
learns = ["captions"]
k = 4
training = {{ samples = 2000, batch = 64 }}
[dictionaries.told]
kind = "batchtopk"
models = ["llava"]
tokens = "text"
k = 4
training = {{ samples = 2000, batch = 64 }}
[dictionaries.neurons]
kind = "neurons"
[machine]
device = "cpu"
batch_size = {batch}
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A folder with `run`, and `odd.toml`, which made it."""
    folder = tmp_path_factory.mktemp("odd")
    for number in range(PICTURES):
        file = folder / "pictures" / place(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        tiny.picture(number).save(file)
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for number in range(3, PICTURES):
            for text in ODD.get(number, [f"a small blue dotted ring on brick {number}"]):
                rows.writerow([place(number), text])
    write(folder, tiny_encoder, batch=4)
    done("run", folder / "odd.toml", "--out", folder / "run")
    return folder


def place(number: int) -> str:
    """The path of a picture; the odd ones are in val."""
    return f"{'val' if number < VAL else 'train'}/{number:02}.png"


def write(folder: Path, encoder: Path, *, batch: int, name: str = "odd") -> Path:
    file = folder / f"{name}.toml"
    settings = CONFIG.format(
        pictures=folder / "pictures", captions=folder / "captions.csv", clip=CLIP_FOLDER,
        llava=LLAVA_FOLDER, encoder=encoder, batch=batch,
    )  # fmt: skip
    file.write_text(settings, encoding="utf-8")
    return file


def read(folder: Path, table: Table) -> pa.Table:
    return pq.read_table(folder / "run" / "bundle" / table.file)


def said(number: int) -> list[str]:
    texts = ODD.get(number, [f"a small blue dotted ring on brick {number}"] if number > 2 else [])
    return [text.strip() for text in texts if text.strip()]


def test_nothing_is_fatal_and_the_bundle_is_sound(odd: Path) -> None:
    assert list(faults(odd / "run")) == []
    assert len(read(odd, SKIPPED)) == 0


def test_captions_are_those_of_the_file(odd: Path) -> None:
    examples = read(odd, EXAMPLES).filter(pa.compute.field("split") == "val")
    number = {row["example_id"]: int(row["uri"][-6:-4]) for row in examples.to_pylist()}
    assert sorted(number.values()) == list(range(VAL))
    found: dict[int, list[str]] = {each: [] for each in number.values()}
    rows = sorted(read(odd, CAPTIONS).to_pylist(), key=lambda row: row["number"])
    for row in rows:
        found[number[row["example_id"]]].append(row["text"])
    assert found == {each: said(each)[:3] for each in number.values()}


def test_tokens_are_pieces_of_the_text(odd: Path) -> None:
    texts = {row["caption_id"]: row["text"] for row in read(odd, CAPTIONS).to_pylist()}
    tokens = read(odd, CAPTION_TOKENS).to_pylist()
    assert {row["model"] for row in tokens} == {"clip", "llava"}
    assert len(tokens) == 2 * len(texts)
    for row in tokens:
        assert len(row["tokens"]) <= 40
        text, seen = texts[row["caption_id"]], "".join(row["tokens"])
        if "<s>" in text:
            # Each tokenizer has its own: `<image>` is the LLaVA's alone.
            words = ["a", "red", "star"]
            assert seen.split() == (["<image>", *words] if row["model"] == "clip" else words)
        elif row["cut"]:
            # The CLIP reads 32 tokens at most, two of which are its own; of the LLaVA one is.
            assert text.startswith(seen)
            assert len(row["tokens"]) == {"clip": 30, "llava": 39}[row["model"]]
            assert row["cut"] == len(text) - len(seen)
        elif seen:
            assert seen == text
    assert sum(row["cut"] > 0 for row in tokens) >= 2


def test_densities_are_of_the_images_that_have_captions(odd: Path) -> None:
    captions, compared = read(odd, CAPTIONS), read(odd, MODALITY).to_pylist()
    images = len(set(captions["example_id"].to_pylist()))
    val = read(odd, EXAMPLES)["split"].to_pylist().count("val")
    assert images < val
    assert {row["dictionary_id"] for row in compared} == {
        "clip/vision.projection/joint",
        "llava/language.1.resid_post/words",
    }, "words reach neither a vision layer nor, as features, neurons"
    for row in compared:
        assert row["image_density"] == pytest.approx(row["image_active"] / val)
        assert row["text_density"] == pytest.approx(row["text_active"] / images)
        total = row["image_mean"] + row["text_mean"]
        expected = row["image_mean"] / total if total else None
        assert row["modality_score"] == (
            None if expected is None else pytest.approx(expected, abs=1e-6)
        )
    assert any(row["text_active"] for row in compared)


def test_what_reads_words_beside_the_image_is_not_compared(odd: Path) -> None:
    """Its activation on an image is also the caption's, which the prompt holds."""
    for table in (MODALITY, OVERLAP):
        names = {row["dictionary_id"] for row in read(odd, table).to_pylist()}
        assert "llava/language.1.resid_post/told" not in names
    top = read(odd, TOP_CAPTIONS)["dictionary_id"].to_pylist()
    assert "llava/language.1.resid_post/told" in top


def test_the_overlap_is_of_images(odd: Path) -> None:
    """Of the 16 images that activate a feature most and the 16 whose captions do."""
    acts = read(odd, ACTIVATIONS).to_pylist()
    best: dict[tuple[str, str, int], list[tuple[float, int]]] = {}
    for row in acts:
        key = (row["dictionary_id"], row["modality"], row["feature_id"])
        best.setdefault(key, []).append((-row["activation"], row["example_id"]))
    some = 0
    for row in read(odd, MODALITY).to_pylist():
        one, two = (
            {
                image
                for _, image in sorted(best.get((row["dictionary_id"], m, row["feature_id"]), []))[
                    :16
                ]
            }
            for m in ("image", "text")
        )
        expected = len(one & two) / len(one | two) if one | two else None
        assert row["top_overlap"] == (expected if expected is None else pytest.approx(expected))
        some += expected is not None
    assert some


def test_lists_carry_the_scores(odd: Path) -> None:
    compared = {
        (row["dictionary_id"], row["feature_id"]): row for row in read(odd, MODALITY).to_pylist()
    }
    for row in read(odd, FEATURES).to_pylist():
        other = compared.get((row["dictionary_id"], row["feature_id"]))
        assert row["modality_score"] == (other and other["modality_score"])
        assert row["pair_correlation"] == (other and other["correlation"])


def test_what_an_sae_learnt_from_is_kept(odd: Path) -> None:
    rows = read(odd, DICTIONARIES).to_pylist()
    learnt = {row["name"]: row["learnt_from"] for row in rows}
    assert learnt == {
        "joint": "all + captions", "seen": "patches", "words": "captions", "told": "text",
        "neurons": None,
    }  # fmt: skip


def test_reconstruction_tells_the_three_ways_to_read_a_caption(odd: Path) -> None:
    rows = read(odd, RECONSTRUCTION).to_pylist()
    kinds = {(row["dictionary_id"].split("/")[-1], row["token_type"]): row for row in rows}
    assert {kind for name, kind in kinds if name == "words"} == {
        *("patch", "text", "caption", "caption_alone")
    }
    assert {kind for name, kind in kinds if name == "joint"} == {"image", "caption_alone"}
    captions = len(read(odd, CAPTIONS))
    assert kinds["joint", "caption_alone"]["tokens"] <= captions
    tokens = [
        len(row["tokens"])
        for row in read(odd, CAPTION_TOKENS).to_pylist()
        if row["model"] == "llava"
    ]
    assert kinds["words", "caption_alone"]["tokens"] == sum(tokens)


def test_the_batch_size_does_not_matter(odd: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    # Padding to the longest of a batch changes sums in the last digits, and no more.
    other = write(odd, tiny_encoder, batch=7, name="other")
    done("run", other, "--out", tmp_path / "run")
    for table in (CAPTIONS, CAPTION_TOKENS):
        assert read(tmp_path, table).equals(read(odd, table))
    mine, its = read(odd, MODALITY), read(tmp_path, MODALITY)
    for name in ("image_mean", "text_mean", "bridge"):
        np.testing.assert_allclose(
            its[name].to_numpy(), mine[name].to_numpy(), rtol=1e-4, atol=1e-5
        )


def keys(file: Path, **changed: int) -> dict[str, set[str]]:
    """The keys of each step's units under another `[captions]`."""
    run = config.load(file)
    captions = run.captions.model_copy(update=changed)
    run = run.model_copy(update={"captions": captions})
    found = listing(run.examples, source=reader(run.examples.source))
    return {
        name: {unit.key for unit in step.units} for name, step in plan.plans(run, found).items()
    }


def test_what_is_asked_of_captions_is_made_again_and_nothing_else(odd: Path) -> None:
    file = odd / "odd.toml"
    before = keys(file)
    of_seed = keys(file, seed=5)
    assert {name for name in before if before[name] != of_seed[name]} == {"modality", "publish"}
    assert keys(file, longest=39)["train"].isdisjoint(before["train"]), "SAEs learn from captions"
    demo = Path(__file__).parents[1] / "pipeline/configs/demo-patches.toml"
    one, other = keys(demo), keys(demo, longest=39)
    assert one["train"] == other["train"], "none of these SAEs, and no prompt, reads a caption"
    assert one["encode"].isdisjoint(other["encode"])


def test_none_are_read_where_the_config_says_so(
    odd: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    file = write(odd, tiny_encoder, batch=4, name="none")
    text = file.read_text().replace("per_image = 3", "per_image = 0")
    text = text.replace('learns = ["captions"]', 'learns = ["text"]')
    file.write_text(text.replace('learns = ["all", "captions"]', 'learns = ["all"]'))
    done("run", file, "--out", tmp_path / "run")
    assert list(faults(tmp_path / "run")) == []
    for table in (CAPTIONS, CAPTION_TOKENS, MODALITY, OVERLAP):
        assert len(read(tmp_path, table)) == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            'models = ["llava"]\nlearns = ["captions"]', 'models = ["llava"]\nlearns = ["cls"]',
            ("dictionaries.words.learns", "'cls'", "language.1"),
        ),
        (
            'hooks = ["vision.2.resid_post"]\nk = 4', 'hooks = ["vision.2.resid_post"]\nk = 4\n'
            'learns = ["patches", "captions"]',
            ("dictionaries.seen.learns", "'captions'", "vision.2.resid_post"),
        ),
        ('learns = ["captions"]', "learns = []", ("dictionaries.words", "learns")),
        (
            'learns = ["captions"]', 'learns = ["captions", "captions"]',
            ("dictionaries.words", "learns", "twice"),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_refused_in_one_line(
    odd: Path, tiny_encoder: Path, tmp_path: Path, old: str, new: str, told: tuple[str, ...]
) -> None:
    file = write(odd, tiny_encoder, batch=4, name="refused")
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    result = command("run", file, "--out", tmp_path / "run")
    assert result.exit_code != 0
    assert_one_line(result, *told)
