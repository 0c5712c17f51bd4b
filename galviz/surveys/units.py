"""Units as files write them, and what turns a value of one unit into another (astropy.units)."""

from __future__ import annotations

import functools
import re
from typing import Any

from astropy import units

# What is written in files and is not a unit of any standard.
_SPELLINGS = {
    "degree": "deg", "degrees": "deg", "degr": "deg", "mags": "mag", "magnitude": "mag", "magnitudes": "mag",
    "vegamag": "mag", "abmag": "mag(AB)", "mag_ab": "mag(AB)", "ab_mag": "mag(AB)", "ab mag": "mag(AB)",
    "arcseconds": "arcsec", "hours": "h", "nanomaggies": "nmgy", "percent": "%",
}  # fmt: skip


@functools.cache
def known_unit(text: str) -> Any:
    """The unit that a text means, a unit of astropy, or None where it means none that is known."""
    text = " ".join(text.split())
    if not re.search(r"[A-Za-z%]", text):
        return None
    lower = text.lower() if len(text) > 2 else text
    for spelling in dict.fromkeys((text, _SPELLINGS.get(lower, text), lower)):
        unit = units.Unit(spelling, parse_strict="silent")
        if not isinstance(unit, units.UnrecognizedUnit):
            return unit
    return None


def system_of(text: str) -> str:
    """The photometric system that a unit such as mag(AB) names, or nothing."""
    unit = known_unit(text)
    return str(unit.physical_unit) if isinstance(unit, units.MagUnit) else ""


def is_magnitude(text: str) -> bool:
    """Whether a unit is one of magnitudes; other logarithms, such as dex, are not."""
    return "mag" in str(known_unit(text)) and factor(text, "mag") is not None


@functools.cache
def factor(found: str, wanted: str) -> float | None:
    """What a value in the unit `found` is multiplied by to be one in the unit `wanted`; nothing is dimensionless.

    None where the one cannot be converted to the other.
    """
    have, want = (_plain(known_unit(text) or units.dimensionless_unscaled) for text in (found, wanted))
    try:
        return 1.0 if have == want else float(have.to(want))
    except units.UnitConversionError:
        return None


def _plain(unit: Any) -> Any:
    """Magnitudes of a named system are magnitudes."""
    return unit.function_unit if isinstance(unit, units.MagUnit) else unit
