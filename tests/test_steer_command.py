"""`python -m pipeline steer` on a small run: what it says is what the core says, and what cannot be
is one line."""

import json
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import Result
from conftest import ROOT
from PIL import Image
from typer.testing import CliRunner

from pipeline import config, models
from pipeline.__main__ import app
from pipeline.bundle import opening
from pipeline.demo import CLIP_FOLDER, LLAVA_FOLDER
from pipeline.demo.scenes import render, sample
from pipeline.inputs.pictures import blank
from pipeline.interventions import FeatureEdit, Way, add_direction, answers, delta, replace
from pipeline.metrics.wording import new_words, words_changed
from pipeline.saes.sae import SAE

CONFIG = """
name = "talk"
[examples]
shard_size = 30
training_tokens = 32
[examples.source]
kind = "scenes"
count = 60
seed = 6
[captions]
per_image = 0
[relations]
maps = false
[models.llava]
id = "{llava}"
hooks = ["vision.2.resid_post", "language.1.resid_post"]
[models.clip]
id = "{clip}"
hooks = ["vision.projection"]
[encoders.judge]
id = "{encoder}"
[encoders.words]
id = "{clip}"
judges = false
[dictionaries.sight]
kind = "batchtopk"
models = ["llava"]
k = 8
training = {{ samples = 4_000, batch = 256 }}
[dictionaries.joint]
kind = "batchtopk"
models = ["clip"]
k = 4
training = {{ samples = 1_000, batch = 128 }}
[dictionaries.neurons]
kind = "neurons"
models = ["llava"]
hooks = ["language.1.resid_post"]
[machine]
device = "cpu"
batch_size = 16
"""
SIGHT, PLACE = "vision.2.resid_post/sight", "vision.2.resid_post"
PROMPT = "Describe the image."


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The config of a run that is made, beside its folder `run`."""
    folder = tmp_path_factory.mktemp("talk")
    made = folder / "talk.toml"
    made.write_text(
        CONFIG.format(llava=LLAVA_FOLDER, clip=CLIP_FOLDER, encoder=tiny_encoder), encoding="utf-8"
    )
    result = CliRunner().invoke(app, ["run", str(made), "--out", str(folder / "run")])
    assert result.exit_code == 0, result.output
    return made


@pytest.fixture(scope="module")
def adapter(file: Path) -> models.Adapter:
    return models.load(config.load(file).models["llava"], device="cpu")


def steer(file: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["steer", str(file), "--out", str(file.parent / "run"), *words])


def records(file: Path, *words: str) -> list[dict[str, Any]]:
    result = steer(file, *words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(
        result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
    )
    assert found["skipped"] == {}
    return found["records"]


def bundle(file: Path) -> opening.Bundle:
    return opening.open_bundle(file.parent / "run")


def live(file: Path, count: int = 1) -> list[tuple[int, float]]:
    """The features of the SAE that fire strongest, with their largest activations."""
    rows = pq.read_table(
        bundle(file).table("features"), filters=[("dictionary_id", "=", f"llava/{SIGHT}")]
    ).to_pylist()
    return [
        (row["feature_id"], row["max"])
        for row in sorted(rows, key=lambda row: -(row["max"] or 0))[:count]
    ]


def texts(record: dict[str, Any]) -> dict[str, str]:
    return {name: answer["text"] for name, answer in record["answers"].items()}


def test_the_command_says_what_the_core_says(file: Path, adapter: models.Adapter) -> None:
    (one, first), (two, _) = live(file, 2)
    uris = ["scene/6/3", "blank"]
    said = records(
        file, *("--feature", f"{SIGHT}:{one}=-9x"), *("--feature", f"{SIGHT}:{two}=90.5"),
        *("--scope", "image"), *("--concept", "a star"),
        *(word for uri in uris for word in ("--image", uri)),
    )  # fmt: skip
    sae = SAE.load(bundle(file).sae(f"llava/{SIGHT}"))
    edits = [FeatureEdit(one, "clamp", -9 * first), FeatureEdit(two, "clamp", 90.5)]
    pictures = [Image.fromarray(render(sample(3, seed=6))), blank()]
    for record, uri, picture in zip(said, uris, pictures, strict=True):
        ways = {
            "unsteered": Way(PROMPT),
            "reconstruction": Way(PROMPT, {PLACE: [replace(sae, [])]}, "image"),
            "steered": Way(PROMPT, {PLACE: [delta(sae, edits)]}, "image"),
            "steered, as the unsteered model finds it": Way(PROMPT, follows=2),
            "prompted": Way(f"{PROMPT} Say that there is a star in it."),
        }
        wanted = answers(adapter, [picture] * 5, list(ways.values()))
        assert list(texts(record).items()) == [
            (name, answer.text) for name, answer in zip(ways, wanted, strict=True)
        ]
        for found, answer in zip(record["answers"].values(), wanted, strict=True):
            assert found["perplexity"] == pytest.approx(answer.perplexity, rel=1e-3)
        assert record["image"]["uri"] == uri
        assert [turned["strength"] for turned in record["setting"]["features"]] == [
            pytest.approx(-9 * first),
            90.5,
        ]
        assert list(record["dictionaries"]) == [f"llava/{SIGHT}"]
        assert record["model"]["id"] == str(LLAVA_FOLDER)
    assert texts(said[0])["unsteered"] != texts(said[1])["unsteered"]
    assert any(texts(record)["steered"] != texts(record)["unsteered"] for record in said)
    shown = pq.read_table(bundle(file).table("examples"), filters=[("uri", "=", uris[0])])
    assert said[0]["image"]["sha256"] == shown["sha256"][0].as_py()
    number = str(shown["example_id"][0].as_py())
    (again,) = records(file, "--feature", f"{SIGHT}:{one}=-2x", "--image", number)
    assert again["image"] == said[0]["image"]


def test_a_direction_from_a_file(file: Path, adapter: models.Adapter, tmp_path: Path) -> None:
    hook, saved = "language.1.resid_post", tmp_path / "probe.npy"
    vector = np.cos(np.arange(adapter.resolve(hook).d_in)).astype(np.float32)
    np.save(saved, 3 * vector)
    words = ("--image", "scene/6/3", "--model", "llava", "--scope", "all")
    (record,) = records(file, "--direction", f"{hook}:add:{saved}=40", *words)
    unit = torch.from_numpy(vector / np.linalg.norm(vector))
    way = Way(PROMPT, {hook: [add_direction(unit, 40.0)]})
    (wanted,) = answers(adapter, [Image.fromarray(render(sample(3, seed=6)))], [way])
    assert texts(record)["steered"] == wanted.text
    assert list(record["answers"]) == [
        "unsteered",
        "steered",
        "steered, as the unsteered model finds it",
    ]
    assert (
        steer(file, "--direction", f"{hook}:move:{saved}:{saved}=1", "--model", "llava").exit_code
        == 0
    )
    plain = steer(file, "--direction", f"{hook}:project_out:{saved}", "--model", "llava")
    assert plain.exit_code == 0
    assert f"{hook}:project_out:{saved}" in plain.stdout
    flat = steer(
        file, "--direction", f"{hook}:project_out:{saved}", "--model", "llava", "--sweep", "0:4x:3"
    )
    assert flat.exit_code == 2
    assert "error: sweep: nothing to vary" in flat.stderr
    alone = ("--direction", f"{hook}:add:{saved}=40", *words, "--longest", "2", "--sweep")
    for sweep in ("0:2x:3", "0:80:3"):
        swept = records(file, *alone, sweep)
        assert [one["setting"]["directions"][0]["strength"] for one in swept] == [0, 40, 80]
    (feature, largest), *_ = live(file)
    both = (*alone[:-1], "--feature", f"{SIGHT}:{feature}=1", "--sweep", "0:4x:3")
    swept = records(file, *both[:-4], "--scope", "image", *both[-4:])
    assert [
        (one["setting"]["features"][0]["strength"], one["setting"]["directions"][0]["strength"])
        for one in swept
    ] == [(pytest.approx(share * 4 * largest), 40 * share) for share in (0, 0.5, 1)]


def test_a_sweep_is_each_strength_alone(file: Path) -> None:
    (feature, largest), *_ = live(file)
    words = ("--image", "scene/6/3", "--feature")
    swept = records(file, *words, f"{SIGHT}:{feature}=1", "--sweep", "0:4x:3")
    assert [one["setting"]["features"][0]["strength"] for one in swept] == pytest.approx(
        [0, 2 * largest, 4 * largest]
    )
    for record in swept:
        at = record["setting"]["features"][0]["strength"]
        (alone,) = records(file, *words, f"{SIGHT}:{feature}={at}")
        assert texts(record).items() <= texts(alone).items()
        for name, answer in record["answers"].items():
            assert answer["perplexity"] == pytest.approx(
                alone["answers"][name]["perplexity"], rel=1e-3
            )
    table = steer(file, *words, f"{SIGHT}:{feature}=1", "--sweep", "0:4x:3").stdout.splitlines()
    columns = ["strength", "text", "perplexity", "words", "changed", "shows", str(feature)]
    assert table[1].split() == columns
    assert [line.split()[0] for line in table[2:]] == ["0x", "2x", "4x"]
    for line, record in zip(table[2:], swept, strict=True):
        assert texts(record)["steered"].split() == [word.strip("*") for word in line.split()[1:-5]]
        (cosine,) = record["shows"]["cosines"].values()
        assert float(line.split()[-1]) == pytest.approx(cosine, abs=6e-4)
        assert list(record["shows"]["cosines"]) == [f"llava/{SIGHT}:{feature}"]
        assert record["shows"]["encoder"] == "words"


def test_many_pictures_are_asked_about_in_parts(file: Path) -> None:
    (feature, _), *_ = live(file)
    words = [word for n in range(9) for word in ("--image", f"scene/6/{n}")]
    said = records(file, *words, "--feature", f"{SIGHT}:{feature}=3x")
    assert [one["image"]["uri"] for one in said] == [f"scene/6/{n}" for n in range(9)]
    (alone,) = records(file, "--image", "scene/6/8", "--feature", f"{SIGHT}:{feature}=3x")
    assert texts(alone) == texts(said[8])


def test_a_bad_picture_is_named_and_the_rest_goes_on(file: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    render_to = tmp_path / "good.png"
    Image.fromarray(render(sample(3, seed=6))).save(render_to)
    pictures = (tmp_path / "broken.png", "gone.png", render_to)
    words = [word for name in pictures for word in ("--image", str(name))]
    result = steer(file, *words, "--feature", f"{SIGHT}:0=1", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found["skipped"]) == [str(tmp_path / "broken.png"), "gone.png"]
    assert "not an image" in found["skipped"][str(tmp_path / "broken.png")]
    assert [record["image"]["uri"] for record in found["records"]] == [str(render_to)]
    assert "skipped gone.png: no file" in result.stderr


def test_a_bundle_alone_is_enough_and_what_changes_nothing_is_told(file: Path) -> None:
    words = ["steer", str(file.parent / "run"), "--feature", f"{SIGHT}:0=1", "--mode", "scale"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert "blank: the edit changed nothing" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["blank", "way", "unsteered", "reconstruction", "steered"]
    assert rows[2][1:] == rows[4][1:]
    assert "*" not in " ".join(rows[4])
    assert (
        CliRunner()
        .invoke(
            app, ["steer", str(file.parent / "run"), "--feature", f"{SIGHT}:0", "--mode", "ablate"]
        )
        .exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--feature", "nope:1=2"], "'nope': there is none; there are clip/.*, llava/"),
        (["--feature", "sight:1=2"], "which of llava/language.1.resid_post/sight, llava/vision.2"),
        (["--feature", "neurons:1=2"], "holds neurons, no SAE; there are"),
        (["--feature", f"{SIGHT}:256=2"], "no feature 256: it has 256, 0 to 255"),
        (["--feature", f"{SIGHT}:1=much"], "strength 'much'; give a number, or 2x"),
        (["--feature", f"{SIGHT}:1=nan"], "strength 'nan'; give a number"),
        (["--feature", f"{SIGHT}:1"], "give DICTIONARY:FEATURE=STRENGTH"),
        (["--feature", f"{SIGHT}:one=1"], "give DICTIONARY:FEATURE=STRENGTH"),
        (
            ["--feature", f"{SIGHT}:1=1e7"],
            f"feature llava/{SIGHT}:1: strength 1e\\+07; give one from -1,000,000 to 1,000,000",
        ),
        (["--feature", f"{SIGHT}:1", "--mode", "ablate", "--sweep", "0:4x:3"], "nothing to vary"),
        (["--feature", f"{SIGHT}:1=2", "--feature", f"{SIGHT}:1=3"], "1 is edited twice"),
        (["--feature", f"{SIGHT}:1=2", "--scope", "generated"], "no tokens of .* as 'all'"),
        (["--feature", f"{SIGHT}:1=2", "--mode", "more"], "mode: .* 'clamp', 'add'"),
        (["--feature", f"{SIGHT}:1=2", "--sweep", "0:4x"], "give FROM:TO:STEPS"),
        (["--feature", f"{SIGHT}:1=2", "--sweep", "0:4x:1000"], "with 2 to 64 steps"),
        (["--feature", f"{SIGHT}:1=2", "--image", "gone.png"], "no picture is left"),
        (["--feature", f"{SIGHT}:1=2", "--model", "clip"], "models clip, llava: steer one"),
        (["--feature", "joint:1=2"], "says nothing; .* dashboard's page Steering"),
        (["--model", "clip", "--direction", "a:add:b=1"], "says nothing"),
        ([], "nothing to steer: give --feature or --direction"),
        (["--direction", "language.1.resid_post:turn:a.npy=1"], r"directions\.0\.kind: .*'add'"),
        (["--direction", "language.1.resid_post:move:a.npy=1"], "give HOOK:add:FILE"),
        (["--direction", "x:add:gone.npy=1", "--model", "llava"], "no hook point 'x'"),
        (["--direction", f"{PLACE}:add:gone.npy=1", "--model", "llava"], "gone.npy: not readable"),
        (["--direction", f"{PLACE}:add:gone.npy=1"], "models clip, llava: steer one"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_is_one_line(words: list[str], message: str, file: Path) -> None:
    result = steer(file, *words)
    assert result.exit_code == 2, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert re.search(message, line), line
    assert "Traceback" not in result.output


def test_the_encoder_that_steering_names_tells_what_shows(file: Path, tmp_path: Path) -> None:
    words = ["--feature", f"{SIGHT}:0=1", "--longest", "1", "--sweep", "0:1:2"]
    text = file.read_text(encoding="utf-8").replace(
        "[machine]", '[steering]\nencoder = "{}"\n[machine]'
    )
    for name, code in (("words", 0), ("judge", 2)):
        other = tmp_path / f"{name}.toml"
        other.write_text(text.replace("{}", name), encoding="utf-8")
        result = CliRunner().invoke(
            app, ["steer", str(other), "--out", str(file.parent / "run"), *words]
        )
        assert result.exit_code == code, result.output
    assert "error: steering.encoder = 'judge': embeds no words" in result.stderr


def test_without_a_bundle_it_says_what_makes_one(file: Path, tmp_path: Path) -> None:
    words = ["steer", str(file), "--out", str(tmp_path / "none"), "--feature", "sight:1=2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"make it with: python -m pipeline run {file}" in result.stderr


def for_this_run(text: str, file: Path) -> str:
    """An example of the documentation, with this run's files and features in it."""
    (feature, _), *_ = live(file)
    text = text.replace("demo-llava/language.0.resid_post/words", f"llava/{SIGHT}")
    text = text.replace("language.0.resid_post/words", SIGHT).replace("scene/2/", "scene/6/")
    text = text.replace("data/runs/demo-llava", str(file.parent / "run"))
    text = text.replace("pipeline/configs/demo-llava.toml", str(file.parent / "run"))
    return text.replace('models["demo-llava"]', 'models["llava"]').replace("292", str(feature))


@pytest.mark.parametrize("page", ["README.md", "docs/steering.md"])
def test_the_commands_of_the_documentation_run(page: str, file: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ {4}\S*python -m pipeline (steer .*)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(for_this_run(line, file)))
        assert result.exit_code == 0, f"{line}\n{result.output}"


def test_the_python_of_the_documentation_runs(file: Path, capsys: pytest.CaptureFixture) -> None:
    text = (ROOT / "docs/steering.md").read_text(encoding="utf-8")
    block = text.split("## From Python\n\n")[1].split("\n\n`answers`")[0]
    names: dict[str, Any] = {}
    exec(for_this_run(textwrap.dedent(block), file), names)
    assert "steered: " in capsys.readouterr().out
    assert set(names["record"]["answers"]) == set(names["ways"])


def test_words_that_stand_for_others_are_marked() -> None:
    marked = new_words("a small red star on brick", "a large red star on water there")
    assert [word for word, new in marked if new] == ["large", "water", "there"]
    assert new_words("", "") == []
    assert words_changed("a small red star on brick", "a large red star on water there") == 3
    assert words_changed("a red star", "a star") == 0, "what is gone stands nowhere"
    assert [new for _, new in new_words("one two", "two one")].count(True) == 1
