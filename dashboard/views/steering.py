"""Steering: turn features of a model and see what it says, or what it sees."""

import streamlit as st

from dashboard import connection, spoken, state, steering, widgets
from dashboard import words_steering as words


def choose_model(models: list[str], asked: str) -> str:
    """Which of the run's models is steered; a choice only where there are several."""
    known = asked if asked in models else models[0]
    if asked and asked not in models:
        st.warning(widgets.plain(f"This run has no model {asked[:200]!r}: {known} is shown."))
    if len(models) > 1:
        st.segmented_control(
            "Model", models, required=True, label_visibility="collapsed", format_func=widgets.plain,
            **steering.bound("model", known, usual=models[0], given="default"),
        )  # fmt: skip
    return known


run = connection.current()
every = connection.dictionaries(run.connection, run.key)
models = list(dict.fromkeys(one.model for one in every))
with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="steer-head"):
    look = widgets.segments(
        "Steering", ["Steer", "Scores"], default="Steer", **state.own("look"),
        help=words.STEERING, label_visibility="collapsed",
    )  # fmt: skip
    if look == "Steer":
        features, _ = state.asked_features()
        of_first = next(
            (d.model for d in every if features and d.dictionary_id == features[0][0]), ""
        )
        model = choose_model(models, state.asked_text("model") or of_first)
if look == "Scores":
    from dashboard.views import steering_scores

    steering_scores.show(run)
elif spoken.talks(run, model, every):
    from dashboard.views import steering_talk

    steering_talk.show(run, model)
else:
    from dashboard.views import steering_contrast

    steering_contrast.show(run, model)
