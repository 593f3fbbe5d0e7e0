"""Whole runs on a tiny random CLIP: the tables are true, the same after a kill, and resumable."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from PIL import Image
from run_commands import (
    COUNT,
    LAYER,
    ROOT,
    SCENES,
    assert_one_line,
    assert_same,
    command,
    done,
    rows,
    tables,
    toml,
)
from safetensors.torch import load_file
from transformers import AutoImageProcessor, CLIPModel

from pipeline import config
from pipeline.__main__ import worker_of
from pipeline.bundle import opening
from pipeline.bundle.verify import faults
from pipeline.contract.tables import HISTOGRAM_BINS, TABLES
from pipeline.demo import scenes
from pipeline.inputs import listing, readers
from pipeline.run import plan
from pipeline.run.workspace import Workspace

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(tiny_clip: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """write(NAME=VALUE...) -> the file of a config."""

    def made(**change: object) -> Path:
        file = tmp_path_factory.mktemp("config") / "tiny.toml"
        file.write_text(toml(**{"clip": tiny_clip, "encoder": tiny_encoder} | change))
        return file

    return made


@pytest.fixture(scope="module")
def whole(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder; read only."""
    home = tmp_path_factory.mktemp("whole")
    done("run", write(), "--out", home)
    return home


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A run of its own to change, finished."""
    return shutil.copytree(whole, tmp_path / "run", symlinks=True)


# --- The tables are true ---


def test_the_bundle_is_sound(whole: Path) -> None:
    assert list(faults(whole)) == []
    result = done("verify", whole)
    assert "sound" in result.stdout
    counts = {name: len(rows(whole, name)) for name in TABLES}
    assert counts["examples"] == COUNT
    assert counts["skipped"] == 0
    assert counts["dictionaries"] == 7
    # No encoder here embeds words, scenes have no class, and the tiny CLIP's files hold no
    # tokenizer, and nothing is steered: test_labels, test_captions_run and test_steering_score have
    # these.
    empty = {name for name, count in counts.items() if count == 0}
    read = {"caption_tokens", "top_captions", "modality", "overlap"}
    assert empty == {"skipped", "labels", "steering"} | read


@pytest.fixture(scope="module")
def truth(whole: Path, tiny_clip: Path) -> dict[str, Any]:
    """The val images' hidden states, from Hugging Face's own class and the renderer."""
    model = CLIPModel.from_pretrained(tiny_clip).eval()
    process = AutoImageProcessor.from_pretrained(tiny_clip)
    val = [row for row in rows(whole, "examples") if row["split"] == "val"]
    pictures = [
        Image.fromarray(scenes.render(scenes.sample(int(row["uri"].split("/")[2]), seed=5)))
        for row in val
    ]
    with torch.no_grad():
        pixels = process(images=pictures, return_tensors="pt")
        states = model.vision_model(**pixels, output_hidden_states=True)
        joint = model.visual_projection(states.pooler_output)
    return {
        "ids": np.array([row["example_id"] for row in val]),
        "1": states.hidden_states[2][:, 1:],
        "joint": joint[:, None],
    }


def codes_of(whole: Path, name: str, acts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [n, t, s] and reconstruction [n, t, d] by the formula, from the bundle's own SAE."""
    w = load_file(opening.open_bundle(whole).root / "saes" / name / "sae_weights.safetensors")
    before = (acts - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    codes = torch.where(before > w["threshold"].clamp_min(0), before, 0)
    return codes, codes @ w["W_dec"] + w["b_dec"]


CASES = {
    f"{LAYER}/batchtopk": ("1", "max"),
    f"{LAYER}/matryoshka": ("1", "mean"),
    f"{LAYER}/neurons": ("1", "max"),
    "clip/vision.projection/batchtopk": ("joint", "max"),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, whole: Path, truth: dict[str, Any]) -> dict[str, Any]:
    """One dictionary: its id, and what its activations should be."""
    of, pooling = CASES[request.param]
    acts, sae = truth[of], "neurons" not in request.param
    patches = codes_of(whole, request.param, acts)[0] if sae else acts
    pooled = patches.max(1).values if pooling == "max" else patches.mean(1)
    return {
        "id": request.param, "ids": truth["ids"], "patches": patches.numpy(),
        "pooled": pooled.numpy(), "grid": of == "1", "sae": sae,
    }  # fmt: skip


def test_features_are_what_the_formulas_give(whole: Path, case: dict[str, Any]) -> None:
    found = rows(whole, "features", dictionary_id=case["id"])
    pooled = case["pooled"]
    above = pooled > (0 if case["sae"] else pooled.min(0))
    n_active = above.sum(0)
    assert [row["feature_id"] for row in found] == list(range(pooled.shape[1]))
    assert [row["n_active"] for row in found] == n_active.tolist()
    assert 0 < n_active.sum() < above.size
    np.testing.assert_allclose([row["density"] for row in found], n_active / len(pooled), rtol=1e-6)
    np.testing.assert_allclose([row["max"] for row in found], pooled.max(0), rtol=1e-4, atol=1e-5)
    mean = (pooled * above).sum(0) / np.maximum(n_active, 1)
    np.testing.assert_allclose([row["mean"] for row in found], mean, rtol=1e-4, atol=1e-5)
    dictionary = rows(whole, "dictionaries", dictionary_id=case["id"])[0]
    assert dictionary["dead"] == (n_active == 0).sum()
    assert dictionary["n_examples"] == len(pooled)


def test_top_examples_are_the_strongest(whole: Path, case: dict[str, Any]) -> None:
    place = {example_id: at for at, example_id in enumerate(case["ids"].tolist())}
    by_feature: dict[int, list[dict[str, Any]]] = {}
    for row in rows(whole, "top_examples", dictionary_id=case["id"]):
        by_feature.setdefault(row["feature_id"], []).append(row)
    for feature in range(case["pooled"].shape[1]):
        pooled, top = case["pooled"][:, feature], by_feature.get(feature, [])
        most = (pooled > 0).sum() if case["sae"] else len(pooled)
        assert [row["rank"] for row in top] == list(range(1, min(16, most) + 1))
        found = [row["activation"] for row in top]
        np.testing.assert_allclose(found, np.sort(pooled)[::-1][: len(top)], rtol=1e-4, atol=1e-5)
        at = [place[row["example_id"]] for row in top]
        assert len(set(at)) == len(at)
        np.testing.assert_allclose(found, pooled[at], rtol=1e-4, atol=1e-5)
        for row, example in zip(top, at, strict=True):
            heat = np.zeros(case["patches"].shape[1])
            if not case["grid"]:
                assert (row["token"], row["patches"], row["patch_acts"]) == (None, [], [])
                continue
            heat[row["patches"]] = row["patch_acts"]
            wanted = case["patches"][example, :, feature]
            np.testing.assert_allclose(heat, wanted, rtol=1e-4, atol=1e-5)
            assert row["patches"] == sorted(row["patches"])
            assert wanted[row["token"]] == pytest.approx(wanted.max(), rel=1e-4, abs=1e-5)


def test_activations_are_all_there(whole: Path, case: dict[str, Any]) -> None:
    place = {example_id: at for at, example_id in enumerate(case["ids"].tolist())}
    table = np.zeros_like(case["pooled"])
    found = rows(whole, "activations", dictionary_id=case["id"])
    for row in found:
        assert row["activation"] != 0
        table[place[row["example_id"]], row["feature_id"]] = row["activation"]
    np.testing.assert_allclose(table, case["pooled"], rtol=1e-4, atol=1e-5)
    assert len(found) == (case["pooled"] != 0).sum()


def test_histograms_count_every_image_once(whole: Path, case: dict[str, Any]) -> None:
    pooled = case["pooled"]
    found = rows(whole, "histograms", dictionary_id=case["id"])
    live = np.flatnonzero((pooled > 0).any(0))
    assert [row["feature_id"] for row in found] == live.tolist()
    for row in found:
        of = pooled[:, row["feature_id"]]
        of = of[of > 0] if case["sae"] else of
        assert sum(row["counts"]) == len(of)
        edges = np.array(row["edges"], np.float64)
        assert len(edges) == len(row["counts"]) + 1 == HISTOGRAM_BINS + 1
        assert edges[0] == pytest.approx(0 if case["sae"] else of.min(), rel=1e-4, abs=1e-5)
        assert edges[-1] == pytest.approx(of.max(), rel=1e-4, abs=1e-5)
        # A value within rounding of an edge may lie on either side of it.
        below = np.cumsum(row["counts"])[:-1]
        slack = 1e-4 * (edges[-1] - edges[0])
        assert (below >= [(of < edge - slack).sum() for edge in edges[1:-1]]).all()
        assert (below <= [(of < edge + slack).sum() for edge in edges[1:-1]]).all()


def test_scores_are_the_pairwise_definition(whole: Path, case: dict[str, Any]) -> None:
    vectors = {
        row["example_id"]: np.array(row["vector"], np.float64)
        for row in rows(whole, "embeddings", encoder="judge")
    }
    e = np.stack([vectors[example_id] for example_id in case["ids"].tolist()])
    np.testing.assert_allclose(np.linalg.norm(e, axis=1), 1, atol=1e-5)
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    cosine = np.triu(e @ e.T, 1)
    shown = {row["feature_id"]: row for row in rows(whole, "features", dictionary_id=case["id"])}
    for row in rows(whole, "monosemanticity", dictionary_id=case["id"], encoder="judge"):
        a = case["pooled"][:, row["feature_id"]].astype(np.float64)
        a = a - a.min()
        assert row["n_active"] == (a > 0).sum()
        pairs = np.triu(np.outer(a, a), 1)
        if (a > 0).sum() < 2:
            assert row["ms"] is None
        else:
            assert row["ms"] == pytest.approx((pairs * cosine).sum() / pairs.sum(), abs=1e-4)
        assert shown[row["feature_id"]]["ms"] == row["ms"]
        if not case["sae"]:
            assert row["control_neuron"] is row["control_direction"] is None


def test_reconstruction_is_what_the_formulas_give(whole: Path, truth: dict[str, Any]) -> None:
    for name, (of, _) in CASES.items():
        found = rows(whole, "reconstruction", dictionary_id=name)
        if "neurons" in name:
            assert found == []
            continue
        x = truth[of].flatten(0, 1).double()
        codes, recon = (t.flatten(0, 1).double() for t in codes_of(whole, name, truth[of]))
        row = found[0]
        assert len(found) == 1
        assert row["token_type"] == ("patch" if of == "1" else "image")
        assert row["tokens"] == len(x)
        error = ((x - recon) ** 2).sum()
        spread = ((x - x.mean(0)) ** 2).sum()
        cosine = torch.nn.functional.cosine_similarity(x, recon).mean()
        assert row["mse"] == pytest.approx(float(error / len(x)), rel=1e-4)
        assert row["fvu"] == pytest.approx(float(error / spread), rel=1e-4)
        assert row["cosine"] == pytest.approx(float(cosine), rel=1e-4)
        assert row["l0"] == pytest.approx(float((codes > 0).sum(1).double().mean()), rel=1e-4)
        shown = rows(whole, "dictionaries", dictionary_id=name)[0]
        assert shown["fvu"] == pytest.approx(row["fvu"], rel=1e-6)
        assert shown["l0"] == pytest.approx(row["l0"], rel=1e-6)


def test_dictionaries_say_what_they_are(whole: Path) -> None:
    found = {row["dictionary_id"]: row for row in rows(whole, "dictionaries")}
    assert "clip/vision.2.resid_post/batchtopk" in found, "a negative layer is resolved"
    sae, neurons = found[f"{LAYER}/matryoshka"], found[f"{LAYER}/neurons"]
    assert (sae["basis"], sae["architecture"], sae["pooling"]) == ("sae", "matryoshka", "mean")
    assert sum(sae["group_sizes"]) == sae["d_sae"] == 2 * tiny.WIDTH
    assert (sae["layer"], sae["grid_height"], sae["grid_width"]) == (1, 4, 4)
    assert sae["tokens_seen"] == 2000 // 128 * 128
    assert (neurons["basis"], neurons["d_sae"], neurons["tokens_seen"]) == ("neurons", 32, 0)
    assert (neurons["fvu"], neurons["l0"]) == (0, 32)
    joint = found["clip/vision.projection/neurons"]
    assert (joint["layer"], joint["grid_height"], joint["d_in"]) == (None, None, tiny.JOINT)
    assert len({row["fingerprint"] for row in found.values()}) == len(found)
    groups = [row["group"] for row in rows(whole, "features", dictionary_id=f"{LAYER}/matryoshka")]
    assert np.bincount(groups).tolist() == sae["group_sizes"]


def test_examples_and_thumbnails(whole: Path) -> None:
    found = rows(whole, "examples")
    assert {row["uri"] for row in found} == {f"scene/5/{i}" for i in range(COUNT)}
    scene = scenes.sample(int(found[0]["uri"].split("/")[2]), seed=5)
    assert found[0]["captions"] == [scenes.caption(scene)]
    assert found[0]["tags"] == list(scenes.tags(scene))
    val = {row["example_id"] for row in found if row["split"] == "val"}
    assert {row["example_id"] for row in rows(whole, "thumbnails")} == val
    assert {row["example_id"] for row in rows(whole, "embeddings")} == val


def test_the_database_holds_the_tables_and_the_cards(whole: Path) -> None:
    with duckdb.connect(str(opening.open_bundle(whole).database), read_only=True) as connection:
        top, counts = connection.execute(
            "SELECT top, counts FROM cards WHERE dictionary_id = ? AND n_active > 20 LIMIT 1",
            [f"{LAYER}/batchtopk"],
        ).fetchone()
        total = connection.execute("SELECT count(*) FROM cards").fetchone()[0]
    assert [entry["rank"] for entry in top] == list(range(1, 17))
    assert sum(counts) > 20
    assert total == len(rows(whole, "features"))


def test_a_moved_bundle_is_as_sound(whole: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(opening.open_bundle(whole).root, tmp_path / "elsewhere")
    assert list(faults(moved)) == []


# --- Going on, and doing nothing twice ---


def everything(home: Path) -> dict[str, int]:
    return {
        str(path.relative_to(home)): path.lstat().st_mtime_ns
        for path in home.rglob("*")
        if path.name != ".lock"
    }


def test_a_second_run_makes_nothing(copied: Path, write: Write) -> None:
    before = everything(copied)
    done("run", write(), "--out", copied)
    assert everything(copied) == before
    done("run", write(batch=7), "--out", copied)
    assert everything(copied) == before, "the batch size is no part of a result's identity"


def statuses(*arguments: object) -> dict[str, str]:
    lines = done("status", *arguments).stdout.splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def test_status_says_what_is_to_do_and_why(copied: Path, write: Write, tmp_path: Path) -> None:
    missing = statuses(write(), "--out", tmp_path / "none")
    assert list(missing) == [
        *("collect", "train", "encode", "score", "relate", "label", "modality", "steer", "publish")
    ]
    assert set(missing.values()) == {"missing not run yet"}
    assert not (tmp_path / "none").exists()
    assert all(s.startswith("done") for s in statuses(write(batch=3), "--out", copied).values())

    other = statuses(write(title="Another"), "--out", copied)
    assert other["score"].startswith("done")
    assert other["publish"].startswith("stale changed: title")

    other = statuses(write(k=5), "--out", copied)
    assert other["collect"].startswith("done")
    assert other["train"].startswith("stale changed: dictionaries; 0 of 4 units")
    assert all(other[step].startswith("stale") for step in ("encode", "score", "relate", "publish"))

    more = SCENES.replace(str(COUNT), str(COUNT + 1))
    assert statuses(write(source=more), "--out", copied)["collect"].startswith(
        "stale changed: examples;"
    )
    parts = sorted((copied / "parts" / "encode").iterdir())
    shutil.rmtree(parts[0])
    other = statuses(write(), "--out", copied)
    assert other["encode"] == f"partial {len(parts) - 1} of {len(parts)} units are there"


def test_what_was_lost_is_made_again_the_same(copied: Path, write: Write) -> None:
    before = tables(copied)
    for step in ("train", "encode", "score"):
        shutil.rmtree(sorted((copied / "parts" / step).iterdir())[0])
    shutil.rmtree(copied / "parts" / "publish")
    done("run", write(), "--out", copied)
    assert_same(tables(copied), before)


def test_a_bundle_that_was_made_but_not_shown_is_shown(copied: Path, write: Write) -> None:
    """Killed between the last rename and the link, or with the link removed."""
    before = tables(copied)
    (copied / "bundle").unlink()
    done("run", write(), "--out", copied)
    assert_same(tables(copied), before)
    (copied / "bundle").unlink()
    (copied / "manifests" / "publish.json").unlink()
    done("run", write(), "--out", copied)
    assert_same(tables(copied), before)


def test_the_order_of_work_does_not_change_the_tables(
    whole: Path, write: Write, tmp_path: Path
) -> None:
    file = write()
    settings = config.load(file)
    source = readers.reader(settings.examples.source)
    plans = plan.plans(settings, listing.listing(settings.examples, source=source))
    workspace = Workspace(tmp_path / "run")
    for step in plans.values():
        worker = worker_of(settings, workspace)(step.step)
        for unit in reversed(step.units):
            with workspace.making(step.step, unit.key) as (folder, facts):
                facts |= worker.make(unit, folder, lambda _: None)
    done("run", file, "--out", workspace.root)
    assert_same(tables(workspace.root), tables(whole))


def test_the_batch_size_changes_values_by_rounding_only(
    whole: Path, write: Write, tmp_path: Path
) -> None:
    """Trained once, so that the same SAEs read activations that come in other batches."""
    home = tmp_path / "run"
    for step in ("collect", "train"):
        shutil.copytree(whole / "parts" / step, home / "parts" / step)
    done("run", write(batch=5), "--out", home)
    for name in TABLES:
        one, two = rows(whole, name), rows(home, name)
        assert len(one) == len(two), name
        for a, b in zip(one, two, strict=True):
            for column, value in a.items():
                if isinstance(value, float):
                    assert b[column] == pytest.approx(value, rel=1e-4, abs=1e-5), (name, column)
                elif not isinstance(value, list):
                    assert b[column] == value, (name, column, a, b)


def parts_of(home: Path, step: str) -> int:
    folder = home / "parts" / step
    return sum((path / "part.json").is_file() for path in folder.glob("[!.]*"))


KILLS: dict[str, Callable[[Path], bool]] = {
    "collecting": lambda home: parts_of(home, "collect") >= 2,
    "training": lambda home: parts_of(home, "train") >= 1,
    "encoding": lambda home: parts_of(home, "encode") >= 1,
    "publishing": lambda home: any((home / "parts" / "publish").glob(".tmp-*/*.parquet")),
}


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_the_same(
    whole: Path, write: Write, tmp_path: Path
) -> None:
    file, home = write(), tmp_path / "run"
    told = [sys.executable, "-m", "pipeline", "run", str(file), "--out", str(home)]
    killed = []
    for name, moment in KILLS.items():
        with (
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen(
                told,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},  # as many as these tests use
            ) as process,
        ):
            while process.poll() is None and not moment(home):
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        if process.returncode == -signal.SIGKILL:
            killed.append(name)
        else:
            assert process.returncode == 0, (tmp_path / "log").read_text()
    assert len(killed) >= 3, f"killed only while {killed}"
    done("run", file, "--out", home)
    assert_same(tables(home), tables(whole))
    assert list(faults(home)) == []
    assert list(home.rglob(".tmp-*")) == []


# --- Bad inputs ---


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat folder of 60 pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(60):
        tiny.picture(i).save(folder / f"{i:02}.png")
    return folder


def shards(folder: Path) -> dict[str, list[list[str]]]:
    """The uris of each split's shards of five."""
    source = config.Folder(kind="folder", path=folder)
    found = listing.listing(config.Examples(source=source), source=readers.reader(source))
    return {
        split: [[e.uri for e in shard] for shard in plan._shards(found, split, 5)]
        for split in ("train", "val")
    }


def folder_source(folder: Path) -> str:
    return f'kind = "folder"\npath = "{folder}"'


@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_a_shard_of_which_nothing_can_be_read(
    which: int, pictures: Path, write: Write, tmp_path: Path
) -> None:
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    lost = [uri for split in shards(folder).values() for uri in split[which]]
    for uri in lost:
        (folder / uri).write_bytes(b"nothing")
    (folder / "notes.txt").write_text("about them")
    lost.append("notes.txt")
    home = tmp_path / "run"
    done("run", write(source=folder_source(folder), shard=5, name="bad"), "--out", home)
    assert list(faults(home)) == []
    skipped = {row["uri"]: row["reason"] for row in rows(home, "skipped")}
    assert sorted(skipped) == sorted(lost)
    assert all("not an image" in reason for reason in skipped.values())
    manifest = Workspace(home).manifest("collect")
    assert manifest is not None
    assert manifest["skipped"] == skipped
    assert len(rows(home, "examples")) == 61 - len(lost)
    for row in rows(home, "dictionaries"):
        assert row["n_examples"] == sum(r["split"] == "val" for r in rows(home, "examples"))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_of_which_nothing_can_be_read(
    split: str, pictures: Path, write: Write, tmp_path: Path
) -> None:
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    for uri in itertools.chain(*shards(folder)[split]):
        (folder / uri).write_bytes(b"nothing")
    result = command("run", write(source=folder_source(folder)), "--out", tmp_path / "run")
    assert_one_line(result, split)


@pytest.mark.parametrize("told", ["run", "status"])
def test_a_missing_config(told: str, tmp_path: Path) -> None:
    assert_one_line(command(told, tmp_path / "none.toml"), tmp_path / "none.toml")


def test_a_missing_bundle(tmp_path: Path) -> None:
    assert_one_line(command("verify", tmp_path / "none"), tmp_path / "none")


@pytest.mark.parametrize("told", ["run", "status"])
@pytest.mark.parametrize("what", ["clip", "encoder"])
def test_a_missing_model(told: str, what: str, write: Write, tmp_path: Path) -> None:
    file = write(**{what: tmp_path / "lost"})
    assert_one_line(command(told, file, "--out", tmp_path / "run"), tmp_path / "lost")


def test_a_missing_image_folder(write: Write, tmp_path: Path) -> None:
    file = write(source=folder_source(tmp_path / "lost"))
    assert_one_line(command("run", file, "--out", tmp_path / "run"), tmp_path / "lost")


@pytest.mark.parametrize(
    "hooks", ['"vision.9.resid_post"', '"vision.2.resid_post", "vision.-1.resid_post"']
)
def test_a_bad_hook_point(hooks: str, write: Write, tmp_path: Path) -> None:
    result = command("run", write(hooks=hooks), "--out", tmp_path / "run")
    assert_one_line(result, "hook")


def test_one_hook_point_by_two_names_in_a_dictionary(write: Write, tmp_path: Path) -> None:
    file = write()
    twice = 'hooks = ["vision.2.resid_post", "vision.-1.resid_post"]'
    file.write_text(file.read_text().replace('kind = "neurons"', f'kind = "neurons"\n{twice}'))
    assert_one_line(command("run", file, "--out", tmp_path / "run"), "vision.2.resid_post", "twice")


def test_more_active_features_than_there_are(write: Write, tmp_path: Path) -> None:
    result = command("run", write(k=1000), "--out", tmp_path / "run")
    assert_one_line(result, "k = 1000", faults=3)  # a line for each kind and width


def test_a_model_of_another_family(write: Write, tmp_path: Path) -> None:
    bert = tiny.bert(tmp_path / "bert")
    assert_one_line(
        command("run", write(clip=bert), "--out", tmp_path / "run"), bert, "no known family", "clip"
    )


def test_other_positions_can_be_read(write: Write, tmp_path: Path) -> None:
    for tokens in ("cls", "all"):
        home = tmp_path / tokens
        done("run", write(tokens=tokens, hooks='"vision.1.resid_post"'), "--out", home)
        assert list(faults(home)) == []
        found = rows(home, "top_examples", dictionary_id=f"{LAYER}/batchtopk")
        if tokens == "cls":
            assert all(row["token"] is None for row in found), "CLS is no patch"
            assert any(row["patches"] for row in found), "patches are shown all the same"


# --- verify ---


def changed(root: Path, table: str, change: Callable[[Any], Any]) -> None:
    """Rewrite a table without the store's checks."""
    file = root / f"{table}.parquet"
    pq.write_table(change(pq.read_table(file)), file)


def shuffled(data: Any) -> Any:
    return data.take(np.random.default_rng(0).permutation(len(data)))


def doubled(data: Any) -> Any:
    return data.take([0, 0, *range(1, len(data))])


def with_null(data: Any) -> Any:
    at = data.column_names.index("n_active")
    values = [None, *data["n_active"].to_pylist()[1:]]
    return data.set_column(at, pa.field("n_active", pa.int64()), [values])


def with_strangers(data: Any) -> Any:
    at = data.column_names.index("example_id")
    return data.set_column(at, "example_id", [pa.array([1, *data["example_id"].to_pylist()[1:]])])


def drop_from_database(root: Path, statement: str) -> None:
    with duckdb.connect(str(root / opening.DATABASE)) as connection:
        connection.execute(statement)


def with_column(data: pa.Table, name: str, value: float) -> pa.Table:
    """The table with one value everywhere in a column."""
    at = data.column_names.index(name)
    column = pa.array([value] * len(data), data.schema.field(name).type)
    return data.set_column(at, data.schema.field(name), column)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a lost file": (lambda root: (root / "histograms.parquet").unlink(), "histograms"),
    "rows out of order": (lambda root: changed(root, "activations", shuffled), "out of order"),
    "a key twice": (lambda root: changed(root, "features", doubled), "more than once"),
    "a lost row": (
        lambda root: changed(root, "features", lambda d: d.slice(1)),
        "is not in features",
    ),
    "a stranger": (
        lambda root: changed(root, "thumbnails", with_strangers),
        "is not in examples",
    ),
    "a null": (lambda root: changed(root, "features", with_null), "null"),
    "a lost column": (
        lambda root: changed(root, "features", lambda d: d.drop_columns(["density"])),
        "features.density",
    ),
    "another type": (
        lambda root: changed(
            root,
            "features",
            lambda d: d.set_column(4, "density", d["density"].cast("float64")),
        ),
        "features.density",
    ),
    "no database": (lambda root: (root / opening.DATABASE).unlink(), opening.DATABASE),
    "a table that is not in the database": (
        lambda root: drop_from_database(root, "DROP TABLE thumbnails"),
        "thumbnails",
    ),
    "rows that are not in the database": (
        lambda root: drop_from_database(root, "DELETE FROM features WHERE feature_id = 0"),
        "features",
    ),
    "no cards": (lambda root: drop_from_database(root, "DROP TABLE cards"), "cards"),
    "a damaged file": (
        lambda root: (root / "features.parquet").write_bytes(b"PAR1 nothing PAR1"),
        "features",
    ),
    "a damaged database": (
        lambda root: (root / opening.DATABASE).write_bytes(b"nothing" * 1000),
        opening.DATABASE,
    ),
    "a value out of its range": (
        lambda root: changed(root, "features", lambda d: with_column(d, "density", 5.0)),
        "not within 0 to 1",
    ),
    "a value that differs in the database": (
        lambda root: drop_from_database(root, "UPDATE features SET density = 0.5"),
        "differs",
    ),
    "a damaged SAE": (
        lambda root: next(root.rglob("sae_weights.safetensors")).write_bytes(b"1234567890"),
        "damaged",
    ),
    "a lost SAE": (lambda root: shutil.rmtree(root / "saes" / "clip"), "saes"),
}


@pytest.fixture
def loose(whole: Path, tmp_path: Path) -> Path:
    """A bundle of its own to damage."""
    return shutil.copytree(opening.open_bundle(whole).root, tmp_path / "bundle")


@pytest.mark.parametrize("fault", FAULTS)
def test_verify_finds(fault: str, loose: Path) -> None:
    damage, named = FAULTS[fault]
    damage(loose)
    result = command("verify", loose)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert named in result.stdout
    assert "sound" not in result.stdout
