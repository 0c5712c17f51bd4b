"""Surveys as TOML files, read and written: `survey_text` inverts `parse_survey`. docs/surveys.md lists the keys."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from galviz.errors import CatalogueError, IngestError
from galviz.manifest import Column, SourceClass
from galviz.surveys.checks import faults
from galviz.surveys.model import Source, Step, Survey

_MOST_BYTES = 1 << 20
_DTYPES = {"id": "int64", "position": "float64", "truth": "int8", "prediction": "int8"}
_CLASSES = ("truth", "prediction")
_FILE_UNIT = "file_unit"  # `Source.unit` in a file, where `unit` is that of the column


def read_survey(path: Path) -> Survey:
    """The survey that a TOML file describes. Raises IngestError, which names the file and the key."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise IngestError(f"There is no file {path}; check its name and place.") from None
    except OSError as error:
        raise IngestError(f"Cannot read {path}: {error.strerror}.") from error
    if len(data) > _MOST_BYTES:
        raise IngestError(f"{path} is longer than a description of a survey; name a TOML file of at most 1 MB.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise IngestError(f"{path} is not UTF-8 at byte {error.start}; write it anew as UTF-8.") from None
    return parse_survey(text, str(path))


def parse_survey(text: str, name: str = "The description") -> Survey:
    """The survey that a text describes; `name` is what errors call it. Raises IngestError."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise IngestError(f"{name} is not TOML: {_clause(error)}; mend it there.") from None
    survey = _survey(_Table(name, "", table))
    for key, words in faults(survey):
        raise IngestError(f"{name}: {key} {words}.")
    return survey


def _clause(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


# Reading


@dataclass(frozen=True)
class _Table:
    """A table of a file, and where it stands; its errors name file and key."""

    file: str
    place: str
    values: Mapping[str, Any]

    def key(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def error(self, name: str, words: str) -> IngestError:
        return IngestError(f"{self.file}: {self.key(name)} {words}.")

    def only(self, allowed: Iterable[str]) -> None:
        """Raise IngestError for a key that is not allowed."""
        allowed = list(allowed)
        if name := next((name for name in self.values if name not in allowed), None):
            raise self.error(name, f"is not a key of this format; allowed here are {', '.join(allowed)}")

    def get(self, name: str, kind: str, default: Any) -> Any:
        """The value of a key, of the kind that a field of a dataclass is annotated with."""
        if name not in self.values:
            return default
        value, (words, read) = self.values[name], _KINDS[kind]
        try:
            return read(value)
        except TypeError:
            raise self.error(name, f"is {str(value)[:40]!r}, which must be {words}") from None

    def text(self, name: str) -> str:
        """The text of a key that must be there."""
        if name not in self.values:
            raise self.error(name, "is missing; add it")
        return str(self.get(name, "str", ""))

    def table(self, name: str) -> _Table:
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            raise self.error(name, "must be a table")
        return _Table(self.file, self.key(name), value)

    def tables(self, name: str) -> list[_Table]:
        """The tables of an array."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.error(name, f"must be an array of tables, written [[{name}]]")
        return [_Table(self.file, f"{self.key(name)}[{place}]", entry) for place, entry in enumerate(value, start=1)]


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def _many(read: Callable[[Any], Any], kind: Callable[[Iterable[Any]], Any] = tuple) -> Callable[[Any], Any]:
    return lambda value: kind(read(entry) for entry in _exactly(list)(value))


def _sets(value: Any) -> dict[str, list[str]]:
    return {title: _many(_exactly(str), list)(names) for title, names in _exactly(dict)(value).items()}


_KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "str": ("a text", _exactly(str)),
    "bool": ("true or false", _exactly(bool)),
    "float": ("a number", _number),
    "tuple[str, ...]": ("a list of texts", _many(_exactly(str))),
    "tuple[int, ...]": ("a list of whole numbers", _many(_exactly(int))),
    "tuple[float, ...]": ("a list of numbers", _many(_number)),
    "list[str]": ("a list of texts", _many(_exactly(str), list)),
    "dict[str, list[str]]": ("a table of lists of texts", _sets),
}
_DEFAULTS = {
    "colour_magnitude": "list[str]",
    "filters": "list[str]",
    "chosen_class": "str",
    "feature_sets": "dict[str, list[str]]",
}


def _fields(kind: type, *without: str) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(kind) if field.name not in without}


_COLUMN = _fields(Column, "name", "formula")
_DERIVED = _fields(Column, "name")
_SOURCE = {_FILE_UNIT if name == "unit" else name: field for name, field in _fields(Source, "column").items()}
_CLASS = _fields(SourceClass, "name")
_STEP = _fields(Step)


def _values(table: _Table, fields: Mapping[str, dataclasses.Field[Any]]) -> dict[str, Any]:
    """The values of the keys that are there, by the name of the field."""
    return {field.name: table.get(key, str(field.type), None) for key, field in fields.items() if key in table.values}


def _survey(table: _Table) -> Survey:
    table.only(("name", "title", "doi", "features", "columns", "derived", "classes", "class_names", "steps",
                "defaults", "dropped"))  # fmt: skip
    name = table.text("name")
    columns, derived, classes = (table.table(key) for key in ("columns", "derived", "classes"))
    defaults = table.table("defaults")
    defaults.only(_DEFAULTS)
    return Survey(
        name=name,
        title=table.get("title", "str", name),
        sources=tuple(_source(columns.table(key), key) for key in columns.values),
        classes=tuple(_class(classes.table(key), key) for key in classes.values),
        features=table.get("features", "tuple[str, ...]", ()),
        derived=tuple(_derived(derived.table(key), key) for key in derived.values),
        defaults={key: defaults.get(key, _DEFAULTS[key], None) for key in defaults.values},
        steps=tuple(_step(entry) for entry in table.tables("steps")),
        class_names=_texts(table.table("class_names")),
        dropped=_texts(table.table("dropped")),
        doi=table.get("doi", "str", ""),
    )


def _texts(table: _Table) -> dict[str, str]:
    return {key: table.get(key, "str", "") for key in table.values}


def _source(table: _Table, name: str) -> Source:
    table.only((*_COLUMN, *_SOURCE))
    values, usual = _values(table, _COLUMN), _usual_column(str(table.values.get("role", "")))
    column = _column(table, {"name": name, **usual, **values})
    source = _values(table, _SOURCE)
    return Source(column, **{"names": _usual_names(name, source.get("pattern", "")), **source})


def _usual_column(role: str) -> dict[str, str]:
    return {"dtype": _DTYPES.get(role, "float32"), "kind": "class" if role in _CLASSES else "number"}


def _usual_names(name: str, pattern: str) -> tuple[str, ...]:
    return () if pattern else (name,)


def _column(table: _Table, values: Mapping[str, Any]) -> Column:
    try:
        return Column(**values)
    except CatalogueError as error:
        raise IngestError(f"{table.file}: {table.place}: {error}") from None


def _derived(table: _Table, name: str) -> Column:
    table.only(_DERIVED)
    return _column(table, {"name": name, "dtype": "float32", **_values(table, _DERIVED)})


def _class(table: _Table, name: str) -> SourceClass:
    table.only(_CLASS)
    label = table.get("label", "str", name.lower())
    usual = {"label": label, "plural": label + "s", "colour": ""}
    return SourceClass(name=name, **{**usual, **_values(table, _CLASS)})


def _step(table: _Table) -> Step:
    table.only(_STEP)
    table.text("reason")
    return Step(**{"columns": (), **_values(table, _STEP)})


# Writing


def survey_text(survey: Survey, remarks: Mapping[str, str] | None = None, preamble: Sequence[str] = ()) -> str:
    """The TOML that reads back as `survey`; `remarks` are comments by column, `preamble` the lines before all."""
    document = tomlkit.document()
    for line in preamble:
        document.add(tomlkit.comment(_one_line(line)))
    document["name"] = survey.name
    document["title"] = survey.title
    if survey.doi:
        document["doi"] = survey.doi
    if survey.features:
        document["features"] = _list(survey.features)
    tables: dict[str, dict[str, Any]] = {
        "columns": {source.column.name: _source_table(source) for source in survey.sources},
        "derived": {column.name: _derived_table(column) for column in survey.derived},
        "classes": {entry.name: _class_table(entry) for entry in survey.classes},
    }
    for key, entries in tables.items():
        if entries:
            document[key] = _super_table(entries, (remarks or {}) if key == "columns" else {})
    for key, values in (("class_names", survey.class_names), ("dropped", survey.dropped)):
        if values:
            document[key] = _toml_table(values)
    if survey.steps:
        steps = tomlkit.aot()
        for step in survey.steps:
            steps.append(_toml_table(_differing(step, _STEP, {"reason": None, "columns": None})))
        document["steps"] = steps
    if survey.defaults:
        document["defaults"] = _toml_table(survey.defaults)
    return tomlkit.dumps(document)


def _one_line(text: str) -> str:
    """Text that a comment can hold."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _super_table(entries: Mapping[str, Mapping[str, Any]], remarks: Mapping[str, str]) -> Any:
    result = tomlkit.table(is_super_table=True)
    for name, values in entries.items():
        table = _toml_table(values)
        if name in remarks:
            table.comment(_one_line(remarks[name]))
        result.append(name, table)
    return result


def _toml_table(values: Mapping[str, Any]) -> Any:
    table = tomlkit.table()
    for key, value in values.items():
        if isinstance(value, Mapping):
            table.append(key, _toml_table(value))
        else:
            table.append(key, _list(value) if isinstance(value, list | tuple) else value)
    return table


def _list(values: Sequence[Any]) -> Any:
    array = tomlkit.array()
    array.extend(values)
    return array.multiline(len(str(values)) > 90)


def _differing(entry: Any, fields: Mapping[str, dataclasses.Field[Any]], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The keys whose values are not the usual ones."""
    result = {}
    for key, field in fields.items():
        value = getattr(entry, field.name)
        if value != usual.get(key, field.default):
            result[key] = value
    return result


def _source_table(source: Source) -> dict[str, Any]:
    column = source.column
    return {
        **_differing(column, _COLUMN, _usual_column(column.role)),
        **_differing(source, _SOURCE, {"names": _usual_names(column.name, source.pattern)}),
    }


def _derived_table(column: Column) -> dict[str, Any]:
    return _differing(column, _DERIVED, {"dtype": "float32"})


def _class_table(entry: SourceClass) -> dict[str, Any]:
    return _differing(entry, _CLASS, {"label": entry.name.lower(), "plural": entry.label + "s"})
