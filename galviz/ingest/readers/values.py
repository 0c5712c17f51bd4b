"""Values of a foreign column as the contract of `ForeignTable` wants them, or one sentence why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.foreign import ARROW, arrow_column, refuse_empty_ids
from galviz.ingest.readers.table import Kinds

_WANTED = {"integer": "a whole number", "number": "a number", "text": "text"}


def from_arrow(path: Path, batch: Any, kinds: Kinds) -> dict[str, NDArray[Any]]:
    """The wanted columns of an Arrow table or record batch."""
    return {name: arrow_column(path, name, batch.column(name), kind) for name, kind in kinds.items()}


def text_column(path: Path, name: str, texts: Sequence[str | None], kind: str, before: int) -> Any:
    """Cells as text, None where missing, as `arrow_column` gives them.

    `before` rows of the file came before the first of them.
    Raises IngestError that names the first row which cannot be read.
    """
    values = pc.utf8_trim_whitespace(pa.array(texts, pa.string()))
    if kind != "text":
        values = pc.utf8_ltrim(values, characters="+")
        values = pc.replace_with_mask(values, pc.equal(values, "").fill_null(False), pa.scalar(None, pa.string()))
    try:
        return arrow_column(path, name, values, kind)
    except IngestError:
        _name_the_row(path, name, values, kind, before)
        raise


def _name_the_row(path: Path, name: str, values: Any, kind: str, before: int) -> None:
    for row, value in enumerate(values, start=before + 1):
        text = value.as_py() or ""
        try:
            value.cast(ARROW[kind])
        except pa.ArrowInvalid as error:
            raise IngestError(
                f"Row {row:,} of {path} has {text[:40]!r} in the column {name}, which needs {_WANTED[kind]}; mend it."
            ) from error


def refuse_numbers(path: Path, name: str) -> None:
    """Raise IngestError for numbers where the names of classes should be."""
    raise IngestError(f"The column {name} of {path} holds numbers, not the names of classes; write names.")


def with_gaps(path: Path, name: str, values: NDArray[Any], missing: NDArray[np.bool_], kind: str) -> NDArray[Any]:
    """Whole numbers, some of them missing, as int64 or as float64 with NaN."""
    if kind == "integer":
        refuse_empty_ids(path, name, int(missing.sum()))
        return np.ascontiguousarray(values, np.int64)
    numbers = values.astype(np.float64)
    numbers[missing] = np.nan
    return numbers
