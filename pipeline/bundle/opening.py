"""A published bundle, opened."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import contract
from pipeline.bundle import sealed
from pipeline.bundle.sealed import MANIFEST, StoreError, read_whole
from pipeline.contract.tables import EMBEDDINGS, TABLES
from pipeline.errors import first_line

DATABASE = "loupe.duckdb"
SAES = "saes"


@dataclass(frozen=True)
class Bundle:
    """A published bundle, opened: a folder that can be moved anywhere.

    Attributes:
        manifest: `contract` is a version; `config`, `models`, `rows` and `versions` are objects,
            empty where the file holds no such; `files` is a listing where there is one.
        damaged: names in the manifest of what is no object there: pages do without it.
    """

    root: Path
    manifest: dict[str, Any]
    damaged: tuple[str, ...] = ()

    @property
    def database(self) -> Path:
        return self.root / DATABASE

    @property
    def config(self) -> dict[str, Any]:
        """The run's settings, as JSON; empty where the manifest holds none."""
        found: dict[str, Any] = self.manifest["config"]
        return found

    def made_by(self, model: str) -> str | None:
        """The fingerprint of the model of this name that made the bundle; None: not known."""
        of = self.manifest["models"].get(model)
        found = of.get("fingerprint") if isinstance(of, dict) else None
        return found if isinstance(found, str) else None

    @property
    def files(self) -> sealed.Files | None:
        """Every file but the manifest, with size and hash; None: made before they were listed."""
        return self.manifest.get(sealed.FILES)

    def table(self, name: str) -> Path:
        return self.root / TABLES[name].file

    def read(self, name: str, **options: Any) -> pa.Table:
        """A table, or what `options` of pyarrow's `read_table` choose of it.

        Raises:
            StoreError: its file is missing or damaged.
        """
        path = self.table(name)
        try:
            return pq.read_table(path, **options)
        except MemoryError:
            raise
        except Exception as error:
            what = f"damaged ({first_line(error)})" if path.exists() else "missing"
            raise StoreError(f"{path}: {what}; {_AGAIN}") from error

    def embeddings(self, encoder: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(example ids [n], rising; unit embeddings [n, d]) of the val images by one encoder.

        Raises:
            StoreError: their file is missing or damaged.
        """
        found = self.read(
            EMBEDDINGS.name, columns=["example_id", "vector"],
            filters=[("encoder", "=", encoder)],
        ).combine_chunks()  # fmt: skip
        ids: NDArray[np.int64] = found["example_id"].to_numpy()
        if not len(ids):
            return ids, np.zeros((0, 0), np.float32)
        flat = found["vector"].combine_chunks().flatten().to_numpy()
        return ids, flat.reshape(len(ids), -1)

    def sae(self, dictionary_id: str) -> Path:
        """The sae-lens folder of an SAE."""
        return self.root / SAES / dictionary_id


_AGAIN = "make the bundle again with: python -m pipeline run CONFIG --check"


def open_bundle(path: Path) -> Bundle:
    """The bundle at `path`: a bundle's folder, or a run's folder that holds one.

    Raises:
        StoreError: there is none, its manifest is damaged, or it was made for another major version
            of the contract.
    """
    try:
        root = path if (path / MANIFEST).is_file() else path / "bundle"
        found = (root / MANIFEST).is_file()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be opened ({first_line(error)})") from error
    if not found:
        raise StoreError(
            f"{path}: holds no bundle; make one with: python -m pipeline run CONFIG"
            if path.exists()
            else f"{path}: no such folder; name a run (data/runs/NAME) or a bundle, "
            "or make the demo's with: make demo-data"
        )
    manifest = read_whole(root / MANIFEST)
    made_for = str(manifest.get("contract", "0.0"))
    if not re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", made_for):
        raise StoreError(
            f"{root / MANIFEST}: damaged (contract {made_for[:40]!r} is no version); {_AGAIN}"
        )
    if int(made_for.split(".")[0]) != contract.MAJOR:
        raise StoreError(
            f"{path}: made for contract {made_for}, this Loupe reads {contract.MAJOR}.x; "
            "make it again with: python -m pipeline run CONFIG (its config is in manifest.json)"
        )
    objects = ("config", "models", "rows", "versions")
    damaged = [name for name in objects if not isinstance(manifest.setdefault(name, {}), dict)]
    manifest |= {name: {} for name in damaged}
    models = manifest["models"]
    damaged += [f"models.{name}" for name, model in models.items() if not isinstance(model, dict)]
    if sealed.FILES in manifest and not sealed.is_listing(manifest[sealed.FILES]):
        raise StoreError(f"{root / MANIFEST}: damaged (lists no files); {_AGAIN}")
    return Bundle(root.resolve(), manifest, tuple(damaged))
