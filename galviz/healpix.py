"""HEALPix: one whole number for a place on the sky, so that neighbours lie close in a sorted catalogue."""

from __future__ import annotations

import cdshealpix
import numpy as np
from astropy import units
from astropy.coordinates import Latitude, Longitude
from numpy.typing import ArrayLike, NDArray

ORDER = 29  # the finest, as the column _healpix_29 of HATS has it
NOWHERE = 12 << 2 * ORDER  # of a source without a position: behind all others


def healpix(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """The pixels of order 29 in the nested scheme (Gorski et al. 2005) of positions in degrees, shape (n,) like these.

    Right ascensions wrap around, declinations end at the poles; a position that is not finite is `NOWHERE`.
    """
    east, north = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    known = np.isfinite(east) & np.isfinite(north)
    if not known.all():
        pixels = np.full(len(known), NOWHERE)
        pixels[known] = healpix(east[known], north[known])
        return pixels
    if not len(known):
        return np.empty(0, np.int64)
    longitude, latitude = Longitude(east, units.deg), Latitude(np.clip(north, -90, 90), units.deg)
    found: NDArray[np.uint64] = cdshealpix.lonlat_to_healpix(longitude, latitude, ORDER, num_threads=1)
    return found.view(np.int64)
