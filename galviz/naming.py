"""Names of sources from their positions, by the rule of the IAU: truncated, never rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TIME = 24_000  # hundredths of a second of time in a degree of right ascension
_ARC = 36_000  # tenths of an arcsecond in a degree of declination
_DAY = 360 * _TIME
_SPLIT = 134_217_729.0  # 2^27 + 1


def iau_name(ra: ArrayLike, dec: ArrayLike, prefix: str = "SDSS") -> NDArray[Any]:
    """The names `SDSS Jhhmmss.ss+ddmmss.s` of positions in degrees, an array of text of the same shape.

    Digits that do not fit are cut off, exactly as if the position had been written out in full, so that a name
    never points beyond its source (https://www.sdss.org/dr17/help/coords). A position that is not finite or
    whose declination lies outside -90 to 90 degrees has the name "".
    """
    east, north = np.broadcast_arrays(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
    usable = np.isfinite(east) & (np.abs(north) <= 90)
    hours = _floor_product(np.where(usable, east, 0.0), _TIME) % _DAY
    degrees = _floor_product(np.abs(np.where(usable, north, 0.0)), _ARC)
    signs = np.where(north < 0, "-", "+")
    names = [
        f"{prefix} J{h // 360_000:02d}{h // 6_000 % 60:02d}{h % 6_000 // 100:02d}.{h % 100:02d}"
        f"{sign}{d // 36_000:02d}{d // 600 % 60:02d}{d % 600 // 10:02d}.{d % 10}"
        if known
        else ""
        for h, d, sign, known in zip(
            hours.ravel().tolist(), degrees.ravel().tolist(), signs.ravel().tolist(), usable.ravel().tolist(),
            strict=True,
        )
    ]  # fmt: skip
    return np.array(names, dtype=object).reshape(east.shape)


def _floor_product(values: NDArray[np.float64], factor: int) -> NDArray[np.int64]:
    """The floor of the exact product, where the rounded one may have reached the next integer (Dekker 1971)."""
    product = values * factor
    big = _SPLIT * values
    high = big - (big - values)
    error = (high * factor - product) + (values - high) * factor
    down = np.floor(product)
    floor: NDArray[np.int64] = (down - ((product == down) & (error < 0))).astype(np.int64)
    return floor
