"""Every published table, stated once: schema, key, sort order, and each column's meaning and unit.

The store casts what it writes to these schemas, `verify` checks a bundle against them, and the
data dictionary in docs/ is generated from them (`python -m pipeline docs`).
"""

from pipeline.contract import VERSION
from pipeline.contract.features import (
    ACTIVATIONS,
    DICTIONARIES,
    FEATURES,
    HISTOGRAMS,
    MONOSEMANTICITY,
    RECONSTRUCTION,
    SAMPLE_EXAMPLES,
    TOP_EXAMPLES,
)
from pipeline.contract.inputs import (
    CAPTION_TOKENS,
    CAPTIONS,
    EMBEDDINGS,
    ENCODERS,
    EXAMPLES,
    SKIPPED,
    THUMBNAILS,
)
from pipeline.contract.modalities import (
    MODALITY,
    OVERLAP,
    TOP_CAPTIONS,
)
from pipeline.contract.relations import (
    ARTEFACTS,
    LABELS,
    MAPS,
    MATCHES,
    NEIGHBORS,
)
from pipeline.contract.steering import STEERING
from pipeline.contract.table import DENSE_ACTIVATIONS_KEPT, HISTOGRAM_BINS, TOP_K, Table

__all__ = [
    "ACTIVATIONS",
    "ARTEFACTS",
    "CAPTIONS",
    "CAPTION_TOKENS",
    "DENSE_ACTIVATIONS_KEPT",
    "DICTIONARIES",
    "EMBEDDINGS",
    "ENCODERS",
    "EXAMPLES",
    "FEATURES",
    "HISTOGRAMS",
    "HISTOGRAM_BINS",
    "LABELS",
    "MAPS",
    "MATCHES",
    "MODALITY",
    "MONOSEMANTICITY",
    "NEIGHBORS",
    "OVERLAP",
    "RECONSTRUCTION",
    "SAMPLE_EXAMPLES",
    "SKIPPED",
    "STEERING",
    "TABLES",
    "THUMBNAILS",
    "TOP_CAPTIONS",
    "TOP_EXAMPLES",
    "TOP_K",
    "Table",
    "as_markdown",
]

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        EXAMPLES,
        THUMBNAILS,
        SKIPPED,
        ENCODERS,
        EMBEDDINGS,
        DICTIONARIES,
        FEATURES,
        MONOSEMANTICITY,
        TOP_EXAMPLES,
        HISTOGRAMS,
        ACTIVATIONS,
        RECONSTRUCTION,
        SAMPLE_EXAMPLES,
        NEIGHBORS,
        MATCHES,
        MAPS,
        ARTEFACTS,
        LABELS,
        CAPTIONS,
        CAPTION_TOKENS,
        TOP_CAPTIONS,
        MODALITY,
        OVERLAP,
        STEERING,
    )
}


def as_markdown() -> str:
    """The data dictionary: every table, key, order and column, as docs/data-dictionary.md."""
    lines = [
        "# Data dictionary",
        "",
        f"Contract {VERSION}. Generated from `pipeline/contract` by `python -m pipeline docs`.",
    ]
    for table in TABLES.values():
        order = ", ".join(
            f"{name.removeprefix('-')} falling" if name.startswith("-") else name
            for name in table.sort
        )
        lines += ["", f"## {table.name}", "", table.doc, ""]
        lines += [f"Key: {', '.join(table.key)}. Order: {order}.", ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        for field in table.schema:
            doc, unit = (field.metadata[name].decode() for name in (b"doc", b"unit"))
            kind = str(field.type).replace("element: ", "").replace(" not null", "")
            lines.append(f"| `{field.name}` | {kind} | {unit} | {doc} |")
    return "\n".join(lines) + "\n"
