"""Modalities: features between pictures and words, layers in sum, and what each token loses."""

from dashboard import address
from dashboard.bundle import cached, opening
from dashboard.page import furniture
from dashboard.style import hints
from dashboard.views.modalities import features, layers, tokens

LOOKS = {
    "Features": features.show,
    "Layers": layers.show,
    "Reconstruction": tokens.show,
}

run = opening.current()
every = cached.dictionaries(run)
look = furniture.segments(
    "Modalities", list(LOOKS), default="Features", **address.own("look"),
    help=hints.MODALITIES, label_visibility="collapsed",
)  # fmt: skip
LOOKS[look](run, every)
