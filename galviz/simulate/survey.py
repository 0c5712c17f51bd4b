"""How SDSS and WISE measure: depth, noise, point-spread functions, limits."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.simulate import kernels
from galviz.simulate.census import w1_limit
from galviz.simulate.sources import Draws, Sources
from galviz.simulate.tables import templates

BANDS = ("u", "g", "r", "i", "z")
CLASSES = ("GALAXY", "QSO", "STAR")
MEASURED = (
    *(f"psf_{band}" for band in BANDS),
    *(f"psferr_{band}" for band in BANDS),
    *(f"ext_{band}" for band in BANDS),
    "cmod_r",
    "w1",
    "w2",
    "w3",
    "w4",
    "w1err",
    "w2err",
    "w3err",
    "w4err",
    "w3_limit",
    "w4_limit",
)


# Rows: true class; columns: the class that a spectrum is given. Bolton et al. (2012, AJ 144, 144) find about one wrong
# class in a hundred; how the mistakes divide is a guess.
MISTAKES = np.array([[0.9970, 0.0020, 0.0010], [0.012, 0.984, 0.004], [0.005, 0.003, 0.992]])


def _flux(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10 ** (-0.4 * magnitude))


@lru_cache(maxsize=1)
def optical() -> NDArray[np.float64]:
    """Softening, sky sigma, photon term, floor and PSF sigma (arcsec) of u g r i z, shape (5, 5).

    Softening: Stoughton et al. (2002, AJ 123, 485), table 21. Depths (5 sigma, point source) 22.1, 23.1, 22.8, 22.2,
    20.7 and seeing: SDSS DR14 scope page, rounded.
    """
    softening = np.array([1.4, 0.9, 1.2, 1.8, 7.4]) * 1e-10
    sky = _flux(np.array([22.10, 23.10, 22.70, 22.15, 20.70])) / 5
    photon = sky**2 / _flux(np.array([20.0, 21.2, 20.6, 20.0, 18.4]))
    floor = np.array([0.020, 0.012, 0.010, 0.010, 0.015])
    sigma = np.array([1.53, 1.44, 1.32, 1.26, 1.29]) / 2.3548
    return np.stack([softening, sky, photon, floor, sigma], axis=1)


@lru_cache(maxsize=1)
def infrared() -> NDArray[np.float64]:
    """Sky sigma, floor and PSF sigma (arcsec) of W1 to W4, shape (4, 3).

    Depths (5 sigma, Vega) 17.0, 15.9, 11.75, 8.1 and beams: Wright et al. (2010, AJ 140, 1868) and the AllWISE
    Explanatory Supplement, set within their range so that the limits of real sources are met.
    """
    sky = _flux(np.array([17.00, 15.90, 11.75, 8.10])) / 5
    return np.stack([sky, np.array([0.022, 0.020, 0.015, 0.020]), np.array([6.1, 6.4, 6.5, 12.0]) / 2.3548], axis=1)


def measure(
    sources: Sources, draws: Draws, dust: NDArray[np.float32], depth: NDArray[np.float32], *, labelled: bool
) -> dict[str, NDArray[Any]]:
    """The columns MEASURED of sources behind `dust` (E(B-V), mag), where the WISE noise has the factor `depth`."""
    out = np.empty((len(MEASURED), len(dust)), np.float32)
    law = templates()["extinction"].astype(np.float64)
    light = (sources.point, sources.extended, sources.size, dust, law)
    normal = draws.normal[:, 6:]  # the first six made the source
    kernels.observe_optical(*light, optical(), draws.uniform, normal, out)
    kernels.observe_infrared(*light, depth, infrared(), w1_limit(labelled), draws.uniform, normal, out)
    columns: dict[str, NDArray[Any]] = dict(zip(MEASURED, out, strict=True))
    for name in ("w3_limit", "w4_limit"):
        columns[name] = columns[name] > 0.5
    columns["resolved_r"] = np.abs(columns["psf_r"] - columns["cmod_r"])
    return columns


def spectroscopic_class(
    kind: NDArray[np.int8], redshift: NDArray[np.float32], uniform: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Class and redshift that spectra are given: a few are wrong, and a wrong class has a wrong redshift."""
    edges = np.cumsum(MISTAKES, axis=1)[kind]
    given = (uniform[:, None] >= edges[:, :2]).sum(axis=1).astype(np.int8)
    star = CLASSES.index("STAR")
    mistaken = np.where(given == star, 0, 3 * (redshift * 1.7 + uniform) % 1.0)
    return given, np.where(given == kind, redshift, mistaken).astype(np.float32)
