"""Stars: a stellar locus seen through a disc, a thick disc and a halo."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galviz.simulate import kernels
from galviz.simulate.census import Census, census, detected, logistic
from galviz.simulate.sources import Draws, Grid, Sources, darkness

Array = NDArray[np.float64]

LATITUDES = np.array([18.0, 25, 33, 42, 52, 65, 85])
LONGITUDES = np.array([0.0, 60, 120, 180])
R_EDGES = np.arange(13.5, 24.01, 0.25)

# Columns: M_r, number density (10^-3 pc^-3 mag^-1 near the Sun), g-r, u-g, r-i, i-z, z-W1, W1-W2, W2-W3, W3-W4.
# Colours follow the locus of Covey et al. (2007, AJ 134, 2398) and Davenport et al. (2014, MNRAS 440, 3430),
# luminosities Juric et al. (2008, ApJ 673, 864), densities Bochanski et al. (2010, AJ 139, 2679) and
# Reid et al. (2002, AJ 124, 2721); late M, L and T dwarfs Hawley et al. (2002, AJ 123, 3409) and
# Kirkpatrick et al. (2011, ApJS 197, 19). Round figures, set to the medians of SDSS stars where they disagree.
DWARFS = np.array(
    [
        [2.6, 0.3, 0.02, 1.08, -0.09, -0.05, 0.85, -0.04, 0.00, 0.05],
        [3.4, 0.8, 0.16, 0.93, 0.02, -0.02, 0.96, -0.04, 0.02, 0.05],
        [4.2, 1.8, 0.27, 0.92, 0.08, 0.01, 1.06, -0.04, 0.04, 0.05],
        [4.7, 2.4, 0.36, 1.06, 0.12, 0.03, 1.18, -0.04, 0.05, 0.05],
        [5.3, 2.8, 0.48, 1.30, 0.17, 0.07, 1.40, -0.05, 0.06, 0.05],
        [6.2, 3.0, 0.70, 1.81, 0.25, 0.13, 1.65, -0.06, 0.06, 0.05],
        [7.0, 3.1, 0.92, 2.21, 0.35, 0.19, 1.80, -0.05, 0.06, 0.05],
        [7.8, 3.6, 1.18, 2.48, 0.48, 0.28, 1.97, -0.02, 0.08, 0.06],
        [8.6, 5.0, 1.36, 2.58, 0.68, 0.40, 2.15, 0.05, 0.10, 0.08],
        [9.6, 8.0, 1.42, 2.60, 0.92, 0.51, 2.28, 0.11, 0.14, 0.10],
        [10.7, 10.0, 1.44, 2.62, 1.22, 0.65, 2.32, 0.16, 0.20, 0.10],
        [12.0, 9.0, 1.48, 2.65, 1.55, 0.82, 2.48, 0.19, 0.26, 0.10],
        [13.6, 6.0, 1.56, 2.65, 1.95, 1.08, 2.72, 0.22, 0.32, 0.12],
        [15.5, 4.0, 1.65, 2.60, 2.50, 1.45, 3.05, 0.24, 0.40, 0.15],
        [17.5, 3.0, 1.90, 2.50, 2.75, 1.75, 3.60, 0.28, 0.55, 0.20],
        [19.5, 2.0, 2.30, 2.50, 2.50, 1.95, 4.20, 0.38, 0.80, 0.30],
        [21.5, 2.0, 2.60, 2.50, 2.60, 2.60, 4.60, 0.75, 1.10, 0.40],
        [23.5, 2.0, 2.80, 2.50, 3.20, 3.20, 4.80, 1.60, 1.30, 0.50],
    ]
)
GIANTS = np.array(
    [
        [2.8, 0.10, 0.50, 1.20, 0.19, 0.09, 1.42, -0.04, 0.04, 0.05],
        [1.0, 0.05, 0.58, 1.45, 0.23, 0.12, 1.58, -0.05, 0.04, 0.05],
        [0.0, 0.03, 0.72, 1.85, 0.29, 0.16, 1.75, -0.06, 0.04, 0.05],
        [-1.2, 0.008, 0.95, 2.30, 0.40, 0.22, 1.95, -0.07, 0.04, 0.05],
    ]
)
BLUE_HORIZONTAL = np.array(
    [
        [0.8, 0.010, -0.28, 0.90, -0.24, -0.17, 0.45, -0.03, 0.00, 0.05],
        [0.6, 0.020, -0.18, 1.12, -0.17, -0.11, 0.60, -0.03, 0.00, 0.05],
        [0.5, 0.015, 0.00, 1.15, -0.09, -0.06, 0.75, -0.03, 0.00, 0.05],
    ]
)
WHITE_DWARFS = np.array(
    [
        [9.5, 0.02, -0.50, -0.45, -0.36, -0.32, -0.55, -0.05, 0.00, 0.05],
        [11.0, 0.25, -0.32, 0.10, -0.29, -0.27, -0.25, -0.03, 0.00, 0.05],
        [12.0, 0.6, -0.12, 0.38, -0.18, -0.17, 0.10, -0.02, 0.00, 0.05],
        [13.0, 1.0, 0.15, 0.45, 0.00, -0.05, 0.55, 0.00, 0.00, 0.05],
        [14.5, 1.5, 0.55, 0.95, 0.20, 0.08, 1.10, 0.00, 0.00, 0.05],
        [16.0, 1.0, 0.95, 1.75, 0.35, 0.17, 1.40, 0.02, 0.00, 0.05],
    ]
)


class Population(NamedTuple):
    """Share of the local density, and what metallicity does to its dwarfs: M_r fainter, u-g bluer (mag).

    Ivezic et al. (2008, ApJ 684, 287) and Juric et al. (2008, ApJ 673, 864).
    """

    share: float
    subdwarf: float
    ultraviolet: float


POPULATIONS = {
    "disc": Population(1.0, 0.0, 0.0),
    "thick": Population(0.10, 0.3, -0.06),
    "halo": Population(0.004, 1.0, -0.20),
}
# Which sequences each population has; the blue horizontal branch gives its own local density.
SEQUENCES: dict[str, tuple[Array, ...]] = {
    "disc": (DWARFS, GIANTS, WHITE_DWARFS),
    "thick": (DWARFS, GIANTS, WHITE_DWARFS),
    "halo": (DWARFS, GIANTS, BLUE_HORIZONTAL),
}


@dataclass(frozen=True, eq=False)
class Species:
    """Steps along the sequences: start and end of each step in M_r, colours and weight.

    magnitude: (steps, 2) M_r; offset: (steps, 2, 9) magnitude minus r in the nine bands; density: (steps,) per
    10^3 pc^3; population: (steps,) index into POPULATIONS.
    """

    magnitude: Array
    offset: Array
    density: Array
    population: NDArray[np.int64]


def _offsets(nodes: Array) -> Array:
    g_r, u_g, r_i, i_z, z_w1, w1_w2, w2_w3, w3_w4 = nodes[:, 2:].T
    steps = np.cumsum([-r_i, -i_z, -z_w1, -w1_w2, -w2_w3, -w3_w4], axis=0)
    return np.stack([g_r + u_g, g_r, np.zeros_like(g_r), *steps], axis=1)


def _steps(nodes: Array, pieces: int) -> tuple[Array, Array, Array]:
    """Cut a sequence into steps: M_r (n, 2), offsets (n, 2, 9), density per step (n,)."""
    at = np.linspace(0, len(nodes) - 1, pieces * (len(nodes) - 1) + 1)
    fine = np.stack([np.interp(at, np.arange(len(nodes)), column) for column in nodes.T], axis=1)
    magnitude = np.stack([fine[:-1, 0], fine[1:, 0]], axis=1)
    offset = _offsets(fine)
    density = 0.5 * (fine[:-1, 1] + fine[1:, 1]) * np.abs(np.diff(fine[:, 0]))
    return magnitude, np.stack([offset[:-1], offset[1:]], axis=1), density


def _in_population(nodes: Array, name: str) -> Array:
    """A sequence as the stars of a population have it: metal-poor dwarfs and giants, no young blue stars."""
    population, result = POPULATIONS[name], nodes.copy()
    if nodes is DWARFS or nodes is GIANTS:
        hot = np.clip((1.3 - nodes[:, 2]) / 0.5, 0, 1) * np.clip(nodes[:, 2] / 0.2, 0, 1)
        result[:, 3] += population.ultraviolet * hot
    if nodes is DWARFS:
        result[:, 0] += population.subdwarf
    if nodes is DWARFS and name != "disc":
        result[nodes[:, 0] < 4, 1] *= 0.02
    result[:, 1] *= 0.004 if nodes is BLUE_HORIZONTAL else population.share
    return result


@lru_cache(maxsize=1)
def species() -> Species:
    """All steps of all sequences in all populations."""
    parts = []
    for index, name in enumerate(POPULATIONS):
        for nodes in SEQUENCES[name]:
            magnitude, offset, number = _steps(_in_population(nodes, name), 3)
            parts.append((magnitude, offset, number, np.full(len(number), index)))
    return Species(*(np.concatenate(piece) for piece in zip(*parts, strict=True)))


def density(population: int, x: Array, z: Array) -> Array:
    """Relative density at galactocentric cylinder radius x and height z (pc), 1 at the Sun.

    Juric et al. (2008, ApJ 673, 864), rounded: scale heights 300 and 900 pc, lengths 2600 and 3600 pc, halo
    power law 2.8 flattened by 0.64.
    """
    if population == 0:
        return np.asarray(np.exp(-np.abs(z) / 300 - (x - 8000) / 2600))
    if population == 1:
        return np.asarray(np.exp(-np.abs(z) / 900 - (x - 8000) / 3600))
    return np.asarray((np.hypot(np.maximum(x, 500), z / 0.64) / 8000) ** -2.8)


@lru_cache(maxsize=1)
def counts() -> Array:
    """Stars per steradian in each (sight, step, r bin), shape (28, steps, bins)."""
    kinds = species()
    r = 0.5 * (R_EDGES[:-1] + R_EDGES[1:])
    distance = 10 ** (0.2 * (r - kinds.magnitude.mean(axis=1)[:, None]) + 1)
    result = []
    for latitude in np.radians(LATITUDES):
        for longitude in np.radians(LONGITUDES):
            z = distance * np.sin(latitude) + 25
            flat = distance * np.cos(latitude)
            x = np.sqrt(8000**2 + flat**2 - 2 * 8000 * flat * np.cos(longitude))
            rho = np.stack([density(p, x, z) for p in range(3)])
            chosen = np.take_along_axis(rho, kinds.population[None, :, None], axis=0)[0]
            result.append(chosen * kinds.density[:, None] * distance**3)
    return np.stack(result)


# Stellar spectra by colour: lower and upper g-i, share in per cent, bright and faint end of the targets in r.
TARGETS = np.array(
    [
        [-2.0, -0.5, 0.8, 15.6, 17.0],
        [-0.5, 0.0, 5.2, 15.6, 17.8],
        [0.0, 0.2, 4.4, 15.5, 19.0],
        [0.2, 0.4, 11.6, 16.5, 18.3],
        [0.4, 0.6, 21.0, 15.7, 17.8],
        [0.6, 0.8, 9.9, 15.9, 18.4],
        [0.8, 1.1, 6.3, 16.0, 19.2],
        [1.1, 1.5, 7.1, 16.9, 19.2],
        [1.5, 2.0, 8.8, 17.0, 19.0],
        [2.0, 2.5, 11.2, 17.4, 20.0],
        [2.5, 3.0, 5.8, 18.0, 22.0],
        [3.0, 3.5, 3.3, 19.5, 22.3],
        [3.5, 4.1, 3.0, 20.5, 22.8],
        [4.1, 9.0, 1.5, 21.5, 23.2],
    ]
)


def _selection(labelled: bool) -> Array:
    """Weights (sights, steps, bins) after the survey's limits and, for spectra, the choice of targets."""
    kinds = species()
    r = 0.5 * (R_EDGES[:-1] + R_EDGES[1:])
    offset = kinds.offset.mean(axis=1)
    w1 = r + offset[:, 5:6]
    weight = counts() * detected(w1, labelled)
    if not labelled:
        return np.asarray(weight * (logistic(r - 22.3, 0.3) * logistic(14.2 - r, 0.2)))
    g_i = offset[:, 1] - offset[:, 3]
    total = np.zeros_like(weight)
    for low, high, share, bright, faint in TARGETS:
        chosen = ((g_i >= low) & (g_i < high))[:, None] * (logistic(r - faint, 0.5) * logistic(bright - r, 0.2))
        part = weight * chosen * 10 ** (-0.2 * (r - 17))
        total += share * part / part.sum(axis=(1, 2), keepdims=True)
    return np.asarray(total * np.sqrt(weight.sum(axis=(1, 2), keepdims=True)))


@lru_cache(maxsize=2)
def star_census(labelled: bool) -> Census:
    """Cells (step, r bin) for each line of sight."""
    weight = _selection(labelled)
    return census(weight.reshape(len(weight), -1))


def sight_totals(labelled: bool) -> Array:
    """Summed weight of each line of sight, shape (28,)."""
    return star_census(labelled).total


def stars(draws: Draws, sight: NDArray[np.int32], labelled: bool) -> Sources:
    """Draw stars along the given lines of sight: points at redshift 0."""
    table, kinds, result = star_census(labelled), species(), darkness(len(draws.place))
    cell = kernels.draw_cells(table.keep, table.other, sight, draws.place)
    grid = Grid(float(R_EDGES[0]), float(R_EDGES[1] - R_EDGES[0]), len(R_EDGES) - 1)
    kernels.star_fluxes(cell, draws.uniform, draws.normal, kinds.magnitude, kinds.offset, grid, result.point)
    return result
