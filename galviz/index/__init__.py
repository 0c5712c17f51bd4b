"""Catalogue to index on disk: sorted copies of the columns that views and filters touch, memory-mapped.

The arrays are read through the page cache that all sessions and processes of a machine share. The index names
the manifest that it was made from and is refused when that has changed, or when a file is not what was written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from cachetools.keys import hashkey

from galviz.catalogue import Catalogue
from galviz.errors import StaleIndexError
from galviz.index import layout as _layout
from galviz.index.build import write_index
from galviz.index.layout import Layout, PlaneLayout
from galviz.index.ranges import shown_range
from galviz.index.store import FACTS, Damage, Index, Plane, Sample, StoredArray, map_index
from galviz.manifest import Column
from galviz.work import mapped

__all__ = [
    "Index",
    "Layout",
    "Plane",
    "PlaneLayout",
    "Sample",
    "build_index",
    "bytes_needed",
    "check_index",
    "has_index",
    "indexed_columns",
    "is_whole",
    "open_index",
    "shown_range",
]


def indexed_columns(catalogue: Catalogue) -> tuple[Column, ...]:
    """The columns that views and filters use, in the order in which they are indexed."""
    return _layout.indexed_columns(catalogue.manifest)


def bytes_needed(catalogue: Catalogue) -> int:
    """About how much room a build takes for a while: the index, and the runs that its planes are merged from."""
    manifest = catalogue.manifest
    carried = _layout.carried_columns(manifest)
    copied = [name for plane in _layout.usual_planes(manifest) for name in dict.fromkeys((*plane, *carried))]
    names = (*copied, *copied, *_layout.kept_columns(manifest))
    return catalogue.rows * sum(np.dtype(manifest.columns[name].dtype).itemsize for name in names)


def _folder(catalogue: Catalogue) -> Path:
    return catalogue.path / "index" / catalogue.digest[:16]


def build_index(
    catalogue: Catalogue, progress: Callable[[int], None] = lambda rows: None, *, client: Any = None
) -> Index:
    """Write the index of `catalogue` and open it; `progress` receives rows done, which add up to all rows.

    The old index keeps working until the new one is in place. Memory use is that of a few parts. A build that was
    interrupted goes on where it stopped. With a `distributed.Client` the workers of its cluster do the work. Raises
    CatalogueError when a part is damaged, the disk is full or another build is running; then no index has changed.
    """
    write_index(catalogue, _folder(catalogue), progress, client)
    _forget(catalogue)
    return open_index(catalogue)


def has_index(catalogue: Catalogue) -> bool:
    """Whether there is a finished index of this very version."""
    return (_folder(catalogue) / FACTS).is_file()


_OPEN = 4  # each keeps up to a hundred files open, of 1,024 that many systems allow
_cache: LRUCache[Any, Index] = LRUCache(_OPEN)
_cache_lock = threading.Lock()


def _forget(catalogue: Catalogue) -> None:
    with _cache_lock:
        _cache.pop(hashkey(catalogue), None)


@cached(_cache, key=hashkey, lock=_cache_lock)
def open_index(catalogue: Catalogue) -> Index:
    """Map the index of `catalogue` into memory; large arrays are verified when they are first used.

    Raises StaleIndexError when it is missing, belongs to another version, is incomplete or damaged, and so does the
    first use of an array that is damaged.
    """
    command = f"galviz index {catalogue.path}"
    if not has_index(catalogue):
        state = "is stale or unfinished" if (catalogue.path / "index").is_dir() else "is missing"
        raise StaleIndexError(f"The index of {catalogue.path} {state}; run `{command}`.")

    def damaged(damage: Damage) -> StaleIndexError:
        _forget(catalogue)
        return StaleIndexError(f"The index of {catalogue.path} is damaged ({damage}); run `{command}`.")

    try:
        return map_index(_folder(catalogue), catalogue, damaged)
    except Damage as damage:
        raise damaged(damage) from damage


def check_index(catalogue: Catalogue, progress: Callable[[int], None] = lambda rows: None) -> None:
    """Verify every file of an index; `progress` receives rows done, which add up to all rows.

    Raises StaleIndexError as `open_index` does.
    """
    _forget(catalogue)
    files = list(open_index(catalogue).files.values())
    told = 0
    for number, _ in enumerate(mapped(StoredArray.check, files), start=1):
        now = catalogue.rows * number // len(files)
        progress(now - told)
        told = now


def is_whole(catalogue: Catalogue, progress: Callable[[int], None] = lambda rows: None) -> bool:
    """Whether there is an index of this very version and every file of it is what was written."""
    try:
        check_index(catalogue, progress)
    except StaleIndexError:
        return False
    return True
