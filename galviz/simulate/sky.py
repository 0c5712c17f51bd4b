"""Where sources lie: the SDSS footprint, Galactic coordinates, dust, and the density of each class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from galviz.simulate.census import Census, census
from galviz.simulate.stars import LATITUDES, LONGITUDES, sight_totals

Array = NDArray[np.float64]

RA_CELLS = 720
DEC_CELLS = 360

# Directions of the north Galactic pole and the Galactic centre, J2000 (Hipparcos catalogue, ESA SP-1200, vol. 1).
_POLE = np.radians([192.85948, 27.12825])
_NODE = np.radians(122.93192)
_OBLIQUITY = np.radians(23.4392911)


@dataclass(frozen=True, eq=False)
class Sky:
    """Cells of the footprint, equal in area.

    column, row: place in the RA x sin(dec) grid; sight: line of sight of the star counts; dust: E(B-V), mag;
    depth: factor on the WISE noise; classes: one Census of cells each for galaxies, quasars, stars.
    """

    column: NDArray[np.int32]
    row: NDArray[np.int32]
    sight: NDArray[np.int32]
    dust: NDArray[np.float32]
    depth: NDArray[np.float32]
    classes: tuple[Census, Census, Census]


def galactic(ra: Array, dec: Array) -> tuple[Array, Array]:
    """Galactic longitude and latitude (degrees) of ICRS positions (degrees)."""
    a, d = np.radians(ra) - _POLE[0], np.radians(dec)
    sin_b = np.sin(d) * np.sin(_POLE[1]) + np.cos(d) * np.cos(_POLE[1]) * np.cos(a)
    y = np.cos(d) * np.sin(a)
    x = np.sin(d) * np.cos(_POLE[1]) - np.cos(d) * np.sin(_POLE[1]) * np.cos(a)
    return np.degrees(_NODE - np.arctan2(y, x)) % 360, np.degrees(np.arcsin(np.clip(sin_b, -1, 1)))


def survey_coordinates(ra: Array, dec: Array) -> tuple[Array, Array]:
    """SDSS survey coordinates lambda and eta, degrees (Stoughton et al. 2002, AJ 123, 485, section 3.2.2)."""
    a, d = np.radians(ra - 95), np.radians(dec)
    lam = -np.degrees(np.arcsin(np.clip(np.cos(a) * np.cos(d), -1, 1)))
    eta = np.degrees(np.arctan2(np.sin(d), np.sin(a) * np.cos(d))) - 32.5
    return lam, (eta + 180) % 360 - 180


def in_footprint(ra: Array, dec: Array) -> NDArray[np.bool_]:
    """True inside the outline of SDSS imaging, an approximation of it: see Aihara et al. (2011, ApJS 193, 29).

    Both caps are made of stripes 2.5 degrees wide along great circles of constant eta; each stripe ends where it
    meets the cap's outline, which leaves the staircase seen in the survey.
    """
    lam, eta = survey_coordinates(ra, dec)
    stripe = 2.5 * np.round(eta / 2.5)
    _, b = galactic(ra, dec)
    reach = 64 - 0.010 * stripe**2
    north = (np.abs(stripe) <= 36.25) & (np.abs(lam) < reach) & (b > 20)
    wrapped = (ra + 180) % 360 - 180
    west, east = -46 + 2.5 * np.round(np.abs(dec) / 6), 42 - 2.5 * np.round(np.abs(dec - 12) / 5)
    south = (dec > -11.2) & (dec < 35) & (wrapped > west) & (wrapped < east) & (b < -18)
    equatorial = (np.abs(dec) < 1.27) & (wrapped > -50) & (wrapped < 59)
    return north | south | (equatorial & (b < -15))


def _field(seed: int, slope: float) -> Array:
    """A smooth random field over the grid, mean 0 and standard deviation 1, the same for every catalogue."""
    rng = np.random.default_rng(seed)
    k = np.hypot(
        *np.meshgrid(np.fft.fftfreq(DEC_CELLS, 1 / DEC_CELLS), np.fft.rfftfreq(RA_CELLS, 1 / RA_CELLS), indexing="ij")
    )
    noise = np.fft.rfft2(rng.standard_normal((DEC_CELLS, RA_CELLS)))
    smooth = np.fft.irfft2(noise * np.maximum(k, 3) ** slope * np.exp(-((k / 120) ** 2)), s=(DEC_CELLS, RA_CELLS))
    return np.asarray((smooth - smooth.mean()) / smooth.std())


def dust(latitude: Array, patches: Array) -> Array:
    """E(B-V) of a plane-parallel layer with lognormal patches, mag.

    0.022 mag at the pole and the cosecant law are round figures from Schlegel, Finkbeiner & Davis (1998, ApJ 500, 525).
    """
    return 0.020 / np.sin(np.radians(np.maximum(np.abs(latitude), 8))) * np.exp(0.45 * patches - 0.1)


@lru_cache(maxsize=2)
def sky(labelled: bool) -> Sky:
    """The cells of the footprint with all that the simulator needs to know of each."""
    column, row = (part.ravel() for part in np.meshgrid(np.arange(RA_CELLS), np.arange(DEC_CELLS)))
    ra = (column + 0.5) * 360 / RA_CELLS
    dec = np.degrees(np.arcsin((row + 0.5) * 2 / DEC_CELLS - 1))
    inside = in_footprint(ra, dec)
    column, row, ra, dec = column[inside], row[inside], ra[inside], dec[inside]
    longitude, latitude = galactic(ra, dec)
    sight, stars = _star_counts(longitude, latitude, labelled)
    ecliptic = np.sin(np.radians(dec)) * np.cos(_OBLIQUITY) - np.cos(np.radians(dec)) * np.sin(_OBLIQUITY) * np.sin(
        np.radians(ra)
    )
    structure = np.exp(0.35 * _field(20, -1.0).ravel()[inside])
    density = (structure, np.ones(len(ra)), stars)
    galaxies, quasars, star_cells = (census(weight[None]) for weight in density)
    return Sky(
        column.astype(np.int32),
        row.astype(np.int32),
        sight.astype(np.int32),
        dust(latitude, _field(21, -1.5).ravel()[inside]).astype(np.float32),
        # Scans of WISE cross at the ecliptic poles: exposure grows there, noise falls with its root.
        np.maximum(1 - ecliptic**2, 0.04).astype(np.float32) ** np.float32(0.32),
        (galaxies, quasars, star_cells),
    )


def _star_counts(longitude: Array, latitude: Array, labelled: bool) -> tuple[NDArray[np.int64], Array]:
    """Nearest line of sight and the interpolated star counts of each cell."""
    totals = sight_totals(labelled).reshape(len(LATITUDES), len(LONGITUDES))
    fold = 180 - np.abs(180 - longitude)
    at_b = np.interp(np.abs(latitude), LATITUDES, np.arange(len(LATITUDES)))
    at_l = np.interp(fold, LONGITUDES, np.arange(len(LONGITUDES)))
    b0, l0 = np.minimum(at_b.astype(int), len(LATITUDES) - 2), np.minimum(at_l.astype(int), len(LONGITUDES) - 2)
    fb, fl = at_b - b0, at_l - l0
    log = np.log(totals)
    counts = np.exp(
        (log[b0, l0] * (1 - fl) + log[b0, l0 + 1] * fl) * (1 - fb)
        + (log[b0 + 1, l0] * (1 - fl) + log[b0 + 1, l0 + 1] * fl) * fb
    )
    return np.round(at_b).astype(int) * len(LONGITUDES) + np.round(at_l).astype(int), counts
