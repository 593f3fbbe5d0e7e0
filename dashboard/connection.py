"""The bundle that the pages read: found, opened read-only, kept while it stays the same one."""

import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import streamlit as st

from dashboard import queries, records, state
from dashboard.sheets import Sheets
from pipeline import store

DEFAULT = Path("data/runs/demo")
Refused = store.StoreError
"""What `current` and `runs` raise; its message names the fault and what mends it."""
Damaged = duckdb.Error
"""What a query raises when the database cannot be read."""

_HARDENED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "lock_configuration": True,
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
    if (asked / "bundle").exists():
        beside = sorted(p for p in asked.absolute().parent.iterdir() if (p / "bundle").exists())
        found |= {p.name: p for p in beside if p.name not in found}
    return found


def current() -> Run:
    """The bundle that this session looks at, opened.

    Raises:
        store.StoreError: there is none, it is of another version, or its database is damaged.
    """
    found = runs()
    name = st.session_state.get(state.RUN)
    name = name if name in found else next(iter(found))
    bundle = store.open_bundle(found[name])
    published = (bundle.root / "manifest.json").stat().st_mtime_ns
    key = f"{bundle.manifest.get('key', bundle.root.name)}-{published}"
    title = str(bundle.manifest.get("title") or bundle.manifest.get("name") or name)
    return Run(name, key, title, _connect(str(bundle.database), key), _sheets())


@st.cache_resource(max_entries=4, show_spinner=False)
def _connect(database: str, key: str) -> duckdb.DuckDBPyConnection:
    """A connection for one bundle (`key` tells a republished one); calls use its cursors."""
    try:
        return duckdb.connect(database, read_only=True, config=_HARDENED)
    except duckdb.Error as error:
        raise store.StoreError(
            f"{database}: cannot be opened ({error}); make the bundle again with: "
            "python -m pipeline run CONFIG"
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
    return queries.dictionaries(_connection)
