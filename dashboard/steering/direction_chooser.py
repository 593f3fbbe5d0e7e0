"""Choosing a direction to steer along, and what the run's features say of it.

What is chosen stands in the address; only a visitor's file cannot be made again from there.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st

from dashboard import address, gate, queries
from dashboard.bundle import cached, opening
from dashboard.components.chips import chips
from dashboard.live import models
from dashboard.page import furniture
from dashboard.steering import direction_vectors, hints, mean_activations
from dashboard.steering.direction_names import End, Named, Toward, as_text, named, of_text, told
from dashboard.style import markdown
from dashboard.style.numbers import number, percent

__all__ = ["Toward", "about", "as_text", "chooser", "of_text", "told"]

PLACE = "Where in the model the activations are edited."
KINDS = {"add": "add", "move": "from A to B", "project_out": "project out"}
SOURCES = {"tag": "classes", "feature": "features", "words": "texts", "file": "a file"}
ALL = "all images"
MOST_CLASSES = 1000
MOST_TIMES = {"add": 4.0, "move": 2.0}
STEP = 0.05


def chooser(
    run: opening.Run,
    model: str,
    hooks: Sequence[str],
    *,
    key: str = "along",
    given: Toward | None = None,
    warned: set[str],
) -> Toward | None:
    """The edit along a direction that the address holds under `key`, with what changes it: a
    popover that chooses the direction, and beside it the strength.

    Args:
        hooks: full names of the hook points to choose from.
        given: what stands there where the address holds none.
        warned: warnings that stand on the page already.
    """
    text = st.query_params.get(key, "")
    current = of_text(text) if text else given
    if text and current is None:
        st.warning(markdown.plain(f"No direction is called {text[:200]}. Choose one."))
    with st.popover("Along a direction", help=hints.ALONG, key=f"{key}-open"):
        _choose(run, model, hooks, key=key)
    if current is None:
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"{key}-now"):
        st.caption(markdown.plain(told(current)), width="content")
        if current.kind in MOST_TIMES:
            _strength(run, model, current, key, warned)
        st.button(
            "Take out", key=f"{key}-out", on_click=gate.allowed(_forget), args=(key,),
            help="Steer along no direction.",
        )  # fmt: skip
    return current


def about(
    run: opening.Run, model: str, one: Toward, *, key: str = "along-about", warned: set[str]
) -> None:  # fmt: skip
    """The features of the SAEs at the direction's hook point that lie nearest to it, and those few
    that approximate it."""
    furniture.section("Features of this direction", hints.NEAR_DIRECTION)
    for place, name in enumerate(filter(None, (one.direction, one.to))):
        try:
            found = direction_vectors.near(run, model, name)
        except models.Unavailable as problem:
            furniture.warn_once(str(problem), warned)
            return
        if not found:
            st.caption("This run has no SAE at the direction's hook point.")
            return
        for near in found:
            _near(run, near, key=f"{key}-{place}-{near.dictionary.name}")


def _near(run: opening.Run, near: direction_vectors.Near, *, key: str) -> None:
    of = near.dictionary.dictionary_id
    ids = [feature for feature, _ in (*near.nearest, *near.parts)]
    labels = queries.feature_names(run.connection, of, ids)

    def called(feature: int) -> str:
        label = labels.get(feature)
        return f"#{feature} {label}" if label else f"#{feature}"

    links = [
        (
            f"{called(feature)} {cosine:+.2f}", address.to_feature(of, feature),
            f"cosine {cosine:.3f} with the direction",
        )
        for feature, cosine in near.nearest
        if cosine
    ]  # fmt: skip
    chips(links, name=near.dictionary.short, key=key)
    terms = [
        f"{'−' if weight < 0 else '+' if place else ''} {number(abs(weight))} × {called(feature)}"
        for place, (feature, weight) in enumerate(near.parts)
    ]
    share = percent(max(0.0, near.fvu))
    st.caption(markdown.plain(f"≈ {' '.join(terms)}, which leaves {share} of its square (fvu)."))


def _forget(key: str) -> None:
    st.query_params.pop(key, None)


def _strength(run: opening.Run, model: str, one: Toward, key: str, warned: set[str]) -> None:
    """The slider of the strength; the address has the number itself, in the activations' unit."""
    unit, about_unit = 1.0, hints.MOVE_SHARE
    if one.kind == "add":
        try:
            scale = direction_vectors.scale(run, model, one.direction)
        except models.Unavailable as problem:
            furniture.warn_once(str(problem), warned)
            return
        unit = scale.unit or 1.0
        kind = "the CLS token" if _reads_cls(run, model, one.hook) else "an image token"
        between = scale.distance is not None
        about_unit = hints.DISTANCE if between else hints.NORM.format(kind)
        about_unit += f" Here 1 is {number(unit)} of the activations' unit."
    most = MOST_TIMES[one.kind]
    at = f"{key}-times-{address.name_of(one.kind, one.direction, one.to)}"
    # The address is what counts: Back changes it, and so the slider.
    times = round(min(most, max(-most, round(one.strength / unit / STEP) * STEP)), 4)

    def put() -> None:
        st.query_params[key] = as_text(replace(one, strength=st.session_state[at] * unit))

    st.slider(
        "Strength", -most, most, step=STEP, help=about_unit, width=320,
        on_change=gate.allowed(put), **address.showing(at, times),
    )  # fmt: skip


def _choose(run: opening.Run, model: str, hooks: Sequence[str], *, key: str) -> None:
    hook = st.selectbox(
        "Hook point", hooks, key=f"{key}-hook", help=PLACE,
        format_func=lambda name: name.removesuffix(".resid_post"),
    )  # fmt: skip
    kind = furniture.segments(
        "Edit", list(KINDS), default="add", format_func=KINDS.__getitem__,
        key=f"{key}-kind", help=hints.ALONG_KINDS,
    )  # fmt: skip
    source = furniture.segments(
        "The direction comes from", list(SOURCES), default="tag", format_func=SOURCES.__getitem__,
        key=f"{key}-source", help=hints.ALONG_SOURCES,
    )  # fmt: skip
    ends = _ends(run, model, hook, kind, source, key)
    if ends is None:
        return
    if st.button("Use it", key=f"{key}-use", type="primary"):
        try:
            made = _made(run, model, hook, kind, *ends())
        except models.Unavailable as problem:
            st.warning(markdown.plain(str(problem)))
            return
        st.query_params[key] = as_text(made)
        st.rerun()


Ends = tuple[End | None, End]


def _ends(
    run: opening.Run, model: str, hook: str, kind: str, source: str, key: str
) -> Callable[[], Ends] | None:
    """Fields for both ends of the direction, and what gives them; None while they are not whole."""
    if source == "file":
        if kind == "move":
            st.caption("A file holds one vector, and a move needs two ends: add or project out.")
            return None
        file = st.file_uploader(
            "A vector", type=["npy", "safetensors"], key=f"{key}-file",
            max_upload_size=direction_vectors.MOST_BYTES >> 20, help=hints.VECTOR_FILE,
        )  # fmt: skip
        if file is None:
            return None
        every = cached.dictionaries(run)
        width = next(d.d_in for d in every if (d.model, d.hook) == (model, hook))
        return lambda: (None, direction_vectors.kept(file.name, file.getvalue(), d_in=width))
    start, end = _texts(run, source, key, bare=kind != "move")
    if not end or start == end:
        st.caption("Give two different ends." if end else "Give what the direction leads to.")
        return None
    return lambda: (End(source, start) if start else None, End(source, end))


def _texts(run: opening.Run, source: str, key: str, *, bare: bool) -> tuple[str, str]:
    """What stands in the fields for A and B; `bare`: A may be empty."""
    if source == "words":
        a = st.text_input("From A, a text", key=f"{key}-a-words", max_chars=200)
        b = st.text_input("To B, a text", key=f"{key}-b-words", max_chars=200)
        return (a or "").strip(), (b or "").strip()
    if source == "feature":
        options = [address.feature_key(*one) for one in address.asked_features()[0]]
        if not options:
            st.caption("Choose one or two features on this page first: their top images count.")
            return "", ""
    else:
        options = queries.marks(run.connection, limit=MOST_CLASSES)
        if not options:
            st.caption("This run's images have no tags and no classes. Use texts or a file.")
            return "", ""
    begin = [ALL, *options] if bare else options
    a = st.selectbox("From A", begin, key=f"{key}-a-{source}-{bare}")
    b = st.selectbox("To B", options, key=f"{key}-b-{source}", index=min(1, len(options) - 1))
    return "" if a == ALL else a or "", b or ""


def _made(
    run: opening.Run, model: str, hook: str, kind: str, start: End | None, end: End
) -> Toward:
    """The edit with a strength to begin with."""
    if kind == "move" and start is not None:
        # Each end is a direction of its own, off from what all have in common.
        names = [str(Named(hook, one)) for one in (start, end)]
        direction_vectors.scale(run, model, names[0]), direction_vectors.scale(run, model, names[1])
        return Toward(hook, kind, names[0], names[1], 1.0)
    name = str(Named(hook, end, start))
    if named(name) is None:
        raise models.Unavailable("this text cannot stand in an address; give a shorter one")
    unit = direction_vectors.scale(run, model, name).unit
    return Toward(hook, kind, name, None, unit if kind == "add" and math.isfinite(unit) else 0.0)


def _reads_cls(run: opening.Run, model: str, hook: str) -> bool:
    return mean_activations.tokens(run, model, hook) == "cls"
