"""Modalities: features between pictures and words, layers in sum, and what each token loses."""

from dashboard import connection, state, widgets, words
from dashboard.views import modalities_features, modalities_layers, modalities_tokens

LOOKS = {
    "Features": modalities_features.show,
    "Layers": modalities_layers.show,
    "Reconstruction": modalities_tokens.show,
}

run = connection.current()
every = connection.dictionaries(run.connection, run.key)
look = widgets.segments(
    "Modalities", list(LOOKS), default="Features", **state.own("look"),
    help=words.MODALITIES, label_visibility="collapsed",
)  # fmt: skip
LOOKS[look](run, every)
