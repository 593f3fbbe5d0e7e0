"""The training of CLIP-Gemma's projector, on tiny models; and the joined model, part by part."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_families as families
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionModel, Gemma2ForCausalLM, GemmaConfig, GemmaForCausalLM
from typer.testing import CliRunner

from pipeline import config, models
from pipeline.__main__ import app
from pipeline.bundle.sealed import StoreError
from pipeline.models.answers import IGNORED, answer_loss, labelled
from pipeline.models.families.clip_gemma import ClipGemmaAdapter, Projector, asked, read_projector
from pipeline.models.loading import ModelError
from pipeline.projector import fit as projector_fit
from pipeline.projector.conversations import ConversationError
from pipeline.projector.fit import fit, learning_rate

ROOT = Path(__file__).parents[1]
COLOURS = {"r": (220, 30, 30), "g": (30, 200, 40), "b": (40, 60, 220), "y": (230, 220, 40)}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Gemma 2 in `gemma` and a tiny CLIP in `clip`."""
    folder = tmp_path_factory.mktemp("parts")
    families.gemma2(folder / "gemma")
    language = Gemma2ForCausalLM.from_pretrained(folder / "gemma")
    # As it is, no word is ever likely, and the cap on logits is not felt.
    language.model.norm.weight.data.fill_(15.0)
    language.save_pretrained(folder / "gemma")
    tiny.clip(folder / "clip")
    return folder


def model(parts: Path, **more: object) -> config.Model:
    return config.Model(
        id=str(parts / "gemma"),
        family="clip-gemma",
        vision=str(parts / "clip"),
        hooks=("vision.projection",),
        **more,
    )


def loaded(parts: Path, **more: object) -> ClipGemmaAdapter:
    adapter = models.load(model(parts, **more), device="cpu")
    assert isinstance(adapter, ClipGemmaAdapter)
    return adapter


def coloured(folder: Path, count: int, *, shuffled: bool = False) -> config.Conversations:
    """Pictures of one colour each, with its letter as the caption; or with another picture's."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(count)]
    for name, colour in zip(names, list(COLOURS.values()) * count, strict=False):
        pixels = np.array(colour) + rng.integers(-30, 31, (4, 4, 3))
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        picture.resize((40, 40), Image.Resampling.NEAREST).save(folder / "images" / name)
    if shuffled:
        random.Random(5).shuffle(names)
    return written(
        folder, [(n, [("", c)]) for n, c in zip(names, [*COLOURS] * count, strict=False)]
    )


def written(
    folder: Path, entries: Sequence[tuple[str, Sequence[tuple[str, str]]]]
) -> config.Conversations:
    data = []
    for name, turns in entries:
        said = []
        for number, (question, answer) in enumerate(turns):
            mark = "" if number else "<image>\n"
            said += [{"from": "human", "value": mark + question}, {"from": "gpt", "value": answer}]
        data.append({"id": name, "image": name, "conversations": said})
    (folder / "data.json").write_text(json.dumps(data))
    return config.Conversations(path=folder / "data.json", images=folder / "images")


def settings(parts: Path, data: config.Conversations, **how: object) -> config.FitProjector:
    how = {"steps": 6, "batch": 4, "lr": 0.01} | how
    return config.FitProjector(
        name="tiny",
        model=model(parts),
        data=data,
        fit=config.Fit(**how),
        machine=config.Machine(device="cpu"),
    )


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [point["loss"] for point in curve(folder)]


class Killed(Exception):
    pass


class Steps:
    """A watcher that notes, and stops the training at a step."""

    def __init__(self, *, stop: int | None = None) -> None:
        self.began: tuple[int, int] | None = None
        self.losses: list[float] = []
        self.stop = stop

    def start(self, *, done: int, total: int) -> None:
        self.began = (done, total)

    def advance(self, loss: float) -> None:
        self.losses.append(loss)
        assert self.began is not None
        if self.began[0] + len(self.losses) == self.stop:
            raise Killed


# The joined model


def by_hand(parts: Path, adapter: ClipGemmaAdapter, inputs: models.Inputs) -> torch.Tensor:
    """Logits of the language model alone, over embeddings in which the image's are placed."""
    dtype = getattr(torch, adapter.settings.dtype)
    language = Gemma2ForCausalLM.from_pretrained(parts / "gemma", dtype=dtype)
    vision = CLIPVisionModel.from_pretrained(parts / "clip", dtype=dtype)
    seen = vision(inputs.tensors["pixel_values"]).last_hidden_state[:, 1:]
    image = seen @ adapter.projector.weight.T + adapter.projector.bias
    ids = inputs.tensors["input_ids"]
    words = language.get_input_embeddings()
    embedded = words(ids)
    # Where words are not multiplied yet the model will multiply all; the image's are to stay.
    ratio = (embedded / words.weight[ids])[0, -1, 0]
    image = image / (math.sqrt(families.WORDS) / ratio)
    embedded[ids == adapter.image_token] = image.flatten(0, 1)
    mask = inputs.tensors["attention_mask"]
    logits = language(inputs_embeds=embedded, attention_mask=mask).logits
    cap = language.config.final_logit_softcapping
    assert logits.abs().max() <= cap
    assert logits.abs().max() > 0.5 * cap, "the cap is not felt"
    return logits


@torch.no_grad()
def test_the_joined_model_is_its_parts_by_hand(parts: Path) -> None:
    adapter = loaded(parts)
    inputs = adapter.prepare([tiny.picture(0), tiny.picture(1)], ["a dog", "what is it?"])
    kept = inputs.tensors["attention_mask"].bool()
    logits = adapter.forward(inputs).logits
    torch.testing.assert_close(
        logits[kept], by_hand(parts, adapter, inputs)[kept], rtol=0, atol=1e-4
    )


@torch.no_grad()
def test_in_bfloat16_the_angles_of_positions_stay_float32(parts: Path) -> None:
    adapter = loaded(parts, dtype="bfloat16")
    angles = [b for name, b in adapter.model.named_buffers() if name.endswith("inv_freq")]
    assert angles and all(b.dtype == torch.float32 for b in angles)
    assert adapter.projector.weight.dtype == torch.bfloat16
    inputs = adapter.prepare([tiny.picture(0)], ["a dog"])
    logits = adapter.forward(inputs).logits
    torch.testing.assert_close(logits, by_hand(parts, adapter, inputs), rtol=0.02, atol=0.5)


def test_the_scale_is_put_on_what_the_linear_map_gives() -> None:
    projector = Projector(3, 5, scale=0.25)
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(projector(x), projector.linear(x) / 4)


def test_another_language_model_is_refused(parts: Path, tmp_path: Path) -> None:
    first = tiny.seeded(GemmaForCausalLM, families.gemma2_config(GemmaConfig), 0)
    first.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is gemma, not Gemma 2; mend"):
        models.load(model(parts).model_copy(update={"id": str(tmp_path)}), device="cpu")


# Published weights

WEIGHTS = {"weight": torch.randn(5, 3), "bias": torch.randn(5)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_published_weights_are_read(
    tmp_path: Path, ending: str, prefix: str, dtype: torch.dtype
) -> None:
    path = tmp_path / f"p.{ending}"
    tensors = {prefix + name: tensor.to(dtype) for name, tensor in WEIGHTS.items()}
    save_file(tensors, path) if ending == "safetensors" else torch.save(tensors, path)
    linear = nn.Linear(3, 5)
    read_projector(path, into=linear)
    for name, tensor in linear.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, WEIGHTS[name].to(dtype).float())


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"weight": torch.zeros(3, 5), "bias": torch.zeros(5)}, "holds weight (3, 5), bias (5,)"),
        ({"weight": torch.zeros(5, 3)}, "holds weight (5, 3);"),
        (WEIGHTS | {"more": torch.zeros(1)}, "more (1,)"),
        (WEIGHTS | {"more": 3}, "holds weight (5, 3), bias (5,);"),
        ({f"layer.{i}": torch.zeros(1) for i in range(99)}, "layer.3 (1,);"),
        (torch.zeros(5, 3), "holds no tensors by name"),
        ([1, 2], "holds no tensors by name"),
    ],
)
def test_other_weights_are_refused_in_one_line(tmp_path: Path, found: object, says: str) -> None:
    torch.save(found, tmp_path / "p.pth")
    refuses(tmp_path / "p.pth", says)


def refuses(path: Path, says: str) -> None:
    linear = nn.Linear(3, 5)
    before = {name: tensor.clone() for name, tensor in linear.state_dict().items()}
    with pytest.raises(ModelError) as refused:
        read_projector(path, into=linear)
    text = str(refused.value)
    assert text.startswith(f"projector {path}: ") and says in text and "\n" not in text
    assert "name a file of the tensors weight (5, 3) and bias (5,)" in text
    assert all(torch.equal(before[name], tensor) for name, tensor in linear.state_dict().items())


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_missing_or_damaged_file_is_refused_in_one_line(tmp_path: Path, ending: str) -> None:
    refuses(tmp_path / f"none.{ending}", "no such file")
    (tmp_path / f"p.{ending}").write_bytes(b"this is no archive of tensors")
    refuses(tmp_path / f"p.{ending}", "cannot be read")


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"weight": Bomb(tmp_path / "ran"), "bias": torch.zeros(5)}, tmp_path / "p.pth")
    refuses(tmp_path / "p.pth", "cannot be read")
    assert not (tmp_path / "ran").exists()


# What is learnt

TURNS = [
    [("", "a red dog")],
    [("What is it?", "a cat"), ("Where?", "at home."), ("", "yes")],
]


def test_answers_and_their_ends_are_learnt_and_nothing_else(parts: Path) -> None:
    adapter = loaded(parts)
    pictures = [tiny.picture(0), tiny.picture(1)]
    batch = labelled(adapter, pictures, TURNS, max_text=100)
    ids, mask = batch.inputs.tensors["input_ids"], batch.inputs.tensors["attention_mask"]
    image = "<bos>" + "<image>" * (tiny.SIDE // tiny.PATCH) ** 2
    whole = [
        image + "a red dog<eos>",
        image + "What is it?\na cat<eos>Where?\nat home.<eos>yes<eos>",
    ]
    learnt = ["a red dog<eos>", "a cat<eos>at home.<eos>yes<eos>"]
    for row in range(2):
        assert spelt(ids[row, mask[row].bool()]) == whole[row]
        assert spelt(batch.labels[row, batch.labels[row] != IGNORED]) == learnt[row]
        seen = batch.labels[row] != IGNORED
        assert torch.equal(ids[row, seen], batch.labels[row, seen])
        assert not (seen & ~mask[row].bool()).any()
    assert mask[0].diff().max() <= 0, "padded at the right"


def spelt(ids: torch.Tensor) -> str:
    return "".join(families.VOCABULARY[i] for i in ids.tolist())


def test_a_question_is_asked_later_as_it_was_learnt(parts: Path) -> None:
    adapter = loaded(parts)
    batch = labelled(adapter, [tiny.picture(0)], TURNS[1:], max_text=100)
    inputs = adapter.prepare([tiny.picture(0)], [asked("What is it?")])
    prompt = inputs.tensors["input_ids"][0]
    assert torch.equal(batch.inputs.tensors["input_ids"][0, : len(prompt)], prompt)
    assert (batch.labels[0, : len(prompt)] == IGNORED).all()
    assert batch.labels[0, len(prompt)] != IGNORED
    assert torch.equal(batch.inputs.tensors["pixel_values"], inputs.tensors["pixel_values"])


def test_words_beyond_the_limit_are_cut_off(parts: Path) -> None:
    adapter = loaded(parts)
    pictures = [tiny.picture(0), tiny.picture(1)]
    batch = labelled(adapter, pictures, TURNS, max_text=8)
    ids, cells = batch.inputs.tensors["input_ids"], (tiny.SIDE // tiny.PATCH) ** 2
    assert ids.shape == (2, 1 + cells + 8)
    assert spelt(ids[0, -8:]) == spelt(batch.labels[0, -8:]) == "a red do"
    assert (batch.labels[1] == IGNORED).all()
    assert answer_loss(adapter, batch.pieces(2).__next__()) > 0
    assert answer_loss(adapter, list(batch.pieces(2))[1]) == 0


@torch.no_grad()
def test_the_loss_is_that_of_the_whole_models_logits(parts: Path) -> None:
    adapter = loaded(parts)
    batch = labelled(adapter, [tiny.picture(0), tiny.picture(1)], TURNS, max_text=100)
    logits = adapter.forward(batch.inputs).logits[:, :-1]
    said = batch.labels[:, 1:]
    expected = nn.functional.cross_entropy(logits.transpose(1, 2), said, reduction="sum")
    torch.testing.assert_close(answer_loss(adapter, batch), expected)


def test_the_learning_rate_rises_in_a_line_and_falls_as_a_cosine() -> None:
    how = config.Fit(lr=2.0, warmup=0.1)
    rates = [learning_rate(how, step, steps=100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert 0 < rates[99] < 0.001 * 2
    assert [learning_rate(config.Fit(warmup=0), 0, steps=1)] == [1e-3]


# The training


def test_only_the_projector_changes(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[ClipGemmaAdapter] = []
    load = models.load

    def keep(*args: object, **more: object) -> models.Adapter:
        kept.append(load(*args, **more))
        return kept[-1]

    monkeypatch.setattr(projector_fit.models, "load", keep)
    fit(settings(parts, coloured(tmp_path / "data", 8)), tmp_path / "out")
    after = kept[0].model.state_dict()
    before = loaded(parts).model.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rpartition(".")[0] for name in changed} == {"model.multi_modal_projector.linear"}
    assert len(changed) == 2
    assert [p for p in kept[0].model.parameters() if p.requires_grad and p.grad is not None] == []
    needs = {name for name, p in kept[0].model.named_parameters() if p.requires_grad}
    assert needs == changed
    saved = load_file(tmp_path / "out" / "projector.safetensors")
    for name, tensor in saved.items():
        assert torch.equal(after[f"model.multi_modal_projector.linear.{name}"], tensor)


def test_true_pairs_are_learnt_better_than_shuffled_ones(parts: Path, tmp_path: Path) -> None:
    last = {}
    for shuffled in (False, True):
        folder = tmp_path / str(shuffled)
        data = coloured(folder / "data", 64, shuffled=shuffled)
        fit(settings(parts, data, steps=120, batch=16), folder / "out")
        found = losses(folder / "out")
        last[shuffled] = np.mean(found[-20:])
        assert last[shuffled] < np.mean(found[:10])
    # Without the picture each of the four letters is as likely; the end behind it is certain.
    blind = math.log(4) / 2
    assert last[False] < blind / 4 and blind < last[True], last


def test_pieces_of_a_batch_make_the_same_projector(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    answers = ["a", "a long answer of many words", "two words", "b", "cd", "a dog.", "x", "yes"]
    for i in range(8):
        tiny.picture(i).save(tmp_path / "images" / f"{i}.png")
    data = written(tmp_path, [(f"{i}.png", [("q?" * (i % 3), a)]) for i, a in enumerate(answers)])
    made = []
    for pieces in (1, 4):
        out = tmp_path / str(pieces)
        fit(settings(parts, data, batch=8, accumulate=pieces, lr=1e-3), out)
        made.append((load_file(out / "projector.safetensors"), losses(out)))
    for name, tensor in made[0][0].items():
        torch.testing.assert_close(tensor, made[1][0][name], rtol=0, atol=1e-5)
    np.testing.assert_allclose(made[0][1], made[1][1], rtol=1e-5)


def test_the_curve_and_the_facts(parts: Path, tmp_path: Path) -> None:
    data, out = coloured(tmp_path / "data", 10), tmp_path / "out"
    watcher = Steps()
    assert fit(settings(parts, data, steps=None, batch=4, warmup=0.34), out, watcher=watcher)
    assert watcher.began == (0, 3)  # one pass over 10, 4 at a time
    points = curve(out)
    assert [p["loss"] for p in points] == watcher.losses
    assert [(p["step"], p["samples"]) for p in points] == [(1, 4), (2, 8), (3, 12)]
    assert [p["lr"] for p in points] == pytest.approx([0.01, 0.01, 0.005])
    facts = json.loads((out / "projector.json").read_text())
    assert (facts["steps"], facts["conversations"], facts["skipped"]) == (3, 10, {})
    assert facts["settings"]["fit"]["batch"] == 4
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0]


def test_a_given_projector_is_where_it_begins(parts: Path, tmp_path: Path) -> None:
    data = coloured(tmp_path / "data", 8)
    given = {"weight": torch.randn(families.WORDS, tiny.WIDTH), "bias": torch.ones(families.WORDS)}
    torch.save(given, tmp_path / "given.pth")
    how = settings(parts, data, steps=1, lr=1e-6)
    how = how.model_copy(update={"model": model(parts, projector=tmp_path / "given.pth")})
    fit(how, tmp_path / "out")
    for name, tensor in load_file(tmp_path / "out" / "projector.safetensors").items():
        torch.testing.assert_close(tensor, given[name], rtol=0, atol=1.1e-6)
        assert not torch.equal(tensor, given[name])


# Killed and resumed


def same(left: Path, right: Path) -> None:
    for name in ("projector.safetensors", "curve.jsonl", "state.safetensors", "projector.json"):
        assert (left / name).read_bytes() == (right / name).read_bytes(), name
    assert not list(right.glob(".tmp-*"))


@pytest.mark.parametrize("stop", [1, 3, 4, 8])
def test_stopped_and_resumed_equals_uninterrupted(parts: Path, tmp_path: Path, stop: int) -> None:
    data = coloured(tmp_path / "data", 10)
    (tmp_path / "data/images/3.png").write_bytes(b"no image")
    how = settings(parts, data, steps=8, save_every=3)
    fit(how, tmp_path / "whole")
    with pytest.raises(Killed):
        fit(how, tmp_path / "out", watcher=Steps(stop=stop))
    assert not (tmp_path / "out" / "projector.json").exists()
    (tmp_path / "out" / ".tmp-state.safetensors").write_bytes(b"half")
    watcher = Steps()
    assert fit(how, tmp_path / "out", watcher=watcher)
    done = 8 if stop == 8 else stop // 3 * 3
    assert watcher.began == (done, 8)
    assert len(watcher.losses) == 8 - done
    same(tmp_path / "whole", tmp_path / "out")


def toml(path: Path, how: config.FitProjector) -> Path:
    """The settings as a TOML file; JSON's strings, numbers and lists are TOML's."""
    lines = [f'name = "{how.name}"']
    for table, values in how.model_dump(mode="json", exclude={"name"}).items():
        lines.append(f"[{table}]")
        lines += [f"{k} = {json.dumps(v)}" for k, v in values.items() if v is not None]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_killed_by_the_system_and_resumed_equals_uninterrupted(parts: Path, tmp_path: Path) -> None:
    how = settings(parts, coloured(tmp_path / "data", 16), steps=400, batch=8, save_every=10)
    command = [sys.executable, "-m", "pipeline", "fit-projector", toml(tmp_path / "fit.toml", how)]
    command += ["--out", tmp_path / "killed"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=env) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "killed/state.safetensors").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed/projector.json").exists()
    watcher = Steps()
    fit(how, tmp_path / "killed", watcher=watcher)
    assert watcher.began is not None and 10 <= watcher.began[0] < 400
    fit(how, tmp_path / "whole")
    same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize(
    "change", [{"lr": 0.02}, {"steps": 9}, {"seed": 1}, {"batch": 5}, {"max_text": 99}]
)
def test_the_state_of_other_settings_is_refused(
    parts: Path, tmp_path: Path, change: dict[str, float]
) -> None:
    data = coloured(tmp_path / "data", 8)
    how = settings(parts, data, save_every=2)
    with pytest.raises(Killed):
        fit(how, tmp_path / "out", watcher=Steps(stop=3))
    before = (tmp_path / "out/state.safetensors").read_bytes()
    with pytest.raises(StoreError, match="other settings, other data or another version; name"):
        fit(settings(parts, data, **change), tmp_path / "out")
    assert (tmp_path / "out/state.safetensors").read_bytes() == before
    # How often it saves and in how many pieces a batch goes makes no other projector.
    assert fit(settings(parts, data, save_every=5, accumulate=2), tmp_path / "out")


def test_other_words_and_other_images_are_refused(parts: Path, tmp_path: Path) -> None:
    data, out = coloured(tmp_path / "data", 8), tmp_path / "out"
    fit(settings(parts, data), out)
    said = data.path.read_text()
    data.path.write_text(said.replace('"y"', '"z"'))
    with pytest.raises(StoreError, match="other data"):
        fit(settings(parts, data), out)
    data.path.write_text(said)
    assert not fit(settings(parts, data), out)
    (data.images / "0.png").write_bytes(b"another one")
    with pytest.raises(StoreError, match="other data"):
        fit(settings(parts, data), out)


def test_a_damaged_state_is_refused_in_one_line(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/state.safetensors").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"state\.safetensors: damaged .*; remove it") as refused:
        fit(settings(parts, coloured(tmp_path / "data", 8)), tmp_path / "out")
    assert "\n" not in str(refused.value)


# Images that cannot be read


def test_an_unreadable_image_is_replaced_and_the_others_keep_their_order(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[str]] = []
    make = projector_fit.labelled

    def noted(adapter: object, pictures: object, turns: object, **more: object) -> object:
        read.append(["".join(a for _, a in said) for said in turns])
        return make(adapter, pictures, turns, **more)

    monkeypatch.setattr(projector_fit, "labelled", noted)
    (tmp_path / "images").mkdir()
    for i in range(8):
        tiny.picture(i).save(tmp_path / "images" / f"{i}.png")
    data = written(tmp_path, [(f"{i}.png", [("", "abcdefgh"[i])]) for i in range(8)])
    how = settings(parts, data, steps=4)
    fit(how, tmp_path / "whole")
    whole, read[:] = [*read], []
    assert sorted(whole[0] + whole[1]) == sorted(whole[2] + whole[3]) == [*"abcdefgh"]
    assert whole[:2] != whole[2:], "another order each pass"

    (tmp_path / "images/2.png").write_bytes(b"no image")
    (tmp_path / "images/5.png").unlink()
    for out in ("first", "second"):
        read.clear()
        fit(how, tmp_path / out)
        for before, now in zip(whole, read, strict=True):
            for letter, other in zip(before, now, strict=True):
                assert other == letter if letter not in "cf" else other not in "cf"
    facts = json.loads((tmp_path / "first/projector.json").read_text())
    assert facts["skipped"].keys() == {"2.png", "5.png"}
    assert "not an image" in facts["skipped"]["2.png"]
    assert "no such file" in facts["skipped"]["5.png"]
    same(tmp_path / "first", tmp_path / "second")


def test_words_that_hold_the_images_token_are_replaced(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = coloured(tmp_path / "data", 4)
    # Gemma's image token is a free word; here it is LLaVA's mark, which the reader refuses.
    monkeypatch.setattr("pipeline.projector.conversations.MARK", "<mark>")
    data.path.write_text(
        data.path.read_text().replace('"r"', '"an <image>"').replace("<image>\\n", "")
    )
    fit(settings(parts, data, steps=2), tmp_path / "out")
    facts = json.loads((tmp_path / "out/projector.json").read_text())
    assert facts["skipped"] == {"0.png": "its words hold the token that stands for the image"}


def test_no_readable_image_is_told_in_one_line(parts: Path, tmp_path: Path) -> None:
    data = coloured(tmp_path / "data", 4)
    data = data.model_copy(update={"images": tmp_path / "elsewhere"})
    with pytest.raises(ConversationError, match=r"none can be read, as .*; mend data\.images"):
        fit(settings(parts, data), tmp_path / "out")


def test_float16_and_a_divergence_are_told_in_one_line(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = coloured(tmp_path / "data", 4)
    how = settings(parts, data)
    with pytest.raises(config.ConfigError, match="bfloat16"):
        fit(how.model_copy(update={"model": model(parts, dtype="float16")}), tmp_path / "half")
    weights = {
        "weight": torch.full((families.WORDS, tiny.WIDTH), torch.nan),
        "bias": torch.zeros(24),
    }
    torch.save(weights, tmp_path / "nan.pth")
    nan = model(parts, projector=tmp_path / "nan.pth")
    with pytest.raises(ModelError, match=r"its weight .*linear\.weight is not finite either"):
        fit(how.model_copy(update={"model": nan}), tmp_path / "nan")

    def too_far(optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Leaves weights as a learning rate far too high does."""
        for weight in optimizer.param_groups[0]["params"]:
            weight.data.fill_(torch.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", too_far)
    with pytest.raises(ModelError, match=r"diverged at step 2; lower fit\.lr"):
        fit(how, tmp_path / "out")
    assert not (tmp_path / "out/state.safetensors").exists()


@pytest.mark.slow
def test_two_processes_make_the_same_projector(parts: Path, tmp_path: Path) -> None:
    how = settings(parts, coloured(tmp_path / "data", 16), batch=6, accumulate=2, lr=1e-3)
    (how.data.images / "3.png").write_bytes(b"no image")
    fit(how, tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "-m", "pipeline", "fit-projector"]
    command += [toml(tmp_path / "fit.toml", how), "--out", tmp_path / "two"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=300)
    np.testing.assert_allclose(losses(tmp_path / "one"), losses(tmp_path / "two"), rtol=1e-5)
    assert losses(tmp_path / "one") != losses(tmp_path / "two"), "one process did all"
    one, two = (load_file(tmp_path / name / "projector.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-5)
    facts = [(tmp_path / name / "projector.json").read_text() for name in ("one", "two")]
    assert facts[0] == facts[1] and "3.png" in facts[0]


# The command


def test_the_command_from_a_config_to_a_model_that_answers(parts: Path, tmp_path: Path) -> None:
    how = settings(parts, coloured(tmp_path / "data", 8))
    arguments = ["fit-projector", str(toml(tmp_path / "fit.toml", how))]
    arguments += ["--out", str(tmp_path / "out")]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    projector = tmp_path / "out/projector.safetensors"
    assert f"projector: {projector}" in first.output
    files = {p.name for p in (tmp_path / "out").iterdir()} - {".lock"}
    assert files == {"curve.jsonl", "projector.json", "projector.safetensors", "state.safetensors"}
    stamps = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0 and f"done before: {projector}" in again.output
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == stamps

    adapter = loaded(parts, projector=projector)
    assert torch.equal(adapter.projector.weight, load_file(projector)["weight"])
    inputs = adapter.prepare([tiny.picture(0)], [asked("What is it?")])
    said = adapter.model.generate(**inputs.tensors, max_new_tokens=5, do_sample=False)
    made = said[0, inputs.tensors["input_ids"].shape[1] :]
    with torch.no_grad():
        assert made[0] == adapter.forward(inputs).logits[0, -1].argmax()
    assert 1 <= len(made) <= 5


def test_the_command_tells_faults_in_one_line(parts: Path, tmp_path: Path) -> None:
    data = config.Conversations(path=tmp_path / "none.json", images=tmp_path)
    path = toml(tmp_path / "fit.toml", settings(parts, data))
    failed = CliRunner().invoke(app, ["fit-projector", str(path), "--out", str(tmp_path / "out")])
    assert failed.exit_code == 2
    assert failed.output.startswith("error: ") and failed.output.count("\n") == 1
    assert "none.json" in failed.output
