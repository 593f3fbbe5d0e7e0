"""The step label in whole runs: words, classes and what a server or a local model says."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_families
from run_commands import command, done, rows, toml

from pipeline import config
from pipeline.bundle import opening
from pipeline.bundle.verify import faults
from pipeline.labelling import vocabulary
from pipeline.labelling.asking import PROMPT, phrase
from pipeline.metrics import labels as tags
from pipeline.metrics import naming, samples
from pipeline.models.encoder import ImageEncoder
from pipeline.models.loading import ModelError
from pipeline.steps import label

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "data/demo/clip"
SAE = "clip/vision.1.resid_post/batchtopk"
HOOKS = '"vision.1.resid_post", "vision.projection"'
KEY = "sk-very-secret-0123456789"

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(tiny_clip: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """write(LABELS, NAME=VALUE...) -> the config of a run with the demo's CLIP for words."""

    def made(labels: str = "", *, words: bool = True, **change: object) -> Path:
        file = tmp_path_factory.mktemp("config") / "run.toml"
        text = toml(**{"clip": tiny_clip, "encoder": tiny_encoder, "hooks": HOOKS} | change)
        if words:
            text += f'[encoders.words]\nid = "{CLIP}"\njudges = false\n'
        file.write_text(f"{text}[relations]\nmaps = false\n{labels}")
        return file

    return made


@pytest.fixture(scope="module")
def whole(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder; read only."""
    home = tmp_path_factory.mktemp("labels")
    done("run", write(), "--out", home)
    return home


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """The same to change."""
    return shutil.copytree(whole, tmp_path / "run", symlinks=True)


# --- Words ---


def test_the_bundle_is_sound(whole: Path) -> None:
    assert list(faults(whole)) == []
    assert {row["dictionary_id"] for row in rows(whole, "labels")} == {
        row["dictionary_id"] for row in rows(whole, "dictionaries")
    }


def test_an_encoder_that_does_not_judge_is_there_for_search_alone(whole: Path) -> None:
    made = {row["encoder"]: row for row in rows(whole, "encoders")}
    assert {n: (r["judges"], r["text"], r["is_default"]) for n, r in made.items()} == {
        "judge": (True, False, True),
        "own": (True, False, False),
        "words": (False, True, False),
    }
    assert {row["encoder"] for row in rows(whole, "monosemanticity")} == {"judge", "own"}
    val = len(rows(whole, "examples", split="val"))
    assert len(rows(whole, "embeddings", encoder="words")) == val


@pytest.fixture(scope="module")
def truth(whole: Path) -> dict[str, Any]:
    """What the labels of one SAE rest on, from the bundle's own tables and the encoder."""
    encoder = ImageEncoder(config.Encoder(id=str(CLIP)), device="cpu")
    val = rows(whole, "examples", split="val")
    words = [word for word in vocabulary.default(val) if encoder.knows(word)]
    ids, vectors = opening.open_bundle(whole).embeddings("words")
    top = np.full((64, 16), -1)
    for row in rows(whole, "top_examples", dictionary_id=SAE):
        top[row["feature_id"], row["rank"] - 1] = np.searchsorted(ids, row["example_id"])
    acts = np.zeros((len(ids), 64))
    for row in rows(whole, "activations", dictionary_id=SAE):
        acts[np.searchsorted(ids, row["example_id"]), row["feature_id"]] = row["activation"]
    return {
        "words": words, "ids": ids, "vectors": vectors, "top": top, "acts": acts,
        "texts": encoder.embed_texts([f"a photo of {word}" for word in words]).numpy(),
        "tags": [row["tags"] for row in val],
    }  # fmt: skip


def test_words_are_the_nearest_of_the_vocabulary(whole: Path, truth: dict[str, Any]) -> None:
    assert {"red", "circle", "top left"} <= set(truth["words"])
    assert "dog" not in truth["words"], "the demo's CLIP never saw the word"
    directions = naming.directions(truth["top"], truth["vectors"])
    near = naming.nearest(directions, truth["texts"], count=3)
    made = rows(whole, "labels", dictionary_id=SAE, kind="word")
    assert len(made) == (near.word >= 0).sum() > 30
    for row in made:
        at = row["feature_id"], row["rank"] - 1
        assert row["label"] == truth["words"][near.word[at]]
        assert row["value"] == pytest.approx(near.value[at], abs=1e-4)


def test_tells_compares_the_features_images_with_silent_ones(
    whole: Path, truth: dict[str, Any]
) -> None:
    acts, count = truth["acts"], len(truth["ids"])
    others = np.sort(np.random.default_rng(0).permutation(count)[:256])
    texts = dict(zip(truth["words"], truth["texts"] - truth["texts"].mean(0), strict=True))
    tried = 0
    for row in rows(whole, "labels", dictionary_id=SAE, kind="word"):
        column = acts[:, row["feature_id"]]
        fired = np.flatnonzero(column)
        start = np.zeros(row["feature_id"] + 2, int)
        start[-1] = len(fired)
        more = samples.draw(
            start, fired, column[fired], examples=count, seed=0, per_bin=4, random=0
        )
        top = truth["top"][row["feature_id"]]
        shown, silent = [*top[top >= 0], *more.example], others[column[others] == 0]
        if len(shown) < 2 or len(silent) < naming.FEWEST:
            assert row["tells"] is None
            continue
        near = truth["vectors"] @ texts[row["label"]]
        wins = np.mean([(near[i] > near[j]) + (near[i] == near[j]) / 2
                        for i in shown for j in silent])  # fmt: skip
        assert row["tells"] == pytest.approx(wins, abs=0.01)  # rounding may turn a near tie
        tried += 1
    assert tried > 20


def test_tags_stay_the_label_where_there_are_any(whole: Path, truth: dict[str, Any]) -> None:
    matrix, names = tags.tag_matrix(truth["tags"])
    column, score = tags.mark_out(truth["top"], matrix)
    for row in rows(whole, "features", dictionary_id=SAE):
        feature = row["feature_id"]
        assert row["label"] == (names[column[feature]] if column[feature] >= 0 else None)
        if row["label"]:
            assert row["label_score"] == pytest.approx(score[feature], abs=1e-6)


def pictures(folder: Path, *, classes: bool) -> str:
    """A source of pictures, in folders of classes or not; nothing else is known of them."""
    for number in range(60):
        place = folder / ("red_ones" if number % 3 else "blue_ones") if classes else folder
        place.mkdir(exist_ok=True, parents=True)
        tiny.picture(number).save(place / f"{number}.png")
    return f'kind = "folder"\npath = "{folder}"'


def test_without_tags_the_first_word_is_the_label(write: Write, tmp_path: Path) -> None:
    words, home = tmp_path / "words.txt", tmp_path / "run"
    words.write_text("red\nblue\ncircle\nquokka\n")
    labels = f'[labels]\nvocabulary = "{words}"\ntemplate = "a {{}}"\nwords = 2\n'
    source = pictures(tmp_path / "flat", classes=False)
    done("run", write(labels, source=source), "--out", home)
    assert list(faults(home)) == []
    assert {row["kind"] for row in rows(home, "labels")} == {"word"}
    assert {row["rank"] for row in rows(home, "labels")} == {1, 2}
    made = {(r["dictionary_id"], r["feature_id"]): r for r in rows(home, "labels", rank=1)}
    assert {row["label"] for row in made.values()} <= {"red", "blue", "circle"}
    named = 0
    for row in rows(home, "features"):
        word = made.get((row["dictionary_id"], row["feature_id"]))
        assert row["label"] == (word["label"] if word else None)
        if word and word["tells"] is not None:
            wanted = max(0, 2 * word["tells"] - 1)
            assert row["label_score"] == pytest.approx(wanted, abs=1e-6)
            named += 1
    assert named > 30


@pytest.fixture(scope="module")
def classed(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of pictures in folders of classes."""
    folder = tmp_path_factory.mktemp("classed")
    source = pictures(folder / "pictures", classes=True)
    done("run", write(source=source), "--out", folder / "run")
    return folder / "run"


def test_classes_are_those_that_mark_out_the_top_images(classed: Path) -> None:
    of = {row["example_id"]: row["label"].replace("_", " ") for row in rows(classed, "examples")}
    val = [of[row["example_id"]] for row in rows(classed, "examples", split="val")]
    tops: dict[int, list[str]] = {}
    for row in rows(classed, "top_examples", dictionary_id=SAE):
        tops.setdefault(row["feature_id"], []).append(of[row["example_id"]])
    found = rows(classed, "labels", dictionary_id=SAE, kind="class")
    assert len(found) == sum(len(top) > 1 for top in tops.values()) > 10
    for row in found:
        top = tops[row["feature_id"]]
        above = {n: top.count(n) / len(top) - val.count(n) / len(val) for n in set(val)}
        assert above[row["label"]] == pytest.approx(max(above.values()))
        assert row["value"] == pytest.approx(top.count(row["label"]) / len(top), abs=1e-6)
    assert len({row["label"] for row in found}) == 2, "the commoner class is not always the label"
    assert any(row["tells"] is not None for row in found)


def test_without_words_classes_remain(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = pictures(tmp_path / "classes", classes=True)
    done("run", write(source=source, words=False), "--out", tmp_path / "run")
    made = rows(tmp_path / "run", "labels")
    assert {row["kind"] for row in made} == {"class"}
    assert {row["tells"] for row in made} == {None}
    said = [r.message for r in caplog.records if "no encoder embeds words" in r.message]
    assert len(said) == 1
    assert list(faults(tmp_path / "run")) == []


def test_only_what_changed_is_made_again(home: Path, write: Write) -> None:
    again = done("status", write("[labels]\nwords = 1\n"), "--out", home).stdout
    assert "score    done" in again
    assert "relate   done" in again
    assert "label    stale    changed: labels; 0 of 5 units" in again
    assert "publish  stale    changed: labels;" in again
    assert "stale" not in done("status", write(), "--out", home).stdout


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ('[labels]\nencoder = "nobody"', "labels.encoder = 'nobody': name one of"),
        ('[labels]\nencoder = "judge"', "labels.encoder = 'judge': embeds no words"),
        ('[labels]\nvocabulary = "none.txt"', "vocabulary none.txt: no such file"),
        ('[labels]\ntemplate = "a photo"', "labels: template 'a photo' has no {}"),
        ('[labels.endpoint]\nurl = "http://me:pass@here"\nmodel = "m"', "labels.endpoint.url"),
        ('[labels.endpoint]\nurl = "ftp://here"\nmodel = "m"', "labels.endpoint.url"),
        (f'[labels.endpoint]\nurl = "http://h"\nmodel = "m"\nkey_env = "{KEY}"', "key_env"),
        ('[scores]\ndefault_encoder = "words"', "name one that judges: ['judge', 'own']"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    labels: str, says: str, write: Write, home: Path
) -> None:
    result = command("run", write(labels), "--out", home)
    assert result.exit_code == 2, result.output
    (error,) = [line for line in result.stderr.splitlines() if "units made" not in line]
    assert says in error
    assert KEY not in error


def test_some_encoder_must_judge(write: Write) -> None:
    text = write().read_text().replace("judges_itself = true", "")
    for name in ("judge", "own"):
        text = text.replace(f"[encoders.{name}]", f"[encoders.{name}]\njudges = false")
    with pytest.raises(config.ConfigError, match="none judges; name one that does"):
        config.parse(text)


# --- What a model says ---


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server that answers by a script: (status, body) a request; its last
    answer serves all later requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[tuple[int, Any]] = [(200, "round things")]
        self.headers: dict[str, str] = {"Retry-After": "0"}
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(json.loads(body))
        self.server.keys.append(self.headers["Authorization"])
        self.server.paths.append(self.path)
        script = self.server.script
        status, said = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(said, str):
            said = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def asking(server: Server, *, features: int = 3, **more: object) -> str:
    """The part of a config that names the server."""
    lines = [f'url = "{server.url}"', 'model = "seer"', f"features = {features}"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    return "\n".join(["[labels.endpoint]", *lines, ""])


def said(home: Path) -> dict[tuple[str, int], str]:
    return {
        (row["dictionary_id"], row["feature_id"]): row["label"]
        for row in rows(home, "labels", kind="model")
    }


def questions(home: Path) -> int:
    """How many there are to ask: features with the same top images share an answer."""
    top: dict[tuple[str, int], list[int]] = {}
    for row in rows(home, "top_examples"):
        top.setdefault((row["dictionary_id"], row["feature_id"]), []).append(row["example_id"])
    return len({tuple(top[feature]) for feature in said(home)})


def manifest(home: Path) -> str:
    return (home / "manifests" / "label.json").read_text()


SAES = 3
"""The run's dictionaries that are SAEs."""


def test_a_server_is_shown_the_top_images_of_the_clearest_features(
    home: Path, write: Write, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOUPE_TEST_KEY", KEY)
    server.script = [(200, ' "**Round** things."\nBecause they are.'), (200, "red <b>ones</b>")]
    done("run", write(asking(server, key_env="LOUPE_TEST_KEY")), "--out", home)
    made = said(home)
    assert len(made) == 3 * SAES
    assert len(server.asked) == questions(home)
    assert sorted(set(made.values())) == ["Round** things", "red <b>ones</b>"]
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert set(server.paths) == {"/v1/chat/completions"}
    for dictionary in {one for one, _ in made}:
        scored = {r["feature_id"]: r["ms"] for r in rows(home, "features", dictionary_id=dictionary)
                  if r["ms"] is not None}  # fmt: skip
        best = sorted(scored, key=lambda feature: -scored[feature])[:3]
        assert {feature for one, feature in made if one == dictionary} == set(best)
    question = server.asked[0]
    assert question["model"] == "seer"
    text, picture = question["messages"][0]["content"]
    assert text == {"type": "text", "text": PROMPT}
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")
    tells = [row["tells"] for row in rows(home, "labels", kind="model")]
    assert all(value is None or 0 <= value <= 1 for value in tells)
    assert any(value is not None for value in tells)
    assert list(faults(home)) == []
    kept = [file for file in home.rglob("*") if file.is_file() and KEY in
            file.read_bytes().decode("latin-1")]  # fmt: skip
    assert kept == [], "the key is nowhere kept"


def test_without_its_key_the_server_is_not_asked(
    home: Path,
    write: Write,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("LOUPE_TEST_KEY", raising=False)
    file = write(asking(server, key_env="LOUPE_TEST_KEY"))
    shutil.rmtree(home / "parts" / "label")
    done("run", file, "--out", home)
    assert server.asked == []
    assert said(home) == {}
    assert [r.message for r in caplog.records if "LOUPE_TEST_KEY is not set" in r.message]
    monkeypatch.setenv("LOUPE_TEST_KEY", KEY)
    done("run", file, "--out", home)
    assert len(said(home)) == 3 * SAES


def test_a_busy_server_is_asked_again(home: Path, write: Write, server: Server) -> None:
    server.script = [(429, b"slow down"), (503, b""), (200, "round things")]
    done("run", write(asking(server)), "--out", home)
    assert len(said(home)) == 3 * SAES
    assert len(server.asked) == questions(home) + 2
    assert set(server.keys) == {None}
    assert json.loads(manifest(home))["skipped"] == {}


@pytest.mark.parametrize(
    ("status", "body", "says", "most"),
    [
        (200, b"<html>", "is no chat completion; see that labels.endpoint.url", 3),
        (200, b'{"choices": []}', "is no chat completion", 3),
        (200, b'[1, "choices"]', "is no chat completion", 3),
        (200, b'{"choices": [{"message": {"content": null}}]}', "is no chat completion", 3),
        (200, "  \n<think>hm</think> **", "empty answer", 3),
        (400, b"no images here", "400 Bad Request", 3),
        (500, b"", "no answer after 2 attempts (500 Internal Server Error)", 6),
        (401, KEY.encode(), "401 Unauthorized; see that labels.endpoint.key_env", 1),
        (404, b"", "404 Not Found; see labels.endpoint.url and model", 1),
        (302, b"", "302 Found; name the address", 1),
    ],
)
def test_a_server_that_fails_is_given_up_and_the_run_goes_on(
    status: int, body: Any, says: str, most: int, home: Path, write: Write, server: Server
) -> None:
    server.script = [(status, body)]
    server.headers |= {"Location": "/elsewhere"} if status == 302 else {}
    done("run", write(asking(server, attempts=2)), "--out", home)
    assert len(server.asked) == most, "asked no more after it failed"
    assert said(home) == {}
    assert len(rows(home, "labels", kind="word")) > 30
    reasons = json.loads(manifest(home))["skipped"]
    assert len(reasons) == SAES
    assert all(says in reason and "\n" not in reason for reason in reasons.values())
    assert KEY not in manifest(home)


def test_a_server_that_is_not_there(home: Path, write: Write, server: Server) -> None:
    nowhere = asking(server, attempts=1).replace(str(server.server_port), "9")
    done("run", write(nowhere), "--out", home)
    assert said(home) == {}
    assert "no answer after 1 attempts" in manifest(home)


def test_one_bad_answer_leaves_the_others(home: Path, write: Write, server: Server) -> None:
    server.script = [(200, b"garbage"), (200, "round things")]
    done("run", write(asking(server)), "--out", home)
    assert len(said(home)) == 3 * SAES - 1
    (reason,) = json.loads(manifest(home))["skipped"].values()
    assert "is no chat completion" in reason
    # What is lacking is asked once more when the steps are made again, and nothing else.
    asked = len(server.asked)
    for step in ("label", "publish"):
        assert str(home / "parts" / step) in reason
        shutil.rmtree(home / "parts" / step)
    done("run", write(asking(server)), "--out", home)
    assert len(said(home)) == 3 * SAES
    assert len(server.asked) <= asked + 1


def test_a_killed_run_does_not_ask_again(
    home: Path, write: Write, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    server.script = [(200, f"answer {number}") for number in range(100)]
    file = write(asking(server, features=4))
    with monkeypatch.context() as patched:
        patched.setattr(label, "write_table", killed)  # after the first dictionary's answers
        assert command("run", file, "--out", home).exit_code == 130
    assert len(server.asked) == 4
    (answers,) = (home / "answers").iterdir()
    with answers.open("a") as cut:
        cut.write('\n{"question": "cut o')
    done("run", file, "--out", home)
    assert len(said(home)) == 4 * SAES
    assert len(server.asked) == len(set(said(home).values())) == questions(home)
    assert "answer 0" in said(home).values(), "of the killed run"
    done("run", write(asking(server, features=4).replace("seer", "other")), "--out", home)
    assert len(server.asked) == 2 * questions(home), "another model is asked for itself"


def test_a_local_model(home: Path, write: Write) -> None:
    folder = tiny_families.folder("llava")
    text = f'[labels.local]\nid = "{folder}"\nfeatures = 2\nimages = 4\n'
    done("run", write(text), "--out", home)
    reasons = json.loads(manifest(home))["skipped"]
    made = said(home)
    assert len(made) == 2 * SAES, reasons
    # What it says is what the family's adapter generates for the same picture.
    (answers,) = (home / "answers").iterdir()
    kept = {json.loads(line)["answer"] for line in answers.read_text().split("\n") if line}
    assert set(made.values()) == kept
    asked = answers.read_bytes()
    for step in ("label", "publish"):
        shutil.rmtree(home / "parts" / step)
    done("run", write(text), "--out", home)
    assert (said(home), answers.read_bytes()) == (made, asked)


def test_a_local_model_that_does_not_talk_is_told(home: Path, write: Write) -> None:
    text = f'[labels.local]\nid = "{tiny_families.folder("clip")}"\n'
    result = command("run", write(text), "--out", home)
    assert result.exit_code == 2
    assert "answers no questions about pictures" in result.stderr


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Red circles", "Red circles"),
        ('\n\n- "Red circles".\nmore', "Red circles"),
        ("<think>They are\nround</think>\n**round**", "round"),
        ("a\x00b\u200b \t c", "a b c"),
        ("wheel " * 40, ("wheel " * 13).strip()),
    ],
)
def test_an_answer_as_a_label(answer: str, label: str) -> None:
    assert phrase(answer) == label


@pytest.mark.parametrize("answer", ["", " \n ", "<think>never ends", "***"])
def test_no_answer_is_no_label(answer: str) -> None:
    with pytest.raises(ModelError, match="empty answer"):
        phrase(answer)
