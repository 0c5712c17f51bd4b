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
    sides = [
        [entry for entry in looks if entry.is_number and within(entry, "deg", low, high)]
        for low, high in ((0.0, 360.0), (-90.0, 90.0))
    ]
    wanted = (("pos.eq.ra", RA_NAMES), ("pos.eq.dec", DEC_NAMES))
    last = _LAST_PLACE if all(name in {entry.plain for entry in looks} for name in _LAST_PLACE) else ("", "")
    ra, dec = (
        [entry for entry in side if _is_at(entry, ucd) or entry.plain in (*names, more)]
        for side, (ucd, names), more in zip(sides, wanted, last, strict=True)
    )
    ranked = [(_rank_of_place(*pair), looks.index(pair[0]), looks.index(pair[1])) for pair in product(ra, dec)]
    if not ranked:
        return None
    _, *places = min(ranked)
    return looks[places[0]], looks[places[1]]


def _is_at(entry: Look, ucd: str) -> bool:
    return entry.ucd.startswith(ucd) and "error" not in entry.ucd


def _rank_of_place(ra: Look, dec: Look) -> tuple[int, int, int]:
    """How much two columns look like a position, the smaller the more."""
    by_ucd = [_is_at(ra, "pos.eq.ra"), _is_at(dec, "pos.eq.dec")]
    main = ["meta.main" in entry.ucd for entry, there in zip((ra, dec), by_ucd, strict=True) if there]
    names = (ra.plain, dec.plain)
    return -sum(main), -sum(by_ucd), PLACES.index(names) if names in PLACES else len(PLACES)


def _galactic(looks: Sequence[Look]) -> tuple[Look, Look] | None:
    """Galactic longitude and latitude, by UCD or name."""
    lon = [entry for entry in looks if entry.is_number and within(entry, "deg", -180.0, 360.0)]
    lat = [entry for entry in looks if entry.is_number and within(entry, "deg", -90.0, 90.0)]
    return next(
        (
            (east, north)
            for east, north in product(lon, lat)
            if (_is_at(east, "pos.galactic.lon") and _is_at(north, "pos.galactic.lat"))
            or (east.plain, north.plain) in _GALACTIC
        ),
        None,
    )


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
