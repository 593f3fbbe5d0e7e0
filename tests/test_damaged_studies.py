"""Files of studies and of what people say that are damaged: each is refused in one line, and then
nothing is kept, or what comes of it is whole."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from damage import damaged
from synthetic import make_bundle

from pipeline.annotations import Annotations, FeatureKey
from pipeline.errors import LoupeError
from pipeline.study import exchange, findings, imported_answers, judging, outputs, restored
from pipeline.study.assignment import chooser
from pipeline.study.content import Content
from pipeline.study.creation import create
from pipeline.study.files import Study

NAME = "clip-demo/vision.0.resid_post/matryoshka"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module", params=["pairs", "intruder"])
def exported(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The export of a study with votes, some of them from elsewhere."""
    folder = tmp_path_factory.mktemp("exported")
    store = Annotations(str(folder / "a.sqlite"))
    content = create(
        Study.model_validate(
            {"name": "demo", "bundle": bundle, "kind": request.param, "images": 4, "votes": 2,
             "draw": {"count": 5}}
        )
    )  # fmt: skip
    store.create_study("demo", content.model_dump_json(), content.wanted)
    found = store.annotator_of(store.invite("demo", "Ann"))
    assert found is not None
    who = found.annotator
    for n in range(6):
        (trial,) = store.open_trials(
            "demo", who, chooser(judging.schedule(content), who), hold=timedelta(minutes=9)
        )
        answer = "left" if request.param == "pairs" else "1"
        said = {"trial": trial.trial, "answer": answer, "request": f"r{n}", "ms": 900}
        assert judging.keep(store, content, who, said).answered
    exchange.write(content, store.votes("demo"), folder / "out")
    store.close()
    return folder / "out"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Annotations]:
    opened = Annotations(str(tmp_path / "b.sqlite"))
    yield opened
    opened.close()


def tried(take: Callable[[], object]) -> bool:
    """Whether it was taken; a refusal is one line."""
    line = ""
    try:
        take()
    except LoupeError as error:
        line = str(error)
    assert line == "" or line.isprintable(), ascii(line)
    assert len(line) < 2000
    return not line


@pytest.mark.parametrize("name", [exchange.STUDY, exchange.VOTES])
def test_a_study_that_was_exported(
    exported: Path, store: Annotations, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for file in (exchange.STUDY, exchange.VOTES):
        (folder / file).write_bytes((exported / file).read_bytes())
    taken = 0
    for number, form in enumerate(damaged((exported / name).read_bytes(), seed=7)):
        (folder / name).write_bytes(form)
        before = store.studies()

        def take(number: int = number) -> None:
            content, _, rows = restored.take_in(store, folder, name=f"study-{number}")
            votes = store.votes(content.study.name)
            assert len(votes) == rows
            findings.find(content, votes, failed=None, brought={})
            exchange.write(content, votes, tmp_path / "out")

        if tried(take):
            taken += 1
        else:
            assert store.studies() == before, "nothing is kept of what is refused"
    assert 0 < taken < 100


def test_answers_that_were_given_elsewhere(
    exported: Path, store: Annotations, tmp_path: Path
) -> None:
    content = Content.model_validate_json((exported / exchange.STUDY).read_bytes())
    file, taken = tmp_path / "votes.csv", 0
    for number, form in enumerate(damaged((exported / exchange.VOTES).read_bytes(), seed=8)):
        file.write_bytes(form)
        name = f"study-{number}"
        store.create_study(name, content.model_dump_json(), content.wanted)

        def take(name: str = name) -> None:
            store.add_votes(name, imported_answers.read(file, content))

        if tried(take):
            taken += 1
        else:
            assert store.votes(name) == []
    assert 0 < taken < 100


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small benchmark's folder."""
    folder, rng = tmp_path_factory.mktemp("benchmark"), np.random.default_rng(3)
    rows = ["k_x,k_y,R_user,MS_x_dino,MS_y_dino"]
    scores = {k: f"{rng.random():.3f}" for k in range(8)}
    for n in range(12):
        x, y = n % 8, (n * 3 + 1) % 8
        if x != y:
            rows.append(f"{x},{y},{(-1) ** n},{scores[x]},{scores[y]}")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    top = ["k," + ",".join(f"x_{n}" for n in range(1, 17))]
    top += [f"{k}," + ",".join(f"image-{k}-{n}.jpg" for n in range(16)) for k in range(8)]
    (folder / "top16_images.csv").write_text("\n".join(top) + "\n")
    values = ["k," + ",".join(f"a_{n}" for n in range(1, 21))]
    values += [f"{k}," + ",".join(f"{rng.random():.3f}" for _ in range(20)) for k in range(8)]
    (folder / "activations.csv").write_text("\n".join(values) + "\n")
    return folder


@pytest.mark.parametrize("name", ["pairs.csv", "top16_images.csv", "packed"])
def test_the_benchmark(benchmark: Path, store: Annotations, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for file in benchmark.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    path = folder
    if name == "packed":
        with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
            archive.add(folder, "metric_benchmark")
        path = tmp_path / "b.tar.gz"
    original = path.read_bytes() if path.is_file() else (folder / name).read_bytes()
    for number, form in enumerate(damaged(original, seed=9)):
        (path if path.is_file() else folder / name).write_bytes(form)
        study = f"study-{number}"

        def take(study: str = study) -> None:
            content, _, found = exchange.take_in(store, path, name=study)
            assert len(store.votes(study)) == len(found)
            findings.find(content, store.votes(study), failed=None, brought={})

        if not tried(take):
            assert study not in store.studies(), "nothing is kept of what is refused"


def test_scores_and_activations(benchmark: Path, store: Annotations, tmp_path: Path) -> None:
    content, _, _ = exchange.take_in(store, benchmark, name="b")
    vectors = tmp_path / "v.npy"
    np.save(vectors, np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32))
    file = tmp_path / "activations.csv"
    for form in damaged((benchmark / "activations.csv").read_bytes(), seed=10):
        file.write_bytes(form)
        tried(lambda: exchange.recomputed(file, vectors, content))
    original = vectors.read_bytes()
    for form in damaged(original, seed=11):
        vectors.write_bytes(form)
        tried(lambda: exchange.recomputed(benchmark / "activations.csv", vectors, content))
    scores = "feature,mine,other\n" + "".join(f"{k},0.{k},1e-{k}\n" for k in range(8))
    for form in damaged(scores.encode(), seed=12):
        file.write_bytes(form)
        tried(lambda: exchange.read_scores(file, content))


def test_texts_to_judge(tmp_path: Path) -> None:
    file = tmp_path / "said"
    texts = "text,group,concept,answer\n" + "".join(f"a text {n},g,red,{n}\n" for n in range(1, 6))
    for form in damaged(texts.encode(), seed=13):
        file.write_bytes(form)
        tried(lambda: outputs.read(file, several=False))
    setting = {"features": [{"dictionary": "m/h/d", "feature": 3, "strength": 2.0}],
               "prompt": "What is it?", "concept": "red"}  # fmt: skip
    said = {"unsteered": {"text": "a cat"}, "steered": {"text": "a red cat"}}
    record = {"setting": setting, "answers": said, "image": {"uri": "scene/1"}}
    for form in damaged(json.dumps({"records": [record, record]}).encode(), seed=14):
        file.write_bytes(form)
        tried(lambda: outputs.of_steering(file))


def test_what_lists_exports(store: Annotations, tmp_path: Path) -> None:
    other = Annotations(str(tmp_path / "other.sqlite"))
    for n in range(4):
        key = FeatureKey("ab12", n)
        other.star("ann", key, NAME)
        other.write_note("bob", key, NAME, f"a note, {n}")
        other.write_label("zoë", key, NAME, "a label")
    uuid = other.create_list("mine", "ann", "of these")
    other.add(uuid, [(FeatureKey("ab12", n), NAME) for n in range(4)])
    original = other.export().encode()
    other.close()
    for number, form in enumerate(damaged(original, seed=15)):
        before = store.export()
        alone = bool(number % 2)
        if tried(lambda form=form, alone=alone: store.bring_in(form, author="me", alone=alone)):
            again = store.bring_in(form, author="me", alone=alone)
            assert (again.stars, again.notes, again.labels, again.lists, again.items) == (0,) * 5
            assert again.updated == 0
            io.StringIO(store.export()).read()
        else:
            assert store.export() == before
