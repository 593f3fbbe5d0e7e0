"""A run's database as the pages open it."""

from pathlib import Path

import duckdb

from dashboard.bundle import opening as pages_opening
from pipeline.bundle import opening


def connection(run: Path | opening.Bundle) -> duckdb.DuckDBPyConnection:
    """A connection of its own, read only and with the pages' settings, which no page keeps.

    Raises:
        StoreError: there is no bundle, or its database is damaged.
    """
    bundle = opening.open_bundle(run) if isinstance(run, Path) else run
    return pages_opening._connect.__wrapped__(str(bundle.database), "")
