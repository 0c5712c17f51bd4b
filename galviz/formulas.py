"""FORMULAS: how derived columns, such as colours and projections, follow from stored ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _hammer(ra: NDArray[Any], dec: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Hammer equal-area projection, right ascension to the left and 180 degrees in the middle.

    x in [-2, 2] and y in [-1, 1] (Calabretta & Greisen 2002, section 5.3, divided by sqrt 2).
    """
    half = np.radians(180.0 - ra) / 2
    latitude = np.radians(dec)
    scale = np.sqrt(1 + np.cos(latitude) * np.cos(half))
    return 2 * np.cos(latitude) * np.sin(half) / scale, np.sin(latitude) / scale


FORMULAS: dict[str, Callable[..., NDArray[Any]]] = {
    "difference": lambda a, b: a - b,
    "absolute_difference": lambda a, b: np.abs(a - b),
    "maximum": lambda *values: np.fmax.reduce(values),
    "hammer_x": lambda ra, dec: _hammer(ra, dec)[0],
    "hammer_y": lambda ra, dec: _hammer(ra, dec)[1],
}
