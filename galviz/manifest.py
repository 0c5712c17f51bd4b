"""What is known of a catalogue but its rows: columns, classes, parts, provenance.

The manifest says everything that the rest of galviz needs to know of a survey: what each column is (its
role, unit, UCD and description), which classes there are, which columns are features, what was done to make them.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from galviz.errors import CatalogueError, SelectionError
from galviz.formulas import FORMULAS
from galviz.grammar import RESERVED
from galviz.version import __version__

FORMAT = 1
_SEAL = "sha256"  # the key of the checksum of a manifest in its file
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
COLUMN_ROLES = (
    "id", "position", "magnitude", "uncertainty", "extinction", "flag", "truth", "prediction", "probability",
    "best_probability", "embedding", "redshift", "morphology", "colour", "projection", "simulation", "other",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of a catalogue.

    `role` is one of COLUMN_ROLES. `system` is the photometric system, such as AB or Vega; `extinction` says of a
    magnitude whether it is "corrected" or "uncorrected" for extinction by the Galaxy, where that is known. `of_class`
    names the class of a probability. `kind` is "number", "flag" or "class": a class column holds int8 codes into
    `Manifest.classes`, -1 where unknown. A `formula` makes the column a derived one, computed when read.
    """

    name: str
    dtype: str
    role: str = "other"
    unit: str = ""
    ucd: str = ""
    description: str = ""
    system: str = ""
    of_class: str = ""
    scale: str = "linear"
    label: str = ""
    kind: str = "number"
    formula: tuple[str, ...] = ()
    extinction: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name in RESERVED:
            raise CatalogueError(
                f"{self.name!r} cannot name a column: use letters, digits and _, at most 64 characters."
            )

    @property
    def title(self) -> str:
        """The label with unit and photometric system, as it stands on an axis."""
        notes = " ".join(part for part in (self.unit, self.system) if part)
        return f"{self.label or self.name} [{notes}]" if notes else self.label or self.name


@dataclass(frozen=True)
class SourceClass:
    """A class that a source can have: its name in the data, its words for a reader, its colour."""

    name: str
    label: str
    plural: str
    colour: str
    safe_colour: str = ""


@dataclass(frozen=True)
class Part:
    """One Parquet file of a catalogue: path relative to the catalogue, rows and SHA-256.

    Of a file that galviz did not write it is the SHA-256 of the footer, which is read faster.
    """

    path: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Reading:
    """How files that galviz did not write hold a column.

    `spelling` is its name there, "" where it is made by `made`, a formula of FORMULAS and the columns that it reads.
    A whole number or a text that equals `null` is missing, and so is a number that equals one of `sentinels`; any other
    is multiplied by `factor`, and missing where it then is infinite, below `minimum`, or at or above `maximum`.
    `classes` are further spellings of classes, in capitals.
    """

    spelling: str = ""
    factor: float = 1.0
    sentinels: tuple[float, ...] = ()
    minimum: float = float("-inf")
    maximum: float = float("inf")
    made: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    null: str = ""

    def to_json(self) -> dict[str, Any]:
        """What differs from the usual; infinity is no number of JSON."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value != getattr(Reading(), name)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Reading:
        return cls(**{**raw, "sentinels": tuple(raw.get("sentinels", ())), "made": tuple(raw.get("made", ()))})


@dataclass(frozen=True)
class Group:
    """Columns that were written together: the base columns, or a sidecar such as an embedding.

    `readings`, one a column, say how to read parts that galviz did not write; without them columns are as they are.
    """

    name: str
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    provenance: Mapping[str, Any]
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """All that is known of a catalogue but its rows."""

    name: str
    title: str
    survey: str
    simulated: bool
    classes: tuple[SourceClass, ...]
    features: tuple[str, ...]
    derived: tuple[Column, ...]
    defaults: Mapping[str, Any]
    groups: tuple[Group, ...]
    created: str
    version: int = 1
    format: int = FORMAT
    software: str = f"galviz {__version__}"
    doi: str = ""

    @property
    def rows(self) -> int:
        """Number of sources."""
        return sum(part.rows for part in self.groups[0].parts)

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """Every column by name, stored ones first, then those derived from columns that are present."""
        stored = {column.name: column for group in self.groups for column in group.columns}
        for column in self.derived:
            if column.name not in stored and set(column.formula[1:]) <= set(stored):
                stored[column.name] = column
        return stored

    def of_role(self, role: str) -> tuple[Column, ...]:
        """The columns of a role, in file order."""
        return tuple(column for column in self.columns.values() if column.role == role)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.classes)

    @property
    def class_column(self) -> Column | None:
        """The column that says the class of a source: the prediction where there is one, else the truth."""
        return next(iter((*self.of_role("prediction"), *self.of_role("truth"))), None)

    def column(self, name: str) -> Column:
        """The column of that name; `class` also means the predicted class where no true one is known.

        Raises SelectionError when there is none.
        """
        columns = self.columns
        if name in columns:
            return columns[name]
        if name == "class" and self.class_column:
            return self.class_column
        raise SelectionError(f"The catalogue {self.name} has no column {name!r}; `galviz info` lists its columns.")

    def to_json(self) -> str:
        """The text of the file, with a checksum of all that it says."""
        known = dataclasses.asdict(self)
        for entry, group in zip(known["groups"], self.groups, strict=True):
            entry["readings"] = [reading.to_json() for reading in group.readings]
        raw = json.loads(json.dumps(known, default=list))
        return json.dumps(raw | {_SEAL: _digest(raw)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        raw = json.loads(text)
        raw.pop(_SEAL, None)
        if raw.get("format") != FORMAT:
            raise CatalogueError(f"is of format {raw.get('format')}, this galviz reads format {FORMAT}")
        raw["classes"] = tuple(SourceClass(**entry) for entry in raw["classes"])
        raw["derived"] = tuple(_column(entry) for entry in raw["derived"])
        raw["features"] = tuple(raw["features"])
        raw["groups"] = tuple(
            Group(
                group["name"],
                tuple(_column(entry) for entry in group["columns"]),
                tuple(Part(**part) for part in group["parts"]),
                group["provenance"],
                tuple(Reading.from_json(reading) for reading in group.get("readings", ())),
            )
            for group in raw["groups"]
        )
        manifest = cls(**raw)
        manifest.check()
        return manifest

    def check(self) -> None:
        """Raise CatalogueError, a clause that follows "The manifest FILE", when the parts do not fit together."""
        rows = [[part.rows for part in group.parts] for group in self.groups]
        if not rows or any(other != rows[0] for other in rows):
            raise CatalogueError("lists parts of different lengths")
        for group in self.groups:
            for part in group.parts:
                if Path(part.path).is_absolute() or ".." in Path(part.path).parts:
                    raise CatalogueError(f"names a part outside the catalogue, {part.path}")
            _check_readings(group)
        for column in self.columns.values():
            np.dtype(column.dtype)
            if column.formula and column.formula[0] not in FORMULAS:
                raise CatalogueError(f"derives {column.name} by {column.formula[0]!r}, which this galviz does not know")


def _check_readings(group: Group) -> None:
    if not group.readings:
        return
    if len(group.readings) != len(group.columns):
        raise CatalogueError(f"reads {len(group.readings)} columns, not {len(group.columns)}")
    spelled = {column.name for column, reading in zip(group.columns, group.readings, strict=True) if reading.spelling}
    for column, reading in zip(group.columns, group.readings, strict=True):
        if column.name not in spelled and not (reading.made and {*reading.made[1:]} <= spelled):
            raise CatalogueError(f"does not say what {column.name} is read from")
        if reading.made and reading.made[0] not in FORMULAS:
            raise CatalogueError(f"makes {column.name} by {reading.made[0]!r}, which this galviz does not know")


def is_as_written(text: str) -> bool:
    """Whether the text of a manifest agrees with its checksum, or has none, as those of earlier versions."""
    raw = json.loads(text)
    return raw.pop(_SEAL, None) in (None, _digest(raw))


def _digest(raw: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()


def _column(raw: dict[str, Any]) -> Column:
    return Column(**{**raw, "formula": tuple(raw.get("formula", ()))})


def stamp() -> dict[str, str]:
    """The software and the UTC date, for the provenance of what is being written.

    SOURCE_DATE_EPOCH, where it is set, is the date (https://reproducible-builds.org/specs/source-date-epoch).
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.datetime.fromtimestamp(int(epoch) if epoch.isdecimal() else time.time(), datetime.UTC)
    return {"software": f"galviz {__version__}", "date": now.isoformat(timespec="seconds")}


def new_manifest(name: str, survey: str, provenance: Mapping[str, Any], **fields: Any) -> Manifest:
    """A manifest for a catalogue that is about to be written; `fields` are those of `Manifest`."""
    group = Group("base", (), (), provenance)
    return Manifest(name=name, survey=survey, groups=(group,), created=stamp()["date"], **fields)
