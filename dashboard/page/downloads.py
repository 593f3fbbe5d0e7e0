"""Files to take along: buttons that make a file when it is asked for, and nothing before."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import streamlit as st

from dashboard import gate, queries
from dashboard.bundle.opening import Run
from dashboard.exports.card import card_png
from dashboard.exports.document import feature_json
from dashboard.exports.neuronpedia import neuronpedia_json, neuronpedia_zip
from dashboard.exports.report import report
from dashboard.exports.tables import csv_bytes, parquet_bytes
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Key, Said
from dashboard.records.profile import Profile
from dashboard.style import hints

Asked = Callable[[Sequence[Key]], Mapping[Key, Sequence[Said]]]
"""What people said of features, asked for when a file is made."""
TYPES = {
    "json": "application/json", "png": "image/png", "html": "text/html", "zip": "application/zip",
    "csv": "text/csv", "parquet": "application/vnd.apache.parquet",
}  # fmt: skip
File = tuple[str, str, Callable[[], bytes]]
"""What a button says, the ending of the file's name, and what makes the file."""


def feature_downloads(
    run: Run, dictionary: Dictionary, feature_id: int, said: Asked | None = None
) -> None:
    """The files of one feature behind one button: report, picture of the card, JSON, and JSON in
    Neuronpedia's shape.

    Args:
        said: gives what people said of features; called when a file is made.
    """
    key = (dictionary.dictionary_id, feature_id)

    def profile() -> Profile:
        return next(iter(queries.profiles(run.connection, [key])))

    def heard() -> Sequence[Said]:
        return _heard(said, [key]).get(key, ())

    manifest = run.bundle.manifest
    files: list[File] = [
        ("Report (HTML)", "html", lambda: _report(run, [key], said)),
        ("Card (PNG)", "png", lambda: card_png(profile(), run=run.title)),
        ("Data (JSON)", "json", lambda: feature_json(profile(), manifest=manifest, said=heard())),
        (
            "For Neuronpedia (JSON)", "neuronpedia.json",
            lambda: neuronpedia_json(profile(), said=heard()),
        ),
    ]  # fmt: skip
    _popover(files, stem=file_name(*key), key="export-feature")


def list_downloads(
    run: Run,
    keys: Sequence[Key] | Callable[[], Sequence[Key]],
    said: Asked | None = None,
    *,
    count: int | None = None,
    name: str = "",
    key: str = "export-list",
) -> None:
    """The files of many features, in their order, behind one button: report, CSV, Parquet, and
    JSONL in Neuronpedia's shape.

    Args:
        keys: the features, or what finds them when a file is made; of more than `queries.MOST_ROWS`
            the report and Neuronpedia's file hold the first, and their buttons say so.
        said: gives what people said of features; called when a file is made.
        count: how many features they are, where `keys` still has to find them.
        name: what the files are called after, such as the list's name; the run's without one.
        key: tells the button from others on the page.
    """
    found = keys if callable(keys) else lambda: keys
    total = count if count is not None else len(found())
    few = "" if total <= queries.MOST_ROWS else f", the first {queries.MOST_ROWS}"

    def zipped() -> bytes:
        profiles = queries.profiles(run.connection, found())
        return neuronpedia_zip(profiles, said=_heard(said, [p.key for p in profiles]))

    def table() -> pa.Table:
        return queries.table(run.connection, found())

    files: list[File] = [
        (f"Report (HTML{few})", "html", lambda: _report(run, found(), said)),
        ("Table (CSV)", "csv", lambda: csv_bytes(table())),
        ("Table (Parquet)", "parquet", lambda: parquet_bytes(table())),
        (f"For Neuronpedia (JSONL{few})", "neuronpedia.zip", zipped),
    ]
    _popover(files, stem=file_name(name or run.name), key=key, disabled=not total)


def table_downloads(rows: Callable[[], Sequence[Any]], *, name: str, key: str) -> None:
    """A table that a page shows, as CSV and Parquet; `rows` gives its records when asked."""
    files: list[File] = [
        ("Table (CSV)", "csv", lambda: csv_bytes(rows())),
        ("Table (Parquet)", "parquet", lambda: parquet_bytes(rows())),
    ]
    _popover(files, stem=file_name(name), key=key)


def tables_downloads(
    tables: Mapping[str, Callable[[], Sequence[Any] | pa.Table | str]], *, name: str, key: str
) -> None:
    """Several tables as CSV behind one button; each is made when it is asked for. Text is CSV
    already."""
    files: list[File] = [
        (f"{title[0].upper()}{title[1:]} (CSV)", f"{title}.csv", partial(_csv, make))
        for title, make in tables.items()
    ]
    _popover(files, stem=file_name(name), key=key)


def _csv(make: Callable[[], Sequence[Any] | pa.Table | str]) -> bytes:
    made = make()
    return made.encode("utf-8-sig") if isinstance(made, str) else csv_bytes(made)


def file_name(*parts: str | int) -> str:
    """A name that every file system takes: letters, digits, `_`, `.` and `-`."""
    clean = [re.sub(r"[^\w.]+", "-", str(part)).strip("-.") for part in parts]
    return "-".join(part for part in clean if part)[:120] or "features"


def _popover(files: Sequence[File], *, stem: str, key: str, disabled: bool = False) -> None:
    with st.popover("Export", help=hints.EXPORT, disabled=disabled, key=key):
        for label, ending, make in files:
            st.download_button(
                label, gate.while_open(make), file_name=f"{stem}.{ending}", key=f"{key}-{ending}",
                mime=TYPES[ending.rpartition(".")[2]], on_click="ignore", width="stretch",
            )  # fmt: skip


def _report(run: Run, keys: Sequence[Key], said: Asked | None) -> bytes:
    profiles = queries.profiles(run.connection, keys)
    return report(
        profiles, manifest=run.bundle.manifest, made=datetime.now(UTC), asked=keys,
        said=_heard(said, [p.key for p in profiles]),
    )  # fmt: skip


def _heard(said: Asked | None, keys: Sequence[Key]) -> Mapping[Key, Sequence[Said]]:
    return said(keys) if said else {}
