"""Search by what features show, against the formula written out."""

import numpy as np

from dashboard.bundle import nearness
from dashboard.records.images import Embeddings
from pipeline.contract.tables import TOP_K

IDS = np.array([3, 10, 20, 40])
VECTORS = np.eye(4, dtype=np.float32)


def test_places_of_top_images_among_the_embeddings() -> None:
    rank = TOP_K
    place = np.array([0, 1, 2 * rank, 2 * rank + 1])
    found = nearness.places(place, np.array([40, 3, 20, 7]), Embeddings(IDS, VECTORS), size=3)
    assert found.shape == (3, TOP_K)
    assert found[0, :3].tolist() == [3, 0, -1]
    assert found[2, :2].tolist() == [2, -1], "an image without an embedding has no place"
    assert (found[1] == -1).all()
    nothing = Embeddings(IDS[:0], VECTORS[:0])
    assert (nearness.places(place, np.array([40, 3, 20, 7]), nothing, size=3) == -1).all()


def test_nearness_is_the_cosine_with_the_mean_image() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = rng.integers(0, 50, (6, TOP_K)).astype(np.int32)
    places[1, 5:] = -1
    places[2] = -1
    query = vectors[7]
    near = nearness.nearness(vectors @ query, places)
    for feature in range(6):
        images = [vectors[i] for i in places[feature] if i >= 0]
        if images:
            assert np.isclose(near[feature], np.mean(images, 0) @ query, atol=1e-6)
        else:
            assert np.isnan(near[feature])


def test_the_nearest_of_several_dictionaries_come_first() -> None:
    near_a = np.array([0.1, np.nan, 0.9, 0.5], np.float32)
    near_b = np.array([0.7, 0.8], np.float32)
    scores = [("a", np.array([0, 1, 3]), near_a), ("b", np.array([0, 1]), near_b)]
    found = nearness.best(scores, limit=10, offset=0)
    assert [(name, i) for name, i, _ in found] == [
        ("b", 1), ("b", 0), ("a", 3), ("a", 0), ("a", 1)
    ]  # fmt: skip
    assert nearness.best(scores, limit=2, offset=1) == found[1:3]
    assert nearness.best([], limit=2, offset=0) == []
