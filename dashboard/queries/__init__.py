"""All SQL of the pages: parameters in, records out. No streamlit, no torch, no pandas.

Every call makes its own cursor: threads that share a DuckDB connection without one read each
other's rows. Every query is bounded, values go in as parameters, and names of columns that a page
may choose come from a whitelist.
"""

from dashboard.queries.bundle import (
    FLAGS,
    dictionaries,
    examples,
    flags,
    holdings,
    labels,
    pictures,
    skipped,
    summaries,
    tag_rates,
)
from dashboard.queries.features import (
    MS_BINS,
    SORTS,
    artefacts,
    cards_of,
    count,
    feature,
    ms_histogram,
    page,
    samples,
    scores,
)
from dashboard.queries.relations import (
    agreement,
    has_matches,
    mapped,
    matches,
    neighbors,
    pairs,
    points,
    unmatched,
)
from dashboard.queries.rows import MOST_ROWS, Connection

__all__ = [
    "FLAGS", "MOST_ROWS", "MS_BINS", "SORTS", "Connection", "agreement", "artefacts", "cards_of",
    "count", "dictionaries", "examples", "feature", "flags", "has_matches", "holdings", "labels",
    "mapped", "matches", "ms_histogram", "neighbors", "page", "pairs", "pictures", "points",
    "samples", "scores", "skipped", "summaries", "tag_rates", "unmatched",
]  # fmt: skip
