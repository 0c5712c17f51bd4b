"""Pickles of pandas tables: reading one runs the code in it, so only the user's word opens them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from galviz.disk import size_in_words
from galviz.errors import IngestError
from galviz.foreign import arrow_column, first_line
from galviz.ingest.readers import table
from galviz.ingest.readers.streams import opened
from galviz.ingest.readers.table import Chunk, ForeignTable, Kinds, distinct

_ERRORS = (
    pickle.UnpicklingError, ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError,
    MemoryError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


def open_pickle(path: Path, *, trusted: bool) -> ForeignTable:
    """Open a pickled DataFrame, plain or gzip, which is read as a whole: for its names here, again for its rows.

    No frame is kept in between, so that of several files only one is in memory at a time. Raises IngestError unless
    `trusted`, and where it holds no DataFrame.
    """
    if not trusted:
        raise IngestError(
            f"{path} is a pickle, and a pickle runs code of whoever made it when it is read; say --trust-pickle if you "
            "trust its maker, or convert it to Parquet."
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if path.stat().st_size > memory:
        raise IngestError(
            f"{path} is a pickle of {size_in_words(path.stat().st_size)}, which is read as a whole, and this machine "
            f"has {size_in_words(memory)} of memory; convert it to Parquet on a larger one."
        )
    frame = _load(path)
    called = distinct([str(name) for name in frame.columns])
    return ForeignTable(
        path, tuple(called), lambda kinds: _chunks(path, kinds), len(frame), in_memory=True, called=called
    )


def _load(path: Path) -> pd.DataFrame:
    try:
        with opened(path) as stream:
            frame: Any = pd.read_pickle(stream.file, compression=None)
    except _ERRORS as error:
        raise IngestError(f"Cannot read the pickle {path}: {first_line(error)}; fetch it again.") from error
    if not isinstance(frame, pd.DataFrame):
        raise IngestError(f"The pickle {path} holds no pandas DataFrame; convert it to Parquet.")
    columns_of_index = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(columns_of_index) if columns_of_index else frame


def _chunks(path: Path, kinds: Kinds) -> Iterator[Chunk]:
    frame = _load(path)
    places = {name: place for place, name in enumerate(distinct([str(name) for name in frame.columns]))}
    for start in range(0, len(frame), table.ROWS):
        rows = frame.iloc[start : start + table.ROWS]
        chunk = {name: _column(path, name, rows.iloc[:, places[name]], kind) for name, kind in kinds.items()}
        yield chunk, min(start + table.ROWS, len(frame)) / len(frame)


def _column(path: Path, name: str, values: Any, kind: str) -> Any:
    try:
        return arrow_column(path, name, pa.array(values, from_pandas=True), kind)
    except (pa.ArrowException, TypeError) as error:
        raise IngestError(f"The column {name} of {path} is not of one kind: {first_line(error)}.") from error
