"""Compares what one SAE makes of pictures with what it makes of words: top captions, histograms and
activations of the captions, how features share themselves out between the two, and how well the
captions' activations are reconstructed. Empty tables where words do not reach the dictionary.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from pipeline import config, contract
from pipeline.activations.encoded import Encoded, EncodedCaptions
from pipeline.bundle.tables import lists, nullable, ragged, write_table
from pipeline.contract.tables import (
    ACTIVATIONS,
    CAPTIONS,
    HISTOGRAM_BINS,
    HISTOGRAMS,
    MODALITY,
    OVERLAP,
    RECONSTRUCTION,
    TOP_CAPTIONS,
    TOP_K,
)
from pipeline.metrics import modality, ranking
from pipeline.run import plan
from pipeline.run.workspace import Workspace
from pipeline.saes.sae import SAE

TABLES = (
    TOP_CAPTIONS,
    HISTOGRAMS,
    ACTIVATIONS,
    RECONSTRUCTION,
    MODALITY,
    OVERLAP,
)


class Worker:
    """Does modality's units."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        self.run, self.workspace = run, workspace

    def make(self, unit: plan.Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        encoded = Encoded(self.workspace, unit.spec)
        spoken = encoded.spoken(unit.spec["captions"]) if encoded.is_sae else None
        made: dict[str, dict[str, Any]] = {}
        place = unit.spec["place"]
        if spoken is not None:
            pairs = Pairs(encoded, spoken, self._image_of(unit, spoken))
            made = {
                TOP_CAPTIONS.name: _top_captions(spoken),
                RECONSTRUCTION.name: _reconstruction(spoken),
                **pairs.of_text(),
            }
            if sees(encoded.facts["tower"], self.run.dictionaries[place.dictionary].tokens):
                trained = SAE.load(self.workspace.part("train", unit.spec["trained"]))
                made |= pairs.compared(trained.W_dec.numpy(), seed=self.run.captions.seed)
        name = contract.dictionary_id(place.model, encoded.facts["hook"], place.dictionary)
        for table in TABLES:
            columns = made.get(table.name)
            rows = table.schema.empty_table() if columns is None else _rows(name, columns)
            write_table(table, rows, folder)
        advance(1)
        return {"captions": 0 if spoken is None else len(spoken.ids)}

    def _image_of(self, unit: plan.Unit, spoken: EncodedCaptions) -> NDArray[np.int64]:
        """The example of each caption."""
        files = [self.workspace.part("collect", key) / CAPTIONS.file for key in unit.spec["images"]]
        read = [pq.read_table(file, columns=["caption_id", "example_id"]) for file in files]
        rows = pa.concat_tables(read).sort_by("caption_id")
        at = np.searchsorted(rows["caption_id"].to_numpy(), spoken.ids)
        found: NDArray[np.int64] = rows["example_id"].to_numpy()[at]
        return found


def sees(tower: str, tokens: str) -> bool:
    """Whether a dictionary's activation on an image is the picture's alone. In a language model
    the tokens `text` and `all` are also the prompt's, which may hold the very caption."""
    return tower == "vision" or tokens in ("patches", "cls")


class Pairs:
    """The images that have captions, each with what is said of it.

    Attributes:
        examples: [n], rising.
        image, text: activations [n, s], csr_matrix; of the text the largest over an image's
            captions.
    """

    def __init__(
        self, encoded: Encoded, spoken: EncodedCaptions, image_of: NDArray[np.int64]
    ) -> None:
        self.encoded, self.spoken, self.image_of = encoded, spoken, image_of
        self.examples = np.unique(image_of)
        self.image = encoded.acts[np.searchsorted(encoded.ids, self.examples)]
        self.text = _largest(
            spoken.acts, np.searchsorted(self.examples, image_of), rows=len(self.examples)
        )

    def of_text(self) -> dict[str, dict[str, Any]]:
        """The columns of the tables that have rows of text, but for the dictionary's."""
        return {
            HISTOGRAMS.name: self._histograms(),
            ACTIVATIONS.name: self._activations(),
        }

    def compared(self, W_dec_sd: NDArray[np.float32], *, seed: int) -> dict[str, dict[str, Any]]:
        """The same of the tables that compare the two."""
        compared = self._modality(W_dec_sd, seed)
        densities = compared["image_density"], compared["text_density"]
        return {
            MODALITY.name: compared,
            OVERLAP.name: modality.overlap_curve(*densities),
        }

    def _modality(self, W_dec_sd: NDArray[np.float32], seed: int) -> dict[str, Any]:
        encoded, spoken = self.encoded, self.spoken
        total, tokens = encoded.image_tokens
        means = total / max(tokens, 1), spoken.total / max(spoken.tokens, 1)
        active = [np.asarray((acts > 0).sum(0)).ravel() for acts in (encoded.acts, self.text)]
        other = modality.derangement(len(self.examples), seed)
        bridges = modality.bridge_scores(self.image, self.text, W_dec_sd)
        overlap = modality.top_overlap(encoded.top, self._top_images())
        return {
            "feature_id": np.arange(encoded.size),
            "image_active": active[0],
            "text_active": active[1],
            "image_density": active[0] / len(encoded.ids),
            "text_density": active[1] / len(self.examples),
            "image_mean": means[0],
            "text_mean": means[1],
            "modality_score": nullable(modality.modality_score(*means)),
            "correlation": nullable(modality.pair_correlation(self.image, self.text)),
            "correlation_shuffled": nullable(
                modality.pair_correlation(self.image, self.text, order=other)
            ),
            "bridge": bridges.itself,
            "bridge_best": nullable(bridges.best),
            "bridge_feature": pa.array(bridges.feature, mask=bridges.feature < 0),
            "top_overlap": nullable(overlap),
        }

    def _top_images(self) -> NDArray[np.int64]:
        """[s, 16], as `Encoded.top`, the images whose captions activate each feature most."""
        coo = self.text.tocoo()
        images = self.examples[coo.row]
        kept, rank = ranking.strongest(coo.col, coo.data, tie=images, count=TOP_K)
        found = np.full((self.encoded.size, TOP_K), -1, np.int64)
        found[coo.col[kept], rank - 1] = np.searchsorted(self.encoded.ids, images[kept])
        return found

    def _histograms(self) -> dict[str, Any]:
        """From 0 over the images with a caption that activates the feature."""
        high = np.asarray(self.text.max(0).todense()).ravel().astype(np.float64)
        live = np.flatnonzero(high > 0)
        counts = np.zeros((len(high), HISTOGRAM_BINS), np.int64)
        coo, span = self.text.tocoo(), np.where(high > 0, high, 1)
        ranking.add_to_histogram(counts, coo.col, coo.data, low_s=np.zeros(len(high)), span_s=span)
        edges = np.linspace(np.zeros(len(live)), span[live], HISTOGRAM_BINS + 1, axis=1)
        return {
            "modality": ["text"] * len(live),
            "feature_id": live,
            "edges": lists(list(edges), pa.float32()),
            "counts": lists(list(counts[live]), pa.int64()),
        }

    def _activations(self) -> dict[str, Any]:
        coo = self.text.tocoo()
        return {
            "modality": np.full(coo.nnz, "text"),
            "feature_id": coo.col,
            "example_id": self.examples[coo.row],
            "activation": coo.data,
        }


def _largest(acts_cs: Any, row_c: NDArray[np.int64], *, rows: int) -> sparse.csr_matrix:
    """Of sparse activations of captions the largest of each row, [rows, s]."""
    coo = acts_cs.tocoo()
    row, size = row_c[coo.row], acts_cs.shape[1]
    key = row * size + coo.col
    order = np.lexsort((-coo.data, key))
    kept = order[np.unique(key[order], return_index=True)[1]]
    return sparse.csr_matrix((coo.data[kept], (row[kept], coo.col[kept])), shape=(rows, size))


def _top_captions(spoken: EncodedCaptions) -> dict[str, Any]:
    top = spoken.strongest
    return {
        "feature_id": top.feature,
        "rank": top.rank,
        "caption_id": top.id,
        "activation": top.value,
        "token": pa.array(top.token, mask=top.token < 0),
        "tokens": ragged(top.places, top.ends, pa.uint16()),
        "token_acts": ragged(top.acts, top.ends, pa.float32()),
    }


def _reconstruction(spoken: EncodedCaptions) -> dict[str, Any]:
    figures = {
        name: nullable(np.array([value], np.float64))
        for name, value in spoken.reconstruction.figures().items()
    }
    return {"token_type": ["caption_alone"], "tokens": [spoken.reconstruction.tokens], **figures}


def _rows(dictionary_id: str, columns: dict[str, Any]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({"dictionary_id": [dictionary_id] * count, **columns})
