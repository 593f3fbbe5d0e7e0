"""The room Steering for a model that talks: in each of its states, and in a real browser."""

import html
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pytest
import tiny_families
from pages import data, open_page, said, shows
from PIL import Image
from run_commands import done
from streamlit.testing.v1 import AppTest

from dashboard.bundle import opening
from dashboard.live import images, models
from dashboard.steering import answer_view, answers, history, request
from pipeline.interventions import Answer, AnswerToken, Setting, Turned
from pipeline.steer_command.request import Home
from pipeline.steer_command.trials import Studied

if TYPE_CHECKING:
    from playwright.sync_api import Page

CONFIG = """
name = "talks"
[examples]
shard_size = 20
training_tokens = 4
thumbnail = 32
[examples.source]
kind = "scenes"
count = 60
seed = 5
[models.llava]
id = "{llava}"
hooks = ["vision.-2.resid_post", "vision.-1.resid_post", "language.0.resid_post"]
[encoders.judge]
id = "{encoder}"
[encoders.speaks]
id = "{speaks}"
judges = false
[dictionaries.sae]
kind = "batchtopk"
k = 4
training = {{ samples = 2000, batch = 128 }}
[dictionaries.neurons]
kind = "neurons"
hooks = ["language.0.resid_post"]
[machine]
device = "cpu"
batch_size = 16
"""
LANGUAGE = "llava/language.0.resid_post/sae"
STOPPED_EARLY = """() => {
  const said = document.querySelector(".answers .said")?.innerText.length > 3;
  const stop = document.querySelector(".st-key-steer-stop button");
  if (said) stop?.click();
  return said;
}"""
"""Presses Stop in the moment in which some of the answer is there: it is over soon."""
READY = "[data-testid=stApp][data-test-script-state=notRunning]"
LONG = {
    "features": f"{LANGUAGE}:1", "at": "4", "scope": "all", "concept": "", "longest": "12",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A finished run of a tiny LLaVA of random weights."""
    folder = tmp_path_factory.mktemp("steering")
    speaks = tiny_families.speaking_clip(folder / "speaks")
    file = folder / "talks.toml"
    settings = CONFIG.format(
        llava=tiny_families.folder("llava"), encoder=tiny_encoder, speaks=speaks
    )
    file.write_text(settings, encoding="utf-8")
    done("run", file, "--out", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module", autouse=True)
def fresh() -> Iterator[None]:
    models.shared.clear()
    yield
    models.shared.clear()


Opened = Callable[..., AppTest]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, run: Path) -> Opened:
    """opened(PARAMETER=VALUE...): the page, made once."""

    def start(**parameters: str) -> AppTest:
        return open_page(monkeypatch, run, "steering", **parameters)

    return start


def press(at: AppTest, name: str) -> AppTest:
    """Press the button `Run` or `Sweep`."""
    return at.button(key=f"steer-{name.lower()}").click().run(timeout=60)


def warned(at: AppTest) -> str:
    assert not at.exception, at.exception
    return "\n".join(str(each.value).replace("\\", "") for each in at.warning)


def told(at: AppTest) -> dict[str, str]:
    """What each column says, by its name."""
    columns = data(at, "answers")["columns"]
    return {one["name"]: "".join(token["piece"] for token in one["tokens"]) for one in columns}


def last(at: AppTest) -> history.Experiment:
    return at.session_state["steering-history"][0]


def query(at: AppTest, name: str) -> str | None:
    found = at.query_params.get(name)
    return found[0] if isinstance(found, list) else found


# --- The address ---


def test_the_empty_page_says_what_to_do(opened: Opened) -> None:
    at = opened()
    assert "press Run" in said(at)
    assert at.button(key="steer-run").disabled
    (row,) = [
        row
        for each in at.get("bidi_component")
        if each.proto.component_name == "loupe_strips"
        for row in json.loads(each.proto.json)["rows"]
        if row["name"].startswith("labelled features")
    ]
    link = parse_qs(urlsplit(row["images"][0]["href"]).query)
    assert link["features"][0].startswith(LANGUAGE)
    assert not warned(at)
    assert not shows(at, "answers")


def test_the_address_holds_the_whole_setting(opened: Opened) -> None:
    wanted = {
        "features": f"{LANGUAGE}:3~llava/vision.1.resid_post/sae:5", "at": "2.5~-1",
        "mode": "add", "scope": "all", "form": "replace", "prompt": "What is this?",
        "concept": "a red star", "longest": "5", "temperature": "0.7", "random": "11",
        "example": "blank",
    }  # fmt: skip
    at = press(opened(**wanted), "Run")
    one = last(at)
    (setting,) = one.settings
    assert setting.mode == "add"
    assert setting.scope == "all"
    assert setting.form == "replace"
    assert setting.prompt == "What is this?"
    assert setting.concept == "a red star"
    assert (setting.longest, setting.temperature, setting.seed) == (5, 0.7, 11)
    assert [(f.dictionary, f.feature) for f in setting.features] == [
        (LANGUAGE, 3), ("llava/vision.1.resid_post/sae", 5),
    ]  # fmt: skip
    assert one.image == "a blank picture"
    link = parse_qs(urlsplit(one.asked.address).query)
    assert {name: texts[0] for name, texts in link.items()} == wanted
    assert at.text_area[0].value == "What is this?"


def test_strength_counts_in_the_largest_activation(opened: Opened) -> None:
    for mode in ("clamp", "scale"):
        at = press(opened(**LONG | {"mode": mode}), "Run")
        one = last(at)
        ((turned,),) = [setting.features for setting in one.settings]
        unit = 1.0 if mode == "scale" else _largest(at)
        assert turned.strength == pytest.approx(4 * unit, rel=1e-4)


def _largest(at: AppTest) -> float:
    """The largest activation, as the page writes it beside the slider."""
    found = re.search(r"max ([\d.,]+)\)", html.unescape(said(at)))
    assert found, said(at)
    one = last(at)
    (setting,) = one.settings
    exact = setting.features[0].strength / 4
    assert exact == pytest.approx(float(found[1].replace(",", "")), abs=0.006)
    return exact


@pytest.mark.parametrize(
    ("features", "at", "strengths"),
    [
        (f"{LANGUAGE}:1~{LANGUAGE}:1~{LANGUAGE}:3", "1~2~4", [1, 4]),
        (f"zzz~{LANGUAGE}:3", "1~4", [4]),
        (f"none/vision.1/sae:2~{LANGUAGE}:3,1", "1~4~5", [4, 5]),
    ],
)
def test_strengths_stay_with_their_features(
    opened: Opened, features: str, at: str, strengths: list[float]
) -> None:
    page = opened(features=features, at=at)
    assert [one.value for one in page.slider] == strengths


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"mode": "shout"}, "mode is 'shout': one of clamp, add, scale, ablate"),
        ({"scope": "moon"}, "scope is 'moon'"),
        ({"longest": "0"}, "longest is '0': a number from 1 to 256"),
        ({"temperature": "nan"}, "temperature is 'nan'"),
        ({"random": "-1"}, "random is '-1': a number from 0 to 2,147,483,647"),
        ({"example": "cat"}, "example is 'cat': the number of an image, or blank"),
        ({"features": "nonsense"}, "features name 'nonsense'"),
        ({"features": f"{LANGUAGE}:99999"}, "no 99999"),
        ({"features": "llava/language.0.resid_post/neurons:3"}, "choose a feature of an SAE"),
        ({"features": "llava/vision.9/none:3"}, "has no dictionary"),
        ({"features": f"{LANGUAGE}:1", "at": "1e99"}, "a strength is '1e99'"),
        ({"features": f"{LANGUAGE}:" + ",".join(map(str, range(12)))}, "the first 8 are kept"),
        ({"prompt": "x" * 3000}, "prompt is longer than 2,000 letters"),
        ({"model": "who"}, "no model 'who'"),
        ({"example": "999999"}, "no image 999999"),
    ],
)
def test_what_cannot_be_is_one_line(opened: Opened, given: dict[str, str], line: str) -> None:
    at = opened(**given)
    assert line in warned(at)
    assert len(at.warning) == 1


def test_widgets_write_into_the_address(opened: Opened) -> None:
    at = opened(features=f"{LANGUAGE}:3~{LANGUAGE}:4", at="2~3")
    at.slider(key=f"strength-{LANGUAGE}:4").set_value(7.0).run()
    assert query(at, "at") == "2~7"
    at.text_area(key="steer-prompt").set_value("And now?").run()
    assert query(at, "prompt") == "And now?"
    at.number_input(key="steer-longest").set_value(9).run()
    assert query(at, "longest") == "9"
    at.button(key=f"out-strength-{LANGUAGE}:3").click().run()
    assert (query(at, "features"), query(at, "at")) == (f"{LANGUAGE}:4", "7")
    at.number_input(key="steer-longest").set_value(64).run()
    assert query(at, "longest") is None


# --- Answers ---


def test_columns_side_by_side(opened: Opened) -> None:
    at = press(opened(**LONG | {"concept": "stars"}), "Run")
    assert not warned(at)
    shown = data(at, "answers")
    assert [one["title"] for one in shown["columns"]] == [
        "Unsteered", "Reconstruction only", "Steered", "Asked in words",
    ]  # fmt: skip
    assert len(set(told(at).values())) > 1
    (steered,) = [one for one in shown["columns"] if one["name"] == "steered"]
    first = steered["tokens"][0]
    plain = shown["columns"][0]["tokens"][0]
    assert first["before"] == plain["likely"]
    assert first["likely"][0][0] == first["piece"]
    one = last(at)
    assert one.finished
    perplexity = one.answers[answers.JUDGED].perplexity
    assert steered["facts"][0]["text"] == answer_view.perplexity(one.answers[answers.JUDGED])
    assert perplexity > one.answers[answers.UNSTEERED].perplexity


def test_modes_scopes_and_forms_reach_the_model(opened: Opened) -> None:
    texts = {}
    for change in (
        {}, {"at": "-3"}, {"mode": "ablate"}, {"mode": "add"}, {"scope": "generated"},
        {"scope": "image"}, {"form": "replace"},
    ):  # fmt: skip
        at = press(opened(**LONG | change), "Run")
        one = last(at)
        texts[str(change)] = [each.chance for each in one.answers[answers.STEERED].said]
        assert told(at)["unsteered"] == texts.setdefault("unsteered", told(at)["unsteered"])
    kept = [tuple(np.round(chances, 6)) for name, chances in texts.items() if name != "unsteered"]
    assert len(set(kept)) >= 6


def test_an_edit_that_reaches_nothing_says_so(opened: Opened) -> None:
    at = press(opened(features="llava/vision.2.resid_post/sae:1", at="9", longest="4"), "Run")
    assert any("changes nothing that the language model reads" in each.value for each in at.info)
    assert told(at)["steered"] == told(at)["unsteered"]
    at = press(opened(**LONG), "Run")
    assert not at.info


def test_no_tokens_of_the_scope_is_a_message(opened: Opened) -> None:
    at = press(opened(features="llava/vision.1.resid_post/sae:1", scope="generated"), "Run")
    assert "has no tokens of scope 'generated'" in warned(at)
    at = press(opened(**LONG), "Run")
    assert told(at)["steered"]


def test_a_missing_model_is_a_message_and_the_next_request_works(
    opened: Opened, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saes = run / "bundle" / "saes"
    hidden = saes.with_name("hidden")
    at = opened(**LONG)
    real = saes.resolve()
    real.rename(hidden)
    try:
        models.shared.clear()
        at = press(at, "Run")
        assert "no SAE in the bundle" in said(at)
    finally:
        hidden.rename(real)
    at = press(opened(**LONG), "Run")
    assert told(at)["steered"]


def settings_of(feature: int) -> list[Setting]:
    turned = Turned(dictionary=LANGUAGE, feature=feature, strength=40.0)
    return [Setting(features=(turned,), longest=6)]


def test_who_leaves_frees_the_queue(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(run)])
    here, picture = opening.current(), images.blank().picture
    assert picture is not None
    heard: list[int] = []

    def leaves(said: dict[str, Answer], _: float) -> None:
        heard.append(len(said[answers.STEERED].said))
        if len(heard) == 2:
            raise KeyboardInterrupt  # as Streamlit's own, no Exception

    with pytest.raises(KeyboardInterrupt):
        answers.say(here, "llava", settings_of(1), picture, leaves)
    assert heard == [1, 2], "within a token"
    assert len(models.shared().turns) == 0
    kept: list[dict[str, Answer]] = []
    answers.say(here, "llava", settings_of(1), picture, lambda said, _: kept.append(said))
    assert len(kept) == 6


def test_ten_visitors_at_once_get_their_answers_in_order(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(run)])
    here, picture = opening.current(), images.blank().picture
    assert picture is not None

    def ask(feature: int) -> str:
        said: dict[str, Answer] = {}
        answers.say(here, "llava", settings_of(feature), picture, lambda now, _: said.update(now))
        served.append(feature)
        return said[answers.STEERED].text

    served: list[int] = []
    alone = [ask(feature) for feature in range(10)]
    assert len(set(alone)) > 1
    served.clear()
    turns = models.shared().turns
    with ThreadPoolExecutor(10) as visitors:
        with turns.turn():  # so that all wait
            asked = []
            for feature in range(10):
                asked.append(visitors.submit(ask, feature))
                while len(turns) < feature + 2:
                    time.sleep(0.005)
        together = [each.result(60) for each in asked]
    assert together == alone
    assert served == list(range(10))
    assert len(turns) == 0


def test_a_sweep(opened: Opened) -> None:
    at = press(opened(**LONG | {"at": "8"}), "Sweep")
    one = last(at)
    assert one.sweep == tuple(i / 8 for i in range(9))
    assert one.fault == ""
    (shows,) = one.shows.values()
    assert len(shows) == 10
    assert one.shown_by == "speaks"
    table = next(each for each in said(at).split("\n") if "sweep" in each)
    assert table.count("<tr>") == 11
    assert [cells[0] for cells in rows(at)[1:]] == list("012345678"), "in × max, of one feature"
    for place in range(9):
        alone = one.settings[place].features[0].strength
        assert alone == pytest.approx(place * one.settings[1].features[0].strength)
    charts = at.get("vega_lite_chart")
    assert len(charts) == 2
    assert '".3~g"' in charts[0].proto.spec


def rows(at: AppTest) -> list[list[str]]:
    """The cells of a sweep's table."""
    table = next(each for each in said(at).split("\n") if "sweep" in each)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:]]


def test_a_sweep_keeps_signs_and_ratios_and_ends_in_the_setting(opened: Opened) -> None:
    along = "20;add;language.0.resid_post/tag:small>tag:large"
    two = {"features": f"{LANGUAGE}:1~{LANGUAGE}:3", "longest": "3", "along": along}
    at = press(opened(**two, at="-3~1.5"), "Sweep")
    one = last(at)
    asked = press(at, "Run").session_state["steering-history"][0].settings[0]
    assert one.settings[-1] == asked
    assert asked.features[0].strength < 0 < asked.features[1].strength
    for share, setting in zip(one.sweep, one.settings, strict=True):
        for part, whole in zip(
            (*setting.features, *setting.directions), (*asked.features, *asked.directions),
            strict=True,
        ):  # fmt: skip
            assert part.strength == pytest.approx(share * whole.strength)
    at = press(opened(**LONG | {"at": "-3", "longest": "3"}), "Sweep")
    assert [cells[0] for cells in rows(at)[1:]][::4] == ["0", "-1.5", "-3"]


@pytest.mark.parametrize(
    ("given", "sweeps"),
    [
        ({"at": "2"}, True),
        ({"at": "0"}, False),
        ({"mode": "ablate"}, False),
        ({"features": "", "along": "0;project_out;language.0.resid_post/tag:small"}, False),
        ({"mode": "ablate", "along": "0;project_out;language.0.resid_post/tag:small"}, False),
        ({"mode": "ablate", "along": "2;add;language.0.resid_post/tag:small"}, True),
    ],
)
def test_a_sweep_needs_a_strength(opened: Opened, given: dict[str, str], sweeps: bool) -> None:
    at = opened(**LONG | given)
    assert not at.button(key="steer-run").disabled
    assert at.button(key="steer-sweep").disabled is not sweeps


def test_a_direction_steers_and_sweeps(opened: Opened) -> None:
    along = "20;add;language.0.resid_post/tag:small>tag:large"
    at = press(opened(along=along, longest="6"), "Run")
    assert not warned(at)
    assert [one["title"] for one in data(at, "answers")["columns"]] == ["Unsteered", "Steered"]
    assert last(at).settings[0].directions[0].strength == 20
    assert "from small to large" in last(at).title
    at = press(at, "Sweep")
    shares = [setting.directions[0].strength / 20 for setting in last(at).settings]
    assert shares == pytest.approx([i / 8 for i in range(9)])
    assert len(at.get("vega_lite_chart")) == 1, "there is no feature whose concept could show"


def test_what_shows_is_told_of_each_feature(opened: Opened, run: Path) -> None:
    wanted = LONG | {"features": f"{LANGUAGE}:1~{LANGUAGE}:2", "at": "4~4", "longest": "4"}
    at = press(opened(**wanted), "Sweep")
    one = last(at)
    assert len(one.shows) == 2 and len(at.get("vega_lite_chart")) == 3
    from dashboard.views.steering.talk import record

    made = json.loads(record(one))["records"]
    home = Home(run, None)
    studied = Studied(home, one.settings[0], model=None)
    texts = [each["answers"]["steered"]["text"] for each in made]
    cosines = studied.shows(one.settings[0], texts)
    assert cosines is not None and studied.shown_by == "speaks"
    assert not np.isnan(cosines).all()
    names = [feature.name for feature in one.settings[0].features]
    for place, each in enumerate(made):
        assert each["shows"]["encoder"] == "speaks" and list(each["shows"]["cosines"]) == names
        for name, cosine in zip(names, cosines[:, place], strict=True):
            found = each["shows"]["cosines"][name]
            missing = not texts[place] or np.isnan(cosine)
            assert found is None if missing else found == pytest.approx(cosine, abs=1e-4)
    pictures = [home.picture(made[0]["image"]["uri"])]
    ((trial,),) = studied.trials(one.settings[:1], pictures, heard=lambda _: None)
    facts = studied.facts(trial)
    assert {name: made[0][name] for name in facts} == facts, "the command line writes the same"


def test_the_concept_is_the_label_unless_said(opened: Opened) -> None:
    at = opened(features=f"{LANGUAGE}:1")
    label = at.text_input(key="steer-concept").value
    at = press(opened(features=f"{LANGUAGE}:1", longest="3"), "Run")
    assert last(at).settings[0].concept == label
    at = press(opened(features=f"{LANGUAGE}:1", longest="3", concept=""), "Run")
    assert last(at).settings[0].concept == ""
    assert "Asked in words" not in json.dumps(data(at, "answers"))


# --- The visit ---


def test_history_reopens_a_setting_with_its_answer(opened: Opened) -> None:
    at = press(opened(**LONG), "Run")
    first = told(at)
    at.segmented_control(key="steer-mode").set_value("ablate").run()
    assert "answers are of another setting" in said(at)
    at = press(at, "Run")
    assert len(at.session_state["steering-history"]) == 2
    assert told(at) != first
    at.button(key="history-1").click().run()
    assert query(at, "mode") is None
    assert told(at) == first
    assert "another setting" not in said(at)


def upload(at: AppTest, colour: str, name: str) -> AppTest:
    """Give a picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(out, "PNG")
    return give(at, name, out.getvalue())


def give(at: AppTest, name: str, content: bytes) -> AppTest:
    (uploader,) = [one for one in at.get("file_uploader") if not one.proto.multiple_files]
    return uploader.upload(name, content, "image/png").run()


def test_answers_are_of_their_picture(opened: Opened) -> None:
    at = press(upload(opened(**LONG), "red", "red.png"), "Run")
    first = last(at)
    assert "of another picture" not in said(at)
    at = upload(at, "blue", "blue.png")
    assert "of a picture that you gave, “red.png”" in said(at).replace("\\", "")
    at = press(at, "Run")
    assert last(at).seen != first.seen
    assert "that you gave" not in said(at)
    titles = [at.button(key=f"history-{place}").label for place in (0, 1)]
    assert ["blue.png" in titles[0], "red.png" in titles[1]] == [True, True]
    at = upload(at, "red", "again.png")
    assert told(at)["steered"] == first.answers["steered"].text, "the same picture once more"
    assert "that you gave" not in said(at)


def test_a_picture_that_is_gone_is_said_on_reopening(opened: Opened) -> None:
    at = press(upload(opened(**LONG | {"prompt": "Where?"}), "red", "red.png"), "Run")
    assert "asked “Where?”, on “red.png”" in last(at).title
    gone = told(at)
    at.button(key="steer-run")
    at.query_params["example"] = "blank"
    at = press(at.run(), "Run")
    assert last(at).image == "a blank picture"
    at = at.button(key="history-1").click().run()
    assert "“red.png”, which is no longer on the page" in said(at).replace("\\", "")
    assert told(at) == gone


def test_a_damaged_second_picture_is_said(opened: Opened) -> None:
    at = give(upload(opened(**LONG), "red", "red.png"), "bad.png", b"no picture")
    assert "bad.png" in warned(at)
    assert at.button(key="steer-run").value is False


def test_stopping_before_the_first_word_is_said(opened: Opened) -> None:
    at = press(opened(**LONG), "Run")
    one = last(at)
    one.answers, one.finished = {}, False
    at = at.run()
    assert "Stopped before the first word" in said(at)
    assert "Unsteered" in said(at), "where the answers will be"
    assert at.button(key="steer-run").proto.disabled is False


def test_the_file_holds_it_all(opened: Opened) -> None:
    at = press(opened(**LONG), "Run")
    one = last(at)
    from dashboard.views.steering.talk import record

    (made,) = json.loads(record(one))["records"]
    assert made["setting"]["features"][0]["dictionary"] == LANGUAGE
    assert made["dictionaries"][LANGUAGE]
    assert made["model"]["fingerprint"]
    assert made["versions"]["torch"]
    assert made["answers"]["steered"]["text"] == one.answers["steered"].text
    tokens = made["answers"]["steered"]["tokens"]
    assert len(tokens) == len(one.answers["steered"].said)
    assert 0 < tokens[0]["chance"] <= 1


# --- What changed ---


def answer(*pieces: str) -> Answer:
    return Answer(tuple(AnswerToken(1, piece, 0.5, ()) for piece in pieces), True)


def test_words_that_changed_are_lit() -> None:
    plain, other = answer("a", " red", " star"), answer("a", " bl", "ue", " star", " now")
    lit = [piece for piece, changed in answer_view._runs(other, plain) if changed]
    assert lit == [" bl", "ue", " now"]
    assert answer_view.changed_words(other.text, plain.text) == [(2, 6), (12, 15)]
    assert answer_view.changed_words("", plain.text) == []


def token(chance: float, found: float | None, *, changed: bool = False) -> dict[str, object]:
    odd = found is not None and found < answer_view.ODD
    return {"chance": chance, "found": found, "odd": odd, "changed": changed}


def test_next_tokens_open_where_there_is_something_to_see() -> None:
    inserted = token(1.0, 1.0, changed=True)
    assert answer_view.opens([inserted, token(0.9, 0.4), token(0.8, 0.001)]) == 2
    assert answer_view.opens([inserted, token(0.9, 0.4), token(0.9, 0.1)]) == 2
    assert answer_view.opens([token(1.0, 1.0), inserted]) == 1
    assert answer_view.opens([token(1.0, None), token(0.5, None)]) == 0
    assert answer_view.opens([]) == 0


def test_names_word_for_word() -> None:
    assert answer_view.names("A Red-ish star", ["red"])
    assert not answer_view.names("A reddish star", ["red"])
    assert answer_view.names("at the top left, a star", ["top left"])


def test_strengths_round_trip() -> None:
    assert request.strengths((2.0, -1.5, 0.25)) == "2~-1.5~0.25"
    bad: list[str] = []
    assert request._strengths("2~-1.5", range(3), bad) == (2.0, -1.5, request.USUAL)
    assert not bad


# --- In a browser ---


@pytest.fixture(scope="module")
def address(dashboard_server: Callable[..., str], run: Path) -> str:
    return dashboard_server(run, OMP_NUM_THREADS="1")


def visit(page: "Page", address: str, **parameters: str) -> None:
    page.goto(f"{address}/steering?{urlencode(LONG | parameters)}")
    page.wait_for_selector(".st-key-steer-run button")
    settled(page)


def settled(page: "Page") -> None:
    page.wait_for_selector(READY)
    page.wait_for_timeout(300)
    page.wait_for_selector(READY, timeout=60_000)


def columns(page: "Page") -> list[str]:
    """The texts of the columns, once they are all there."""
    page.wait_for_selector(".answers .tok", timeout=60_000)
    settled(page)
    return [one.inner_text() for one in page.locator(".answers .said:visible").all()]


MORE = "() => [...document.querySelectorAll('[data-testid=stPopoverBody] input')].map(i => i.value)"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"longest": "12", "concept": "red", "random": "7"}, ["red", "12", "0.00", "7"]),
        ({"longest": "64", "concept": "a cat", "temperature": "0.5"}, ["a cat", "64", "0.50", "0"]),
    ],
)
def test_more_shows_what_the_address_says_also_when_it_opens_after_another_run(
    page: "Page", address: str, asked: dict[str, str], shown: list[str]
) -> None:
    visit(page, address, **asked)
    page.evaluate("dispatchEvent(new PopStateEvent('popstate', { state: {} }))")
    settled(page)
    before = page.url
    page.get_by_role("button", name="More", exact=True).click()
    page.locator("[data-testid=stPopoverBody]").wait_for()
    settled(page)
    assert page.evaluate(MORE) == shown
    page.keyboard.press("Escape")
    settled(page)
    assert page.url == before


@pytest.mark.usefixtures("quiet")
def test_run_by_mouse_and_by_keys_and_read_the_columns(page: "Page", address: str) -> None:
    visit(page, address, concept="stars")
    page.locator(".st-key-steer-run button").click()
    first = columns(page)
    assert len(first) == 4
    assert all(first)
    place = page.locator(".answers section.steered .tok").nth(2)
    place.hover()
    assert page.locator(".answers .tip li").count() >= 3
    place.click()
    assert page.locator(".answers .pair").count() >= 3
    assert "Next token after" in page.locator(".answers .next h3").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator(".answers section.steered .tok").nth(3).get_attribute("tabindex") == "0"
    prompt = page.get_by_label("Prompt")
    prompt.fill("Who are you?")
    prompt.press("Control+Enter")
    page.wait_for_url(re.compile("prompt=Who"))
    page.wait_for_function(
        "text => [...document.querySelectorAll('.answers .said')].map(e => e.innerText)"
        ".some(said => said && said !== text)",
        arg=first[0],
    )
    settled(page)
    assert columns(page) != first


@pytest.mark.usefixtures("quiet")
def test_stop_keeps_what_was_said_and_the_next_run_works(page: "Page", address: str) -> None:
    for _ in range(6):  # a busy machine shows the first words when the last are there already
        visit(page, address, longest="256", temperature="2")
        page.locator(".st-key-steer-run button").click()
        page.wait_for_function(STOPPED_EARLY)
        page.wait_for_selector(".st-key-steer-run button")
        if "Stopped" in page.locator(".st-key-steer-answers").inner_text():
            break
    kept = columns(page)
    assert "Stopped" in page.locator(".st-key-steer-answers").inner_text()
    assert 0 < len(kept[0]) < 256
    visit(page, address)
    page.locator(".st-key-steer-run button").click()
    assert all(columns(page))


@pytest.mark.usefixtures("quiet")
def test_a_sweep_draws_table_and_curves(page: "Page", address: str) -> None:
    visit(page, address)
    page.locator(".st-key-steer-sweep button").first.click()
    page.wait_for_selector(".st-key-sweep-curves canvas, .st-key-sweep-curves svg", timeout=60_000)
    settled(page)
    assert page.locator(".answers .sweep tbody tr").count() == 10
    page.set_viewport_size({"width": 390, "height": 844})
    text, number = (page.locator(f".answers .sweep tbody tr:nth-child(4) td:nth-child({n})")
                    for n in (2, 4))  # fmt: skip
    assert (text.bounding_box() or {})["width"] > 220, "numbers stand below the text"
    assert (number.bounding_box() or {})["y"] > (text.bounding_box() or {})["y"]


@pytest.mark.usefixtures("quiet")
def test_a_feature_leads_here(page: "Page", address: str) -> None:
    page.goto(f"{address}/feature?dictionary={LANGUAGE}&feature=1")
    page.get_by_text("Steer", exact=True).click()
    page.wait_for_url(re.compile(r"/steering\?features="))
    page.wait_for_selector(".st-key-steer-run button:not([disabled])")
