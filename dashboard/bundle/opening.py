"""The bundle that the pages read: found, opened read-only, kept while it stays the same one."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import streamlit as st

from dashboard import address, queries
from dashboard.cards.contact_sheets import Sheets
from dashboard.records.features import Card
from pipeline.bundle import opening, sealed
from pipeline.errors import LoupeError, first_line

DEFAULT = Path("data/runs/demo")
Refused = sealed.StoreError
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
    bundle: opening.Bundle

    def manifest(self, *path: str) -> Any:
        """What the bundle's manifest holds at this path of names; None where it holds nothing."""
        found: Any = self.bundle.manifest
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the run that made the bundle; empty where its manifest has none."""
        found = self.manifest("config")
        return found if isinstance(found, Mapping) else {}

    def setting(self, *path: str) -> Any:
        """What the settings say at this path of names; None where they say nothing."""
        return self.manifest("config", *path)

    def fingerprint(self, model: str) -> str | None:
        """What the model was when the bundle was made; None where that is not known."""
        found = self.manifest("models", model, "fingerprint")
        return None if found is None else str(found)

    def contact(self, cards: Sequence[Card], *, tiles: tuple[int, int], tile: int) -> list[str]:
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
        raise sealed.StoreError(
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
    name = st.session_state.get(address.RUN)
    return _run(name if name in found else next(iter(found)), found)


def named(names: Sequence[str]) -> list[Run]:
    """The runs of these names that can be opened, then the one asked for on the command line."""
    found, opened = runs(), []
    for name in dict.fromkeys([*(one for one in names if one in found), next(iter(found))]):
        try:
            opened.append(_run(name, found))
        except sealed.StoreError:
            continue
    return opened


def _run(name: str, found: Mapping[str, Path]) -> Run:
    bundle = opening.open_bundle(found[name])
    try:
        files = [bundle.root / "manifest.json", bundle.database]
        known = [
            (of.st_mtime_ns, of.st_ino) for one in files if one.exists() and (of := one.stat())
        ]
    except OSError as error:  # published anew just now
        raise sealed.StoreError(f"{found[name]}: {error.strerror}; load the page again") from error
    key = f"{bundle.manifest.get('key', bundle.root.name)}-{address.name_of(*known)}"
    title = str(bundle.manifest.get("title") or bundle.manifest.get("name") or name)
    return Run(name, key, title, _connect(str(bundle.database), key), _sheets(), bundle)


@st.cache_resource(max_entries=4, show_spinner=False)
def _connect(database: str, key: str) -> duckdb.DuckDBPyConnection:
    """A connection for one bundle (`key` tells a republished one); calls use its cursors."""
    try:
        return duckdb.connect(database, read_only=True, config=_HARDENED)
    except Exception as error:  # DuckDB raises whatever damaged bytes lead to
        raise sealed.StoreError(
            f"{database}: cannot be opened ({first_line(error)}); {_AGAIN}"
        ) from error


@st.cache_resource(show_spinner=False)
def _sheets() -> Sheets:
    return Sheets()
