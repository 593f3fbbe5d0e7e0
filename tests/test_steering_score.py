"""The steering score: its formula against dense loops, and whole runs of a tiny LLaVA whose answers
are made again by transformers alone with a hook written by hand."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_families
import torch
from run_commands import assert_one_line, command, done
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaForConditionalGeneration

from pipeline import config
from pipeline.bundle import opening
from pipeline.bundle.verify import faults
from pipeline.contract import tables
from pipeline.contract.tables import STEERING, TOP_EXAMPLES, Table
from pipeline.inputs import listing, readers
from pipeline.metrics import intervals, labels, modality, steering
from pipeline.models.encoder import ImageEncoder
from pipeline.run import plan
from pipeline.run.workspace import Workspace
from pipeline.saes.sae import SAE
from pipeline.steps.steer import Worker

IMAGES, FEATURES, LONGEST, STRENGTH = 5, 18, 6, 4.0
PROMPT = "what?"
CONFIG = """
name = "steered"
[examples]
shard_size = 30
training_tokens = 8
thumbnail = 32
[examples.source]
kind = "scenes"
count = 60
seed = 5
[captions]
per_image = 0
[relations]
maps = false
samples = 0
[models.llava]
id = "{llava}"
hooks = ["vision.1.resid_post", "vision.2.resid_post", "language.0.resid_post"]
[models.clip]
id = "{clip}"
hooks = ["vision.1.resid_post"]
[encoders.judge]
id = "{encoder}"
[encoders.clip]
id = "{clip}"
judges = false
[dictionaries.sparse]
kind = "batchtopk"
k = 4
training = {{ samples = 2000, batch = 128 }}
[dictionaries.silent]
kind = "published"
models = ["llava"]
sources = {{ "vision.1.resid_post" = "{silent}" }}
[dictionaries.neurons]
kind = "neurons"
models = ["llava"]
hooks = ["vision.1.resid_post"]
[steering]
features = {features}
images = {images}
prompt = "{prompt}"
strength = {strength}
longest = {longest}
[machine]
device = "cpu"
batch_size = 16
"""
READ, BEHIND, WORDED = (
    f"llava/{hook}.resid_post/sparse" for hook in ("vision.1", "vision.2", "language.0")
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A folder with `llava`, `clip`, `steered.toml` and the run that it made, `run`."""
    folder = tmp_path_factory.mktemp("steered")
    tiny_families.llava(folder / "llava")
    tiny_families.speaking_clip(folder / "clip")
    d, s = 32, 8
    nothing = SAE(
        torch.zeros(d, s), torch.full((s,), -1.0), torch.zeros(s, d), torch.zeros(d),
        activation="relu", architecture="standard",
    )  # fmt: skip
    nothing.save(folder / "silent", model="llava", hook="vision.1.resid_post", facts={})
    write(folder, tiny_encoder)
    done("run", folder / "steered.toml", "--out", folder / "run")
    return folder


def write(folder: Path, encoder: Path, *, name: str = "steered", **changed: str) -> Path:
    file = folder / f"{name}.toml"
    text = CONFIG.format(
        llava=folder / "llava", clip=folder / "clip", encoder=encoder, silent=folder / "silent",
        features=FEATURES, images=IMAGES, prompt=PROMPT, strength=STRENGTH, longest=LONGEST,
    )  # fmt: skip
    for old, new in changed.values():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    return file


def rows(run: Path, table: Table = STEERING) -> list[dict]:
    return pq.read_table(run / "bundle" / table.file).to_pylist()


def of(run: Path, dictionary_id: str) -> dict[int, dict]:
    return {r["feature_id"]: r for r in rows(run) if r["dictionary_id"] == dictionary_id}


# --- The formula ---


def test_the_score_is_that_of_dense_loops() -> None:
    rng = np.random.default_rng(0)
    f, n, d, t, k = 5, 7, 6, 9, 4
    images = rng.standard_normal((20, d))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    texts = rng.standard_normal((t, d))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    top = rng.integers(0, 20, (f, k))
    top[0, 1:] = -1
    steered, unsteered = rng.integers(0, t, (f, n)), rng.integers(0, t, n)
    others = modality.derangement(f, 3)
    concepts = steering.concepts(top, images)
    found = steering.steering_scores(
        steered, unsteered, texts_td=texts, concepts_fd=concepts, others_f=others, seed=0
    )
    for one in range(f):
        concept = sum(images[i] for i in top[one] if i >= 0)
        concept = concept / np.sqrt((concept**2).sum())
        np.testing.assert_allclose(concepts[one], concept)

        def mean(which: list[int], concept: np.ndarray = concept) -> float:
            return sum(float((texts[i] * concept).sum()) for i in which) / n

        score = mean(list(steered[one]))
        assert found.score[one] == pytest.approx(score)
        assert found.unsteered[one] == pytest.approx(mean(list(unsteered)))
        other = mean(list(steered[others[one]]))
        assert found.shuffled[one] == pytest.approx(other)
        assert found.gain[0, one] == pytest.approx(score - mean(list(unsteered)))
        assert found.over_shuffled[0, one] == pytest.approx(score - other)
        assert found.steers[one] == (found.gain[1, one] > 0 and found.over_shuffled[1, one] > 0)


def test_a_feature_without_images_has_no_concept_and_one_alone_no_other() -> None:
    concepts = steering.concepts(np.array([[-1, -1]]), np.eye(3))
    assert np.isnan(concepts).all()
    said = np.zeros((1, 4), int)
    found = steering.steering_scores(
        said, said[0], texts_td=np.eye(3)[:1], concepts_fd=np.eye(3)[:1],
        others_f=np.array([0]), seed=0,
    )  # fmt: skip
    assert found.score[0] == 1 and np.isnan(found.shuffled[0])
    assert found.gain[:, 0].tolist() == [0, 0, 0], "the same answers gain nothing"
    assert not found.steers[0]


def test_intervals_of_many_columns_are_those_of_each() -> None:
    values = np.random.default_rng(1).normal([0.0, 0.3], [1.0, 0.1], (40, 2))
    found = intervals.mean_intervals(values, seed=0)
    for column in range(2):
        alone = intervals.mean_difference(
            values[:, column], np.zeros(40), seed=1, paired=True, resamples=4000
        )
        width = alone[2] - alone[1]
        np.testing.assert_allclose(found[:, column], alone, atol=0.06 * width)
    with pytest.raises(ValueError, match="no rows"):
        intervals.mean_intervals(np.zeros((0, 2)), seed=0)


# --- A whole run ---


def test_the_bundle_is_sound_and_names_who_steers(made: Path) -> None:
    run = made / "run"
    assert list(faults(run)) == []
    assert {r["dictionary_id"] for r in rows(run)} == {READ, BEHIND, WORDED}, (
        "no row of the CLIP, of neurons, or of an SAE that never fires"
    )
    listed = {(r["dictionary_id"], r["feature_id"]): r for r in rows(run, tables.FEATURES)}
    for row in rows(run):
        feature = listed.pop((row["dictionary_id"], row["feature_id"]))
        assert feature["steering_score"] == row["score"] and feature["steers"] == row["steers"]
        assert row["strength"] == pytest.approx(STRENGTH * feature["max"])
        assert row["images"] == IMAGES and row["encoder"] == "clip"
    assert all(r["steering_score"] is None and r["steers"] is None for r in listed.values())


def test_the_surest_feature_of_each_label_is_steered_first(made: Path) -> None:
    every = [r for r in rows(made / "run", tables.FEATURES) if r["dictionary_id"] == READ]
    live = [r for r in every if r["n_active"] > 0]
    live.sort(key=lambda r: (-(r["label_score"] or 0), -r["max"], r["feature_id"]))
    wanted: list[int] = []
    for common in (True, False):
        left = [r for r in live if (r["n_active"] >= 16) == common and r["label"]]
        while left:
            firsts: dict[str, dict] = {}
            for r in left:
                firsts.setdefault(r["label"], r)
            wanted += [r["feature_id"] for r in firsts.values()]
            left = [r for r in left if r not in firsts.values()]
        wanted += [
            r["feature_id"] for r in live
            if (r["n_active"] >= 16) == common and not r["label"]
        ]  # fmt: skip
    assert len({r["label"] for r in live}) > 3, "or nothing takes turns"
    assert set(of(made / "run", READ)) == set(wanted[:FEATURES])


def test_or_the_most_monosemantic_ones(made: Path, tiny_encoder: Path) -> None:
    file = write(made, tiny_encoder, name="by_ms", a=("strength =", 'order = "ms"\nstrength ='))
    run = config.load(file)
    source = readers.reader(run.examples.source)
    planned = plan.plans(run, listing.listing(run.examples, source=source))["steer"]
    unit = next(one for one in planned.units if one.name == f"{READ}/00000")
    assert "labelled" not in unit.spec, "labels may change without any of it"
    every = [r for r in rows(made / "run", tables.FEATURES) if r["dictionary_id"] == READ]
    best = sorted(
        (r for r in every if r["n_active"] > 0),
        key=lambda r: (r["n_active"] < 16, r["ms"] is None, -(r["ms"] or 0), r["feature_id"]),
    )
    found = Worker(run, Workspace(made / "run"))._features(unit.spec)
    assert [feature for feature, _ in found] == [r["feature_id"] for r in best]


def test_labels_take_turns_and_a_word_stands_in_for_a_tag() -> None:
    own = {0: ("red", 0.5), 1: ("red", 1.0), 2: (None, None), 3: ("star", 0.4), 4: (None, None)}
    told = labels.or_words(own, {2: ("sky", 0.9), 1: ("no", 1.0)})
    assert told[1] == ("red", 1.0) and told[4] == (None, None)
    assert told[2] == ("sky", pytest.approx(0.8))
    most = dict.fromkeys(told, 1.0)
    rank = labels.in_turn(told, most)
    assert sorted(rank, key=lambda one: rank[one]) == [1, 2, 3, 0, 4]
    rank = labels.in_turn({0: ("red", 1.0), 1: ("red", 1.0)}, {0: 2.0, 1: 3.0})
    assert rank[1] < rank[0], "of equally sure ones the strongest"


def said_by_hand(made: Path, feature: int | None, *, language: bool = False) -> list[str]:
    """What the model says of the images, by transformers' own generate; with the feature clamped
    in a hook that does the arithmetic of the saved weights, at the tokens of the image."""
    model = LlavaForConditionalGeneration.from_pretrained(made / "llava").eval()
    processor = AutoProcessor.from_pretrained(made / "llava")
    name = WORDED if language else READ
    weights = load_file(made / "run" / "bundle" / "saes" / name / "sae_weights.safetensors")
    table = rows(made / "run", tables.FEATURES)
    most = {r["feature_id"]: r["max"] for r in table if r["dictionary_id"] == name}

    def clamp(_module: object, _inputs: object, output: object) -> object:
        assert feature is not None
        acts = output[0] if isinstance(output, tuple) else output
        before = (acts - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
        before = before[..., feature]
        fires = before > weights["threshold"][feature].clamp(min=0)
        step = STRENGTH * most[feature] - torch.where(fires, before, 0.0)
        if language:  # the image's tokens are among those of the prompt, not among later ones
            step = step * of_image if step.shape == of_image.shape else torch.zeros_like(step)
        changed = acts + step[..., None] * weights["W_dec"][feature]
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    vision, words = model.model.vision_tower, model.model.language_model
    layer = words.layers[0] if language else vision.encoder.layers[1]
    hook = None if feature is None else layer.register_forward_hook(clamp, prepend=True)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    texts = []
    for picture in asked(made)[1]:
        inputs = processor(images=picture, text=prompt, return_tensors="pt")
        of_image = inputs["input_ids"] == model.config.image_token_id
        with torch.inference_mode():
            made_ids = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        new = made_ids[0, inputs["input_ids"].shape[1] :]
        texts.append(processor.tokenizer.decode(new, skip_special_tokens=True).strip())
    if hook is not None:
        hook.remove()
    return texts


def asked(made: Path) -> tuple[list[int], list]:
    """The images that the step drew, by id, with their pictures."""
    run = config.load(made / "steered.toml")
    source = readers.reader(run.examples.source)
    units = plan.plans(run, listing.listing(run.examples, source=source))["steer"].units
    drawn = units[0].spec["examples"]
    return [e.example_id for e in drawn], [source.image(e) for e in drawn]


@pytest.mark.parametrize("language", [False, True])
def test_scores_are_those_of_answers_made_by_hand(made: Path, language: bool) -> None:
    found = of(made / "run", WORDED if language else READ)
    features = sorted(found)
    # The features whose answers differ most from the unsteered ones tell the most.
    picked = sorted(features, key=lambda f: -found[f]["changed"])[:2]
    unsteered = said_by_hand(made, None)
    encoder = ImageEncoder(config.Encoder(id=str(made / "clip")), device="cpu")
    bundle = opening.open_bundle(made / "run")
    ids, vectors = bundle.embeddings("clip")
    tops = rows(made / "run", TOP_EXAMPLES)
    others = modality.derangement(len(features), 0)
    for feature in picked:
        row = found[feature]
        steered = said_by_hand(made, feature, language=language)
        shuffled = said_by_hand(made, features[others[features.index(feature)]], language=language)
        assert row["changed"] == pytest.approx(
            sum(a != b for a, b in zip(steered, unsteered, strict=True)) / IMAGES
        )
        assert steered.count(row["answer"]) == max(map(steered.count, steered))
        assert unsteered.count(row["answer_unsteered"]) == max(map(unsteered.count, unsteered))
        name = row["dictionary_id"]
        mine = [r["example_id"] for r in tops
                if (r["dictionary_id"], r["feature_id"]) == (name, feature)]  # fmt: skip
        concept = vectors[np.searchsorted(ids, mine)].mean(0)
        concept /= np.linalg.norm(concept)
        for column, texts in (
            ("score", steered), ("score_unsteered", unsteered), ("score_shuffled", shuffled)
        ):  # fmt: skip
            cosines = encoder.embed_texts(texts).numpy() @ concept
            assert row[column] == pytest.approx(cosines.mean(), abs=1e-5), column
        assert row["gain"] == pytest.approx(row["score"] - row["score_unsteered"], abs=1e-6)
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
    assert found[picked[0]]["changed"] > 0, "or nothing was compared"


def test_a_layer_that_llava_does_not_read_changes_nothing_and_says_so(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    behind = of(made / "run", BEHIND)
    assert behind and all(r["changed"] == 0 and r["gain"] == 0 for r in behind.values())
    assert not any(r["steers"] for r in behind.values())
    lose(made / "run", "llava/vision.2.resid_post/sparse")
    done("run", made / "steered.toml", "--out", made / "run")
    assert f"{BEHIND}: no edit changed an answer" in caplog.text


def lose(run: Path, *units: str) -> None:
    """Take away what a killed run would not have: these units of steer, and the bundle."""
    manifest = Workspace(run).manifest("steer")
    assert manifest is not None
    for name in units:
        shutil.rmtree(run / "parts" / "steer" / manifest["units"][name])
    shutil.rmtree(run / "parts" / "publish")


def test_a_killed_run_goes_on_and_ends_the_same(made: Path) -> None:
    file = made / "run" / "bundle" / STEERING.file
    before = file.read_bytes()
    lose(made / "run", f"{READ}/00001", READ)
    said = done("run", made / "steered.toml", "--out", made / "run").stderr
    assert "steer: 2 of" in said
    assert file.read_bytes() == before


def test_only_what_depends_on_a_setting_is_made_again(made: Path, tiny_encoder: Path) -> None:
    def keys(**changed: tuple[str, str]) -> dict[str, set[str]]:
        run = config.load(write(made, tiny_encoder, name="other", **changed))
        source = readers.reader(run.examples.source)
        plans = plan.plans(run, listing.listing(run.examples, source=source))
        return {name: {unit.key for unit in one.units} for name, one in plans.items()}

    before = keys()
    stronger = keys(a=("strength = 4.0", "strength = 5.0"))
    assert {n for n in before if before[n] != stronger[n]} == {"steer", "publish"}
    assert before["steer"] & stronger["steer"], "what the model says unsteered is the same"
    worded = keys(a=("[steering]", "[labels]\nwords = 4\n[steering]"))
    assert {n for n in before if before[n] != worded[n]} == {"label", "steer", "publish"}
    more = keys(a=("features = 18", "features = 40"))
    assert len(before["steer"] & more["steer"]) > 4, "the first features are the same"
    bigger = keys(a=("batch_size = 16", "batch_size = 3"))
    assert bigger == before
    without = keys(a=("[steering]", "[labels]"), b=(
        f'features = {FEATURES}\nimages = {IMAGES}\nprompt = "{PROMPT}"\nstrength = {STRENGTH}\n'
        f"longest = {LONGEST}\n", "",
    ))  # fmt: skip
    assert without["steer"] == set()
    assert without["label"] == before["label"]


def test_where_a_scope_has_no_tokens_the_rest_is_steered(
    made: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "run", tmp_path / "run", symlinks=True)
    file = write(made, tiny_encoder, name="generated", a=(
        "longest = 6", 'longest = 6\nscope = "generated"'
    ))  # fmt: skip
    done("run", file, "--out", tmp_path / "run")
    assert {r["dictionary_id"] for r in rows(tmp_path / "run")} == {WORDED}
    manifest = Workspace(tmp_path / "run").manifest("steer")
    assert manifest is not None
    why = manifest["skipped"][f"{READ}/00000"]
    assert "vision.1.resid_post has no tokens of scope 'generated'" in why
    assert list(faults(tmp_path / "run")) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[steering]", '[steering]\ndictionaries = ["other"]', ("steering", "'other'", "sparse")),
        ("[steering]", '[steering]\ndictionaries = ["neurons"]', ("steering", "'neurons'")),
        ("[steering]", '[steering]\nhooks = ["vision.9.mlp_out"]', ("vision.9.mlp_out",)),
        ("[steering]", '[steering]\nencoder = "other"', ("steering.encoder", "'other'", "clip")),
        ("[steering]", '[steering]\nencoder = "judge"', ("steering.encoder", "embeds no words")),
        ("[steering]", '[steering]\nmode = "shout"', ("steering.mode",)),
        (f"images = {IMAGES}", "images = 1", ("steering.images",)),
        (f"strength = {STRENGTH}", "strength = inf", ("steering.strength",)),
    ],
)
def test_what_cannot_be_steered_is_refused_in_one_line(
    made: Path, tiny_encoder: Path, tmp_path: Path, old: str, new: str, told: tuple[str, ...]
) -> None:
    shutil.copytree(made / "run", tmp_path / "run", symlinks=True)
    file = write(made, tiny_encoder, name="refused", a=(old, new), b=(
        f'prompt = "{PROMPT}"', 'prompt = "who?"'  # so that no part is there
    ))  # fmt: skip
    assert_one_line(command("run", file, "--out", tmp_path / "run"), *told)


def test_without_a_contrastive_encoder_one_line_says_what_to_do(
    made: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "run", tmp_path / "run", symlinks=True)
    alone = f'[encoders.clip]\nid = "{made / "clip"}"\njudges = false\n'
    file = write(made, tiny_encoder, name="alone", a=(alone, ""), b=(
        f'prompt = "{PROMPT}"', 'prompt = "who?"'
    ))  # fmt: skip
    result = command("run", file, "--out", tmp_path / "run")
    assert_one_line(result, "steering", "no encoder embeds words", "contrastive")
