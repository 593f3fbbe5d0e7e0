"""Reading back what encode found of one dictionary, part by part in the order of the plan, so that
sums are the same to the bit whatever the order in which the parts were made."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file
from scipy import sparse

from pipeline.bundle.sealed import StoreError
from pipeline.contract.tables import EXAMPLES, TOP_EXAMPLES, TOP_K
from pipeline.metrics import ranking
from pipeline.metrics.reconstruction import ReconstructionSums
from pipeline.run.workspace import Workspace

Arrays = dict[str, NDArray[Any]]


@dataclass
class Part:
    """One part of encode and the same images' part of collect.

    Attributes:
        ids: [n], the examples.
        acts: pooled activations [n, s]: scipy's csr_matrix of an SAE, an array of neurons.
        arrays: all that encode left, by name.
        embeddings: encoder -> [n, e].
    """

    ids: NDArray[np.int64]
    acts: Any
    arrays: Arrays
    embeddings: Arrays


@dataclass
class Strongest:
    """The examples that activate each feature most, by feature then rank.

    Attributes:
        feature, rank, value: which, from 1, and how much, [m].
        id: the example or the caption, [m].
        token: its strongest position; -1 where there are none, [m].
        ends: [m], where each one's positions end in `places` and `acts`.
        places, acts: [q], the positions that are not 0, and their activations.
    """

    feature: NDArray[np.int64]
    rank: NDArray[np.int64]
    value: NDArray[np.float32]
    id: NDArray[np.int64]
    token: NDArray[np.int64]
    ends: NDArray[np.int64]
    places: NDArray[Any]
    acts: NDArray[np.float32]


def strongest(parts: Iterable[Arrays]) -> Strongest:
    """The strongest over all of encode's parts; of equal ones the lower id comes first. No more
    than these and one part's are held."""
    best: Strongest | None = None
    for a in parts:
        new = {
            "feature": a["top_feature"], "value": a["top_value"], "token": a["top_token"],
            "id": a["ids"][a["top_row"]], "ends": a["top_ends"], "places": a["top_patch"],
            "acts": a["top_act"],
        }  # fmt: skip
        if best is not None:
            old = {name: getattr(best, name) for name in new}
            new["ends"] = new["ends"] + len(best.places)
            new = {name: np.concatenate([old[name], new[name]]) for name in new}
        best = _kept(new)
    if best is None:
        raise ValueError("encode left no parts; there is nothing to rank")
    return best


def _kept(made: Arrays) -> Strongest:
    """Of all these the strongest of each feature, with their positions alone."""
    kept, rank = ranking.strongest(made["feature"], made["value"], tie=made["id"], count=TOP_K)
    length = np.diff(made["ends"], prepend=0)[kept]
    ends = length.cumsum()
    # Where each of the kept positions was: its own one's beginning, and how far it is behind that.
    begin = made["ends"][kept] - length
    at = np.repeat(begin - (ends - length), length) + np.arange(length.sum())
    of_kept = {name: made[name][kept] for name in ("feature", "value", "id", "token")}
    return Strongest(
        **of_kept, rank=rank, ends=ends, places=made["places"][at], acts=made["acts"][at]
    )


@dataclass
class EncodedCaptions:
    """What encode found of a dictionary on captions without their images.

    Attributes:
        ids: [c], captions, rising.
        acts: pooled activations [c, s], csr_matrix.
        strongest: of each feature.
        total: [s], sum of each feature's activations over all caption tokens.
        tokens: how many there are.
        reconstruction: sums over them.
    """

    ids: NDArray[np.int64]
    acts: Any
    strongest: Strongest
    total: NDArray[np.float64]
    tokens: int
    reconstruction: ReconstructionSums


def embeddings(
    workspace: Workspace, keys: Iterable[str], encoder: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The val images that could be read, by rising id [n], and their unit embeddings [n, d] by one
    encoder; `keys` are of collect."""
    ids, vectors = [], []
    for key in keys:
        folder = workspace.part("collect", key)
        found = load_file(folder / "embeddings.safetensors").get(encoder)
        if found is not None:  # a shard of which no image could be read has none
            rows = pq.read_table(folder / EXAMPLES.file, columns=["example_id"])
            ids.append(rows["example_id"].to_numpy())
            vectors.append(found)
    every = np.concatenate(ids)
    order = np.argsort(every)
    return every[order], np.concatenate(vectors)[order]


class Encoded:
    """One dictionary's parts; `spec` names them: `images` of collect, `encoded` of encode, and the
    `file` and, where they are read, the `captions` in these.

    Attributes:
        facts: of the dictionary and its hook point.
        size: how many features.
        is_sae: an SAE's sparse codes, or dense neurons.
    """

    def __init__(self, workspace: Workspace, spec: Mapping[str, Any]) -> None:
        self._workspace = workspace
        self._images: list[str] = spec["images"]
        self._encoded: list[str] = spec["encoded"]
        self._file: str = spec["file"]
        self._scored: str | None = spec.get("scored")
        self.facts = self._facts(self._encoded[0])
        self.size: int = self.facts["d_sae"]
        self.is_sae = self.facts["basis"] == "sae"

    def parts(self) -> Iterator[Part]:
        """The parts that hold images, one at a time."""
        for image, encoded in zip(self._images, self._encoded, strict=True):
            arrays = self._load("encode", encoded, self._file)
            ids = arrays["ids"]
            embeddings = self._load("collect", image, "embeddings")
            if any(len(e) != len(ids) for e in embeddings.values()):
                raise StoreError(
                    "some images could be read in only one of the steps collect and encode; delete "
                    f"{self._workspace.root / 'parts'} and run again"
                )
            if len(ids):
                yield Part(ids, self._acts(arrays), arrays, embeddings)

    def beside(self, name: str) -> list[Arrays]:
        """Another file of the same parts."""
        return [self._load("encode", key, name) for key in self._encoded]

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """All example ids, rising."""
        files = [self._path("encode", key, self._file) for key in self._encoded]
        found = []
        for file in files:
            with safe_open(file, framework="np") as opened:
                found.append(opened.get_tensor("ids"))
        return np.sort(np.concatenate(found))

    @cached_property
    def acts(self) -> Any:
        """All pooled activations [n, s], in the order of `ids`; csr_matrix of an SAE, dense float32
        of neurons."""
        arrays = [a for a in self.beside(self._file) if len(a["ids"])]
        order = np.argsort(np.concatenate([a["ids"] for a in arrays]))
        stack = sparse.vstack if self.is_sae else np.concatenate
        return stack([self._acts(a) for a in arrays])[order]

    def spoken(self, name: str) -> EncodedCaptions | None:
        """What is in the files of captions called `name`; None where words do not reach the
        dictionary, or there are none."""
        if not self._path("encode", self._encoded[0], name).is_file():
            return None
        ids: list[NDArray[np.int64]] = []
        codes: list[sparse.csr_matrix] = []
        total, tokens, sums = np.zeros(self.size), 0, ReconstructionSums()
        for key in self._encoded:
            a = self._load("encode", key, name)
            ids.append(a["ids"])
            codes.append(self._codes(a))
            total += a["fired_total"]
            tokens += int(a["tokens"][0])
            told = self._workspace.facts("encode", key)["readings"][name]["reconstruction"]
            if "text" in told:
                sums.merge(ReconstructionSums(**told["text"], sum_x=a["sum_x_text"]))
        if not sum(map(len, ids)):
            return None
        order = np.argsort(every := np.concatenate(ids))
        best = strongest(self._load("encode", key, name) for key in self._encoded)
        return EncodedCaptions(every[order], sparse.vstack(codes)[order], best, total, tokens, sums)

    @cached_property
    def image_tokens(self) -> tuple[NDArray[np.float64], int]:
        """Sum of each SAE feature's activations over the image's tokens that the dictionary reads,
        [s], and how many there are."""
        arrays = self.beside(self._file)
        total = np.sum([a["fired_total"] for a in arrays], axis=0)
        return total, int(sum(a["tokens"][0] for a in arrays))

    @cached_property
    def top(self) -> NDArray[np.int64]:
        """[s, 16], the rows of each feature's strongest examples among `ids`; -1 where there are
        fewer. Once the dictionary is scored."""
        assert self._scored is not None
        file = self._workspace.part("score", self._scored) / TOP_EXAMPLES.file
        rows = pq.read_table(file, columns=["feature_id", "rank", "example_id"])
        feature, rank, example = (column.to_numpy() for column in rows.columns)
        found = np.full((self.size, TOP_K), -1, np.int64)
        found[feature, rank - 1] = np.searchsorted(self.ids, example)
        return found

    @cached_property
    def reconstruction(self) -> dict[str, ReconstructionSums]:
        """Kind of token -> sums; empty for neurons."""
        merged: dict[str, ReconstructionSums] = {}
        for key in self._encoded if self.is_sae else ():
            arrays = self._load("encode", key, self._file)
            for kind, sums in self._facts(key)["reconstruction"].items():
                part = ReconstructionSums(**sums, sum_x=arrays[f"sum_x_{kind}"])
                merged.setdefault(kind, ReconstructionSums()).merge(part)
        return merged

    def _acts(self, arrays: Arrays) -> Any:
        return self._codes(arrays) if self.is_sae else arrays["dense"]

    def _codes(self, arrays: Arrays) -> sparse.csr_matrix:
        codes = (arrays["value"], (arrays["row"], arrays["feature"]))
        return sparse.csr_matrix(codes, shape=(len(arrays["ids"]), self.size))

    def _facts(self, key: str) -> dict[str, Any]:
        facts: dict[str, Any] = self._workspace.facts("encode", key)["readings"][self._file]
        return facts

    def _load(self, step: str, key: str, name: str) -> Arrays:
        arrays: Arrays = load_file(self._path(step, key, name))
        return arrays

    def _path(self, step: str, key: str, name: str) -> Path:
        return self._workspace.part(step, key) / f"{name}.safetensors"
