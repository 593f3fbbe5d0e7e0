"""Images that visitors give, on each page that takes one: whatever they hold is told in a line, and
nothing is held longer than it is used."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import open_page
from picture_files import OTHERS, READ, picture, png, saved
from PIL import Image
from small_run import make_run
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import FileUploader

from dashboard.live import models
from dashboard.steering import history
from dashboard.steering.request import Asked

PAGES = ("image", "steering", "browse")
BAD = {
    "a program": OTHERS["eps"](),
    "a form that Pillow raises on": OTHERS["dds"](),
    "cut": READ["avif"]()[:200],
    "thin": png(60_000, 1),
    "long": png(24_000_000, 1),
    "swollen": png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000_000), 9))),
    "empty": b"",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    return make_run(tmp_path_factory.mktemp("uploads"), encoder=tiny_encoder) / "run"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, run: Path) -> Callable[[str], AppTest]:
    models.shared.clear()
    return lambda page: open_page(monkeypatch, run, page)


def uploader(at: AppTest) -> FileUploader:
    """The page's uploader of images."""
    (found,) = [one for one in at.file_uploader if ".png" in one.proto.type]
    return found


def warned(at: AppTest) -> str:
    assert not at.exception, at.exception
    return "\n".join(str(each.value).replace("\\", "") for each in at.warning)


@pytest.mark.parametrize("page", PAGES)
def test_what_cannot_be_read_is_told_in_a_line(page: str, opened: Callable[[str], AppTest]) -> None:
    at = opened(page)
    for name, content in BAD.items():
        at = uploader(at).upload("mine.png", content, "image/png").run()
        assert "image cannot be used: " in warned(at) or name == "swollen", name
        at = uploader(at).set_value([]).run()
    at = uploader(at).upload("good.png", saved("PNG"), "image/png").run()
    assert "cannot be used" not in warned(at)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_model_cannot_take_is_told_in_a_line(
    page: str, opened: Callable[[str], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library's own fault on one image."""
    from transformers import BitImageProcessor, CLIPImageProcessor

    def refused(*_: object, **__: object) -> None:
        raise ValueError("mean must have 1 elements")

    at = opened(page)
    for kind in (BitImageProcessor, CLIPImageProcessor):
        monkeypatch.setattr(kind, "__call__", refused)
    at = uploader(at).upload("mine.png", saved("PNG"), "image/png").run()
    # Browse loads its encoder only now, which tries itself on a blank picture first.
    told = "cannot take this image: mean must have 1 elements"
    if page == "browse":
        told = "mean must have 1 elements); mend its preprocessor_config.json"
    assert told in warned(at)


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Streamlit lets go of."""
    found: list[str] = []
    monkeypatch.setattr(
        MemoryUploadedFileManager, "remove_file", lambda _, session, one: found.append(one)
    )
    return found


def test_files_that_are_not_used_are_let_go_of(
    opened: Callable[[str], AppTest], gone: list[str]
) -> None:
    files = [(f"{i}.png", saved("PNG", picture(size=(40 + i, 40))), "image/png") for i in range(5)]
    at = uploader(opened("image")).set_value(files).run()
    assert len(gone) == 3
    assert "the first 2 are shown" in "\n".join(one.value for one in at.caption)
    held = at.session_state["uploads-held"]
    assert len(held) == 2
    assert not {*held} & {*gone}
    at.query_params["example"] = "1"
    at.run()
    assert {*held} <= {*gone}, "an image of the run stands in their place"


def test_files_of_another_page_are_let_go_of(
    opened: Callable[[str], AppTest], gone: list[str]
) -> None:
    at = uploader(opened("image")).upload("mine.png", saved("PNG"), "image/png").run()
    (held,) = at.session_state["uploads-held"]
    assert gone == []
    at.switch_page("views/overview/page.py").run()
    assert gone == [held]
    assert at.session_state["uploads-held"] == []


def test_the_history_holds_no_pictures() -> None:
    large = models.Picture(Image.new("RGB", (1000, 1000)))
    one = history.Experiment(Asked(), "title", "large.png", large.key, "")
    assert not any(isinstance(of, models.Picture | Image.Image) for of in vars(one).values())
    assert one.of(Asked(), large.key)


def test_a_frame_is_a_picture(opened: Callable[[str], AppTest]) -> None:
    """What a page takes by its name, whatever it holds."""
    out = io.BytesIO(READ["frames.gif"]())
    at = uploader(opened("image")).upload("mine.gif", out.getvalue(), "image/gif").run()
    assert "cannot be used" not in warned(at)
