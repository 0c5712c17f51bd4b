"""Lines of right ascension, declination and the Galactic plane on the Hammer projection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from galviz.formulas import FORMULAS

STEP = 30
POINTS = 181


@dataclass(frozen=True)
class Line:
    """A line to draw; `kind` is graticule, galactic or name (one point with a text)."""

    kind: str
    x: list[float]
    y: list[float]
    text: str = ""


def _line(kind: str, ra: np.ndarray, dec: np.ndarray) -> Line:
    return Line(kind, FORMULAS["hammer_x"](ra, dec).tolist(), FORMULAS["hammer_y"](ra, dec).tolist())


@cache
def graticule() -> tuple[Line, ...]:
    """Meridians and parallels every 30 degrees, the Galactic plane and the names of the meridians."""
    dec = np.linspace(-90, 90, POINTS)
    ra = np.linspace(0, 360, POINTS)
    lines = [_line("graticule", np.full(POINTS, float(at)), dec) for at in range(0, 361, STEP)]
    lines += [_line("graticule", ra, np.full(POINTS, float(at))) for at in range(-60, 61, STEP)]
    plane = SkyCoord(l=np.linspace(0, 360, 721) * u.deg, b=np.zeros(721) * u.deg, frame="galactic").icrs
    order = np.argsort(plane.ra.deg)
    lines.append(_line("galactic", plane.ra.deg[order], plane.dec.deg[order]))
    for at in range(STEP, 360, 2 * STEP):
        place = _line("name", np.array([float(at)]), np.array([-4.0]))
        lines.append(Line("name", place.x, place.y, f"{at // 15}h"))
    for at in (-60, -30, 30, 60):
        place = _line("name", np.array([357.0]), np.array([float(at)]))
        lines.append(Line("name", place.x, place.y, f"{at:+d}°"))
    return tuple(lines)
