"""FORMULAS: how derived columns, such as colours, projections and positions, follow from stored ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray


def _hammer(ra: NDArray[Any], dec: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Hammer equal-area projection, right ascension to the left and 180 degrees in the middle.

    x in [-2, 2] and y in [-1, 1] (Calabretta & Greisen 2002, section 5.3, divided by sqrt 2).
    """
    half = np.radians(180.0 - ra) / 2
    latitude = np.radians(dec)
    scale = np.sqrt(1 + np.cos(latitude) * np.cos(half))
    return 2 * np.cos(latitude) * np.sin(half) / scale, np.sin(latitude) / scale


def _equatorial(lon: NDArray[Any], lat: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination (ICRS) of galactic coordinates, all in degrees; a latitude beyond 90 is none."""
    north = np.where(np.abs(lat) <= 90, lat, np.nan)
    place = SkyCoord(np.asarray(lon, np.float64) * units.deg, north * units.deg, frame="galactic").icrs
    return np.asarray(place.ra.deg), np.asarray(place.dec.deg)


FORMULAS: dict[str, Callable[..., NDArray[Any]]] = {
    "difference": lambda a, b: a - b,
    "absolute_difference": lambda a, b: np.abs(a - b),
    "maximum": lambda *values: np.fmax.reduce(values),
    "hammer_x": lambda ra, dec: _hammer(ra, dec)[0],
    "hammer_y": lambda ra, dec: _hammer(ra, dec)[1],
    "galactic_ra": lambda lon, lat: _equatorial(lon, lat)[0],
    "galactic_dec": lambda lon, lat: _equatorial(lon, lat)[1],
}
