"""Where the sources of a file lie: its columns of right ascension and declination, or of galactic coordinates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from galviz.errors import IngestError
from galviz.ingest.looks import Look, remark, spelling, within
from galviz.ingest.readers import ForeignTable
from galviz.manifest import Column
from galviz.surveys import GENERIC, Source
from galviz.surveys.generic import DEC_NAMES, PLACES, RA_NAMES

_PLACE = GENERIC.sources[1:3]
_LAST_PLACE = ("alpha", "delta")  # may mean other things, and are a position where both are there and nothing else is
_GALACTIC = (("glon", "glat"), ("gal_lon", "gal_lat"), ("galactic_lon", "galactic_lat"), ("lii", "bii"), ("l", "b"))


def placed(table: ForeignTable, looks: Sequence[Look]) -> tuple[list[tuple[Source, str]], tuple[Look, ...]]:
    """The sources of the position, each with the reason, and the columns of the file that they are read from.

    Raises IngestError where no columns look like a position.
    """
    if place := _equatorial(looks):
        return [_as_position(*pair) for pair in zip(_PLACE, place, strict=True)], place
    if galactic := _galactic(looks):
        return list(_converted(*galactic)), galactic
    raise _no_position(table, looks)


def _equatorial(looks: Sequence[Look]) -> tuple[Look, Look] | None:
    """Right ascension and declination, the pair that is most like one by UCD or name; None where there is none."""
    last = _LAST_PLACE if set(_LAST_PLACE) <= {entry.plain for entry in looks} else ()
    ra = _candidates(looks, "pos.eq.ra", (*RA_NAMES, *last[:1]), 0.0, 360.0)
    dec = _candidates(looks, "pos.eq.dec", (*DEC_NAMES, *last[1:]), -90.0, 90.0)
    return min(product(ra, dec), key=lambda pair: _rank_of_place(*pair), default=None)


def _candidates(looks: Sequence[Look], ucd: str, names: Sequence[str], low: float, high: float) -> list[Look]:
    """The columns of numbers in a range, in degrees, that are this coordinate by UCD or name."""
    named = (entry for entry in looks if entry.is_number and (_is_at(entry, ucd) or entry.plain in names))
    return [entry for entry in named if within(entry, "deg", low, high)]


def _is_at(entry: Look, ucd: str) -> bool:
    return entry.plain_ucd.startswith(ucd) and "error" not in entry.plain_ucd


def _rank_of_place(ra: Look, dec: Look) -> tuple[int, int, int]:
    """How much two columns look like a position, the smaller the more."""
    by_ucd = [_is_at(ra, "pos.eq.ra"), _is_at(dec, "pos.eq.dec")]
    main = ["meta.main" in entry.plain_ucd for entry, there in zip((ra, dec), by_ucd, strict=True) if there]
    names = (ra.plain, dec.plain)
    return -sum(main), -sum(by_ucd), PLACES.index(names) if names in PLACES else len(PLACES)


def _galactic(looks: Sequence[Look]) -> tuple[Look, Look] | None:
    """Galactic longitude and latitude, by UCD or name."""
    lon, lat = (
        _candidates(looks, f"pos.galactic.{end}", [pair[side] for pair in _GALACTIC], low, high)
        for side, end, low, high in ((0, "lon", -180.0, 360.0), (1, "lat", -90.0, 90.0))
    )
    return next((pair for pair in product(lon, lat) if _are_galactic(*pair)), None)


def _are_galactic(lon: Look, lat: Look) -> bool:
    by_ucd = _is_at(lon, "pos.galactic.lon") and _is_at(lat, "pos.galactic.lat")
    return by_ucd or (lon.plain, lat.plain) in _GALACTIC


def _no_position(table: ForeignTable, looks: Sequence[Look]) -> IngestError:
    """The sentence for a file in which no position was found."""
    names = (*RA_NAMES, *DEC_NAMES)
    if text := next((entry for entry in looks if entry.kind == "text" and entry.plain in names), None):
        value = next((str(value) for value in text.values if value is not None), "")
        return IngestError(
            f"The column {text.name} of {table.path} holds text such as {value[:40]!r}; write positions in degrees, as "
            "numbers."
        )
    words = ("a right ascension (0 to 360 deg)", "a declination (-90 to 90 deg)")
    there = any(entry.is_number and entry.plain in RA_NAMES and within(entry, "deg", 0.0, 360.0) for entry in looks)
    return IngestError(
        f"No column of {table.path} looks like {words[there]}; its columns are {_listed(table.names)}; rename the two "
        "columns of the position to ra and dec."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _as_position(known: Source, entry: Look) -> tuple[Source, str]:
    words = entry.note.description or known.column.description
    column = dataclasses.replace(known.column, ucd=entry.ucd or known.column.ucd, description=words)
    why, values = remark("position", entry), entry.in_unit("deg")
    if values is not None and len(values) and np.abs(values).max() <= np.radians(known.maximum) and not entry.note.unit:
        why += '; small enough for radians: say file_unit = "rad" if it is in them'
    return dataclasses.replace(known, column=column, names=(spelling(entry),), sentinels=entry.sentinels), why


def _converted(lon: Look, lat: Look) -> Iterator[tuple[Source, str]]:
    """Galactic coordinates, and the position that is made of them."""
    for name, words, low, entry in (("lon", "longitude", -360.0, lon), ("lat", "latitude", -90.0, lat)):
        described = entry.note.description or f"Galactic {words}"
        column = Column(f"g{name}", "float64", "other", "deg", f"pos.galactic.{name}", described)
        source = Source(column, (spelling(entry),), True, low, 0.001 - low, sentinels=entry.sentinels, unit="deg")
        yield source, remark(f"galactic {words}", entry)
    for known, formula in zip(_PLACE, ("galactic_ra", "galactic_dec"), strict=True):
        made = dataclasses.replace(known, names=(), made=(formula, "glon", "glat"))
        yield made, "position, made of the galactic coordinates"
