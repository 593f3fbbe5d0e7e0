"""All SQL of the pages: parameters in, records out. No streamlit, no torch, no pandas.

Every call makes its own cursor: threads that share a DuckDB connection without one read each
other's rows. Every query is bounded, values go in as parameters, and names of columns that a page
may choose come from a whitelist.
"""

# What is imported here is what pages ask: a second list would only repeat it.
# ruff: noqa: F401

from dashboard.queries.bundle import (
    FLAGS,
    dictionaries,
    encoders,
    examples,
    flags,
    has_labels,
    holdings,
    judged_alone,
    label_names,
    labels,
    notices,
    pictures,
    reconstruction,
    skipped,
    summaries,
    tag_rates,
)
from dashboard.queries.captions import (
    captioned,
    readings,
    spoken,
    text_histogram,
    top_captions,
)
from dashboard.queries.exports import profiles, table
from dashboard.queries.features import (
    artefacts,
    auto_labels,
    feature,
    quantiles,
    samples,
    scores,
    top_ids,
)
from dashboard.queries.flows import (
    BANDS,
    DENSITY_BINS,
    LEAST_DENSITY,
    MOST_COLUMNS,
    ORDERS,
    agreement,
    aligned,
    bands,
    count_unmatched,
    density_histogram,
    has_matches,
    merged,
    merges,
    of_band,
    ties,
    unmatched,
)
from dashboard.queries.images import (
    drawn,
    encoder_fingerprint,
    feature_names,
    find,
    fired,
    marked,
    marks,
    sha256,
    sha256s,
    together,
)
from dashboard.queries.lists import (
    MS_BINS,
    cards_at,
    cards_of,
    keys,
    ms_histogram,
    page,
    passing,
)
from dashboard.queries.modalities import (
    correlations,
    modality_of,
    overlaps,
    sides,
    two_sided,
    worded,
)
from dashboard.queries.places import linked, mapped, points
from dashboard.queries.relations import matches, neighbors
from dashboard.queries.rows import MOST_ROWS, Connection, has, holds
from dashboard.queries.steering import steered, steered_sums, steering_of
