"""Small labelled catalogues for tests: three classes that overlap a little, four features, no survey."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from galviz.catalogue import Catalogue, CatalogueWriter, open_catalogue
from galviz.manifest import Column, new_manifest
from tests.samples import CLASSES

FEATURES = ("a", "b", "c", "d")
CENTRES = np.array([[0, 0, 0, 20], [3, 0, 1, 19], [0, 3, -1, 18]], float)
COLUMNS = (
    *(Column(name, "float32", "magnitude", "mag") for name in FEATURES),
    Column("size", "float32", "morphology", scale="log"),
    Column("class", "int8", "truth", kind="class"),
)


def labelled_arrays(rows: int = 600, seed: int = 0, spread: float = 0.8) -> dict[str, np.ndarray]:
    """Class codes in the proportions 70 : 20 : 10, one feature missing in every 50th row, no class in every 40th."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, rows, p=(0.7, 0.2, 0.1)).astype(np.int8)
    matrix = (CENTRES[codes] + rng.normal(0, spread, (rows, 4))).astype(np.float32)
    matrix[::50, 1] = np.nan
    codes[::40] = -1
    columns = dict(zip(FEATURES, matrix.T, strict=True))
    return {**columns, "size": np.exp(rng.normal(-1, 2, rows)).astype(np.float32), "class": codes}


def labelled_catalogue(
    path: Path, arrays: Mapping[str, np.ndarray] | None = None, *, parts: int = 3, **manifest: Any
) -> Catalogue:
    """A catalogue at `path` of those of `COLUMNS` that `arrays` has."""
    arrays = labelled_arrays() if arrays is None else arrays
    columns = tuple(column for column in COLUMNS if column.name in arrays)
    fields = {"title": "Blobs", "simulated": True, "classes": CLASSES, "features": FEATURES, "derived": ()}
    defaults = {"filters": ["d", "size"], "feature_sets": {"three": ["a", "b", "c"], "all and more": ["a", "e"]}}
    new = new_manifest("blobs", "none", {}, **(fields | {"defaults": defaults} | manifest))
    pieces = {name: np.array_split(values, parts) for name, values in arrays.items()}
    with CatalogueWriter(path, columns, new, overwrite=True) as writer:
        for number in range(parts):
            writer.write(number, {name: piece[number] for name, piece in pieces.items()})
    return open_catalogue(path)
