"""Modalities: features between pictures and words, layers in sum, and what each token loses."""

import streamlit as st

from dashboard import connection, state, words
from dashboard.views import modalities_features, modalities_layers, modalities_tokens

LOOKS = {
    "Features": modalities_features.show,
    "Layers": modalities_layers.show,
    "Reconstruction": modalities_tokens.show,
}

run = connection.current()
every = connection.dictionaries(run.connection, run.key)
look = st.segmented_control(
    "Modalities", list(LOOKS), default="Features", **state.own("look"), required=True,
    help=words.MODALITIES, label_visibility="collapsed",
)  # fmt: skip
LOOKS[look](run, every)
