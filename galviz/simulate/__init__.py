"""A physically calibrated sky of any size, as SDSS and WISE would list it.

`sky` says where sources lie; `stars`, `galaxies` and `quasars` draw noiseless ones from a `census` of weighted cells;
`survey` measures them. The random numbers of a part depend on (seed, part, labelled) alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.simulate.galaxies import galaxies
from galviz.simulate.kernels import draw_cells
from galviz.simulate.quasars import quasars
from galviz.simulate.schema import schema
from galviz.simulate.sky import DEC_CELLS, RA_CELLS, Sky, sky
from galviz.simulate.sources import Draws, Sources, darkness, here
from galviz.simulate.stars import stars
from galviz.simulate.survey import measure, spectroscopic_class

__all__ = ["CLASS_MIX", "MAX_PARTS", "MAX_ROWS", "batch", "schema"]

Columns = dict[str, NDArray[Any]]

# Shares of GALAXY, QSO and STAR, unlabelled and labelled: Clarke et al. (2020, A&A 639, A84).
CLASS_MIX = {False: (0.45, 0.02, 0.53), True: (0.71, 0.125, 0.165)}
MAX_ROWS = 1 << 24
MAX_PARTS = 1 << 23
_FIRST_ID = (2 << 59) | (301 << 48)  # sky version 2, rerun 301: the leading bits of an SDSS objid
_MAKERS: tuple[Callable[[Draws, NDArray[np.int32], bool], Sources], ...] = (galaxies, quasars, stars)


def batch(rows: int, seed: int, part: int, *, labelled: bool = False) -> Columns:
    """Simulate one part of a catalogue, fully determined by its arguments.

    Returns one array of length `rows` per column, in the order of `schema(labelled)`. Parts of one seed are
    independent, and so are the labelled and the unlabelled sky. Raises ValueError for a negative argument, more than
    MAX_ROWS rows or a part from MAX_PARTS on.
    """
    if not (0 <= rows <= MAX_ROWS and seed >= 0 and 0 <= part < MAX_PARTS):
        raise ValueError(f"cannot simulate rows={rows}, seed={seed}, part={part}")
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, part, int(labelled)))))
    place = rng.random((5, rows))  # class, cell of the sky, RA and Dec within it, cell of the census
    uniform = rng.random((rows, 9), dtype=np.float32)
    normal = rng.standard_normal((rows, 26), dtype=np.float32)
    kind = np.searchsorted(np.cumsum(CLASS_MIX[labelled])[:2], place[0], side="right").astype(np.int8)
    cells = sky(labelled)
    draws = Draws(place[4], uniform, normal)
    cell, sources = _populate(kind, place[1], draws, cells, labelled)
    columns = _positions(cells, cell, place[2], place[3], part, labelled)
    columns |= measure(sources, draws, cells.dust[cell], cells.depth[cell], labelled=labelled)
    return columns | _truth(kind, sources.redshift, uniform[:, 8], labelled)


def _populate(
    kind: NDArray[np.int8], place: NDArray[np.float64], draws: Draws, cells: Sky, labelled: bool
) -> tuple[NDArray[np.int32], Sources]:
    """Cell of the sky and noiseless light of each source."""
    cell, result = np.empty(len(kind), np.int32), darkness(len(kind))
    for code, make in enumerate(_MAKERS):
        own = np.flatnonzero(kind == code)
        table = cells.classes[code]
        cell[own] = draw_cells(table.keep, table.other, here(len(own)), place[own])
        some = Draws(draws.place[own], draws.uniform[own], draws.normal[own])
        sources = make(some, cells.sight[cell[own]], labelled)
        result.point[own], result.extended[own] = sources.point, sources.extended
        result.size[own], result.redshift[own] = sources.size, sources.redshift
    return cell, result


def _positions(
    cells: Sky,
    cell: NDArray[np.int32],
    east: NDArray[np.float64],
    north: NDArray[np.float64],
    part: int,
    labelled: bool,
) -> Columns:
    """Identifier and position of sources at the fractions east and north of their cells."""
    rows = np.arange(len(cell), dtype=np.int64)
    return {
        "objid": _FIRST_ID | (part << 25) | (int(labelled) << 24) | rows,
        "ra": (cells.column[cell] + east) * (360 / RA_CELLS),
        "dec": np.degrees(np.arcsin((cells.row[cell] + north) * (2 / DEC_CELLS) - 1)),
    }


def _truth(
    kind: NDArray[np.int8], redshift: NDArray[np.float32], uniform: NDArray[np.float32], labelled: bool
) -> Columns:
    if not labelled:
        return {"sim_class": kind, "sim_redshift": redshift}
    given, measured = spectroscopic_class(kind, redshift, uniform)
    return {"class": given, "redshift": measured}
