"""What the pages ask of a bundle again and again, worked out once."""

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import queries
from dashboard.bundle import nearness
from dashboard.bundle.opening import Lacking, Run
from dashboard.faults import Unavailable
from dashboard.records.dictionaries import Dictionary, Summary
from dashboard.records.features import Filter
from dashboard.records.images import Embeddings
from dashboard.records.steering import SteeredSum
from pipeline.bundle import database, opening, sealed
from pipeline.contract.tables import EMBEDDINGS, TABLES

MOST_TOGETHER = 256


@st.cache_data(max_entries=4, show_spinner=False)
def tag_rates(_connection: duckdb.DuckDBPyConnection, key: str) -> dict[str, float]:
    """`queries.tag_rates`, once a bundle."""
    return queries.tag_rates(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def dictionaries(_connection: duckdb.DuckDBPyConnection, key: str) -> list[Dictionary]:
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
    return [t for t in TABLES if t in wanted and not queries.has(_run.connection, t)]


@st.cache_data(max_entries=4, show_spinner=False)
def judged_alone(_connection: duckdb.DuckDBPyConnection, key: str) -> list[str]:
    """`queries.judged_alone`, once a bundle."""
    return queries.judged_alone(_connection)


@st.cache_data(max_entries=4, show_spinner=False)
def notices(_connection: duckdb.DuckDBPyConnection, key: str, _config: Any) -> list[str]:
    """`queries.notices`, once a bundle."""
    return queries.notices(_connection, _config)


@st.cache_data(max_entries=4, show_spinner=False)
def summaries(_connection: duckdb.DuckDBPyConnection, key: str) -> list[Summary]:
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
