"""What can be wrong with the description of a survey, key by key."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from galviz.formulas import FORMULAS
from galviz.manifest import COLUMN_ROLES, Column
from galviz.surveys.model import Source, Step, Survey
from galviz.surveys.units import factor, known_unit

Fault = tuple[str, str]  # the key, and what is wrong with its value as words that follow it

CHOICES: dict[str, tuple[str, ...]] = {
    "role": COLUMN_ROLES,
    "dtype": ("float32", "float64", "int8", "int16", "int32", "int64"),
    "kind": ("number", "class"),
    "scale": ("linear", "log"),
    "extinction": ("", "corrected", "uncorrected"),
}
DEFAULTS = ("colour_magnitude", "filters", "chosen_class", "feature_sets")
_ALONE = ("id", "truth", "prediction", "best_probability")


def faults(survey: Survey) -> Iterator[Fault]:
    """Everything that is wrong, the first of each kind first; nothing where the survey can be used."""
    stored = {column.name for column in survey.columns}
    classes = [entry.name for entry in survey.classes]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", survey.name):
        yield "name", f"is {survey.name!r}; use letters, digits, - and _"
    for place, source in enumerate(survey.sources):
        for key, words in _source_faults(source, survey.sources[:place], classes):
            yield f"columns.{source.column.name}.{key}", words
    yield from _role_faults(survey)
    for column in survey.derived:
        for key, words in _derived_faults(column, stored):
            yield f"derived.{column.name}.{key}", words
    for entry in survey.classes:
        if entry.name != entry.name.upper() or not entry.name.strip():
            yield f"classes.{entry.name}", "is not in capitals, as the classes of a file are compared; write it so"
        for key, colour in (("colour", entry.colour), ("safe_colour", entry.safe_colour or entry.colour)):
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
                yield f"classes.{entry.name}.{key}", f"is {colour!r}; write a colour as #rrggbb"
    for spelling, name in survey.class_names.items():
        if spelling != spelling.upper():
            yield f"class_names.{spelling}", "is not in capitals, as the classes of a file are compared; write it so"
        yield from _unknown(f"class_names.{spelling}", [name], classes, "class")
    for number, step in enumerate(survey.steps, start=1):
        for key, words in _step_faults(step, stored):
            yield f"steps[{number}].{key}", words
    yield from _unknown("features", survey.features, stored, "column")
    yield from _default_faults(survey.defaults, stored, {column.name for column in survey.derived}, classes)


def _source_faults(source: Source, before: Sequence[Source], classes: list[str]) -> Iterator[Fault]:
    column, seen = source.column, {entry.column.name for entry in before}
    yield from _column_faults(column)
    if column.name in seen:
        yield "name", "names a column that is there already; rename one of them"
    if column.unit and known_unit(source.unit) is not None and factor(source.unit, column.unit) is None:
        yield "file_unit", f"is {source.unit!r}, which cannot be converted to {column.unit}"
    if source.unit and known_unit(source.unit) is None:
        yield "file_unit", f"is {source.unit!r}, which is no unit of astropy.units"
    if not source.minimum < source.maximum:
        yield "minimum", f"is {source.minimum:g}, not below the maximum, {source.maximum:g}"
    if any(math.isnan(value) for value in source.sentinels):
        yield "sentinels", "has nan in it, which is missing anyway; leave it out"
    if source.made:
        yield from _formula_faults("made", source.made, seen)
    try:
        re.compile(source.pattern)
    except re.error as error:
        yield "pattern", f"is no regular expression: {error}"
    if not any(re.fullmatch(entry.pattern, source.only_with) for entry in before if entry.pattern):
        yield from _unknown("only_with", filter(None, [source.only_with]), seen, "column before it")
    if column.kind == "class" and not classes:
        yield "kind", "is class, but there are no classes; add a table such as [classes.STAR]"
    if column.of_class or column.role == "probability":
        yield from _unknown("of_class", [column.of_class], classes, "class")


def _column_faults(column: Column) -> Iterator[Fault]:
    for key, allowed in CHOICES.items():
        if (value := getattr(column, key)) not in allowed:
            yield key, f"is {value!r}; allowed are {', '.join(filter(None, allowed))}"
    if column.kind == "class" and column.dtype != "int8":
        yield "dtype", f"is {column.dtype!r}; classes are int8"
    if column.unit and known_unit(column.unit) is None:
        yield "unit", f"is {column.unit!r}, which is no unit of astropy.units"


def _role_faults(survey: Survey) -> Iterator[Fault]:
    columns: dict[str, list[str]] = {}
    for column in survey.columns:
        columns.setdefault(column.role, []).append(column.name)
    if len(columns.get("position", [])) != 2:
        yield "columns", "needs two columns of the role position: the right ascension and then the declination"
    for role in _ALONE:
        if len(names := columns.get(role, [])) > 1:
            yield f"columns.{names[1]}.role", f"is {role!r}, as that of {names[0]} is; only one can be"


def _derived_faults(column: Column, stored: set[str]) -> Iterator[Fault]:
    yield from _column_faults(column)
    yield from _formula_faults("formula", column.formula, stored)


def _formula_faults(key: str, formula: Sequence[str], known: set[str]) -> Iterator[Fault]:
    kind, names = "".join(formula[:1]), formula[1:]
    if kind not in FORMULAS:
        yield key, f"begins with {kind!r}; allowed are {', '.join(FORMULAS)}"
        return
    try:
        inspect.signature(FORMULAS[kind]).bind(*names)
    except TypeError:
        yield key, f"gives {kind} {len(names)} columns, which it cannot take"
    yield from _unknown(key, names, known, "column")


def _step_faults(step: Step, stored: set[str]) -> Iterator[Fault]:
    if not step.columns:
        yield "columns", "is empty; name at least one column"
    yield from _unknown("columns", step.columns, stored, "column")
    yield from _unknown("only_with", filter(None, [step.only_with]), stored, "column")
    if not step.low < step.high:
        yield "low", f"is {step.low:g}, not below high, {step.high:g}"


def _default_faults(
    defaults: Mapping[str, Any], stored: set[str], derived: set[str], classes: list[str]
) -> Iterator[Fault]:
    for key in defaults:
        if key not in DEFAULTS:
            yield f"defaults.{key}", f"is not known; allowed are {', '.join(DEFAULTS)}"
    plane = defaults.get("colour_magnitude", ["", ""])
    if len(plane) != 2:
        yield "defaults.colour_magnitude", "does not name two columns"
    yield from _unknown("defaults.colour_magnitude", filter(None, plane), stored | derived, "column")
    yield from _unknown("defaults.filters", defaults.get("filters", ()), stored, "column")
    for title, names in defaults.get("feature_sets", {}).items():
        yield from _unknown(f"defaults.feature_sets.{title}", names, stored, "column")
    if "chosen_class" in defaults:
        yield from _unknown("defaults.chosen_class", [defaults["chosen_class"]], classes, "class")


def _unknown(key: str, names: Iterable[str], known: Iterable[str], what: str) -> Iterator[Fault]:
    allowed = sorted(known)
    listed = f"; there are {', '.join(allowed)}" if allowed else ", and there is none"
    for name in names:
        if name not in allowed:
            yield key, f"names {name!r}, which is no {what}{listed}"
