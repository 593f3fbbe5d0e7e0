"""A page run without a browser, and what it shows."""

import json
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[1] / "dashboard" / "app.py"


def open_page(
    monkeypatch: pytest.MonkeyPatch, run: Path, view: str, /, **parameters: str | list[str]
) -> AppTest:
    """The page `view` on a run, with these parameters in its address."""
    monkeypatch.setattr(sys, "argv", ["app.py", str(run)])
    at = AppTest.from_file(str(APP), default_timeout=120)
    at.run()
    if view != "overview":
        at.switch_page(f"views/{view}/page.py")
    for name, value in parameters.items():
        at.query_params[name] = value
    return at.run()


def said(at: AppTest) -> str:
    """All that the page says outside its components."""
    assert not at.exception, at.exception
    every = [*at.get("html"), *at.error, *at.caption, *at.text, *at.markdown]
    return "\n".join(str(getattr(each, "value", None) or each.proto.body) for each in every)


def data(at: AppTest, name: str) -> dict:
    """What the first component `name` was given; fails where the page does not show it."""
    every = all_data(at, name)
    assert every, f"no {name}"
    return every[0]


def all_data(at: AppTest, name: str) -> list[dict]:
    """What each component `name` was given."""
    assert not at.exception, at.exception
    of = [one.proto for one in at.get("bidi_component")]
    return [json.loads(one.json) for one in of if one.component_name == f"loupe_{name}"]


def shows(at: AppTest, name: str) -> bool:
    return any(each.proto.component_name == f"loupe_{name}" for each in at.get("bidi_component"))
