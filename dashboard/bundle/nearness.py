"""Features by what they show: nearest to a query's embedding, by way of their top images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dashboard.records.images import Embeddings
from pipeline.contract.tables import TOP_K


def places(
    place_n: NDArray[np.int64], example_n: NDArray[np.int64], embeddings: Embeddings, *, size: int
) -> NDArray[np.int32]:
    """[size, 16]: where each feature's top images stand among the embeddings; -1 where there is
    none, or it has no embedding.

    Args:
        place_n, example_n: as `queries.top_ids` gives them.
    """
    found = np.full(size * TOP_K, -1, np.int32)
    if len(embeddings.ids):
        at = np.minimum(np.searchsorted(embeddings.ids, example_n), len(embeddings.ids) - 1)
        found[place_n] = np.where(embeddings.ids[at] == example_n, at, -1)
    return found.reshape(size, TOP_K)


def nearness(
    similarity_n: NDArray[np.float32], places_sk: NDArray[np.int32]
) -> NDArray[np.float32]:
    """[s]: the mean similarity of each feature's top images to the query; NaN without any.

    Equal to the cosine's numerator of the query with the mean of the images' embeddings, so that
    no embedding of a feature need be kept; a feature whose images are not alike scores low.

    Args:
        similarity_n: cosine of every embedded image with the query.
        places_sk: from `places`.
    """
    known = places_sk >= 0
    total = np.where(known, similarity_n[places_sk], 0).sum(1, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        near: NDArray[np.float32] = total / known.sum(1).astype(np.float32)
    return near


def best(
    scores: Sequence[tuple[str, NDArray[np.int64], NDArray[np.float32]]], *, limit: int, offset: int
) -> list[tuple[str, int, float]]:
    """(dictionary, feature, nearness) from the nearest on, of any number of dictionaries.

    Args:
        scores: dictionary, ids of the features that may be shown, and nearness of every feature.
    """
    names = np.repeat(np.arange(len(scores)), [len(ids) for _, ids, _ in scores])
    if not len(names):
        return []
    ids = np.concatenate([ids for _, ids, _ in scores])
    near = np.concatenate([near[ids] for _, ids, near in scores])
    order = np.argsort(-near, kind="stable")  # NaN comes last
    chosen = order[offset : offset + limit]
    return [(scores[names[i]][0], int(ids[i]), float(near[i])) for i in chosen]
