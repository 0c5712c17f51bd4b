"""What a survey is: which columns its files have and how they are spelled, and how their rows are cleaned."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from galviz.manifest import Column, Reading, SourceClass
from galviz.surveys.units import factor


@dataclass(frozen=True)
class Source:
    """A column as a foreign file holds it.

    `names` are the spellings known, compared without case. A value below `minimum`, at or above `maximum`, equal to
    one of `sentinels`, or infinite means "missing" and becomes null; `sentinels` are as the file writes them, the
    limits in the unit of the column. `unit` is the unit of files that name none, by default that of the column. A
    column that is not in the file is made by `made`, a formula of `galviz.formulas.FORMULAS` and the columns that it
    reads, where those are there; else a `required` one is an error. `only_with` names a column without which `names`
    but the first mean something else. A `pattern`, a regular expression, stands for any number of columns of a file,
    each under its own name: those that it matches in full, without case, and that nothing before it reads.
    """

    column: Column
    names: tuple[str, ...] = ()
    required: bool = True
    minimum: float = float("-inf")
    maximum: float = float("inf")
    made: tuple[str, ...] = ()
    only_with: str = ""
    sentinels: tuple[float, ...] = ()
    unit: str = ""
    pattern: str = ""

    @property
    def factor(self) -> float:
        """What a value of the file is multiplied by; 1 where the units cannot be converted."""
        return (factor(self.unit, self.column.unit) if self.unit else None) or 1.0

    def reading(self, spelling: str = "", classes: Mapping[str, str] | None = None, null: str = "") -> Reading:
        """How a file holds the column that calls it `spelling`, its classes `classes` too, and what lacks `null`."""
        made = () if spelling else self.made
        limits = (self.minimum, self.maximum)
        return Reading(spelling, self.factor, self.sentinels, *limits, made, classes or {}, null)


@dataclass(frozen=True)
class Step:
    """One cleaning step: rows are kept where `low < value < high` for all `columns`, or the value is one of `values`.

    A missing value is not kept. Columns that the file lacks are passed over. A step is for labelled files
    (those with the column `only_with`), for unlabelled ones (those without the column `only_without`), or for all.
    """

    reason: str
    columns: tuple[str, ...]
    low: float = float("-inf")
    high: float = float("inf")
    values: tuple[int, ...] = ()
    only_with: str = ""
    only_without: str = ""

    @property
    def condition(self) -> str:
        """What a row must fulfil, in symbols."""
        names = self.columns[0] if len(self.columns) == 1 else f"{self.columns[0]}..{self.columns[-1]}"
        if self.values:
            return f"{names} in {{{', '.join(map(str, self.values))}}}"
        low = "" if self.low == float("-inf") else f"{self.low:g} < "
        high = "" if self.high == float("inf") else f" < {self.high:g}"
        return f"{low}{names}{high}" if low or high else f"{names} known"


@dataclass(frozen=True)
class Survey:
    """How to read the files of a survey, and what a page should make of them.

    `defaults` holds what the page shows first: the columns of `colour_magnitude` and of the `filters`, the
    `feature_sets` by title, and the `chosen_class`.
    `steps` are the cleaning steps in order. `class_names` turns spellings of a file (in capitals) into names of
    `classes`. `dropped` says of columns that are known and not read why that is so. A survey without `features`
    takes the magnitudes of a file for them, and the colours of neighbouring ones for its colours.
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    classes: tuple[SourceClass, ...]
    features: tuple[str, ...]
    derived: tuple[Column, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    class_names: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    doi: str = ""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in canonical order, those that a pattern stands for left out."""
        return tuple(source.column for source in self.sources if not source.pattern)

    @property
    def is_open(self) -> bool:
        """Whether it takes columns of any name, so that it says little that it fits a file."""
        return any(source.pattern for source in self.sources)

    def manifest_fields(self, columns: Iterable[Column]) -> dict[str, Any]:
        """The fields of a `Manifest` that follow from the survey for a catalogue of these columns."""
        columns = tuple(columns)
        survey = self if self.features else self._with_magnitudes(columns)
        names = {column.name for column in columns}
        defaults = dict(survey.defaults)
        if "filters" in defaults:
            defaults["filters"] = [name for name in defaults["filters"] if name in names]
        return {
            "classes": survey.classes,
            "features": tuple(name for name in survey.features if name in names),
            "derived": tuple(column for column in survey.derived if set(column.formula[1:]) <= names),
            "defaults": defaults,
        }

    def _with_magnitudes(self, columns: Sequence[Column]) -> Survey:
        magnitudes = [column for column in columns if column.role == "magnitude"]
        taken = {column.name for column in (*columns, *self.derived)}
        made = tuple(column for column in colours(magnitudes) if column.name not in taken)
        defaults = {**usual_defaults(magnitudes, made), **self.defaults}
        features = tuple(column.name for column in magnitudes)
        return dataclasses.replace(self, features=features, derived=(*self.derived, *made), defaults=defaults)


def colour(name: str, a: str, b: str, label: str, system: str = "") -> Column:
    """The derived column a - b of two magnitudes."""
    return Column(name, "float32", "colour", "mag", "phot.color", f"{a} - {b}", system, label=label,
                  formula=("difference", a, b))  # fmt: skip


def colours(magnitudes: Sequence[Column]) -> tuple[Column, ...]:
    """The colours of magnitudes that stand side by side."""
    return tuple(
        colour(
            f"{a.name[:31]}__{b.name[:31]}",
            a.name,
            b.name,
            f"{a.label or a.name} - {b.label or b.name}",
            _common_system(a.system, b.system),
        )
        for a, b in itertools.pairwise(magnitudes)
    )


def _common_system(a: str, b: str) -> str:
    if a == b:
        return a
    return f"{a} - {b}" if a and b else ""


def usual_defaults(magnitudes: Sequence[Column], made: Sequence[Column]) -> dict[str, Any]:
    """What a page shows first where nobody chose: the first colour against its second magnitude."""
    defaults: dict[str, Any] = {"filters": [column.name for column in magnitudes[:2]]}
    if made:
        defaults["colour_magnitude"] = [made[0].name, made[0].formula[2]]
    return defaults
