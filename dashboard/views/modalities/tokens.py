"""Modalities' reconstruction: what dictionaries lose of images and of words, layer by layer."""

from collections.abc import Sequence

import streamlit as st

from dashboard import address, queries
from dashboard.bundle.opening import Run
from dashboard.charts import modalities
from dashboard.page import furniture
from dashboard.records.dictionaries import Dictionary, Reconstruction
from dashboard.style import hints, markdown, numbers
from pipeline.metrics.convergence import TOLERANCE, converged

METRICS = {"fvu": hints.FVU, "cosine": hints.COSINE, "l0": hints.L0, "mse": hints.MSE}
IMAGE, CAPTIONS = ("patch", "image"), ("caption", "caption_alone")
TEXTS = (*CAPTIONS, "text")
"""The last is the prompt's own words."""
TOLERANCES = [0.02, 0.05, 0.1, 0.2, 0.5]
HIGH, ACROSS = 360, 2
Dictionaries = Sequence[Dictionary]
Measured = dict[tuple[str, str], Reconstruction]
"""By dictionary and kind of token."""


def show(run: Run, every: Dictionaries) -> None:
    """One chart a dictionary name, and in words from where image and text are alike."""
    found = [r for r in queries.reconstruction(run.connection) if r.token_type in modalities.TOKENS]
    by_key = {(r.dictionary_id, r.token_type): r for r in found}
    measured = {r.dictionary_id for r in found}
    offered = sorted((d for d in every if d.dictionary_id in measured), key=lambda d: d.depth)
    if not offered:
        furniture.empty(
            "No SAE of this bundle reads image patches or words. Train one at a hook point that "
            "has them, then run python -m pipeline run CONFIG."
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        models = list(dict.fromkeys(d.model for d in offered))
        model = models[0]
        if len(models) > 1:
            model = st.selectbox("Model", models, **address.own("model"), width=200)
        metric = furniture.segments(
            "Measure", list(METRICS), default="fvu", **address.own("measure"),
            help="\n\n".join(f"{n}: {t}" for n, t in METRICS.items()),
        )  # fmt: skip
        tolerance = st.select_slider(
            "Alike within", TOLERANCES, TOLERANCE, format_func=numbers.percent,
            **address.own("within"), help=hints.CONVERGED, width=200,
        )  # fmt: skip
    if not any(r.token_type in CAPTIONS for r in found):
        older = queries.captioned(run.connection) is None
        st.caption(hints.NO_SIDES if older else hints.NO_WORDS)
    here = [d for d in offered if d.model == model]
    names = list(dict.fromkeys(d.name for d in here))
    spoken = {d.name for d in here if any((d.dictionary_id, kind) in by_key for kind in TEXTS)}
    if spoken and (mute := [name for name in names if name not in spoken]):
        names = [name for name in names if name in spoken]
        st.caption(markdown.plain(f"Not shown: {', '.join(mute)}, which no words reach."))
    for at in range(0, len(names), ACROSS):
        for room, name in zip(
            st.columns(ACROSS, gap="medium"), names[at : at + ACROSS], strict=False
        ):
            with room:
                chart([d for d in here if d.name == name], by_key, metric, tolerance)


def chart(layers: Dictionaries, by_key: Measured, metric: str, tolerance: float) -> None:
    """The chart of the dictionaries of one name, and what it says in words."""
    name = layers[0].name
    met = meetings(layers, by_key, tolerance)
    mark = meeting(layers, met)
    furniture.section(name, hints.BY_TOKEN)
    ids = {d.dictionary_id for d in layers}
    st.altair_chart(
        modalities.by_token(
            layers, [r for r in by_key.values() if r.dictionary_id in ids], metric=metric,
            title=metric, names=hints.TOKEN_NAMES, mark=mark,
        ),
        width="stretch", height=HIGH, alt=f"{metric} of {name} by kind of token and layer.",
    )  # fmt: skip
    st.caption(markdown.plain(in_words(met, tolerance)))


def meetings(
    layers: Dictionaries, by_key: Measured, tolerance: float
) -> dict[str, tuple[str | None, int]]:
    """For each kind of text the place from which on its fvu is alike that of the image, and at how
    many layers both are measured (0: at none, though tokens of both kinds were read)."""
    found: dict[str, tuple[str | None, int]] = {}
    for kind in TEXTS:
        read, places, images, texts = False, [], [], []
        for d in layers:
            image = next((r for k in IMAGE if (r := by_key.get((d.dictionary_id, k)))), None)
            text = by_key.get((d.dictionary_id, kind))
            read = read or (image is not None and text is not None)
            if image and text and image.fvu is not None and text.fvu is not None:
                places.append(d.place)
                images.append(image.fvu)
                texts.append(text.fvu)
        if read:
            at = converged(images, texts, tolerance=tolerance)
            found[kind] = (None if at is None else places[at], len(places))
    return found


def meeting(layers: Dictionaries, met: dict[str, tuple[str | None, int]]) -> str | None:
    """The place from which on the image is alike all the kinds of captions that it comes to be
    alike; None where it does so with none."""
    order = [d.place for d in layers]
    known = [place for kind, (place, _) in met.items() if kind in CAPTIONS and place is not None]
    return max(known, key=order.index) if known else None


def in_words(met: dict[str, tuple[str | None, int]], tolerance: float) -> str:
    """What the rule marks."""
    if not met:
        return "No layer here has both image and text."
    parts = []
    for kind, (place, layers) in met.items():
        name = hints.TOKEN_NAMES[kind]
        if not layers:
            parts.append(f"image and {name} are not measured")
        elif place is None:
            count = "1 layer" if layers == 1 else f"{layers} layers"
            parts.append(f"image and {name} do not come together ({count})")
        else:
            parts.append(f"image and {name} are alike from {place} on")
    said = "; ".join(parts)
    return f"By fvu, within {numbers.percent(tolerance)}: {said}."
