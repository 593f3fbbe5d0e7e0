"""Turns features up, one at a time, and scores how nearly what the model then says means what their
top images show.

A part that holds answers has `answers.json`: `images`, the examples asked about, and `said`, for
each feature what the model said of each of them; of the unsteered model under one key. A
dictionary's last part holds its rows of `steering`. Models that say nothing of images, as
contrastive ones, leave no rows.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from pipeline import config, contract, models
from pipeline.activations.encoded import Encoded, embeddings
from pipeline.bundle import sealed
from pipeline.bundle.tables import nullable, write_table
from pipeline.contract.tables import FEATURES, LABELS, STEERING, TOP_EXAMPLES, TOP_K
from pipeline.inputs import readers, reading
from pipeline.inputs.pictures import weight
from pipeline.interventions import FeatureEdit, InterventionError, Way, answers, delta, replace
from pipeline.interventions.answers import tokenizer_of
from pipeline.metrics import steering
from pipeline.metrics.labels import Told, in_turn, or_words
from pipeline.metrics.modality import derangement
from pipeline.models.adapter import Adapter
from pipeline.models.encoder import ImageEncoder, answers_encoder, which_speak
from pipeline.models.loading import pick_device
from pipeline.models.memory import Halving
from pipeline.run import plan
from pipeline.run.workspace import Workspace
from pipeline.saes.sae import SAE

_ANSWERS = "answers.json"
MOST_BYTES = 1 << 30
"""Of pictures that are asked about at once."""
Said = dict[str, list[str]]
"""What was said of each image, by what was turned up."""
log = logging.getLogger(__name__)


class Worker:
    """Does steer's units."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        # Without the section there are no units.
        self.run, self.how, self.workspace = run, run.steering or config.Steering(), workspace
        self.device = pick_device(run.machine.device)
        self.reader = readers.reader(run.examples.source)
        self._models: dict[str, tuple[Adapter, Halving] | None] = {}
        self._texts: dict[str, NDArray[np.float32]] = {}

    def make(self, unit: plan.Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        encoder = self._encoder  # before anything is asked: without one it would be in vain
        if "steered" in unit.spec:
            facts = self._score(unit, encoder, folder)
            advance(unit.weight)
            return facts
        ways = self._ways(unit) if self._model(unit.spec["model"]) is not None else {}
        ids, said, skipped = self._ask(unit, ways, advance)
        (folder / _ANSWERS).write_text(json.dumps({"images": ids, "said": said}), encoding="utf-8")
        return {"answers": len(ids) * len(said), "skipped": skipped}

    # --- What is said ---

    def _ways(self, unit: plan.Unit) -> dict[str, Way]:
        """In what ways the unit asks: as the model is, or with a feature turned up each."""
        if "place" not in unit.spec:
            return {plan.UNSTEERED: Way(self.how.prompt)}
        place: plan.Place = unit.spec["place"]
        sae = SAE.load(self.workspace.part("train", unit.spec["trained"])).to(self.device)
        form = delta if self.how.form == "delta" else replace
        start, count = unit.spec["start"], unit.spec["count"]
        chosen = self._features(unit.spec)[start : start + count]
        return {
            str(feature): Way(
                self.how.prompt,
                {place.hook: [form(sae, [FeatureEdit(feature, self.how.mode, strength)])]},
                self.how.scope,
            )
            for feature, strength in chosen
        }

    def _features(self, spec: Mapping[str, Any]) -> list[tuple[int, float]]:
        """The live features of a dictionary in the order in which they are steered, and how much.
        MS and labels say little of one that fires on fewer images than its top has."""
        file = self.workspace.part("score", spec["scored"]) / FEATURES.file
        names = ["feature_id", "n_active", "ms", "max", "label", "label_score"]
        live = pq.read_table(file, columns=names, filters=[("n_active", ">", 0)]).to_pylist()
        rank: dict[int, Any] = {r["feature_id"]: (r["ms"] is None, -(r["ms"] or 0)) for r in live}
        common = {r["feature_id"]: r["n_active"] >= TOP_K for r in live}
        if self.how.order == "label":
            own = {r["feature_id"]: (r["label"], r["label_score"]) for r in live}
            told = or_words(own, self._words(spec["labelled"]))
            most = {r["feature_id"]: r["max"] for r in live}
            for kind in (True, False):
                rank |= in_turn({one: told[one] for one in told if common[one] is kind}, most)
        live.sort(
            key=lambda r: (not common[r["feature_id"]], rank[r["feature_id"]], r["feature_id"])
        )
        times, scale = self.how.strength, self.how.mode == "scale"
        return [(r["feature_id"], times * (1.0 if scale else r["max"])) for r in live]

    def _words(self, labelled: str) -> dict[int, Told]:
        """The first word of each feature, with how well it tells."""
        file = self.workspace.part("label", labelled) / LABELS.file
        rows = pq.read_table(file, filters=[("kind", "=", "word"), ("rank", "=", 1)]).to_pylist()
        return {row["feature_id"]: (row["label"], row["tells"]) for row in rows}

    def _ask(
        self, unit: plan.Unit, ways: dict[str, Way], advance: Callable[[int], None]
    ) -> tuple[list[int], Said, dict[str, str]]:
        """The images that could be read, what is said of them in each way, and what was skipped;
        nothing is said where the edits have no tokens to change."""
        said: Said = {name: [] for name in ways}
        ids: list[int] = []
        skipped: dict[str, str] = {}
        left, size = unit.weight, self.run.machine.batch_size
        wanted = unit.spec["examples"] if ways else ()
        for pictures, _ in reading.read(
            self.reader, wanted, len, batch=size, skipped=skipped, workers=self.run.machine.workers
        ):
            ids += [example.example_id for example, _ in pictures]
            rows = [(name, picture) for name in ways for _, picture in pictures]
            # A processor copies each row's picture.
            step = min(size, MOST_BYTES // max(weight(picture) for _, picture in pictures))
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                try:
                    texts = self._answers(unit.spec["model"], part, ways)
                except InterventionError as error:
                    log.warning("steer: %s: %s", unit.name, error)
                    advance(left)
                    return [], {}, {unit.name: str(error)}
                for (name, _), text in zip(part, texts, strict=True):
                    said[name].append(text)
                advance(min(left, len(part)))
                left -= min(left, len(part))
        advance(left)
        return ids, said, skipped

    def _answers(
        self, called: str, rows: Sequence[tuple[str, Image.Image]], ways: dict[str, Way]
    ) -> list[str]:
        """What the model says of each picture in its way: rows of one batch, whatever the way."""
        found = self._model(called)
        assert found is not None
        model, fits = found
        made = fits.run(
            len(rows),
            lambda start, end: answers(
                model,
                [picture for _, picture in rows[start:end]],
                [ways[name] for name, _ in rows[start:end]],
                longest=self.how.longest,
                likely=1,
            ),
        )
        return [answer.text for part in made for answer in part]

    def _model(self, called: str) -> tuple[Adapter, Halving] | None:
        """The model, if it says something of images."""
        if called not in self._models:
            settings, machine = self.run.models[called], self.run.machine
            found = None
            if _talks(models.load(settings, device="meta")):
                loaded = models.load(settings, device=self.device, machine=machine)
                found = loaded, Halving(f"model {settings.id}")
            self._models[called] = found
        return self._models[called]

    # --- What it is worth ---

    def _score(self, unit: plan.Unit, encoder: str, folder: Path) -> dict[str, Any]:
        images, unsteered = self._read(unit.spec["said"])
        steered: Said = {}
        for key in unit.spec["steered"]:
            same, said = self._read(key)
            if said and same != images:
                raise sealed.StoreError(
                    f"{unit.name}: some images could be read in only one of its parts; delete "
                    f"{self.workspace.root / 'parts' / 'steer'} and run again"
                )
            steered |= said
        table = STEERING.schema.empty_table()
        if steered and images:
            table = self._rows(unit, encoder, steered, unsteered[plan.UNSTEERED])
            if not any(table["changed"].to_pylist()):
                log.warning(
                    "steer: %s: no edit changed an answer: what the model says does not depend on "
                    "this hook point, or the strength is too low", unit.name,
                )  # fmt: skip
        write_table(STEERING, table, folder)
        return {"features": len(table)}

    def _rows(
        self, unit: plan.Unit, encoder: str, steered: Said, unsteered: Sequence[str]
    ) -> pa.Table:
        """The dictionary's rows of `steering`."""
        place: plan.Place = unit.spec["place"]
        strengths = dict(self._features(unit.spec))
        features = sorted(map(int, steered))
        said = [steered[str(feature)] for feature in features]
        every = dict.fromkeys(chain(unsteered, *said))
        number = {text: at for at, text in enumerate(every)}
        others = derangement(len(features), self.how.seed)
        found = steering.steering_scores(
            np.array([[number[text] for text in texts] for texts in said]),
            np.array([number[text] for text in unsteered]),
            texts_td=self._embedded(encoder, list(number)),
            concepts_fd=self._concepts(unit, encoder, features),
            others_f=others,
            seed=self.how.seed,
        )
        alone = others == np.arange(len(features))
        hook = Encoded(self.workspace, unit.spec).facts["hook"]
        columns = {
            "feature_id": features,
            "score": found.score,
            "score_unsteered": found.unsteered,
            "score_shuffled": nullable(found.shuffled),
            "changed": [_share_changed(texts, unsteered) for texts in said],
            "answer": [_commonest(texts) for texts in said],
            "strength": [strengths[feature] for feature in features],
            "steers": pa.array(found.steers, mask=alone),
        }
        for name, (mean, low, high) in {
            "gain": found.gain, "over_shuffled": found.over_shuffled
        }.items():  # fmt: skip
            ends = {name: mean, f"{name}_low": low, f"{name}_high": high}
            columns |= {key: nullable(values) for key, values in ends.items()}
        same = {
            "dictionary_id": contract.dictionary_id(place.model, hook, place.dictionary),
            "encoder": encoder, "images": len(unsteered), "mode": self.how.mode,
            "scope": self.how.scope, "form": self.how.form,
            "answer_unsteered": _commonest(unsteered),
        }  # fmt: skip
        repeated = {name: [value] * len(features) for name, value in same.items()}
        return pa.table(columns | repeated)

    def _concepts(
        self, unit: plan.Unit, encoder: str, features: Sequence[int]
    ) -> NDArray[np.float64]:
        """What the top images of these features show, [f, d]."""
        file = self.workspace.part("score", unit.spec["scored"]) / TOP_EXAMPLES.file
        names = ["feature_id", "rank", "example_id"]
        rows = pq.read_table(file, columns=names, filters=[("feature_id", "in", features)])
        feature, rank, example = (rows[name].to_numpy() for name in names)
        ids, vectors = embeddings(self.workspace, unit.spec["images"], encoder)
        top = np.full((len(features), TOP_K), -1)
        top[np.searchsorted(features, feature), rank - 1] = np.searchsorted(ids, example)
        return steering.concepts(top, vectors)

    def _read(self, key: str) -> tuple[list[int], Said]:
        found = json.loads((self.workspace.part("steer", key) / _ANSWERS).read_bytes())
        return found["images"], found["said"]

    @cached_property
    def _encoder(self) -> str:
        """The encoder in whose space answers are compared with images."""
        return answers_encoder(which_speak(self.run.encoders), self.how.encoder)

    @cached_property
    def _judge(self) -> ImageEncoder:
        return ImageEncoder(self.run.encoders[self._encoder], device=self.device)

    def _embedded(self, encoder: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """The texts' unit embeddings, each made once, [t, d]."""
        new = [text for text in texts if text not in self._texts]
        if new:
            made = self._judge.embed_texts(new).numpy()
            self._texts.update(zip(new, made, strict=True))
        return np.stack([self._texts[text] for text in texts])


def _talks(adapter: Adapter) -> bool:
    """Whether it says something of images."""
    try:
        tokenizer_of(adapter)
    except InterventionError:
        return False
    return any(tower.name == "vision" for tower in adapter.towers)


def _share_changed(texts: Sequence[str], unsteered: Sequence[str]) -> float:
    return float(np.mean([a != b for a, b in zip(texts, unsteered, strict=True)]))


def _commonest(texts: Sequence[str]) -> str:
    """Of equally common ones the first."""
    return Counter(texts).most_common(1)[0][0]
