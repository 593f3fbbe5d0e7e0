"""How strongly a feature's concept shows in texts, by a contrastive encoder of the run."""

import math
from collections.abc import Sequence

import numpy as np

from dashboard import connection, live, queries
from dashboard.records import Card


def speaker(run: connection.Run) -> str | None:
    """An encoder of the run that embeds words as well as images."""
    every = queries.encoders(run.connection)
    return next((one.encoder for one in every if one.text), None)


def shows(
    run: connection.Run, encoder: str, cards: Sequence[Card], texts: Sequence[str]
) -> list[float]:
    """Of each text the cosine of its embedding and the unit mean embedding of the features' top
    images (`Card.examples`), from -1 to 1; NaN of no text, and where there are none of these.

    Raises:
        live.Unavailable: the encoder cannot be had.
    """
    held = connection.embeddings(run, encoder)
    ids = np.asarray(sorted({one for card in cards for one in card.examples}), np.int64)
    at = np.searchsorted(held.ids, ids)
    known = at[(at < len(held.ids)) & (held.ids[np.minimum(at, len(held.ids) - 1)] == ids)]
    if not len(known):
        return [math.nan] * len(texts)
    mean = held.vectors[known].mean(0)
    mean /= max(float(np.linalg.norm(mean)), 1e-12)
    unique = tuple(dict.fromkeys(texts))
    found = dict(zip(unique, live.embed_words(run, encoder, unique) @ mean, strict=True))
    return [float(found[text]) if text else math.nan for text in texts]
