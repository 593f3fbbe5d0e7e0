"""Finding an image to look at: by search, at random, or one of the visitor's own."""

import secrets
from dataclasses import dataclass

import streamlit as st

from dashboard import address, gate, queries
from dashboard.bundle.opening import Run
from dashboard.images import uploads
from dashboard.live import images, models
from dashboard.records.images import Example
from dashboard.style import hints, markdown

MOST_FOUND = 8
KINDS = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"]


@dataclass(frozen=True, eq=False)
class Found:
    """What the visitor looks for and has.

    Attributes:
        text, seed: the search, and what others are drawn by.
        name: what the examples are.
        examples: images of the run, MOST_FOUND at most.
        own: images of the visitor's.
    """

    text: str
    seed: int
    name: str
    examples: list[Example]
    own: list[images.Look]


def bar(run: Run, *, most: int, folded: bool = True) -> Found:
    """A field for search, a button for others at random, and a place for at most `most` images of
    the visitor's own, which is `folded` into a popover or stands below."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            "Find an image", **address.own("find"), max_chars=200, type="search",
            placeholder="id, caption, file or tag", label_visibility="collapsed",
        )  # fmt: skip
        st.button(
            "Others at random",
            help="Draws other images of this run.",
            on_click=gate.allowed(_draw),
        )
        if folded:
            with st.popover("Images of yours" if most > 1 else "An image of yours"):
                own = _own(most)
    if not folded:
        own = _own(most)
    seed = address.asked_number("seed", most=2**31) or 0
    text = (text or "").strip()
    found = queries.find(run.connection, text, limit=MOST_FOUND) if text else []
    name = "found" if found else "some images of this run"
    if text and not found:
        st.caption(
            "No val image of this run has all of these words in its id, captions, file name or "
            "tags. Here are others."
        )
    # Where nothing is found there still is an image to look at.
    found = found or queries.drawn(run.connection, seed, limit=MOST_FOUND)
    return Found(text, seed, name, found, own)


def of_run(run: Run, example_id: int) -> images.Look | None:
    """An image of the run; says so where there is none."""
    look = images.of_example(run, example_id)
    if look is None:
        st.warning(f"This run has no image {example_id}. Choose another one above.")
    return look


def _own(most: int) -> list[images.Look]:
    key = _own_key()
    given = st.file_uploader(
        "One image, or two to see side by side" if most > 1 else "An image of yours", type=KINDS,
        accept_multiple_files=most > 1, max_upload_size=20, key=key, help=hints.OWN_IMAGE,
        on_change=gate.allowed(_gave), args=(key,),
    )  # fmt: skip
    files = uploads.first(given, most=most)
    return [look for name, content in files if (look := _given(name, content))]


def _own_key() -> str:
    """The uploader's key: a new and empty one once another image of the run is asked for."""
    asked = address.asked_text("example")
    turn = st.session_state.setdefault("own-turn", 0)
    if asked and asked != st.session_state.get("own-asked"):
        turn += 1
    st.session_state.update({"own-turn": turn, "own-asked": asked})
    return f"own-{turn}"


def _gave(key: str) -> None:
    """An image of the visitor's stands in the place of the run's: the address names that no
    more, so that choosing it again is a choice."""
    if st.session_state[key]:
        st.query_params.pop("example", None)


def _draw() -> None:
    """Others at random, by a seed in the address."""
    st.query_params["seed"] = str(secrets.randbelow(2**31))
    st.session_state["find"] = ""


def _given(name: str, content: bytes) -> images.Look | None:
    try:
        return images.of_file(name, content)
    except models.Unavailable as problem:
        st.warning(markdown.plain(f"{name}: {problem}"))
        return None
