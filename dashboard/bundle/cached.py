"""What the pages ask of a bundle again and again, worked out once."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import queries
from dashboard.bundle import nearness
from dashboard.bundle.opening import Lacking, Run
from dashboard.faults import Unavailable
from dashboard.queries import Connection
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Filter
from dashboard.records.images import Embeddings
from pipeline.bundle import database, opening, sealed
from pipeline.contract.tables import EMBEDDINGS, TABLES

MOST_TOGETHER = 256


T = TypeVar("T")


@st.cache_data(max_entries=64, show_spinner=False)
def _answer(_query: Callable[[Connection], T], _connection: Connection, name: str, key: str) -> T:
    return _query(_connection)


def _once(query: Callable[[Connection], T]) -> Callable[[Run], T]:
    """This query, of which the answer is kept for each bundle: a dozen of them, of four bundles."""

    def ask(run: Run) -> T:
        return _answer(query, run.connection, f"{query.__module__}.{query.__name__}", run.key)

    return ask


def _dictionaries(connection: Connection) -> list[Dictionary]:
    found = queries.dictionaries(connection)
    if not found:
        raise Lacking("the table dictionaries holds no row")
    return found


def _together(connection: Connection) -> tuple[int, dict[tuple[str, str], int]]:
    """Of the MOST_TOGETHER commonest tags and classes."""
    return queries.together(connection, limit=MOST_TOGETHER)


dictionaries = _once(_dictionaries)
flags = _once(queries.flags)
judged_alone = _once(queries.judged_alone)
label_names = _once(queries.label_names)
labels = _once(queries.labels)
steered_sums = _once(queries.steered_sums)
summaries = _once(queries.summaries)
tag_rates = _once(queries.tag_rates)
together = _once(_together)
two_sided = _once(queries.two_sided)
worded = _once(queries.worded)


def lost(run: Run) -> list[str]:
    """The tables that the manifest counts and the database does not hold."""
    return _lost(run, run.key)


@st.cache_data(max_entries=4, show_spinner=False)
def _lost(_run: Run, key: str) -> list[str]:
    counted = _run.manifest("rows")
    wanted = set(counted) - set(database.NOT_INDEXED) if isinstance(counted, Mapping) else set()
    return [t for t in TABLES if t in wanted and not queries.has(_run.connection, t)]


def notices(run: Run) -> list[str]:
    """`queries.notices` of the bundle and its settings."""
    return _notices(run, run.key)


@st.cache_data(max_entries=4, show_spinner=False)
def _notices(_run: Run, key: str) -> list[str]:
    return queries.notices(_run.connection, _run.config)


def ms_histogram(run: Run, dictionary_ids: Sequence[str]) -> list[int]:
    """`queries.ms_histogram` of all features of these dictionaries."""
    return _ms_histogram(run.connection, run.key, tuple(dictionary_ids))


@st.cache_data(max_entries=64, show_spinner=False)
def _ms_histogram(_connection: Connection, key: str, dictionary_ids: tuple[str, ...]) -> list[int]:
    return queries.ms_histogram(_connection, dictionary_ids, Filter(n_active=0))[0]


def embeddings(run: Run, encoder: str) -> Embeddings:
    """The encoder's embeddings of the bundle's val images.

    Raises:
        Unavailable: their table is missing or damaged.
    """
    return _embeddings(run.bundle, run.key, encoder)


def places(run: Run, dictionary: Dictionary, encoder: str) -> NDArray[np.int32]:
    """`nearness.places` of the dictionary's features among the encoder's embeddings."""
    return _places(run, run.key, dictionary.dictionary_id, dictionary.d_sae, encoder)


@st.cache_resource(max_entries=2, show_spinner=False)
def _embeddings(_bundle: opening.Bundle, key: str, encoder: str) -> Embeddings:
    try:
        ids, vectors = _bundle.embeddings(encoder)
    except sealed.StoreError as error:
        file = _bundle.table(EMBEDDINGS.name).name
        why = "damaged" if (_bundle.root / file).is_file() else "missing"
        raise Unavailable(
            f"the bundle's {file} is {why}; copy it there, or run the pipeline again"
        ) from error
    return Embeddings(ids, vectors)


@st.cache_resource(max_entries=16, show_spinner=False)
def _places(_run: Run, key: str, dictionary_id: str, size: int, encoder: str) -> NDArray[np.int32]:
    top = queries.top_ids(_run.connection, dictionary_id)
    return nearness.places(*top, embeddings(_run, encoder), size=size)
