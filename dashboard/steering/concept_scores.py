"""How strongly what features show does so in texts, by a contrastive encoder of the run."""

import math
from collections.abc import Sequence

import numpy as np

from dashboard import queries
from dashboard.bundle import cached, opening
from dashboard.faults import told
from dashboard.live import models
from dashboard.records.features import Card
from pipeline.contract.tables import TOP_K
from pipeline.metrics import steering


def speaker(run: opening.Run) -> str | None:
    """The encoder of the steering score: the one that the run names for it, else its first that
    embeds words as well as images.

    Raises:
        live.Unavailable: the one named embeds no words.
    """
    speak = {one.encoder: bool(one.text) for one in queries.encoders(run.connection)}
    named, listed = run.setting("steering", "encoder"), run.setting("encoders")
    with told():
        from pipeline.models.encoder import first_speaker

        # In the config's order.
        order = {name: speak[name] for name in listed or () if name in speak}
        return first_speaker(order | speak, named, key="steering.encoder")


def shows(
    run: opening.Run, encoder: str, cards: Sequence[Card], texts: Sequence[str]
) -> list[list[float]]:
    """For each feature, of each text, the cosine of its embedding to what the feature's top images
    (`Card.examples`) show (see `metrics.steering`); NaN of no text and of a feature without any.

    Raises:
        live.Unavailable: the encoder cannot be had.
    """
    held = cached.embeddings(run, encoder)
    top = np.full((len(cards), TOP_K), -1)
    for row, card in enumerate(cards):
        ids = np.asarray(card.examples[:TOP_K], np.int64)
        ids = ids[np.isin(ids, held.ids)]
        top[row, : len(ids)] = np.searchsorted(held.ids, ids)
    unique = tuple(dict.fromkeys(texts))
    embedded = models.embed_words(run, encoder, unique)
    made = []
    for concept in steering.concepts(top, held.vectors):
        found = dict(zip(unique, steering.shows(embedded, concept).tolist(), strict=True))
        made.append([found[text] if text else math.nan for text in texts])
    return made
