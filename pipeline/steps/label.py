"""Words for features: the vocabulary's nearest, the class of the top images, and what a
vision-language model says of them, each with how well it tells the feature's images from others.

A part holds the dictionary's rows of `labels`.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from pipeline import config, contract
from pipeline.activations.encoded import Encoded
from pipeline.bundle import sealed
from pipeline.bundle.tables import nullable, write_table
from pipeline.contract.tables import EXAMPLES, FEATURES, LABELS, THUMBNAILS, Table
from pipeline.fingerprints.keys import content_key
from pipeline.inputs import pictures
from pipeline.labelling import vocabulary
from pipeline.labelling.asking import Asking
from pipeline.labelling.captioner import Captioner
from pipeline.labelling.endpoint import Endpoint
from pipeline.metrics import labels, naming, samples
from pipeline.models.encoder import ImageEncoder, first_speaker, which_speak
from pipeline.models.loading import pick_device
from pipeline.run import identity, plan
from pipeline.run.workspace import Workspace

OTHERS = 256
"""Images that a label is tried on beside the feature's own."""
PER_BIN = 4
"""Of the feature's own beside its top, from each quarter of its activations."""
SHEET = 512
"""Width in pixels of the picture of top images that a model is shown."""

_EMBEDDINGS = "embeddings.safetensors"

Array = NDArray[Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Label:
    """One row of `labels`, but for its dictionary."""

    feature_id: int
    kind: str
    rank: int
    label: str
    value: float | None


class Worker:
    """Does label's units."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        self.run, self.how, self.workspace = run, run.labels, workspace
        self.device = pick_device(run.machine.device)
        self._texts: dict[str, Array] = {}
        self._seen_images: _Images | None = None

    def make(self, unit: plan.Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        seen = _Seen(Encoded(self.workspace, unit.spec), seed=self.how.seed)
        images = self._images(unit)
        if not np.array_equal(images.ids, seen.encoded.ids):
            raise sealed.StoreError(
                f"{unit.name}: its images are not those of collect; delete "
                f"{self.workspace.root / 'parts'} and run again"
            )
        vectors = images.vectors(self._chosen) if self._chosen else None
        found = _classes(seen.top, images.rows["label"].to_pylist())
        if vectors is not None:
            found += self._nearest(seen.top, vectors)
        said, reasons = self._said(unit, seen)
        found += said
        self._write(unit, found, seen, vectors, folder)
        advance(1)
        skipped = {}
        if reasons:
            parts = self.workspace.root / "parts"
            why = (
                f"some features have no phrase: {'; '.join(dict.fromkeys(reasons))}; to ask again "
                f"for those alone delete {parts / 'label'} and {parts / 'publish'} and run again"
            )
            log.warning("label: %s: %s", unit.name, why)
            skipped[f"{unit.name}: phrases"] = why
        return {"encoder": self._chosen, "speaks": self._speaks, "skipped": skipped}

    def _nearest(self, top: Array, vectors: Array) -> list[Label]:
        words, embeddings = self._words
        if not words:
            return []
        directions = naming.directions(top, vectors)
        near = naming.nearest(directions, embeddings, count=self.how.words)
        return [
            Label(int(feature), "word", int(rank) + 1, words[near.word[feature, rank]],
                  float(near.value[feature, rank]))
            for feature, rank in zip(*np.nonzero(near.word >= 0), strict=True)
        ]  # fmt: skip

    def _write(
        self,
        unit: plan.Unit,
        found: list[Label],
        seen: "_Seen",
        vectors: Array | None,
        folder: Path,
    ) -> None:
        tells = np.full(len(found), np.nan)
        if vectors is not None and found:
            place_of = {text: at for at, text in enumerate(dict.fromkeys(r.label for r in found))}
            tells = naming.tells(
                self._embedded(list(place_of)) - self._common, vectors,
                word_r=np.array([place_of[row.label] for row in found]),
                feature_r=np.array([row.feature_id for row in found]),
                shown_sp=seen.shown, other_q=seen.others, silent_sq=seen.silent,
            )  # fmt: skip
        place: plan.Place = unit.spec["place"]
        one = contract.dictionary_id(place.model, seen.encoded.facts["hook"], place.dictionary)
        columns = {
            name: [getattr(row, name) for row in found] for name in Label.__dataclass_fields__
        }
        table = pa.table(
            {"dictionary_id": pa.array([one] * len(found), pa.string()), **columns,
             "tells": nullable(tells)}
        )  # fmt: skip
        write_table(LABELS, table, folder)

    # --- What all units share ---

    @cached_property
    def _speaks(self) -> dict[str, bool]:
        """Which encoders embed words."""
        return which_speak(self.run.encoders)

    @cached_property
    def _chosen(self) -> str | None:
        """The encoder that finds words."""
        chosen = first_speaker(self._speaks, self.how.encoder, key="labels.encoder")
        if chosen is None:
            log.warning(
                "label: no encoder embeds words, so that features get none; to have some, add a "
                "contrastive one, as [encoders.clip] with id = 'openai/clip-vit-base-patch32' and "
                "judges = false"
            )
        return chosen

    @cached_property
    def _encoder(self) -> ImageEncoder | None:
        if self._chosen is None:
            return None
        return ImageEncoder(self.run.encoders[self._chosen], device=self.device)

    @cached_property
    def _words(self) -> tuple[list[str], Array]:
        """The vocabulary, without words that the encoder does not know, and its embeddings."""
        assert self._encoder is not None and self._seen_images is not None
        if self.how.vocabulary is not None:
            words = vocabulary.read(self.how.vocabulary)
        else:
            words = vocabulary.default(self._seen_images.rows.to_pylist())
        known = [word for word in words if self._encoder.knows(word)]
        log.info("label: %d of %d words are known to %s", len(known), len(words), self._chosen)
        if not known:
            log.warning("label: %s knows no word of the vocabulary", self._chosen)
            return [], np.zeros((0, 0))
        return known, self._embedded(known)

    @cached_property
    def _common(self) -> Array:
        """What all texts have in common, [d]; 0 where there is no vocabulary to tell."""
        words, embeddings = self._words
        return embeddings.mean(0) if words else np.zeros(1, np.float32)

    def _embedded(self, texts: Sequence[str]) -> Array:
        """The texts in the template, embedded once each, [b, d]."""
        assert self._encoder is not None
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            sentences = [self.how.template.replace("{}", text) for text in new]
            made = self._encoder.embed_texts(sentences).numpy()
            self._texts.update(zip(new, made, strict=True))
        return np.stack([self._texts[text] for text in texts])

    def _images(self, unit: plan.Unit) -> "_Images":
        """The val images, which are the same for all units."""
        if self._seen_images is None:
            self._seen_images = _Images(self.workspace, unit.spec["images"])
        return self._seen_images

    # --- What a model says ---

    @cached_property
    def _asking(self) -> Asking | None:
        endpoint, local = self.how.endpoint, self.how.local
        answers = self.workspace.root / "answers"
        if endpoint is not None:
            if not plan.has_key(endpoint):
                log.warning(
                    "label: %s is not set, so that %s is not asked; set it to the key and run "
                    "again", endpoint.key_env, endpoint.url,
                )  # fmt: skip
                return None
            name = content_key("endpoint", endpoint.url, endpoint.model)
            return Asking(answers / f"{name}.jsonl", partial(Endpoint, endpoint))
        if local is not None:
            weights = identity.model_identity(local.id, local.revision)
            name = content_key("local", weights, local.dtype, local.quantization)
            make = partial(Captioner, local, machine=self.run.machine, device=self.device)
            return Asking(answers / f"{name}.jsonl", make)
        return None

    def _said(self, unit: plan.Unit, seen: "_Seen") -> tuple[list[Label], list[str]]:
        """What the model says of the most monosemantic features of an SAE, and why not of all."""
        which = self.how.endpoint or self.how.local
        if which is None or self._asking is None or not seen.encoded.is_sae:
            return [], []
        file = self.workspace.part("score", unit.spec["scored"]) / FEATURES.file
        ms = pq.read_table(file, columns=["ms"])["ms"].to_numpy().astype(np.float64)
        best = np.argsort(-ms, kind="stable")[: which.features]  # NaN comes last
        questions = {
            int(feature): seen.ids(feature)[: which.images]
            for feature in best
            if np.isfinite(ms[feature])
        }
        said, reasons = self._asking.phrases(questions, self._images(unit).sheet)
        return [Label(f, "model", 1, text, None) for f, text in sorted(said.items())], reasons


class _Images:
    """The val images, by id.

    Attributes:
        rows: of `examples`.
        ids: [n].
    """

    def __init__(self, workspace: Workspace, keys: Sequence[str]) -> None:
        self._folders = [workspace.part("collect", key) for key in keys]
        rows = self._read(EXAMPLES)
        self._order = np.argsort(rows["example_id"].to_numpy())
        self.rows = rows.take(self._order)
        self.ids: NDArray[np.int64] = self.rows["example_id"].to_numpy()
        self._vectors: dict[str, Array] = {}

    def vectors(self, encoder: str) -> Array:
        """The encoder's embeddings, [n, d]."""
        if encoder not in self._vectors:
            parts = []
            for folder in self._folders:
                # A shard of which no image could be read has none.
                parts += [v for n, v in load_file(folder / _EMBEDDINGS).items() if n == encoder]
            self._vectors[encoder] = np.concatenate(parts)[self._order]
        return self._vectors[encoder]

    def sheet(self, ids: Sequence[int]) -> Image.Image:
        """The thumbnails of these images in one picture."""
        found = [self._thumbnails[int(at)].as_py() for at in np.searchsorted(self.ids, ids)]
        return pictures.contact([pictures.small(file) for file in found], width=SHEET)

    @cached_property
    def _thumbnails(self) -> pa.ChunkedArray:
        return self._read(THUMBNAILS).sort_by("example_id")["image"]

    def _read(self, table: Table) -> pa.Table:
        return pa.concat_tables([pq.read_table(folder / table.file) for folder in self._folders])


class _Seen:
    """The images by which a dictionary's features are named, and by which labels are tried.

    Attributes:
        top: [s, 16], rows of the strongest; -1 where there are fewer.
        shown: [s, p], these and, of an SAE, some from each quarter of the activations.
        others: [q], rows of images drawn from all.
        silent: [s, q], which of them do not activate the feature; of neurons, which are never
            silent, the lower half.
    """

    def __init__(self, encoded: Encoded, *, seed: int) -> None:
        self.encoded, self.top = encoded, encoded.top
        acts, count = encoded.acts, len(encoded.ids)
        drawn = np.random.default_rng(seed).permutation(count)[:OTHERS]
        self.others = np.sort(drawn)
        if not encoded.is_sae:
            self.shown = self.top
            self.silent = (acts[self.others] <= np.median(acts, axis=0)).T
            return
        self.silent = acts[self.others].toarray().T == 0
        columns = acts.tocsc()
        more = samples.draw(
            columns.indptr, columns.indices, columns.data, examples=count, seed=seed,
            per_bin=PER_BIN, random=0,
        )  # fmt: skip
        self.shown = np.concatenate([self.top, _rows(more, encoded.size)], axis=1)

    def ids(self, feature: int) -> list[int]:
        """Of the feature's top images, strongest first."""
        rows = self.top[feature]
        return [int(i) for i in self.encoded.ids[rows[rows >= 0]]]


def _rows(drawn: samples.Samples, size: int) -> Array:
    """[s, p]: the drawn examples of each feature, each once, -1 where there are fewer."""
    place = np.arange(len(drawn.feature)) - np.searchsorted(drawn.feature, drawn.feature)
    made = np.full((size, PER_BIN * len(samples.BINS)), -1)
    made[drawn.feature, place] = drawn.example
    return made


def _classes(top: Array, classes: Sequence[str | None]) -> list[Label]:
    """The class that most marks out each feature's top images, with its share of them."""
    matrix, names = labels.tag_matrix([[name] if name else [] for name in classes])
    column, _ = labels.mark_out(top, matrix)
    return [
        Label(int(feature), "class", 1, vocabulary.plain(names[column[feature]]),
              float(matrix[rows[rows >= 0], column[feature]].mean()))
        for feature in np.flatnonzero(column >= 0) for rows in [top[feature]]
    ]  # fmt: skip
