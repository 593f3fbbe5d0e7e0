"""The bundle that the pages read: found, opened read-only, kept while it stays the same one."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import nearness, queries, records, state
from dashboard.faults import Unavailable
from dashboard.sheets import Sheets
from dashboard.steered import SteeredSum
from pipeline import contract, database, store
from pipeline.errors import LoupeError, first_line

DEFAULT = Path("data/runs/demo")
MOST_TOGETHER = 256
Refused = store.StoreError
"""What `current` and `runs` raise; its message names the fault and what mends it."""


class Lacking(LoupeError):
    """A table of the bundle's database has no row where another one names it."""


Damaged = (duckdb.Error, Lacking)
"""What a page raises where the database cannot be read, or is not whole."""

_AGAIN = "make the bundle again with: python -m pipeline run CONFIG --check"
_HARDENED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "lock_configuration": True,
    # What it keeps of the file, beside what the system keeps: else up to four fifths of the memory.
    "memory_limit": "512MB",
}


@dataclass(frozen=True)
class Run:
    """An open bundle: what a page reads from."""

    name: str
    key: str
    """Names this bundle and no other, also after it is published anew."""
    title: str
    connection: duckdb.DuckDBPyConnection
    sheets: Sheets
    bundle: store.Bundle

    def manifest(self, *path: str) -> Any:
        """What the bundle's manifest holds at this path of names; None where it holds nothing."""
        found: Any = self.bundle.manifest
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def contact(
        self, cards: Sequence[records.Card], *, tiles: tuple[int, int], tile: int
    ) -> list[str]:
        """A contact sheet, as a data URI, for each of the cards."""
        keys = [(self.key, c.dictionary_id, c.feature_id) for c in cards]
        wanted = {key: card.examples for key, card in zip(keys, cards, strict=True)}
        made = self.sheets.get(
            wanted, lambda ids: queries.pictures(self.connection, ids), tile=tile, tiles=tiles
        )
        sheets = dict(zip(wanted, made, strict=True))
        return [sheets[key] for key in keys]


def asked_for() -> Path:
    """The folder named on the command line (`streamlit run dashboard/app.py -- PATH`).

    Raises:
        store.StoreError: more than one argument, or one that looks like an option.
    """
    arguments = sys.argv[1:]
    if len(arguments) > 1 or any(a.startswith("-") for a in arguments):
        raise store.StoreError(
            f"arguments {' '.join(arguments)!r}: name one run or bundle, as in: "
            "streamlit run dashboard/app.py -- data/runs/demo"
        )
    return Path(arguments[0]) if arguments else DEFAULT


def runs() -> dict[str, Path]:
    """The run asked for and the other runs beside it, by name; a lone bundle stands alone."""
    asked = asked_for()
    found = {asked.name: asked}
    if _holds(asked):
        try:
            beside = sorted(p for p in asked.absolute().parent.iterdir() if _holds(p))
        except OSError:  # a folder that may be entered and not listed
            beside = []
        found |= {p.name: p for p in beside if p.name not in found}
    return found


def _holds(folder: Path) -> bool:
    """Whether there is a run with a bundle that can be looked at."""
    try:
        return (folder / "bundle").exists()
    except OSError:
        return False


def current() -> Run:
    """The bundle that this session looks at, opened.

    Raises:
        store.StoreError: there is none, it is of another version, or its database is damaged.
    """
    found = runs()
    name = st.session_state.get(state.RUN)
    return _run(name if name in found else next(iter(found)), found)


def named(names: Sequence[str]) -> list[Run]:
    """The runs of these names that can be opened, then the one asked for on the command line."""
    found, opened = runs(), []
    for name in dict.fromkeys([*(one for one in names if one in found), next(iter(found))]):
        try:
            opened.append(_run(name, found))
        except store.StoreError:
            continue
    return opened


def _run(name: str, found: Mapping[str, Path]) -> Run:
    bundle = store.open_bundle(found[name])
    try:
        files = [bundle.root / "manifest.json", bundle.database]
        known = [
            (of.st_mtime_ns, of.st_ino) for one in files if one.exists() and (of := one.stat())
        ]
    except OSError as error:  # published anew just now
        raise store.StoreError(f"{found[name]}: {error.strerror}; load the page again") from error
    key = f"{bundle.manifest.get('key', bundle.root.name)}-{state.name_of(*known)}"
    title = str(bundle.manifest.get("title") or bundle.manifest.get("name") or name)
    return Run(name, key, title, _connect(str(bundle.database), key), _sheets(), bundle)


@st.cache_resource(max_entries=4, show_spinner=False)
def _connect(database: str, key: str) -> duckdb.DuckDBPyConnection:
    """A connection for one bundle (`key` tells a republished one); calls use its cursors."""
    try:
        return duckdb.connect(database, read_only=True, config=_HARDENED)
    except Exception as error:  # DuckDB raises whatever damaged bytes lead to
        raise store.StoreError(
            f"{database}: cannot be opened ({first_line(error)}); {_AGAIN}"
        ) from error


@st.cache_resource(show_spinner=False)
def _sheets() -> Sheets:
    return Sheets()


@st.cache_data(max_entries=4, show_spinner=False)
def tag_rates(_connection: duckdb.DuckDBPyConnection, key: str) -> dict[str, float]:
    """`queries.tag_rates`, once a bundle."""
    return queries.tag_rates(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def dictionaries(_connection: duckdb.DuckDBPyConnection, key: str) -> list[records.Dictionary]:
    """`queries.dictionaries`, once a bundle."""
    found = queries.dictionaries(_connection)
    if not found:
        raise Lacking("the table dictionaries holds no row")
    return found


@st.cache_data(max_entries=4, show_spinner=False)
def lost(_run: Run, key: str) -> list[str]:
    """The tables that the manifest counts and the database does not hold, once a bundle."""
    counted = _run.manifest("rows")
    wanted = set(counted) - set(database.NOT_INDEXED) if isinstance(counted, Mapping) else set()
    return [t for t in contract.TABLES if t in wanted and not queries.has(_run.connection, t)]


@st.cache_data(max_entries=4, show_spinner=False)
def judged_alone(_connection: duckdb.DuckDBPyConnection, key: str) -> list[str]:
    """`queries.judged_alone`, once a bundle."""
    return queries.judged_alone(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def notices(_connection: duckdb.DuckDBPyConnection, key: str, _config: Any) -> list[str]:
    """`queries.notices`, once a bundle."""
    return queries.notices(_connection, _config)


@st.cache_data(max_entries=4, show_spinner=False)
def summaries(_connection: duckdb.DuckDBPyConnection, key: str) -> list[records.Summary]:
    """`queries.summaries`, once a bundle."""
    return queries.summaries(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def labels(_connection: duckdb.DuckDBPyConnection, key: str) -> list[str]:
    """`queries.labels`, once a bundle."""
    return queries.labels(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def together(
    _connection: duckdb.DuckDBPyConnection, key: str
) -> tuple[int, dict[tuple[str, str], int]]:
    """`queries.together` of the MOST_TOGETHER commonest tags and classes, once a bundle."""
    return queries.together(_connection, limit=MOST_TOGETHER)


@st.cache_data(max_entries=4, show_spinner=False)
def label_names(_connection: duckdb.DuckDBPyConnection, key: str) -> list[str]:
    """`queries.label_names`, once a bundle."""
    return queries.label_names(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def two_sided(_connection: duckdb.DuckDBPyConnection, key: str) -> list[str]:
    """`queries.two_sided`, once a bundle."""
    return queries.two_sided(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def worded(_connection: duckdb.DuckDBPyConnection, key: str) -> list[str]:
    """`queries.worded`, once a bundle."""
    return queries.worded(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def steered_sums(_connection: duckdb.DuckDBPyConnection, key: str) -> list[SteeredSum]:
    """`queries.steered_sums`, once a bundle."""
    return queries.steered_sums(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def flags(_connection: duckdb.DuckDBPyConnection, key: str) -> list[str]:
    """`queries.flags`, once a bundle."""
    return queries.flags(_connection)


@st.cache_data(max_entries=64, show_spinner=False)
def ms_histogram(
    _connection: duckdb.DuckDBPyConnection, key: str, dictionary_ids: tuple[str, ...]
) -> list[int]:
    """`queries.ms_histogram` of all features, once a bundle and choice of dictionaries."""
    return queries.ms_histogram(_connection, dictionary_ids, records.Filter(n_active=0))[0]


def embeddings(run: Run, encoder: str) -> records.Embeddings:
    """The encoder's embeddings of the bundle's val images.

    Raises:
        Unavailable: their table is missing or damaged.
    """
    return _embeddings(run.bundle, run.key, encoder)


def places(run: Run, dictionary: records.Dictionary, encoder: str) -> NDArray[np.int32]:
    """`nearness.places` of the dictionary's features among the encoder's embeddings."""
    return _places(run, run.key, dictionary.dictionary_id, dictionary.d_sae, encoder)


@st.cache_resource(max_entries=2, show_spinner=False)
def _embeddings(_bundle: store.Bundle, key: str, encoder: str) -> records.Embeddings:
    try:
        ids, vectors = _bundle.embeddings(encoder)
    except store.StoreError as error:
        file = _bundle.table(contract.EMBEDDINGS.name).name
        why = "damaged" if (_bundle.root / file).is_file() else "missing"
        raise Unavailable(
            f"the bundle's {file} is {why}; copy it there, or run the pipeline again"
        ) from error
    return records.Embeddings(ids, vectors)


@st.cache_resource(max_entries=16, show_spinner=False)
def _places(_run: Run, key: str, dictionary_id: str, size: int, encoder: str) -> NDArray[np.int32]:
    top = queries.top_ids(_run.connection, dictionary_id)
    return nearness.places(*top, embeddings(_run, encoder), size=size)
