"""What passes between the steps of the simulation: random numbers in, noiseless sources out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BANDS = 9  # u g r i z W1 W2 W3 W4


class Grid(NamedTuple):
    """Cells of a census: bins of r (mag), and of x = ln(1 + z) where sources have a redshift."""

    r0: float
    dr: float
    bins: int
    x0: float = 0.0
    dx: float = 0.0
    zbins: int = 1


@dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers of n sources: place (n,) and uniform (n, 9) in [0, 1), normal (n, 26)."""

    place: NDArray[np.float64]
    uniform: NDArray[np.float32]
    normal: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sources:
    """Noiseless sources above the atmosphere and the dust.

    point, extended: fluxes (n, 9), each ``10 ** (-0.4 * magnitude)`` in its survey's system; size: half-light radius of
    the extended part (n,), arcsec; redshift: (n,).
    """

    point: NDArray[np.float32]
    extended: NDArray[np.float32]
    size: NDArray[np.float32]
    redshift: NDArray[np.float32]


def darkness(rows: int) -> Sources:
    """Sources without light, to be filled."""
    return Sources(
        np.zeros((rows, BANDS), np.float32),
        np.zeros((rows, BANDS), np.float32),
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
    )


def here(rows: int) -> NDArray[np.int32]:
    """The line of sight of each source where the census has only one."""
    return np.zeros(rows, np.int32)
