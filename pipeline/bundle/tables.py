"""Writing the tables of the contract as Parquet, and building their columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.bundle.sealed import StoreError
from pipeline.contract.tables import Table


class TableWriter:
    """Writes one table of the contract in row groups; rows must come in the table's order."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table, self.rows = table, 0
        self._writer = pq.ParquetWriter(
            folder / table.file,
            table.schema,
            compression="zstd",
            use_dictionary=_leaves(table.schema, pa.types.is_string),
            column_encoding=dict.fromkeys(
                _leaves(table.schema, pa.types.is_floating), "BYTE_STREAM_SPLIT"
            ),
        )

    def write(self, data: pa.Table) -> None:
        """Append `data`, cast to the contract.

        Raises:
            StoreError: a column is missing, of a wrong type, or null where the contract forbids it.
        """
        cast = conform(self.table, data)
        self._writer.write_table(cast, row_group_size=122_880)
        self.rows += cast.num_rows

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def write_table(table: Table, data: pa.Table, folder: Path) -> None:
    """Write all of `data` as `table` into `folder`, sorted as the contract says."""
    with TableWriter(table, folder) as writer:
        writer.write(sort_rows(table, data))


def sort_rows(table: Table, data: pa.Table) -> pa.Table:
    """`data` in the table's order; a leading minus in `sort` means descending."""
    keys = [
        (name.removeprefix("-"), "descending" if name.startswith("-") else "ascending")
        for name in table.sort
    ]
    return data.sort_by(keys)


def conform(table: Table, data: pa.Table) -> pa.Table:
    """`data` with the columns, order and types of `table`; raises StoreError as TableWriter."""
    absent = [f.name for f in table.schema if f.name not in data.column_names and not f.nullable]
    unknown = [name for name in data.column_names if name not in table.schema.names]
    if absent or unknown:
        raise StoreError(
            f"table {table.name}: columns missing {absent}, not in the contract {unknown}"
        )
    columns = []
    for field in table.schema:
        if field.name not in data.column_names:
            columns.append(pa.nulls(data.num_rows, field.type))
            continue
        column = data[field.name]
        if nulls := _nulls(column, field):
            raise StoreError(f"table {table.name}: {nulls} nulls in {field.name}")
        try:
            columns.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StoreError(f"table {table.name}, column {field.name}: {error}") from error
    return pa.table(columns, schema=table.schema)


def nullable(values: NDArray[np.float64]) -> pa.Array:
    """Numbers as a column in which NaN is null."""
    return pa.array(values, mask=np.isnan(values))


def ragged(values: NDArray[Any], ends: NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """A column of lists of `kind`; row i holds the values from the end of the one before to
    `ends[i]`."""
    offsets = np.concatenate([[0], ends])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(values).cast(kind),
        type=pa.list_(pa.field("element", kind, nullable=False)),
    )


def lists(rows: Sequence[NDArray[Any]], kind: pa.DataType) -> pa.Array:
    """Arrays of any lengths as a column of lists of `kind`."""
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return ragged(np.concatenate(rows) if rows else np.zeros(0), ends, kind)


def _nulls(column: pa.ChunkedArray, field: pa.Field) -> int:
    """Nulls where the field allows none; lists never hold any."""
    of_lists = column.combine_chunks().flatten().null_count if _holds_lists(column.type) else 0
    return of_lists + (0 if field.nullable else column.null_count)


def _holds_lists(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _leaves(schema: pa.Schema, wanted: Any) -> list[str]:
    """Parquet's paths of the columns whose (element) type is `wanted`."""
    return [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
        if wanted(field.type.value_type if pa.types.is_list(field.type) else field.type)
    ]
