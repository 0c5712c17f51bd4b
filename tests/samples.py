"""Small catalogues for tests: any arrays, three classes, no survey."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from galviz.catalogue import Catalogue, CatalogueWriter, open_catalogue
from galviz.manifest import Column, SourceClass, new_manifest

CLASSES = (
    SourceClass("GALAXY", "galaxy", "galaxies", "#65ec65", "#009e73"),
    SourceClass("QSO", "quasar", "quasars", "#ff69b4", "#e69f00"),
    SourceClass("STAR", "star", "stars", "#1e90ff", "#56b4e9"),
)
COLUMNS = {
    "objid": Column("objid", "int64", "id"),
    "x": Column("x", "float64", "embedding"),
    "y": Column("y", "float32", "embedding"),
    "r": Column("r", "float32", "magnitude", "mag", system="AB", label="r PSF"),
    "w": Column("w", "float64", "magnitude", "mag"),
    "note": Column("note", "float32"),  # of no role that the index holds
    "class": Column("class", "int8", "truth", kind="class"),
    "class_pred": Column("class_pred", "int8", "prediction", kind="class"),
}
DERIVED = (Column("r_w", "float32", "colour", formula=("difference", "r", "w")),)


def random_arrays(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of `COLUMNS` less `class_pred`, with NaN in some rows and an unknown class in some."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {
        "objid": 2**60 + np.arange(rows),
        "x": rng.normal(0, 3, rows),
        "y": rng.normal(0, 2, rows).astype(np.float32),
        "r": rng.uniform(14, 23, rows).astype(np.float32),
        "w": rng.uniform(10, 18, rows),
        "note": rng.normal(size=rows).astype(np.float32),
        "class": rng.integers(-1, 3, rows).astype(np.int8),
    }
    for name in ("x", "y", "r", "w"):
        arrays[name][rng.random(rows) < 0.05] = np.nan
    return arrays


def write_catalogue(
    path: Path, arrays: Mapping[str, np.ndarray] | None = None, *, parts: int = 3, **manifest: Any
) -> Catalogue:
    """A catalogue at `path` whose rows are spread over `parts` parts of almost equal size."""
    arrays = random_arrays(1000) if arrays is None else arrays
    columns = tuple(COLUMNS[name] for name in arrays)
    fields = {"title": "Sample", "simulated": True, "classes": CLASSES, "features": ("r", "w"), "derived": DERIVED}
    new = new_manifest("sample", "none", {"made": "by a test"}, defaults={}, **(fields | manifest))
    pieces = {name: np.array_split(values, parts) for name, values in arrays.items()}
    with CatalogueWriter(path, columns, new) as writer:
        for number in range(parts):
            writer.write(number, {name: piece[number] for name, piece in pieces.items()})
    return open_catalogue(path)


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """A disk on which no file grows beyond `size` bytes; not a fixture, since pytest itself writes to files."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
