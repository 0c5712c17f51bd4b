"""The shipped photometry of the templates, as arrays."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=1)
def templates() -> dict[str, NDArray[np.float32]]:
    """Arrays of ``galviz/tables/templates.npz``; ``scripts/make_tables.py`` describes each."""
    with (files("galviz") / "tables" / "templates.npz").open("rb") as file, np.load(file) as arrays:
        return {name: np.ascontiguousarray(arrays[name], dtype=np.float32) for name in arrays.files}
