"""Quasars: a redshifted composite spectrum under a luminosity function."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galviz.simulate import kernels
from galviz.simulate.census import Census, census, detected, logistic
from galviz.simulate.galaxies import COSMOLOGY
from galviz.simulate.sources import Draws, Grid, Sources, darkness, here
from galviz.simulate.tables import templates

Array = NDArray[np.float64]

LOGZ_EDGES = np.linspace(np.log(1.05), np.log(7.2), 241)
R_EDGES = np.arange(15.0, 23.51, 0.2)


GRID = Grid(
    float(R_EDGES[0]), float(R_EDGES[1] - R_EDGES[0]), len(R_EDGES) - 1,
    float(LOGZ_EDGES[0]), float(LOGZ_EDGES[1] - LOGZ_EDGES[0]), len(LOGZ_EDGES) - 1,
)  # fmt: skip


class QuasarLaw(NamedTuple):
    """Free parameters of the spectra.

    slope: change of the optical slope d ln f / d ln wavelength, and spread; line_spread: of ln line strength;
    hot, warm: ln strength of the two dust components, and spread; reddening: mean E(B-V) of an exponential law;
    obscured_share: of nuclei below z = 0.6 with mean E(B-V) obscured_reddening; host: M_r of the host and spread;
    host_cap: largest share of the light from the host, near and far. Set so that the colours at each redshift meet
    those of SDSS and WISE.
    """

    slope: float = -0.20
    slope_spread: float = 0.30
    line_spread: float = 0.30
    hot: float = -2.65
    hot_spread: float = 0.47
    warm: float = -4.75
    warm_spread: float = 0.40
    reddening: float = 0.03
    obscured_share: float = 0.30
    obscured_reddening: float = 0.35
    host: float = -21.85
    host_spread: float = 0.7
    host_cap: float = 0.82
    host_cap_far: float = 0.38


LAW = QuasarLaw()


class Spectra(NamedTuple):
    """Templates as the kernels take them: step of ln(1 + z), and arrays (redshifts, 9).

    disc, lines, hot, warm: fluxes; smc: extinction A / E(B-V); log_wave: ln of rest wavelength over 0.3 micron.
    """

    step: float
    disc: NDArray[np.float32]
    lines: NDArray[np.float32]
    hot: NDArray[np.float32]
    warm: NDArray[np.float32]
    smc: NDArray[np.float32]
    log_wave: NDArray[np.float32]


class Host(NamedTuple):
    """The host galaxy: step of ln(1 + z), fluxes (redshifts, 9), K correction in r (redshifts,)."""

    step: float
    flux: NDArray[np.float32]
    k: Array


@lru_cache(maxsize=1)
def spectra() -> Spectra:
    """The quasar templates."""
    t = templates()
    log_wave = np.log(t["effective"] / np.exp(t["quasar_logz"])[:, None] / 0.3).astype(np.float32)
    disc, lines, hot, warm = t["quasar_flux"]
    return Spectra(float(t["quasar_logz"][1]), disc, lines, hot, warm, t["quasar_reddening"], log_wave)


@lru_cache(maxsize=1)
def host() -> Host:
    """An early spiral."""
    t = templates()
    flux = t["galaxy_flux"][1]
    return Host(float(t["galaxy_logz"][1]), flux, np.asarray(-2.5 * np.log10(flux[:, 2] / flux[0, 2]), dtype=float))


@lru_cache(maxsize=1)
def moduli() -> Array:
    """Distance modulus per redshift bin."""
    return np.asarray(COSMOLOGY.distmod(np.expm1(0.5 * (LOGZ_EDGES[1:] + LOGZ_EDGES[:-1]))).value)


def counts() -> Array:
    """Quasars in each (redshift, r) cell, relative.

    Double power law with luminosity evolution of Croom et al. (2009, MNRAS 399, 1755) to z = 2.2, and a density
    that falls beyond as in Ross et al. (2013, ApJ 773, 14).
    """
    table = templates()
    centre = 0.5 * (LOGZ_EDGES[:-1] + LOGZ_EDGES[1:])
    z = np.expm1(centre)
    r = 0.5 * (R_EDGES[:-1] + R_EDGES[1:])
    flux = (table["quasar_flux"][0] + table["quasar_flux"][1]).astype(float)
    apparent = [-2.5 * np.log10(np.interp(centre, table["quasar_logz"], flux[:, band])) for band in (2, 1)]
    at_two = np.interp(np.log(3.0), centre, apparent[1])
    absolute = r - (COSMOLOGY.distmod(z).value + apparent[0] - at_two)[:, None]
    slow = np.minimum(z, 2.2)
    star = -22.17 - 2.5 * (1.46 * slow - 0.328 * slow**2)
    x = absolute - star[:, None]
    law = 1 / (10 ** (0.4 * (-3.33 + 1) * x) + 10 ** (0.4 * (-1.41 + 1) * x))
    volume = np.diff(COSMOLOGY.comoving_volume(np.expm1(LOGZ_EDGES)).value)
    fade = 10 ** (-0.55 * np.maximum(z - 2.2, 0))
    return np.asarray(law * (volume * fade)[:, None])


def _r_to_w1() -> Array:
    """W1 - r of the mean quasar at each redshift."""
    table = templates()
    centre = 0.5 * (LOGZ_EDGES[:-1] + LOGZ_EDGES[1:])
    disc, lines, hot, warm = table["quasar_flux"].astype(float)
    tilt = np.exp(LAW.slope * np.log(table["effective"] / np.exp(table["quasar_logz"])[:, None] / 0.3))
    flux = (disc + lines) * tilt + np.exp(LAW.hot) * hot + np.exp(LAW.warm) * warm
    return np.asarray(np.interp(centre, table["quasar_logz"], -2.5 * np.log10(flux[:, 5] / flux[:, 2])))


def _programmes(weight: Array) -> Array:
    """Quasar targets of SDSS-I/II, BOSS and eBOSS as windows in redshift and magnitude.

    Richards et al. (2002, AJ 123, 2945), Ross et al. (2012, ApJS 199, 3), Myers et al. (2015, ApJS 221, 27).
    """
    z = np.expm1(0.5 * (LOGZ_EDGES[:-1] + LOGZ_EDGES[1:]))[:, None]
    r = (0.5 * (R_EDGES[:-1] + R_EDGES[1:]))[None, :]
    near = weight * logistic(r - 18.6, 0.3) * logistic(z - 0.35, 0.05)
    legacy = weight * np.where(z < 2.9, logistic(r - 19.2, 0.12), logistic(r - 20.3, 0.12))
    boss = weight * logistic(r - 21.7, 0.15) * logistic(2.1 - z, 0.08)
    eboss = weight * logistic(r - 21.8, 0.2) * logistic(0.6 - z, 0.15) * logistic(z - 2.2, 0.05)
    parts = [(0.08, near), (0.22, legacy), (0.08, boss), (0.62, eboss)]
    return np.asarray(sum(share * part / part.sum() for share, part in parts))


@lru_cache(maxsize=2)
def quasar_census(labelled: bool) -> Census:
    """Cells (redshift, r), one line of sight."""
    z = np.expm1(0.5 * (LOGZ_EDGES[:-1] + LOGZ_EDGES[1:]))[:, None]
    r = (0.5 * (R_EDGES[:-1] + R_EDGES[1:]))[None, :]
    weight = counts() * logistic(r - 22.3, 0.3) * detected(r + _r_to_w1()[:, None], labelled) * (z > 0.05)
    if labelled:
        weight = _programmes(weight)
    return census(weight.reshape(1, -1))


def quasars(draws: Draws, sight: NDArray[np.int32], labelled: bool) -> Sources:
    """Draw quasars: a point in an extended host, with a redshift; the line of sight does not matter."""
    table, result = quasar_census(labelled), darkness(len(draws.place))
    cell = kernels.draw_cells(table.keep, table.other, here(len(sight)), draws.place)
    kernels.quasar_fluxes(
        cell, draws.uniform, draws.normal, spectra(), host(), moduli(), LAW, GRID,
        result.point, result.extended, result.size, result.redshift,
    )  # fmt: skip
    return result
