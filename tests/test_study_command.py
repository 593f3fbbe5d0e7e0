"""`python -m pipeline study`: every command on a bundle, and what it says of what cannot be."""

import csv
import io
import json
import re
import tarfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from conftest import ROOT
from synthetic import make_bundle
from typer.testing import CliRunner

from pipeline import config
from pipeline.__main__ import app
from pipeline.annotations import Annotations
from pipeline.study import benchmark, judging
from pipeline.study.assignment import chooser
from pipeline.study.content import Content, name_of
from pipeline.study.creation import create
from pipeline.study.files import Study

STUDY = """
name = "demo"
bundle = "{bundle}"
images = 4
votes = 2
[draw]
count = 6
"""
HEAD = "k_x,k_y,R_user,MS_x_dino,MS_y_dino,MS_x_clip,MS_y_clip\n"


class Room:
    """A folder with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, str(folder / "votes.sqlite")

    def run(self, *words: object) -> Result:
        """The command; what it says is in `output`."""
        arguments = ["study", *map(str, words)]
        if words[0] != "outputs":
            arguments += ["--store", self.store]
        return CliRunner().invoke(app, arguments)

    def says(self, *words: object) -> str:
        """Of a command that succeeds."""
        done = self.run(*words)
        assert done.exit_code == 0, done.output
        return done.output

    def refuses(self, *words: object) -> str:
        """The one line that it says of what cannot be."""
        done = self.run(*words)
        assert done.exit_code == 2, done.output
        assert isinstance(done.exception, SystemExit), done.exception
        (line,) = done.output.splitlines()
        assert line.startswith("error: ")
        return line

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


@pytest.fixture
def made(room: Room, bundle: Path) -> Room:
    """A room with the study `demo`."""
    room.says("create", room.file("demo.toml", STUDY.format(bundle=bundle)))
    return room


def answers(content: Content, people: str = "ab") -> str:
    rows = [
        f"{item.item},{who},{'x' if item.item % 3 else 'y'}"
        for who in people
        for item in content.items
        if item.role == "trial"
    ]
    return "item,annotator,answer\n" + "\n".join(rows) + "\n"


def content_of(room: Room) -> Content:
    store = Annotations(room.store)
    found = Content.model_validate_json(store.study_content("demo"))
    store.close()
    return found


def test_from_a_file_to_results(room: Room, bundle: Path) -> None:
    file = room.file("demo.toml", STUDY.format(bundle=bundle))
    said = room.says("create", file, "--url", "https://here.org/")
    assert said.startswith("demo: 6 to judge, 2 votes each; 3 for practice, 5 checks\n")
    token = re.search(r"owner: https://here.org/results\?study=demo&owner=(\S+)", said)
    invited = room.says("invite", "demo", "--count", 3).split()
    assert len(set(invited)) == 3
    store = Annotations(room.store)
    assert token and store.owns("demo", token[1]) and not store.owns("demo", "none")
    for link in invited:
        found = store.annotator_of(link.rpartition("=")[2])
        assert found is not None and found.study == "demo"
    store.close()
    assert room.says("status", "demo") == "demo: 0 of 12 votes\n"
    assert "Nobody has judged anything yet." in room.says("agree", "demo")

    votes = room.file("given.csv", answers(content_of(room)))
    assert re.fullmatch(
        r"(\w{16}: 6 answers of [ab]\n){2}", room.says("import", votes, "--name", "demo")
    )
    status = room.says("status", "demo").splitlines()
    assert status[0] == "demo: 12 of 12 votes"
    assert all(line[16:] == ": 6 votes, 0 of 0 checks failed, 0 of 0 repetitions alike, 0 skipped"
               for line in status[1:])  # fmt: skip
    agree = room.says("agree", "demo", "--score", "density")
    assert agree.startswith("demo: 6 judged, 12 votes\n") and "density prefers what most" in agree
    assert "Two people say the same in 100 %" in agree

    out = room.folder / "out"
    assert room.says("export", "demo", "--out", out) == f"{out}: 12 votes\n"
    assert sorted(path.name for path in out.iterdir()) == [
        "activations.csv", "pairs.csv", "study.json", "top16_images.csv", "votes.csv",
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO((out / "votes.csv").read_text())))
    assert {(row["role"], row["chosen"]) for row in rows} == {("trial", "elsewhere")}
    assert not {row["annotator"] for row in rows} & {"a", "b"}, "by pseudonym"
    assert Content.model_validate_json((out / "study.json").read_text()) == content_of(room)
    back = room.says("import", out, "--name", "back")
    assert back.startswith("back: 6 to judge, restored with 12 votes\nowner: http")
    again = room.folder / "again"
    room.says("export", "back", "--out", again)
    told = (again / "votes.csv").read_text()
    assert told.replace("back,", "demo,") == (out / "votes.csv").read_text()
    (out / "study.json").unlink()  # without it the benchmark's files are what is left
    back = room.says("import", out, "--name", "pairs")
    assert back.startswith("pairs: 6 pairs, preferences read as ")

    gone = rows[0]["annotator"]
    assert "are erased" in room.says("erase", "demo", gone)
    assert room.says("status", "demo").startswith("demo: 6 of 12 votes\n")
    assert "nobody of this pseudonym" in room.refuses("erase", "demo", gone)


def test_what_cannot_be_is_said_in_one_line(made: Room, bundle: Path) -> None:
    for command in (["invite"], ["status"], ["export", "--out", made.folder / "o"], ["agree"]):
        word, *more = command
        assert made.refuses(word, "none", *more) == "error: study none: there is none of this name"
    again = made.refuses("create", made.folder / "demo.toml")
    assert again == "error: study demo: there is one already; choose another name"
    no_bundle = made.file("b.toml", STUDY.format(bundle=made.folder / "nowhere"))
    assert "nowhere" in made.refuses("create", no_bundle)
    assert "cannot be read" in made.refuses("create", made.folder / "none.toml")
    bad = made.file("bad.toml", "name = \n")
    assert str(bad) in made.refuses("create", bad)
    unknown = made.file("u.toml", STUDY.format(bundle=bundle).replace("votes", "vote"))
    assert "vote: unknown key" in made.refuses("create", unknown)
    assert "name one of" in made.refuses("agree", "demo", "--score", "none")
    assert "give both" in made.refuses("agree", "demo", "--activations", "a.csv")


def test_a_store_that_is_none_is_said_in_one_line(room: Room) -> None:
    room.store = str(room.file("text.sqlite", "no database" * 1000))
    assert "cannot be used" in room.refuses("status", "demo")


# --- The published benchmark ---


def published(room: Room, said: list[str]) -> Path:
    folder = room.folder / "benchmark"
    folder.mkdir(exist_ok=True)
    ms = [0.5 - n / 100 for n in range(len(said) + 1)]
    rows = [f"{n},{n + 1},{text},{ms[n]},{ms[n + 1]},,0.125" for n, text in enumerate(said)]
    (folder / "pairs.csv").write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    top = {str(n): [f"val/{n}_{i}.JPEG" for i in range(16)] for n in range(len(said) + 1)}
    benchmark.write_top(folder / "top16_images.csv", top)
    rng = np.random.default_rng(0)
    acts = ((str(n), rng.random(50)) for n in range(len(said) + 1))
    benchmark.write_activations(folder / "activations.csv", acts, images=50)
    return folder


@pytest.mark.parametrize(
    ("said", "coding"),
    [
        (["x", "y", "tie"], "x/y"),
        (["1", "-1", "0"], "-1/1 (1: x is preferred)"),
        (["1", "0", "1"], "0/1 (1: x is preferred)"),
        (["0.75", "0", "1"], "shares of people that prefer x"),
    ],
)
def test_the_published_benchmark_is_a_study(room: Room, said: list[str], coding: str) -> None:
    told = room.says("import", published(room, said))
    assert told.startswith(f"benchmark: 3 pairs, preferences read as {coding}\n")
    assert "\nscores: MS_dino, MS_clip\n" in told
    assert room.says("status", "benchmark").startswith("benchmark: 3 of 3 votes\n")
    assert "MS by dino prefers what most people prefer" in room.says("agree", "benchmark")
    taken = room.refuses("import", published(room, said))
    assert taken == "error: study benchmark: there is one already; choose another name"


def test_what_cannot_be_told_is_refused(room: Room) -> None:
    folder = published(room, ["1", "1"])
    assert "can't be told" in room.refuses("import", folder)
    assert "name one of x/y" in room.refuses("import", folder, "--coding", "yes/no")
    assert "0/1" in room.says("import", folder, "--coding", "0/1")
    assert "lower case" in room.refuses("import", folder, "--coding", "0/1", "--name", "../A b")
    (folder / "top16_images.csv").write_text("k,x_1\n0,a\n", encoding="utf-8")
    assert "no images of neuron '1'" in room.refuses(
        "import", folder, "--coding", "0/1", "--name", "other"
    )
    assert "cannot be read" in room.refuses("import", room.folder / "none")


def test_rows_about_one_pair_are_told(room: Room) -> None:
    folder = published(room, ["x", "y"])
    with (folder / "pairs.csv").open("a", encoding="utf-8") as file:
        file.write("1,0,x,,,,\n")
    told = room.says("import", folder).splitlines()
    assert told[:2] == [
        "benchmark: 2 pairs, preferences read as x/y",
        "3 rows: those about the same pair are taken together",
    ]


def test_monosemanticity_is_computed_anew(room: Room) -> None:
    folder = published(room, ["x", "y", "x", "x"])
    room.says("import", folder)
    vectors = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    np.save(room.folder / "e.npy", vectors)
    told = room.says(
        "agree", "benchmark", "--activations", folder / "activations.csv",
        "--embeddings", room.folder / "e.npy", "--score", "ms_recomputed",
    )  # fmt: skip
    assert "MS_recomputed prefers what most people prefer" in told
    mine = room.file("mine.csv", "feature,MS_recomputed\n0,1\n")
    both = ("--activations", folder / "activations.csv", "--embeddings", room.folder / "e.npy")
    line = room.refuses("agree", "benchmark", "--scores", mine, *both)
    assert "'MS_recomputed' was brought already" in line
    path = packed(room, {"activations.csv": (folder / "activations.csv").read_bytes()})
    assert told == room.says(
        "agree", "benchmark", "--activations", path,
        "--embeddings", room.folder / "e.npy", "--score", "ms_recomputed",
    )  # fmt: skip


def packed(room: Room, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    path = room.folder / "metric_benchmark.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, held in members.items():
            info = tarfile.TarInfo(name) if isinstance(held, bytes) else held
            info.name = name
            if isinstance(held, bytes):
                info.size = len(held)
            archive.addfile(info, io.BytesIO(held) if isinstance(held, bytes) else None)
    return path


def test_the_archive_itself_is_read(room: Room) -> None:
    folder = published(room, ["x", "y"])
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hostile = {
        "../../evil.csv": b"no",
        "/tmp/loupe-evil.csv": b"no",
        "metric_benchmark/readme.txt": b"hello",
    }
    path = packed(room, hostile | {f"../metric_benchmark/{n}": b for n, b in files.items()})
    assert "2 pairs, preferences read as x/y" in room.says("import", path)
    assert not Path("/tmp/loupe-evil.csv").exists() and not list(room.folder.rglob("evil.csv"))
    store = Annotations(room.store)
    kept = Content.model_validate_json(store.study_content("benchmark"))
    assert kept.study.bundle == path
    store.close()


def test_archives_that_are_none_are_refused(room: Room) -> None:
    folder = published(room, ["x", "y"])
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    link = tarfile.TarInfo()
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    lacks = packed(room, {"pairs.csv": link, "top16_images.csv": files["top16_images.csv"]})
    assert room.refuses("import", lacks) == f"error: {lacks}: holds no pairs.csv"
    twice = packed(room, {"pairs.csv": b"1", "a/pairs.csv": b"2"})
    assert "holds pairs.csv twice" in room.refuses("import", twice)
    bad = packed(room, files | {"pairs.csv": b"a,b\n1,2\n"})
    assert room.refuses("import", bad).startswith(f"error: {bad}: pairs.csv: no column k_x")
    whole = packed(room, files).read_bytes()
    (room.folder / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert "cut.tar.gz" in room.refuses("import", room.folder / "cut.tar.gz")
    text = room.file("text.tar.gz", "no archive")
    assert "neither a folder nor a whole .tar.gz" in room.refuses("import", text)
    huge = tarfile.TarInfo("pairs.csv")
    huge.size = 2**40
    path = room.folder / "huge.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.fileobj.write(huge.tobuf())
    assert "its pairs.csv is larger than" in room.refuses("import", path)


# --- Hostile content ---

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)>",
    "formula": "=HYPERLINK(1)",
    "sql": "'; DROP TABLE votes; --",
    "zero": "a\0b",
    "long": "a" * 1_000_000,
    "escape": "\x1b]0;owned\x07",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_answers_are_refused(made: Room, kind: str) -> None:
    bad = HOSTILE[kind].replace('"', '""')
    for row in (f'0,a,"{bad}"', f'"{bad}",a,x'):
        file = made.file("bad.csv", f"item,annotator,answer\n{row}\n")
        line = made.refuses("import", file, "--name", "demo")
        assert str(file) in line and len(line) < 600 and line.isprintable()
    assert made.says("status", "demo") == "demo: 0 of 12 votes\n"


@pytest.mark.parametrize("kind", ["markup", "formula", "sql", "escape"])
def test_hostile_names_are_text(made: Room, kind: str) -> None:
    file = made.file("names.csv", f"item,annotator,answer\n0,{HOSTILE[kind]},x\n")
    told = made.says("import", file, "--name", "demo")
    assert told.rstrip("\n").isprintable()
    made.says("export", "demo", "--out", made.folder / "out")
    for path in (made.folder / "out").iterdir():
        assert HOSTILE[kind] not in path.read_text(encoding="utf-8")
    assert made.says("status", "demo").startswith("demo: 1 of 12 votes\n")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "no answers"),
        ("0,a,x\n0,a,y\n", "'a' judges item 0 twice"),
        ("99,a,x\n", "item 99 is none of the study's"),
        ("-1,a,x\n", "item '-1' is no whole number"),
        ("0,,x\n", "no annotator"),
        ("0,a,2\n", "'2' is no answer to item 0"),
        ("7,a,x\n", "the role 'trial' is not that of the item"),
    ],
)
def test_answers_to_nothing_are_refused(made: Room, rows: str, said: str) -> None:
    file = made.file("bad.csv", "item,annotator,answer\n" + rows)
    assert said in made.refuses("import", file, "--name", "demo")


def test_answers_come_in_once(made: Room) -> None:
    file = made.file("given.csv", answers(content_of(made), "a"))
    made.says("import", file, "--name", "demo")
    both = made.file("both.csv", answers(content_of(made), "ba"))
    assert "'a': has votes in demo already" in made.refuses("import", both, "--name", "demo")
    assert made.says("status", "demo").startswith("demo: 6 of 12 votes\n"), "all or none"


def test_an_export_is_not_taken_in_where_it_comes_from(made: Room) -> None:
    made.says("import", made.file("g.csv", answers(content_of(made))), "--name", "demo")
    made.says("export", "demo", "--out", made.folder / "out")
    again = made.refuses("import", made.folder / "out" / "votes.csv", "--name", "demo")
    assert "is a pseudonym of demo" in again
    assert made.says("status", "demo").startswith("demo: 12 of 12 votes\n")


def test_only_a_benchmark_has_shares_for_answers(made: Room) -> None:
    file = made.file("shares.csv", "item,annotator,answer\n0,a,0.7\n")
    assert "'0.7' is no answer to item 0" in made.refuses("import", file, "--name", "demo")
    made.says("import", published(made, ["x", "y"]), "--name", "b")
    made.says("import", file, "--name", "b")


def test_scores_never_take_the_place_of_others(made: Room) -> None:
    content = content_of(made)
    name = name_of(content.features[0])
    own = made.file("own.csv", f"feature,MS\n{name},1\n")
    assert "the study has a score 'ms' of its own" in made.refuses("agree", "demo", "--scores", own)
    odd = made.file("odd.csv", f",feature,mine\n0,{name},1\n1,{name},2\n")
    assert "line 3: feature" in made.refuses("agree", "demo", "--scores", odd)
    two = made.file("two.csv", f"feature,mine,mine\n{name},1,2\n")
    assert "two columns are named 'mine'" in made.refuses("agree", "demo", "--scores", two)
    fine = made.file("fine.csv", f",feature,mine\n0,{name},1\n")
    twice = ("--scores", fine, "--scores", fine)
    assert "'mine' was brought already" in made.refuses("agree", "demo", *twice)
    assert "Nobody has judged anything" in made.says("agree", "demo", "--scores", fine)


def test_names_of_scores_are_text(made: Room) -> None:
    content = content_of(made)
    made.says("import", made.file("g.csv", answers(content)), "--name", "demo")
    rows = [f"{name_of(one)},{one.scores['ms']}" for one in content.features]
    name = HOSTILE["escape"]
    scores = made.file("s.csv", f"feature,{name}\n" + "\n".join(rows) + "\n")
    told = made.says("agree", "demo", "--scores", scores, "--score", name)
    assert "?]0;owned?" in told and all(line.isprintable() for line in told.splitlines())


def test_exports_hold_no_formulas(room: Room) -> None:
    folder = published(room, ["x", "y"])
    top = {str(n): ["=cmd|' /C calc'!A0", "@sum(1)", *["a.png"] * 14] for n in range(3)}
    benchmark.write_top(folder / "top16_images.csv", top)
    assert benchmark.read_top(folder / "top16_images.csv")["0"][:2] == tuple(top["0"][:2])
    room.says("import", folder)
    out = room.folder / "out"
    room.says("export", "benchmark", "--out", out)
    for path in out.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [c for c in cells if c.startswith(("=", "@", "+", "\t", "\r"))], path


# --- A study whole ---


def kinds(room: Room, bundle: Path, kind: str) -> str:
    """The file of a study of this kind."""
    stated = STUDY.format(bundle=bundle)
    if kind != "outputs":
        return stated.replace("votes = 2", f'votes = 2\nkind = "{kind}"')
    texts = "text,group,concept\n" + "".join(f"text {n},{'ab'[n % 2]},red\n" for n in range(6))
    said = room.file("said.csv", texts)
    stated = stated.replace("votes = 2", 'votes = 2\nkind = "outputs"')
    return stated.replace("count = 6", f'how = "list"\nfile = "{said}"')


@pytest.mark.parametrize("kind", ["pairs", "rating", "outputs"])
def test_an_export_is_a_study_elsewhere(room: Room, bundle: Path, kind: str) -> None:
    room.says("create", room.file("demo.toml", kinds(room, bundle, kind)))
    judged(room, kind)
    rows = ["item,annotator,answer,role", f"0,zoe,{ANSWERS[kind][0]},trial"]
    checks = [item for item in content_of(room).items if item.role == "catch"]
    rows += [
        f"{item.item},{who},{item.answer},catch" for item in checks[:1] for who in ("zoe", "b")
    ]
    brought = room.file("g.csv", "\n".join(rows) + "\n")
    room.says("import", brought, "--name", "demo")
    room.says("export", "demo", "--out", room.folder / "out")
    other = Room(room.folder / "other")
    other.folder.mkdir()
    told = other.says("import", room.folder / "out", "--url", "https://there.org")
    token = re.search(r"owner: https://there.org/results\?study=demo&owner=(\S+)", told)
    store, there = Annotations(room.store), Annotations(other.store)
    assert token and there.owns("demo", token[1]) and not store.owns("demo", token[1])
    assert there.votes("demo") == store.votes("demo")
    assert there.tallies("demo") == store.tallies("demo")
    assert any(vote.revision for vote in there.votes("demo")), "what was taken back is there"
    store.close()
    there.close()
    for command in ("agree", "status"):
        assert other.says(command, "demo") == room.says(command, "demo")
    other.says("export", "demo", "--out", other.folder / "out")
    for file in ("votes.csv", "study.json"):
        both = [(one.folder / "out" / file).read_bytes() for one in (room, other)]
        assert both[0] == both[1]
    assert "there is one already" in other.refuses("import", room.folder / "out")
    renamed = other.says("import", room.folder / "out", "--name", "twin")
    assert renamed.startswith("twin: ")
    same = other.says("agree", "twin").partition("\n")[2]
    assert same == room.says("agree", "demo").partition("\n")[2]


ANSWERS = {"pairs": ("x", "y", "tie"), "rating": ("2", "4", "5"), "outputs": ("1", "4", "3")}


def judged(room: Room, kind: str) -> None:
    """Two people judge most of `demo`, skip one, and take one answer back."""
    store = Annotations(room.store)
    content = Content.model_validate_json(store.study_content("demo"))
    for person in range(2):
        found = store.annotator_of(store.invite("demo"))
        assert found is not None
        who, choose = found.annotator, chooser(judging.schedule(content), found.annotator)
        for n in range(9):
            opened = store.open_trials("demo", who, choose, hold=timedelta(minutes=30))
            if not opened:
                break
            (trial,) = opened
            said = "skip" if n == 4 else ANSWERS[kind][(n + person * trial.item) % 3]
            answer = store.vote
            answer("demo", who, trial.trial, said, request=f"r{n}", response_ms=900 + n)
            if n == 5:
                store.undo("demo", who, trial.trial, request="u")
                answer("demo", who, trial.trial, ANSWERS[kind][0], request="again")
    store.close()


def test_a_benchmark_stays_what_it_is(room: Room) -> None:
    room.says("import", published(room, ["0.75", "0", "1", "0.5"]))
    room.says("export", "benchmark", "--out", room.folder / "out")
    other = Room(room.folder / "other")
    other.folder.mkdir()
    other.says("import", room.folder / "out")
    (room.folder / "out" / "study.json").unlink()
    other.says("import", room.folder / "out", "--name", "files")
    told = room.says("agree", "benchmark").partition("\n")
    assert other.says("agree", "benchmark").partition("\n") == told
    assert other.says("agree", "files").partition("\n")[2] == told[2]


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("study.json", '"format"', '"form"', "no study that was exported"),
        ("study.json", '"item": 1,', '"item": 4,', "item 1 names what the study does not have"),
        ("study.json", '"feature": 0,', '"feature": 999,', "names what the study does not have"),
        ("votes.csv", ",trial,elsewhere", ",catch,elsewhere", "is not that of the item"),
        ("votes.csv", ",1,0,1,trial", ",0,0,1,trial", "line 3: comes twice"),
        ("votes.csv", ",1,0,1,trial", ",0,1,1,trial", "line 3: trial 0 is another one"),
        ("votes.csv", "response_ms", "ms", "no column response_ms"),
    ],
)
def test_exports_that_were_changed_are_refused(
    made: Room, file: str, before: str, after: str, said: str
) -> None:
    made.says("import", made.file("g.csv", answers(content_of(made))), "--name", "demo")
    out = made.folder / "out"
    made.says("export", "demo", "--out", out)
    text = (out / file).read_text(encoding="utf-8")
    (out / file).write_text(text.replace(before, after, 1), encoding="utf-8")
    line = made.refuses("import", out, "--name", "other")
    assert re.search(said, line) and str(out / file) in line and line.isprintable()
    assert "none of this name" in made.refuses("status", "other")


# --- Texts ---


def test_what_a_steered_model_said_is_rated(room: Room, bundle: Path) -> None:
    records = [
        {
            "image": {"uri": "blank"},
            "setting": {"prompt": f"What {n}?", "features": [], "concept": "red"},
            "answers": {"unsteered": {"text": "a ball"}, "steered": {"text": f"red {n}"}},
        }
        for n in range(3)
    ]
    said = room.file("said.json", json.dumps({"records": records, "skipped": {}}))
    out = room.folder / "said.csv"
    assert room.says("outputs", said, "--out", out) == f"{out}: 6 texts, unsteered, steered\n"
    file = room.file(
        "texts.toml",
        f'name = "texts"\nbundle = "{bundle}"\nkind = "outputs"\n[scales]\nred = "How red?"\n'
        f'[draw]\nhow = "list"\nfile = "{out}"\n',
    )
    assert "texts: 6 to judge" in room.says("create", file)
    rows = [f"{n},{who},{1 + 3 * (n % 2)}" for who in "ab" for n in range(6)]
    votes = room.file("v.csv", "item,annotator,answer\n" + "\n".join(rows) + "\n")
    room.says("import", votes, "--name", "texts")
    told = room.says("agree", "texts")
    assert "On red the rating of steered is 3.00 higher than that of unsteered" in told
    assert "red, steered: 4.00, 3 texts, 6 votes" in told
    assert "no answer prompted" in room.refuses("outputs", said, "--out", out, "--way", "prompted")


def test_the_example_study_is_made_of_a_bundle(bundle: Path) -> None:
    stated = config.load(ROOT / "pipeline/configs/studies/demo.toml", Study)
    made = create(stated.model_copy(update={"bundle": bundle, "images": 9}))
    assert len(made.wanted) == stated.draw.count
    assert {item.role for item in made.items} == {"trial", "practice", "catch"}
