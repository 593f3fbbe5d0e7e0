"""What no page would send: to components, to controls, in addresses. No page ends by it."""

import base64
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import serve
from synthetic import make_bundle
from visitor import Visitor

from pipeline.annotations import Annotations, FeatureKey

SAE = "clip-demo/vision.0.resid_post/matryoshka"
LEAVES: list[Any] = [
    *(None, True, -1, 0, 1.5, 10**400, float("nan"), "", "NaN", "0", "../../etc/passwd"),
    *("\U0001f600\u202e", "x" * 5000, "matryoshka:1", [], {}, [1], ["a", "b"], [[]], {"rows": 1}),
    *(SAE, 2**31, 2**63, "ab:xy", "\x00", [None] * 50, "\ud83d", {"panel": [], "digest": 1}),
]
"""Values of every kind, in the place of any other."""
SAID: dict[str, dict[str, list[Any]]] = {
    "map": {
        "map-plane": [{"selection": {"panel": 0, "digest": "00000000", "rows": [1, 2]}}],
        "map-hover": [{}],
    },
    "modalities": {
        "scatter-plane": [{"selection": {"panel": 0, "digest": "00000000", "bits": "AAAA"}}],
        "scatter-hover": [{}],
    },
    "lists": {"arrange-None": [{"said": {"number": 1, "order": ["ab:1"], "gone": []}}]},
}
"""Page -> component -> what it says, from which what is forged is made."""
EVENTS = {
    ("map", "map-plane", "click"), ("map", "map-hover", "hover"),
    ("modalities", "scatter-hover", "hover"),
}  # fmt: skip
POINTED = {"dictionary": SAE, "feature": 3}
ADDRESSES = {
    "": "run page", "browse": "ms density label level least without modality pairs fires steers "
    "mine sort order hook name q by view like page of run", "feature": "dictionary feature near",
    "map": "maps plane layout colour_own colour_one find page of", "annotate": "invite study",
    "modalities": "look colour ms fires left right model layer above measure within features page",
    "compare": "look columns spread show rows-by threshold line part features page of",
    "steering": "look find scored seed model mode scope form prompt concept longest temperature "
    "random example along at features labels words template", "results": "study failed score owner",
    "image": "layer set find example with seed pick", "lists": "view list features page of",
}  # fmt: skip
"""Page -> the names that its address may hold."""
FORGED = 12
"""Messages that each component is sent."""
TEXTS = (
    *(
        "",
        "NaN",
        "1e400",
        "-inf",
        "-1",
        "0",
        "9" * 400,
        "٣",
        "../../etc/passwd",
        "\U0001f600\u202e",
    ),
    *("a~b:1~:", "x" * 20_000, "[1,2]", "true", "\x00", "<b>", "'; DROP TABLE features; --"),
    *(f"{SAE}:99999999999", f"{SAE}:1", "1;2", "{}{", "%", "own", "Layers", "Flow", "Scores"),
    *("add;vision.0.resid_post;tag:red;1e308", "https://evil.invalid/"),
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "log"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    run, place = make_bundle(folder / "demo"), str(folder / "annotations.sqlite")
    store = Annotations(place)
    store.star("me", FeatureKey("ab", 1), "a dictionary of another run")
    store.close()
    with serve("dashboard/app.py", str(run), log=log, env={"LOUPE_ANNOTATIONS": place}) as address:
        yield address


@pytest.fixture(autouse=True)
def _quiet(log: Path, url: str) -> Iterator[None]:
    """Whatever is sent, nothing ends in an error that nothing caught."""
    yield
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said and "Error" not in said, said[-3000:]


def forged(true: Any, draw: random.Random) -> Any:
    """`true` with something in it that is of another kind, missing or too much."""
    if isinstance(true, dict) and true and draw.random() < 0.8:
        made, name = dict(true), draw.choice(list(true))
        way = draw.random()
        if way < 0.2:
            made.pop(name)
        elif way < 0.3:
            made[name + "2"] = draw.choice(LEAVES)
        else:
            made[name] = forged(true[name], draw)
        return made
    return draw.choice(LEAVES)


@pytest.mark.parametrize("page", SAID)
def test_what_a_component_says_is_checked(url: str, page: str) -> None:
    draw = random.Random(page)
    with Visitor(url) as one:
        for key, states in SAID[page].items():
            one.go(page, **({"view": "arrange"} if page == "lists" else {}))
            fragment = one.fragments.get(key, "")
            for _ in range(FORGED):
                one.say(key, forged(draw.choice(states), draw), fragment=fragment)
                assert not one.exceptions
        for event in sorted(each for each in EVENTS if each[0] == page):
            one.go(page)
            for _ in range(FORGED):
                fragment = one.fragments.get(event[1], "")
                one.trigger(*event[1:], forged(POINTED, draw), fragment=fragment)
                assert not one.exceptions


def test_a_true_selection_and_pointer_are_heard(url: str) -> None:
    with Visitor(url) as one:
        one.go("map", maps=SAE_SHORT)
        one.trigger("map-hover", "hover", POINTED, fragment=one.fragments["map-hover"])
        assert '"lines": ["MS' in one.text
        one.go("map", maps=SAE_SHORT)
        digest = one.digest("map-plane")
        bits = base64.b64encode(bytes([0b11])).decode()
        for said in ({"rows": [0, 1]}, {"bits": bits}):
            one.say("map-plane", {"selection": {"panel": 0, "digest": digest, **said}})
            assert "2 features selected" in one.text
        for said in ({"rows": [0, 10**6]}, {"bits": "A" * 4000}, {"rows": []}, {"panel": 9}):
            one.say("map-plane", {"selection": {"panel": 0, "digest": digest, "rows": [0], **said}})
            shown = "features selected" in one.text
            assert not shown or "bits" in said


SAE_SHORT = "vision.0 / matryoshka"


def test_a_point_of_a_chart_is_checked(url: str) -> None:
    draw = random.Random(7)
    with Visitor(url) as one:
        one.go("steering", look="Scores")
        key = next(key for key in one.ids if key.startswith("steering-scores-"))
        for _ in range(FORGED):
            # Above this Streamlit reads it, before any page does.
            said = forged({"pressed": [{"feature": 1}]}, draw)
            one.tell(key, {"selection": said if isinstance(said, dict) else {"pressed": said}})
            assert not one.exceptions


@pytest.mark.parametrize("page", ADDRESSES)
def test_an_address_may_hold_anything(url: str, page: str) -> None:
    draw, names = random.Random(page), ADDRESSES[page].split()
    with Visitor(url) as one:
        for name in names:
            text: str | list[str] = draw.choice(TEXTS)
            one.go(page, **{name: text if draw.random() < 0.7 else [str(text), draw.choice(TEXTS)]})
            assert not one.exceptions, (page, name, text)
        for _ in range(6):
            every = {name: draw.choice(TEXTS) for name in names if draw.random() < 0.7}
            one.go(page, **every)
            assert not one.exceptions, (page, every)


@pytest.mark.parametrize("page", [*ADDRESSES])
def test_a_control_may_be_sent_what_it_does_not_offer(url: str, page: str) -> None:
    draw = random.Random(page)
    wrong = {
        "string_value": ["", "no such option", "x" * 300, "\U0001f600"],
        "string_array_value": [[], ["no such option"], ["a", "a", "b"]],
        "double_array_value": [[], [0.5], [1e300, -1e300, 3.0], [float("nan")], [9.0, -9.0]],
        "int_value": [-(2**62), 2**62], "double_value": [float("inf"), float("nan"), -1e300],
    }  # fmt: skip
    with Visitor(url) as one:
        one.go(page)
        for control in list(one.controls.values()):
            kind = next(iter(control.other))
            for value in wrong.get(kind, []):
                if control.key in one.controls and draw.random() < 0.8:
                    one.send(control.key, {kind: value})
                    assert not one.exceptions, (page, control.key, value)
