"""The columns that the simulator writes, in file order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from galviz.simulate.survey import BANDS, MEASURED

_EM = {
    "u": "em.opt.U",
    "g": "em.opt.B",
    "r": "em.opt.R",
    "i": "em.opt.I",
    "z": "em.opt.I",
    "w1": "em.IR.3-4um",
    "w2": "em.IR.4-8um",
    "w3": "em.IR.8-15um",
    "w4": "em.IR.15-30um",
}
_WISE = ("w1", "w2", "w3", "w4")


def _column(name: str, dtype: str, role: str, unit: str, ucd: str, description: str, **extra: str) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "role": role, "unit": unit, "ucd": ucd, "description": description, **extra}


def _optical(band: str) -> Iterator[dict[str, Any]]:
    word, raw = _EM[band], "not corrected for extinction"
    text = f"SDSS PSF magnitude in {band}, {raw}"
    yield _column(f"psf_{band}", "float32", "magnitude", "mag", f"phot.mag;{word}", text, system="AB")
    text = f"Uncertainty of psf_{band}"
    yield _column(f"psferr_{band}", "float32", "uncertainty", "mag", f"stat.error;phot.mag;{word}", text)
    text = f"Galactic extinction in {band}"
    yield _column(f"ext_{band}", "float32", "extinction", "mag", f"phys.absorption.gal;{word}", text)
    if band == "r":
        text = f"SDSS composite model magnitude in r, {raw}"
        yield _column("cmod_r", "float32", "magnitude", "mag", f"phot.mag;{word}", text, system="AB")


def _infrared(band: str) -> Iterator[dict[str, Any]]:
    word = _EM[band]
    text = f"WISE {band.upper()} profile-fit magnitude"
    yield _column(band, "float32", "magnitude", "mag", f"phot.mag;{word}", text, system="Vega")
    text = f"Uncertainty of {band}; for a limit 0.543 mag, that of a source at signal to noise 2"
    yield _column(f"{band}err", "float32", "uncertainty", "mag", f"stat.error;phot.mag;{word}", text)
    if band in ("w3", "w4"):
        text = f"True where {band} is a 95 % upper limit on the brightness"
        yield _column(f"{band}_limit", "bool", "flag", "", f"meta.code;phot.mag;{word}", text)


def _magnitudes() -> list[dict[str, Any]]:
    """The measured columns in the order of survey.MEASURED."""
    every = {column["name"]: column for band in BANDS for column in _optical(band)}
    every |= {column["name"]: column for band in _WISE for column in _infrared(band)}
    return [every[name] for name in MEASURED]


SCHEMA: tuple[dict[str, Any], ...] = (
    _column("objid", "int64", "id", "", "meta.id;meta.main", "Object identifier, unique over all parts"),
    _column("ra", "float64", "position", "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS J2000"),
    _column("dec", "float64", "position", "deg", "pos.eq.dec;meta.main", "Declination, ICRS J2000"),
    *_magnitudes(),
    _column(
        "resolved_r",
        "float32",
        "morphology",
        "mag",
        "phot.mag;em.opt.R;arith.diff",
        "Resolution: |psf_r - cmod_r|, near 0 for a point source",
    ),
    _column(
        "class",
        "int8",
        "truth",
        "",
        "src.class",
        "Spectroscopic class; as from a real pipeline, wrong for about one source in two hundred",
    ),
    _column("redshift", "float32", "redshift", "", "src.redshift", "Spectroscopic redshift; wrong where the class is"),
    _column("sim_class", "int8", "simulation", "", "src.class", "Class that was simulated; a real catalogue has none"),
    _column(
        "sim_redshift",
        "float32",
        "simulation",
        "",
        "src.redshift",
        "Redshift that was simulated; a real catalogue has none",
    ),
)


def schema(labelled: bool) -> tuple[dict[str, Any], ...]:
    """The columns of a labelled (`class`, `redshift`) or unlabelled (`sim_class`, `sim_redshift`) catalogue."""
    absent = ("simulation",) if labelled else ("truth", "redshift")
    return tuple(column for column in SCHEMA if column["role"] not in absent)
