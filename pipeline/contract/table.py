"""What a table of the contract is, and the columns that many of them share."""

from dataclasses import dataclass

import pyarrow as pa

TOP_K = 16
HISTOGRAM_BINS = 32
DENSE_ACTIVATIONS_KEPT = 1024


@dataclass(frozen=True)
class Table:
    """One published table: `key` is unique; rows are stored in the order of `sort`."""

    name: str
    doc: str
    schema: pa.Schema
    key: tuple[str, ...]
    sort: tuple[str, ...]
    references: tuple[tuple[tuple[str, ...], str], ...] = ()

    @property
    def file(self) -> str:
        return f"{self.name}.parquet"


def field(name: str, kind: pa.DataType, doc: str, unit: str = "", null: bool = False) -> pa.Field:
    """A column with what it means and in what unit."""
    return pa.field(name, kind, nullable=null, metadata={"doc": doc, "unit": unit})


def list_of(of: pa.DataType) -> pa.DataType:
    """The type of lists that hold no nulls."""
    return pa.list_(pa.field("element", of, nullable=False))


TEXT, F32, F64, I16, I32, I64 = (
    pa.string(),
    pa.float32(),
    pa.float64(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
)

DICTIONARY_ID = field("dictionary_id", TEXT, "`MODEL/HOOK/DICTIONARY`, as in `dictionaries`")
FEATURE_ID = field("feature_id", I32, "row of the dictionary's `W_dec`, from 0")
EXAMPLE_ID = field("example_id", I64, "as in `examples`")
MODALITY_NAME = field("modality", TEXT, "`image` or `text`")
ENCODER_NAME = field("encoder", TEXT, "as in `encoders`")

IN_DICTIONARIES = (("dictionary_id",), "dictionaries")
IN_FEATURES = (("dictionary_id", "feature_id"), "features")
IN_EXAMPLES = (("example_id",), "examples")
IN_ENCODERS = (("encoder",), "encoders")
