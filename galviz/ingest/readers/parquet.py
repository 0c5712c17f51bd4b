"""Parquet files, row group by row group, with what their footer says checked against what is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from galviz.errors import IngestError
from galviz.foreign import first_line, without
from galviz.ingest.readers import table
from galviz.ingest.readers.described import Description, description_of
from galviz.ingest.readers.table import NOTHING, Chunk, ForeignTable, Kinds
from galviz.ingest.readers.values import from_arrow

_ERRORS = (OSError, EOFError, ValueError, pa.ArrowException)  # ArrowInvalid is a ValueError, with one more face
_OPTIONS = {
    "pre_buffer": False,
    "page_checksum_verification": True,
    "thrift_string_size_limit": 1 << 26,
    "thrift_container_size_limit": 1 << 22,
}


def _buffer(kinds: Kinds) -> int:
    """Bytes that wait of each column while a row group is read, which may be the whole file."""
    return min(1 << 20, max(1 << 14, (1 << 26) // max(1, len(kinds))))


def open_parquet(path: Path) -> ForeignTable:
    """Open a Parquet file; raises IngestError where its footer is damaged or does not fit the file."""
    metadata, schema = read_footer(path)
    stretches = _row_groups(metadata)
    description = description_of(path, schema)
    return ForeignTable(
        path,
        tuple(name for name in schema.names if name not in description.masks.values()),
        lambda kinds: parquet_chunks(path, kinds, description),
        metadata.num_rows,
        description.simulated,
        description.notes,
        stretches=len(stretches),
        stretch=lambda kinds, number: parquet_chunks(path, kinds, description, stretches[number]),
    )


def _row_groups(metadata: Any) -> list[range]:
    """The row groups in stretches of at least `ROWS` rows, but for the last."""
    edges, rows = [0], 0
    for number in range(metadata.num_row_groups):
        rows += metadata.row_group(number).num_rows
        if rows >= table.ROWS or number == metadata.num_row_groups - 1:
            edges.append(number + 1)
            rows = 0
    return [range(start, stop) for start, stop in pairwise(edges)] or [range(0)]


def read_footer(path: Path) -> tuple[Any, Any]:
    """The metadata and the Arrow schema of a Parquet file whose row groups have as many rows as it says."""
    try:
        with pq.ParquetFile(path, **_OPTIONS) as file:
            metadata, schema = file.metadata, file.schema_arrow
        _check(path, metadata)
    except _ERRORS as error:
        raise IngestError(f"Cannot read {path} as Parquet: {first_line(error)}; fetch or make it again.") from error
    return metadata, schema


def _check(path: Path, metadata: Any) -> None:
    # Nothing is asked of the columns of a row group: where their entries are damaged, pyarrow ends the process.
    rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        raise IngestError(f"{path} holds {sum(rows):,} rows and says {metadata.num_rows:,}; fetch or make it again.")


def parquet_chunks(path: Path, kinds: Kinds, description: Description, groups: range | None = None) -> Iterator[Chunk]:
    """The wanted columns of all row groups, or of some, in chunks; page checksums are verified where there are some."""
    done = 0
    masks = [mask for name, mask in description.masks.items() if name in kinds]
    names = list(dict.fromkeys((*kinds, *masks)))
    try:
        with pq.ParquetFile(path, buffer_size=_buffer(kinds), **_OPTIONS) as file:
            chosen = range(file.metadata.num_row_groups) if groups is None else groups
            total = sum(file.metadata.row_group(group).num_rows for group in chosen)
            for batch in file.iter_batches(
                batch_size=table.rows_of_chunk(kinds), row_groups=list(chosen), columns=names
            ):
                done += batch.num_rows
                yield from_arrow(path, _with_gaps(batch, kinds, description), kinds), done / max(total, 1)
    except _ERRORS as error:
        raise IngestError(f"Cannot read {path} as Parquet: {first_line(error)}; fetch or make it again.") from error
    if done != total:
        raise IngestError(f"{path} ends after {done:,} of {total:,} rows; fetch or make it again.")


def _with_gaps(batch: Any, kinds: Kinds, description: Description) -> Any:
    """The rows with null where a mask, or the value that stands for a missing one, says that there is none."""
    for name in kinds:
        values = without(batch.column(name), description.notes.get(name, NOTHING).null)
        if mask := description.masks.get(name):
            gaps = batch.column(mask).cast(pa.bool_()).fill_null(False)
            values = pc.if_else(gaps, pa.scalar(None, values.type), values)
        batch = batch.set_column(batch.schema.get_field_index(name), name, values)
    return batch
