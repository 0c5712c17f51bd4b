"""A simulated sky of any size as a catalogue: parts made in two threads, memory independent of the rows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from galviz.catalogue import Catalogue, CatalogueWriter, open_catalogue
from galviz.disk import room
from galviz.errors import GalvizError
from galviz.manifest import new_manifest
from galviz.progress import Progress, silent
from galviz.simulate import batch, schema
from galviz.surveys import SDSS_WISE

PART = 250_000
THREADS = 2


def simulate(
    out: str | os.PathLike[str],
    rows: int,
    seed: int = 0,
    *,
    labelled: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Catalogue:
    """Write a simulated catalogue of `rows` sources at `out` and open it.

    The rows follow from `rows`, `seed` and `labelled` alone; `labelled` makes a spectroscopic selection with
    `class` and `redshift`. Memory is that of a few parts of 250,000 rows. Raises GalvizError for fewer than
    one row or a negative seed, and CatalogueError when `out` is taken; nothing is left at `out` then.
    """
    if rows < 1 or seed < 0:
        raise GalvizError(f"Cannot simulate {rows} rows with seed {seed}: rows start at 1 and seeds at 0.")
    path = Path(out)
    columns = schema(labelled)
    kind = "spectroscopic selection" if labelled else "photometric sources"
    manifest = new_manifest(
        path.name,
        SDSS_WISE.name,
        {"simulated": True, "rows": rows, "seed": seed, "labelled": labelled},
        title=f"{SDSS_WISE.title}, simulated {kind}",
        simulated=True,
        **SDSS_WISE.manifest_fields(columns),
    )
    needed = rows * sum(np.dtype(column.dtype).itemsize for column in columns)
    with room(path, needed), CatalogueWriter(path, columns, manifest, overwrite) as writer:
        for done in _write_parts(writer, rows, seed, labelled):
            progress(done / rows, f"{done:,} of {rows:,} sources simulated")
    return open_catalogue(path)


def _write_parts(writer: CatalogueWriter, rows: int, seed: int, labelled: bool) -> Iterator[int]:
    """Write all parts, at most `THREADS` + 1 of them in memory; yields the rows written so far."""

    def make(part: int) -> int:
        size = min(PART, rows - part * PART)
        writer.write(part, batch(size, seed, part, labelled=labelled))
        return size

    done = 0
    pool = ThreadPoolExecutor(THREADS)
    try:
        pending: deque[Future[int]] = deque()
        for part in range(-(-rows // PART)):
            pending.append(pool.submit(make, part))
            if len(pending) > THREADS:
                done += pending.popleft().result()
                yield done
        while pending:
            done += pending.popleft().result()
            yield done
    finally:
        pool.shutdown(cancel_futures=True)
