"""Results: its figures against a literal computation, in each of its states, and in a browser."""

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pages import open_page, said, shows
from streamlit.testing.v1 import AppTest
from synthetic import make_bundle
from typer.testing import CliRunner

from dashboard.exports.tables import csv_bytes
from dashboard.exports.votes import annotators_table, features_table, items_table, votes_table
from dashboard.study import results
from pipeline.__main__ import app
from pipeline.annotations import Annotations
from pipeline.study import benchmark, exchange, findings, judging
from pipeline.study.assignment import chooser
from pipeline.study.benchmark import Pairs
from pipeline.study.content import Content, Item, name_of
from pipeline.study.creation import create
from pipeline.study.files import Study

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOLD = timedelta(minutes=30)
READY = "[data-testid=stApp][data-test-script-state=notRunning]"
Judge = Callable[[Content, Item, np.random.Generator], str]
IMAGES = 4


def by_score(content: Content, item: Item, rng: np.random.Generator) -> str:
    """Mostly prefers the higher MS, sees a tie now and then, and knows the answers to checks."""
    if item.answer is not None:
        return item.answer
    if rng.random() < 0.1:
        return "tie"
    x, y = (content.features[side.feature].scores["ms"] for side in item.sides)
    return "x" if (x > y) == (rng.random() < 0.7) else "y"


def careless(content: Content, item: Item, rng: np.random.Generator) -> str:
    return "y"


def ties(content: Content, item: Item, rng: np.random.Generator) -> str:
    return "tie"


def rates(content: Content, item: Item, rng: np.random.Generator) -> str:
    if item.answer is not None:
        return "2" if rng.random() < 0.7 else "3"  # next to the right one, and two off
    ms = content.features[item.sides[0].feature].scores["ms"]
    return str(int(np.clip(round(1 + 4 * ms + rng.normal()), 1, 5)))


def looks(content: Content, item: Item, rng: np.random.Generator) -> str:
    return str(item.answer if rng.random() < 0.6 else item.sides[0].images[0])


def reads(content: Content, item: Item, rng: np.random.Generator) -> str:
    """Steered answers are rated lower."""
    return str(int(rng.integers(1, 4) if item.groups[0] == "steered" else rng.integers(3, 6)))


def chooses(content: Content, item: Item, rng: np.random.Generator) -> str:
    return item.answer or str(item.groups.index("own") + 1 if rng.random() < 0.7 else 1)


def made(store: Annotations, bundle: Path, name: str, judges: list[Judge], **settings) -> str:
    """A study that everybody judges to the end; its owner's token."""
    settings = {"images": IMAGES, "votes": 4, "draw": {"count": 24}} | settings
    content = create(Study.model_validate({"name": name, "bundle": bundle, **settings}))
    token = store.create_study(name, content.model_dump_json(), content.wanted)
    for number, judge in enumerate(judges):
        who = store.annotator_of(store.invite(name))
        assert who is not None
        choose = chooser(judging.schedule(content), who.annotator)
        while opened := store.open_trials(name, who.annotator, choose, hold=HOLD):
            # By item and not in turn: pseudonyms, and with them who sees what when, are random.
            rng = np.random.default_rng([number, opened[0].item])
            answer = judge(content, content.items[opened[0].item], rng)
            store.vote(
                name, who.annotator, opened[0].trial, answer, request=f"r{opened[0].trial}",
                response_ms=500 + 100 * opened[0].trial,
            )  # fmt: skip
    return token


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("votes") / "votes.sqlite"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def store(place: Path) -> Iterator[Annotations]:
    opened = Annotations(str(place))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def tokens(store: Annotations, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Study -> the owner's token."""
    other = make_bundle(tmp_path_factory.mktemp("runs") / "other", seed=7, d_sae=40, side=32)
    folder = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(0)
    ms = rng.random((12, 2))
    texts, captions = folder / "texts.csv", folder / "captions.csv"
    said_of = [
        f"what {n},{group} {n},{group},red\n" for n in range(6) for group in ("plain", "steered")
    ]
    texts.write_text("question,text,group,concept\n" + "".join(said_of), "utf-8")
    rows = [f"own {n},other {n},own,other\n" for n in range(8)]
    captions.write_text("text_1,text_2,group_1,group_2\n" + "".join(rows), "utf-8")
    pairs = Pairs(
        tuple(map(str, range(12))), tuple(map(str, range(12, 24))),
        np.round(rng.random(12) * 6) / 6, {"MS_dino": ms}, "shares",
    )  # fmt: skip
    benchmark.write_pairs(folder / benchmark.PAIRS, pairs)
    top = {str(k): [f"n{k}_{i}.JPEG" for i in range(16)] for k in range(24)}
    benchmark.write_top(folder / benchmark.TOP, top)
    return {
        "whole": made(store, bundle, "whole", [by_score] * 3 + [careless]),
        "empty": made(store, bundle, "empty", []),
        "alone": made(store, bundle, "alone", [by_score]),
        "ties": made(store, bundle, "ties", [ties] * 2),
        "one": made(store, bundle, "one", [by_score], trials=1, practice=0),
        "careless": made(store, bundle, "careless", [careless]),
        "rated": made(store, bundle, "rated", [rates] * 3, kind="rating"),
        "intruders": made(store, bundle, "intruders", [looks] * 3, kind="intruder"),
        "texts": made(
            store,
            bundle,
            "texts",
            [reads] * 3,
            kind="outputs",
            draw={"how": "list", "file": texts},
        ),
        "captions": made(
            store,
            bundle,
            "captions",
            [chooses] * 3,
            kind="choice",
            draw={"how": "list", "file": captions},
        ),
        "elsewhere": made(store, other, "elsewhere", [by_score, careless]),
        "published": exchange.take_in(store, folder, name="published")[1],
    }


@pytest.fixture
def opened(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, place: Path, tokens: dict
) -> Callable[..., AppTest]:
    monkeypatch.setenv("LOUPE_ANNOTATIONS", str(place))

    def open_it(study: str, **address: str) -> AppTest:
        return open_page(
            monkeypatch, bundle, "results", study=study, owner=tokens[study], **address
        )

    return open_it


def headline(at: AppTest) -> str:
    return next(each.value for each in at.markdown if "**" in each.value).replace("\\", "")


def figures(at: AppTest) -> dict[str, str]:
    """The row of figures: name -> text."""
    found = next(str(e.proto.body) for e in at.get("html") if "figures" in str(e.proto.body))
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", found))


class Literal:
    """A study's figures by plain loops over its rows in the store."""

    def __init__(self, store: Annotations, study: str, *, failed: int | None = None) -> None:
        self.content = Content.model_validate_json(store.study_content(study))
        last = {(v.annotator, v.trial.trial): v for v in store.votes(study)}
        rows = list(last.values())
        self.failed: Counter[str] = Counter()
        self.checks = Counter(one.annotator for one in rows if one.trial.role == "catch")
        for vote in rows:
            item = self.content.items[vote.trial.item]
            if vote.trial.role == "catch" and vote.answer != item.answer:
                self.failed[vote.annotator] += 1
        self.votes: dict[int, list[str]] = defaultdict(list)
        for vote in rows:
            allowed = self.checks[vote.annotator] * (100 if failed is None else failed) / 100
            kept = self.failed[vote.annotator] <= allowed
            if vote.trial.role == "trial" and vote.answer in ("x", "y", "tie") and kept:
                self.votes[vote.trial.item].append(vote.answer)

    def agreement(self, score: str) -> tuple[float, int]:
        hits = []
        for item, answers in self.votes.items():
            x, y = (
                self.content.features[side.feature].scores[score]
                for side in self.content.items[item].sides
            )
            for_x, for_y = answers.count("x"), answers.count("y")
            if for_x != for_y and x is not None and y is not None:
                hits.append(0.5 if x == y else float((x > y) == (for_x > for_y)))
        return sum(hits) / len(hits), len(hits)

    def percent(self) -> float:
        shares = []
        for answers in self.votes.values():
            if len(answers) > 1:
                pairs = [
                    a == b for i, a in enumerate(answers) for b in answers[i + 1 :]
                ]  # fmt: skip
                shares.append(sum(pairs) / len(pairs))
        return sum(shares) / len(shares)

    def alpha(self) -> float:
        """Krippendorff's, from the disagreements seen and those among all values."""
        units = [answers for answers in self.votes.values() if len(answers) > 1]
        values = [answer for answers in units for answer in answers]
        seen = sum(
            sum(a != b for a in answers for b in answers) / (len(answers) - 1) for answers in units
        )
        counts = Counter(values)
        chance = sum(counts[a] * counts[b] for a in counts for b in counts if a != b)
        return 1 - seen / len(values) * (len(values) * (len(values) - 1)) / chance


@pytest.mark.parametrize("failed", [None, 25])
def test_the_page_says_what_plain_loops_find(
    opened: Callable[..., AppTest], store: Annotations, failed: int | None
) -> None:
    address = {} if failed is None else {"failed": f"{failed} %"}
    at = opened("whole", **address)
    known = Literal(store, "whole", failed=failed)
    told = headline(at).replace("\xa0", " ")
    value, count = known.agreement("ms")
    assert f"MS prefers what most people prefer in {value * 100:.0f} % [" in told
    assert f"of {count} pairs; chance is 50 %." in told
    assert f"Two people say the same in {known.percent() * 100:.0f} % [" in told
    shown = figures(at)
    assert shown["that count"] == str(sum(map(len, known.votes.values())))
    assert shown["alpha"].startswith(f"{known.alpha():.2f} [")
    assert shown["votes"] == "96 of 96"
    assert shown["people"] == ("4 of 4" if failed is None else "3 of 4")
    assert shown["checks failed"].startswith(f"{sum(known.failed.values())} of ")
    for row in _table(at, "annotator"):
        assert row["failed"].startswith(f"{known.failed[row['who'].strip('()')]} of ")
    (board,) = (c for c in charts(at) if "agreement with most people, score by score" in c)
    assert f"ms {value * 100:.0f} %;" in board
    (curve,) = (c for c in charts(at) if c.startswith("Agreement of MS with most people"))
    assert curve.count("[") == min(5, count // 8)
    assert shows(at, "grid"), "the images of pairs where people and score differ"


def charts(at: AppTest) -> list[str]:
    """What each chart says in words."""
    return [each.proto.alt for each in at.get("vega_lite_chart")]


def _table(at: AppTest, first: str) -> list[dict]:
    """The rows of the table whose first column has this title."""
    for each in at.get("bidi_component"):
        if each.proto.component_name == "loupe_table":
            found = json.loads(each.proto.json)
            if found["columns"][0]["title"] == first:
                return found["rows"]
    raise AssertionError(f"no table of {first}")


def test_another_score_is_chosen_by_the_address(
    opened: Callable[..., AppTest], store: Annotations
) -> None:
    at = opened("whole", score="density")
    value, _ = Literal(store, "whole").agreement("density")
    told = headline(at).replace("\xa0", " ")
    assert f"density prefers what most people prefer in {value * 100:.0f} % [" in told
    both = {"ms_judge", "ms_second"} & set(at.selectbox(key="score").options)
    assert len(both) == 2, "MS by every encoder"


def test_where_people_and_score_differ_most(
    opened: Callable[..., AppTest], store: Annotations
) -> None:
    at = opened("whole")
    known = Literal(store, "whole")
    rows = _table(at, "pair")
    assert rows
    for row in rows:
        x, y = map(float, row["score"].split(" and "))
        prefers = re.match(r"(\d+) % prefer ([xy]), of 4 votes", row["people"])
        assert prefers and int(prefers[1]) > 50
        assert (x > y) == (prefers[2] == "y"), "the score prefers the other one"
        assert row["href"].startswith("compare?") and row["href"].count("%3A") == 2
    ids = {
        (one["where"], one["id"])
        for each in at.get("bidi_component")
        if each.proto.component_name == "loupe_grid"
        for one in json.loads(each.proto.json)["cards"]
    }
    assert len(ids) > len(rows) and len(known.votes) == 24


@pytest.mark.parametrize(
    ("study", "line"),
    [
        ("empty", "Nobody has judged anything yet"),
        ("alone", "Nothing was judged by two people yet"),
        ("one", "of 1 pair"),
        ("ties", "No pair tells anything of MS yet"),
        ("rated", "The mean rating is"),
        ("intruders", "People find the intruder in"),
        ("texts", "rating of steered is"),
        ("captions", "own: chosen in"),
        ("elsewhere", "Their images are not in this bundle"),
        ("published", "imported as one annotator"),
    ],
)
def test_every_study_is_a_calm_page(opened: Callable[..., AppTest], study: str, line: str) -> None:
    at = opened(study)
    text = said(at).replace("\\", "")
    assert line in text and "nan" not in text.replace("nance", "")
    assert not at.error and not at.warning


def test_nobody_left_says_how_to_go_on(opened: Callable[..., AppTest]) -> None:
    at = opened("careless", failed="0 %")
    assert "No vote is left" in said(at)
    assert _table(at, "annotator")[0]["who"].startswith("(")


def test_ratings_and_intruders_are_means(
    opened: Callable[..., AppTest], store: Annotations
) -> None:
    for study in ("rated", "intruders"):
        content = Content.model_validate_json(store.study_content(study))
        means: dict[int, list[float]] = defaultdict(list)
        for vote in store.votes(study):
            if vote.trial.role == "trial":
                right = content.items[vote.trial.item].answer
                worth = float(vote.answer) if study == "rated" else vote.answer == right
                means[vote.trial.item].append(worth)
        mean = np.mean([np.mean(values) for values in means.values()])
        told = headline(opened(study)).replace("\xa0", " ")
        if study == "rated":
            assert f"The mean rating is {mean:.2f} [" in told
            assert "rank correlation" in told
        else:
            assert f"in {mean * 100:.0f} % [" in told and "chance is 25 %" in told


def test_groups_that_no_pair_connects_are_told(
    opened: Callable[..., AppTest], store: Annotations, place: Path
) -> None:
    numbers = []
    for study in ("whole", "one"):
        known = Literal(store, study)
        groups: list[set[int | None]] = []
        for item in known.votes:
            joined = {side.feature for side in known.content.items[item].sides}
            apart = [group for group in groups if not group & joined]
            groups = [*apart, joined.union(*(group for group in groups if group & joined))]
        numbers.append(len(groups))
        line = f"The pairs fall into {len(groups)} groups that no pair connects: strengths compare"
        done = CliRunner().invoke(app, ["study", "agree", study, "--store", str(place)])
        captions = " ".join(each.value for each in opened(study).caption).replace("\\", "")
        assert (line in captions) == (line in done.output) == (len(groups) > 1)
    assert numbers[0] > 1 == numbers[1]


def test_ratings_of_random_images_are_checks(
    opened: Callable[..., AppTest], store: Annotations
) -> None:
    catches = [vote for vote in store.votes("rated") if vote.trial.role == "catch"]
    wrong = sum(vote.answer == "3" for vote in catches)
    shown = figures(opened("rated"))
    assert 0 < wrong < len(catches) and shown["checks failed"] == f"{wrong} of {len(catches)}"
    repeats = shown["repeats alike"]
    assert "[" not in repeats and "%" in repeats, "an interval over three people would tell nothing"


def test_texts_are_told_by_group(opened: Callable[..., AppTest], store: Annotations) -> None:
    content = Content.model_validate_json(store.study_content("texts"))
    by_text: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for vote in store.votes("texts"):
        if vote.trial.role == "trial":
            item = content.items[vote.trial.item]
            by_text[item.scale, item.groups[0], item.texts[0]].append(int(vote.answer))
    at = opened("texts")
    for scale in {scale for scale, _, _ in by_text}:
        for group in ("plain", "steered"):
            means = [np.mean(v) for (s, g, _), v in by_text.items() if (s, g) == (scale, group)]
            (chart,) = (one for one in charts(at) if one.startswith(f"{scale}: "))
            assert f"{group} {np.mean(means):.2f}" in chart
    rows = _table(at, "scale")
    assert rows and all(row["gap"].startswith("-") for row in rows), "steered less plain"
    assert "Score" not in [each.label for each in at.selectbox]


def test_scores_of_ones_own_stand_on_the_board(
    opened: Callable[..., AppTest], store: Annotations
) -> None:
    content = Content.model_validate_json(store.study_content("whole"))
    rows = "".join(f"{name_of(one)},{-one.scores['ms']}\n" for one in content.features)
    brought = results.bring(content, "mine.csv", f"feature,against\n{rows}".encode())
    found = findings.find(content, store.votes("whole"), brought=brought.scores)
    board = dict(found.board)
    assert board["against"].value == pytest.approx(1 - board["ms"].value)
    for bad in (b"\xff\xfe\x00", b"a,b\n1,2\n", b"feature,s\nnobody,1\n", b"feature,s\n0,=1+1\n"):
        refused = results.bring(content, "<b>.csv", bad)
        assert refused.problem.startswith("<b>.csv") and "\n" not in refused.problem


def test_tables_to_take_along(opened: Callable[..., AppTest], store: Annotations) -> None:
    opened("whole")
    content = Content.model_validate_json(store.study_content("whole"))
    votes = store.votes("whole")
    found = findings.find(content, votes)
    known = Literal(store, "whole")

    def rows(table: object) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(csv_bytes(table).decode("utf-8-sig"))))

    assert len(rows(votes_table(content, votes))) == len(votes)
    pairs = rows(items_table(found))
    for row in pairs:
        answers = known.votes[int(row["item"])]
        assert int(row["for_x"]) == answers.count("x") and int(row["ties"]) == answers.count("tie")
        share = (answers.count("x") + answers.count("tie") / 2) / len(answers)
        assert float(row["prefer_x"]) == pytest.approx(share)
        x, _ = content.items[int(row["item"])].sides
        assert float(row["ms of x"]) == content.features[x.feature].scores["ms"]
    assert len(rows(features_table(found))) == len(content.features)
    people = rows(annotators_table(found))
    assert {row["annotator"]: int(row["checks_failed"]) for row in people} == {
        row["annotator"]: known.failed[row["annotator"]] for row in people
    }


def test_the_command_says_the_same(
    opened: Callable[..., AppTest], store: Annotations, place: Path, tmp_path: Path
) -> None:
    def agree(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["study", "agree", *arguments, "--store", str(place)])
        return done.output

    told = headline(opened("whole")).replace("\xa0", " ").replace("**", "")
    assert told in " ".join(agree("whole").split("\n"))
    empty = agree("empty")
    assert "Nobody has judged anything yet." in empty and "nan" not in empty
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 5))
    acts = {str(k): rng.gamma(1, 1, 30) for k in range(24)}
    benchmark.write_activations(tmp_path / "a.csv", acts.items(), images=30)
    np.save(tmp_path / "e.npy", vectors)
    given = ["published", "--activations", str(tmp_path / "a.csv")]
    board = agree(*given, "--embeddings", str(tmp_path / "e.npy"))
    content = Content.model_validate_json(store.study_content("published"))
    (values,) = exchange.recomputed(tmp_path / "a.csv", tmp_path / "e.npy", content).values()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for place_of, feature in enumerate(content.features):
        a = acts[str(feature.feature_id)]
        a = a - a.min()
        top = sum(a[i] * a[j] * unit[i] @ unit[j] for i in range(30) for j in range(i))
        bottom = sum(a[i] * a[j] for i in range(30) for j in range(i))
        assert values[place_of] == pytest.approx(top / bottom, abs=1e-6)
    assert "MS_recomputed" in board
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "z.npy", vectors * (np.arange(30) != 3)[:, None])
    for file, line in (
        ("o.npy", "no .npy or .safetensors of a matrix"),
        ("none.npy", "no .npy or .safetensors of a matrix"),
        ("z.npy", "row 3 has no length"),
    ):
        refused = agree(*given, "--embeddings", str(tmp_path / file))
        assert line in " ".join(refused.split()) and "Traceback" not in refused
    assert "give both" in agree(*given)


@pytest.fixture(scope="module")
def address(dashboard_server: Callable[..., str], bundle: Path, place: Path, tokens: dict) -> str:
    return dashboard_server(bundle, LOUPE_ANNOTATIONS=str(place), OMP_NUM_THREADS="1")


@pytest.mark.usefixtures("quiet")
def test_the_owner_reads_results_in_a_browser(page: "Page", address: str, tokens: dict) -> None:
    page.goto(f"{address}/results?study=whole&owner={tokens['whole']}")
    page.wait_for_selector(READY)
    page.get_by_text("MS prefers what most people prefer in").wait_for()
    page.get_by_role("heading", name="Annotators").wait_for()
    marks = page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")
    marks.first.wait_for()
    images = page.locator(".cards img").all()
    assert images and all(each.evaluate("one => one.naturalWidth") == 256 for each in images)
    page.get_by_role("combobox", name=re.compile("Checks failed")).click()
    page.get_by_role("option", name="25 %", exact=True).click()
    page.get_by_text("3 of 4", exact=True).wait_for()
    assert "failed=25" in page.url and "study=whole" in page.url
    page.reload()
    page.get_by_text("3 of 4", exact=True).wait_for()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Pairs (CSV)").click()
    assert download.value.suggested_filename == "whole.pairs.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert text.startswith("item,x,y,votes,prefer_x,for_x,ties,for_y,") and text.count("\n") == 25
