"""What an exporter is given to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from galviz.manifest import Column, Manifest


@dataclass(frozen=True)
class Sheet:
    """What an exporter writes: `rows` rows of `columns`, in chunks, and the provenance as words by keyword.

    A chunk maps names to arrays of one length; class columns hold names as text, empty where unknown.
    """

    columns: tuple[Column, ...]
    rows: int
    chunks: Iterator[dict[str, NDArray[Any]]]
    provenance: dict[str, str]
    width: int  # of the longest class name
    manifest: Manifest  # of the catalogue that they come from


def schema_of(sheet: Sheet) -> Any:
    """The Arrow schema of a sheet: provenance as its metadata, units and UCDs as those of the fields."""
    types = [pa.string() if column.kind == "class" else pa.from_numpy_dtype(column.dtype) for column in sheet.columns]
    notes = [{"unit": column.unit, "ucd": column.ucd, "description": column.description} for column in sheet.columns]
    fields = [
        pa.field(column.name, kind, metadata=note)
        for column, kind, note in zip(sheet.columns, types, notes, strict=True)
    ]
    return pa.schema(fields, metadata=sheet.provenance)


def table_of(chunk: dict[str, NDArray[Any]], schema: Any) -> Any:
    """A chunk as an Arrow table; missing numbers and unknown classes become null."""
    arrays = []
    for field in schema:
        values = chunk[field.name]
        if pa.types.is_string(field.type):
            arrays.append(pa.array(values, field.type, mask=values == ""))
        else:
            arrays.append(pa.array(values, field.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=schema)
