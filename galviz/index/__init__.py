"""Catalogue to index on disk: the columns that views and filters touch, memory-mapped.

Each column is one NumPy file in row order, read through the page cache that all sessions and processes of a
machine share. The index names the manifest that it was made from and is refused when that has changed.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from numpy.lib.format import dtype_to_descr, open_memmap, write_array_header_1_0
from numpy.typing import NDArray

from galviz.catalogue import Catalogue, cannot_write, write_text
from galviz.errors import StaleIndexError
from galviz.manifest import Column

FORMAT = 1
ROLES = frozenset(
    {
        "position",
        "magnitude",
        "truth",
        "prediction",
        "probability",
        "best_probability",
        "embedding",
        "redshift",
        "morphology",
        "colour",
        "projection",
        "simulation",
    }
)


@dataclass(frozen=True)
class Index:
    """Memory-mapped columns of one version of a catalogue, each of shape (rows,)."""

    path: Path
    rows: int
    columns: dict[str, NDArray[Any]]


def indexed_columns(catalogue: Catalogue) -> tuple[Column, ...]:
    """The columns that belong into the index: those of a role that a view or a filter uses."""
    return tuple(column for column in catalogue.manifest.columns.values() if column.role in ROLES)


def _folder(catalogue: Catalogue) -> Path:
    return catalogue.path / "index" / catalogue.digest[:16]


def build_index(catalogue: Catalogue, progress: Callable[[int], None] = lambda rows: None) -> Index:
    """Write the index of `catalogue`, part by part, and open it; `progress` receives rows done.

    The old index keeps working until the new one is renamed into place. Memory use is that of one part.
    Raises CatalogueError when a part is damaged or the disk is full; then nothing has changed.
    """
    folder = _folder(catalogue)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        _write_columns(catalogue, temporary, progress)
        columns = [column.name for column in indexed_columns(catalogue)]
        facts = {"format": FORMAT, "manifest": catalogue.digest, "rows": catalogue.rows, "columns": columns}
        write_text(temporary / "index.json", json.dumps(facts) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    with _cache_lock:
        _cache.pop(hashkey(catalogue), None)
    return open_index(catalogue)


def _write_columns(catalogue: Catalogue, folder: Path, progress: Callable[[int], None]) -> None:
    # Plain writes: on a full disk they raise, where writing through a memory map would kill the process.
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for column in indexed_columns(catalogue):
            files[column.name] = stack.enter_context((folder / f"{column.name}.npy").open("wb"))
            descr = dtype_to_descr(np.dtype(column.dtype))
            header = {"descr": descr, "fortran_order": False, "shape": (catalogue.rows,)}
            write_array_header_1_0(files[column.name], header)
        for part in range(catalogue.parts):
            for name, values in catalogue.read_part(part, list(files)).items():
                dtype = catalogue.manifest.columns[name].dtype
                files[name].write(np.ascontiguousarray(values, dtype).data)
            progress(catalogue.manifest.groups[0].parts[part].rows)


def has_index(catalogue: Catalogue) -> bool:
    """Whether there is a finished index of this very version."""
    return (_folder(catalogue) / "index.json").is_file()


_cache: LRUCache[Any, Index] = LRUCache(maxsize=32)
_cache_lock = threading.Lock()


@cached(_cache, key=hashkey, lock=_cache_lock)
def open_index(catalogue: Catalogue) -> Index:
    """Map the index of `catalogue` into memory.

    Raises StaleIndexError when it is missing, belongs to another version or is incomplete.
    """
    folder = _folder(catalogue)
    command = f"galviz index {catalogue.path}"
    if not has_index(catalogue):
        state = "is stale or unfinished" if (catalogue.path / "index").is_dir() else "is missing"
        raise StaleIndexError(f"The index of {catalogue.path} {state}; run `{command}`.")
    try:
        facts = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if (facts["format"], facts["manifest"]) != (FORMAT, catalogue.digest):
            raise ValueError("it was made from another version")
        columns = {column.name: _map(folder, column, catalogue.rows) for column in indexed_columns(catalogue)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise StaleIndexError(f"The index of {catalogue.path} is damaged ({reason}); run `{command}`.") from error
    return Index(folder, catalogue.rows, columns)


def _map(folder: Path, column: Column, rows: int) -> NDArray[Any]:
    values = open_memmap(folder / f"{column.name}.npy", mode="r")
    if values.shape != (rows,) or values.dtype != column.dtype:
        raise ValueError(f"the column {column.name} is {values.dtype} of shape {values.shape}")
    return np.asarray(values)  # a plain array over the map, which compiled loops take without a detour
