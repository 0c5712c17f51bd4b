"""Parquet files, row group by row group, with what their footer says checked against what is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from galviz.errors import IngestError
from galviz.ingest.readers import table
from galviz.ingest.readers.table import Chunk, ColumnNote, ForeignTable, Kinds
from galviz.ingest.readers.values import first_line, from_arrow

_ERRORS = (OSError, EOFError, ValueError, pa.ArrowException)  # ArrowInvalid is a ValueError, with one more face
_OPTIONS = {
    "buffer_size": 1 << 20,  # bytes of each column while a row group is read, which may be the whole file
    "pre_buffer": False,
    "page_checksum_verification": True,
    "thrift_string_size_limit": 1 << 26,
    "thrift_container_size_limit": 1 << 22,
}


def open_parquet(path: Path) -> ForeignTable:
    """Open a Parquet file; raises IngestError where its footer is damaged or does not fit the file."""
    metadata, schema = read_footer(path)
    stretches = _row_groups(metadata)
    return ForeignTable(
        path,
        tuple(schema.names),
        lambda kinds: parquet_chunks(path, kinds),
        metadata.num_rows,
        (schema.metadata or {}).get(b"simulated") in (b"yes", b"true"),
        notes_of(schema),
        stretches=len(stretches),
        stretch=lambda kinds, number: parquet_chunks(path, kinds, stretches[number]),
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


def notes_of(schema: Any) -> dict[str, ColumnNote]:
    """What the fields of an Arrow schema say of their columns."""
    notes = {}
    for entry in schema:
        words = {key: (entry.metadata or {}).get(key.encode(), b"") for key in ("unit", "ucd", "description")}
        if any(words.values()):
            notes[entry.name] = ColumnNote(**{key: value.decode("utf-8", "replace") for key, value in words.items()})
    return notes


def parquet_chunks(path: Path, kinds: Kinds, groups: range | None = None) -> Iterator[Chunk]:
    """The wanted columns of all row groups, or of some, in chunks; page checksums are verified where there are some."""
    done = 0
    try:
        with pq.ParquetFile(path, **_OPTIONS) as file:
            chosen = range(file.metadata.num_row_groups) if groups is None else groups
            total = sum(file.metadata.row_group(group).num_rows for group in chosen)
            for batch in file.iter_batches(batch_size=table.ROWS, row_groups=list(chosen), columns=list(kinds)):
                done += batch.num_rows
                yield from_arrow(path, batch, kinds), done / max(total, 1)
    except _ERRORS as error:
        raise IngestError(f"Cannot read {path} as Parquet: {first_line(error)}; fetch or make it again.") from error
    if done != total:
        raise IngestError(f"{path} ends after {done:,} of {total:,} rows; fetch or make it again.")
