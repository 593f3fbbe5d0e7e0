"""Search by words: what the encoder does not know is said, and nothing is ranked by it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from pages import all_data, data, open_page, shows
from streamlit.testing.v1 import AppTest

from pipeline import config
from pipeline.demo import CLIP_FOLDER
from pipeline.models.encoder import ImageEncoder

Opened = Callable[..., AppTest]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, speaking_run: Path) -> Opened:
    def start(**parameters: str) -> AppTest:
        return open_page(monkeypatch, speaking_run, "browse", least="0 images", **parameters)

    return start


def warned(at: AppTest) -> str:
    assert not at.exception
    return _plain(one.value for one in at.warning)


def noted(at: AppTest) -> str:
    assert not at.exception
    return _plain(one.value for one in at.caption)


def _plain(lines: Iterable[str]) -> str:
    return " ".join(lines).replace("\\", "")


def offered(at: AppTest) -> list[str]:
    """The words that are offered in the place of unknown ones."""
    return [link["text"] for one in all_data(at, "chips") for link in one["links"]]


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return ImageEncoder(config.Encoder(id=str(CLIP_FOLDER)), device="cpu")


@pytest.mark.parametrize(
    ("text", "known", "unknown"),
    [
        ("striped blue star", "striped blue star", ()),
        ("  red  ", "red", ()),
        ("zebra", "", ("zebra",)),
        ("a zebra, blue; zebra!", "a blue", ("zebra",)),
        ("stripes zebra", "", ("stripes", "zebra")),
        ("?!", "", ()),
        ("", "", ()),
    ],
)
def test_words_that_the_tokenizer_knows(
    encoder: ImageEncoder, text: str, known: str, unknown: tuple[str, ...]
) -> None:
    assert encoder.known(text) == (known, unknown)


def test_an_encoder_of_images_alone_knows_no_word(tiny_encoder: Path) -> None:
    silent = ImageEncoder(config.Encoder(id=str(tiny_encoder)), device="cpu")
    assert silent.known("red") == ("", ())


@pytest.mark.parametrize("text", ["zebra", "stripes", "zebra stripes", "?!"])
def test_nothing_is_ranked_by_words_that_the_encoder_does_not_know(
    opened: Opened, text: str
) -> None:
    at = opened(q=text)
    assert "nothing is ranked" in warned(at)
    assert not shows(at, "grid"), "no order stands for an answer"
    for word in text.split():
        assert word == "?!" or f"“{word}”" in warned(at)


def test_a_word_like_an_unknown_one_is_offered(opened: Opened) -> None:
    assert offered(opened(q="stripes")) == ["striped"]
    assert offered(opened(q="xyzzy")) == []


def test_the_known_words_rank_alone(opened: Opened) -> None:
    at, alone = opened(q="blue zebra"), opened(q="blue")
    assert "does not know “zebra”: ranked by the other words" in warned(at)
    assert not warned(alone)
    mixed, known = data(at, "grid"), data(alone, "grid")
    assert [one["key"] for one in mixed["cards"]] == [one["key"] for one in known["cards"]]
    assert known["cards"]


def test_labels_that_the_model_does_not_know_do_not_compete(
    monkeypatch: pytest.MonkeyPatch, speaking_run: Path
) -> None:
    at = open_page(
        monkeypatch, speaking_run, "steering", labels="own", words="red, zebra, blue, stripes"
    )
    assert "Left out, as the model does not know their words: “zebra”, “stripes”." in noted(at)
    at = open_page(monkeypatch, speaking_run, "steering", labels="own", words="red, zebra")
    assert "at least two labels that the model knows" in noted(at)
