"""Steering: turn features of a model and see what it says, or what it sees."""

import streamlit as st

from dashboard import address
from dashboard.bundle import cached, opening
from dashboard.page import furniture
from dashboard.steering import answers, hints, request
from dashboard.style import markdown


def choose_model(models: list[str], asked: str) -> str:
    """Which of the run's models is steered; a choice only where there are several."""
    known = asked if asked in models else models[0]
    if asked and asked not in models:
        st.warning(markdown.plain(f"This run has no model {asked[:200]!r}: {known} is shown."))
    if len(models) > 1:
        st.segmented_control(
            "Model", models, required=True, label_visibility="collapsed",
            format_func=markdown.plain,
            **request.bound("model", known, usual=models[0], given="default"),
        )  # fmt: skip
    return known


run = opening.current()
every = cached.dictionaries(run)
models = list(dict.fromkeys(one.model for one in every))
with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="steer-head"):
    look = furniture.segments(
        "Steering", ["Steer", "Scores"], default="Steer", **address.own("look"),
        help=hints.STEERING, label_visibility="collapsed",
    )  # fmt: skip
    if look == "Steer":
        features, _ = address.asked_features()
        of_first = next(
            (d.model for d in every if features and d.dictionary_id == features[0][0]), ""
        )
        model = choose_model(models, address.asked_text("model") or of_first)
if look == "Scores":
    from dashboard.views.steering import scores

    scores.show(run)
elif answers.talks(run, model, every):
    from dashboard.views.steering import talk

    talk.show(run, model)
else:
    from dashboard.views.steering import contrast

    contrast.show(run, model)
