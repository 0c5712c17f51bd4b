"""Galaxies: six types of redshifted templates under a luminosity function."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from numpy.typing import NDArray

from galviz.simulate import kernels
from galviz.simulate.census import Census, census, detected, logistic
from galviz.simulate.sources import BANDS, Draws, Grid, Sources, darkness, here
from galviz.simulate.tables import templates

Array = NDArray[np.float64]

COSMOLOGY = FlatLambdaCDM(70, 0.3)
TYPES = ("old", "sab", "sbc", "scd", "irr", "burst")
LOGZ_EDGES = np.linspace(np.log(1.004), np.log(2.5), 181)
R_EDGES = np.arange(13.5, 23.51, 0.2)
GRID = Grid(
    float(R_EDGES[0]), float(R_EDGES[1] - R_EDGES[0]), len(R_EDGES) - 1,
    float(LOGZ_EDGES[0]), float(LOGZ_EDGES[1] - LOGZ_EDGES[0]), len(LOGZ_EDGES) - 1,
)  # fmt: skip
# Per type, r band at z = 0.1 for h = 0.7: M*, faint slope, density in 10^-3 Mpc^-3, brightening per unit redshift and
# density evolution exponent. After Blanton et al. (2003, ApJ 592, 819) and, by type, Madgwick et al. (2002, MNRAS
# 333, 133) and Loveday et al. (2012, MNRAS 420, 1239).
SCHECHTER = np.array(
    [
        [-21.20, -0.45, 2.6, 1.1, -0.5],
        [-21.10, -0.75, 1.7, 1.2, 0.0],
        [-21.10, -1.00, 2.4, 1.3, 0.5],
        [-20.75, -1.20, 2.4, 1.4, 1.0],
        [-20.10, -1.35, 1.7, 1.5, 1.5],
        [-19.40, -1.45, 0.45, 1.6, 2.0],
    ]
)


class GalaxyLaw(NamedTuple):
    """Free parameters of the spectra, by type where they are arrays.

    reddening: median E(B-V) of dust within, with its spread in ln; glow: ln strength of the aromatic features and warm
    dust, and spread; torus: ln strength of hot dust around a weak nucleus, and spread; agn: the same around the
    obscured nucleus that a share agn_share of galaxies has (Seyfert 2), and spread; tilt_spread: mag per band;
    evolution: shift towards younger types per unit redshift beyond 0.3. Set so that the colours at each redshift meet
    those of SDSS and WISE.
    """

    reddening: Array
    reddening_spread: float
    glow: Array
    glow_spread: Array
    torus: Array
    torus_spread: float
    agn_share: float
    agn: float
    agn_spread: float
    tilt_spread: float
    evolution: float


LAW = GalaxyLaw(
    reddening=np.array([0.02, 0.10, 0.20, 0.20, 0.15, 0.10]),
    reddening_spread=0.7,
    glow=np.array([-7.15, -5.15, -3.7, -3.4, -3.4, -3.4]),
    glow_spread=np.array([0.9, 0.9, 0.6, 0.5, 0.5, 0.6]),
    torus=np.array([-10.4, -9.6, -9.3, -9.4, -9.4, -9.3]),
    torus_spread=1.45,
    agn_share=0.02,
    agn=-4.1,
    agn_spread=0.8,
    tilt_spread=0.04,
    evolution=0.6,
)


class Spectra(NamedTuple):
    """Templates as the kernels take them: step of ln(1 + z), fluxes (types, redshifts, 9) and (redshifts, 9)."""

    step: float
    stars: NDArray[np.float32]
    attenuation: NDArray[np.float32]
    aromatic: NDArray[np.float32]
    torus: NDArray[np.float32]


class Distance(NamedTuple):
    """Distance modulus (redshifts,) and K correction in r (types, redshifts) of the census."""

    modulus: Array
    k: Array


@lru_cache(maxsize=1)
def spectra() -> Spectra:
    """The galaxy templates."""
    t = templates()
    nucleus = t["quasar_flux"][2] + 0.4 * t["quasar_flux"][3]
    hot = [np.interp(t["galaxy_logz"], t["quasar_logz"], nucleus[:, b]) for b in range(BANDS)]
    torus = np.ascontiguousarray(np.stack(hot, axis=1), dtype=np.float32)
    return Spectra(float(t["galaxy_logz"][1]), t["galaxy_flux"], t["galaxy_attenuation"], t["aromatic_flux"], torus)


@lru_cache(maxsize=1)
def photometry() -> tuple[Array, Array]:
    """K correction in r (types, redshifts) and magnitude minus r (types, redshifts, 9) at the census redshifts."""
    table = templates()
    centre = 0.5 * (LOGZ_EDGES[:-1] + LOGZ_EDGES[1:])
    magnitude = -2.5 * np.log10(table["galaxy_flux"].astype(float))
    at = np.stack(
        [[np.interp(centre, table["galaxy_logz"], magnitude[t, :, b]) for b in range(BANDS)] for t in range(len(TYPES))]
    ).transpose(0, 2, 1)
    reference = np.stack([np.interp(np.log(1.1), table["galaxy_logz"], magnitude[t, :, 2]) for t in range(len(TYPES))])
    k = at[:, :, 2] - reference[:, None] - 2.5 * np.log10(1.1)
    return k, at - at[:, :, 2:3]


@lru_cache(maxsize=1)
def distances() -> tuple[Array, Array]:
    """Distance modulus and comoving volume per redshift bin."""
    edges = np.expm1(LOGZ_EDGES)
    centre = np.expm1(0.5 * (LOGZ_EDGES[:-1] + LOGZ_EDGES[1:]))
    return COSMOLOGY.distmod(centre).value, np.diff(COSMOLOGY.comoving_volume(edges).value)


def counts() -> Array:
    """Galaxies in each (type, redshift, r) cell, relative."""
    k, _ = photometry()
    modulus, volume = distances()
    z = np.expm1(0.5 * (LOGZ_EDGES[:-1] + LOGZ_EDGES[1:]))
    r = 0.5 * (R_EDGES[:-1] + R_EDGES[1:])
    absolute = r - modulus[:, None] - k[:, :, None]
    star, slope, number, brighten, evolve = (SCHECHTER[:, i, None, None] for i in range(5))
    x = 10 ** (-0.4 * (absolute - star + brighten * (z[:, None] - 0.1)))
    return np.asarray(number * (1 + z[:, None]) ** evolve * x ** (slope + 1) * np.exp(-x) * volume[:, None])


def _programmes(weight: Array) -> Array:
    """SDSS spectroscopic targets: main sample, luminous red galaxies, BOSS LOWZ and CMASS.

    Limits after Strauss et al. (2002, AJ 124, 1810), Eisenstein et al. (2001, AJ 122, 2267) and Dawson et al. (2013,
    AJ 145, 10), written as windows in redshift, type and magnitude.
    """
    _, offset = photometry()
    z = np.expm1(0.5 * (LOGZ_EDGES[:-1] + LOGZ_EDGES[1:]))[None, :, None]
    r = (0.5 * (R_EDGES[:-1] + R_EDGES[1:]))[None, None, :]
    i = r + offset[:, :, 3, None]
    red = np.array([1, 0.35, 0.02, 0, 0, 0])[:, None, None]
    redder = np.array([1, 0.6, 0.25, 0.08, 0.02, 0])[:, None, None]
    main = weight * logistic(r - 17.6, 0.12)
    lrg = weight * red * logistic(r - 18.8 - 2 * (z - 0.35), 0.1) * logistic(0.26 - z, 0.02) * logistic(z - 0.44, 0.02)
    cmass = weight * redder * logistic(i - 19.9 + 6 * np.maximum(0.55 - z, 0), 0.1) * logistic(0.43 - z, 0.02)
    faint = weight * redder * logistic(i - 20.3, 0.2) * logistic(0.6 - z, 0.03)
    deep = weight * logistic(r - 21.8, 0.2)
    parts = [(0.74, main), (0.075, lrg), (0.125, cmass), (0.045, faint), (0.015, deep)]
    return np.asarray(sum(share * part / part.sum() for share, part in parts))


@lru_cache(maxsize=2)
def galaxy_census(labelled: bool) -> Census:
    """Cells (type, redshift, r), one line of sight."""
    _, offset = photometry()
    r = (0.5 * (R_EDGES[:-1] + R_EDGES[1:]))[None, None, :]
    w1 = r + offset[:, :, 5, None]
    weight = counts() * detected(w1, labelled) * logistic(r - 22.3, 0.3)
    if labelled:
        weight = _programmes(weight)
    return census(weight.reshape(1, -1))


def galaxies(draws: Draws, sight: NDArray[np.int32], labelled: bool) -> Sources:
    """Draw galaxies: extended, with a half-light radius and a redshift; the line of sight does not matter."""
    table, result = galaxy_census(labelled), darkness(len(draws.place))
    cell = kernels.draw_cells(table.keep, table.other, here(len(sight)), draws.place)
    kernels.galaxy_fluxes(
        cell, draws.uniform, draws.normal, spectra(), Distance(distances()[0], photometry()[0]), LAW, GRID,
        result.extended, result.size, result.redshift,
    )  # fmt: skip
    return result
