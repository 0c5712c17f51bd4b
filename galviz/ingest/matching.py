"""Which column of a foreign file is which column of a survey, and which survey a file is of."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from galviz.errors import GalvizError, IngestError
from galviz.foreign import first_line, kind_of
from galviz.grammar import RESERVED
from galviz.ingest.readers import Chunk, ColumnNote, ForeignTable
from galviz.manifest import Column
from galviz.surveys import SURVEYS, Source, Survey
from galviz.surveys.toml import read_survey
from galviz.surveys.units import factor, known_unit, system_of

_BYTES_A_FIELD = 7  # of text, roughly
_PLAIN_ROLES = ("redshift", "probability", "best_probability")  # numbers without unit
_SILENT = ColumnNote()
_NOT_KNOWN = "not a column of the survey"


@dataclass(frozen=True)
class Plan:
    """How to read one file: its columns of the catalogue in order, and their spellings in the file.

    A source without a spelling is made from others; the `unit` of one with a spelling is that of the file. `ignored`
    gives the reason for every column not read, `notes` what was done about the units of those that are read. `twins`
    are further columns of the file that have the name of one that is read, and must have its values.
    """

    table: ForeignTable
    sources: tuple[Source, ...]
    spellings: Mapping[str, str]
    ignored: Mapping[str, str]
    notes: Mapping[str, str]
    twins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, str]:
        """What to read, as `ForeignTable.chunks` wants it."""
        columns = {source.column.name: source.column for source in self.sources}
        kinds = {spelling: kind_of(columns[name]) for name, spelling in self.spellings.items()}
        return kinds | {twin: kinds[spelling] for spelling, twins in self.twins.items() for twin in twins}

    def chunks(self, stretch: int) -> Iterator[Chunk]:
        """The chunks of one stretch of the file.

        Raises IngestError where the file is at fault, GalvizError where the disk that it lies on is.
        """
        table = self.table
        try:
            yield from table.chunks(self.kinds) if table.stretch is None else table.stretch(self.kinds, stretch)
        except OSError as error:
            raise GalvizError(
                f"Cannot read {table.path}: {error.strerror or first_line(error)}; what is done is kept: mend it and "
                "run the same command again to go on."
            ) from error

    @property
    def rows(self) -> int:
        """The rows of the file, estimated from its size where it does not say."""
        if self.table.rows is not None:
            return self.table.rows
        return int(self.table.path.stat().st_size / (self.table.row_bytes or _BYTES_A_FIELD * len(self.table.names)))

    def check_against(self, first: Plan) -> None:
        """Raise IngestError unless this file gives the same columns, in the same units, as the `first` one."""
        ours, theirs = ({source.column.name: source.column for source in plan.sources} for plan in (self, first))
        if set(ours) != set(theirs):
            name = sorted(set(ours) ^ set(theirs))[0]
            having, lacking = (self, first) if name in ours else (first, self)
            raise IngestError(
                f"{having.table.path} has the column {name} and {lacking.table.path} has not; ingest them apart."
            )
        if other := next((name for name in ours if ours[name] != theirs[name]), None):
            raise IngestError(
                f"The column {other} is in {ours[other].unit or 'no unit'} in {self.table.path} and in "
                f"{theirs[other].unit or 'no unit'} in {first.table.path}; ingest them apart."
            )


# Which survey


def find_survey(survey: str | Path | Survey | None, tables: Sequence[ForeignTable]) -> Survey:
    """The survey of that name, of that TOML file, or, for None, the one that fits the files best.

    Raises IngestError where there is none, or where several fit as well as each other.
    """
    if isinstance(survey, Survey):
        return survey
    if survey is None:
        return _best_fit(tables)
    if str(survey) in SURVEYS:
        return SURVEYS[str(survey)]
    if Path(survey).suffix.lower() == ".toml":
        return read_survey(Path(survey))
    raise IngestError(
        f"There is no survey {str(survey)!r}; known are {', '.join(SURVEYS)}, or name a .toml file that describes one."
    )


def _best_fit(tables: Sequence[ForeignTable]) -> Survey:
    """Of the surveys that fit every file, the one that reads most columns and, of those, requires most."""
    table = tables[0]
    fits = fitting(tables)
    if not fits:
        raise IngestError(
            f"{table.path} fits none of the surveys {', '.join(_closed())}{_nearest(table)}; {_advice(table)}."
        )
    ranks = {name: _rank(SURVEYS[name], table) for name in fits}
    best = [name for name in fits if ranks[name] == max(ranks.values())]
    if len(best) > 1:
        raise IngestError(f"{table.path} fits the surveys {' and '.join(best)} equally well; say which by --survey.")
    return SURVEYS[best[0]]


def fitting(tables: Sequence[ForeignTable]) -> list[str]:
    """The surveys that fit every file, but for those that take columns of any name."""
    return [name for name in _closed() if all(_fits(SURVEYS[name], entry) for entry in tables)]


def _nearest(table: ForeignTable) -> str:
    """Which survey a file would be of with one or two columns more."""
    missing = {
        name: [s.column.name for s in _lacking(SURVEYS[name], _find(table, SURVEYS[name]))] for name in _closed()
    }
    name = min(missing, key=lambda name: len(missing[name]))
    return f" (of {name} it lacks {' and '.join(missing[name])})" if len(missing[name]) <= 2 else ""


def _advice(table: ForeignTable) -> str:
    return f"`galviz survey {table.path} --out my.toml` proposes a description, for --survey my.toml"


def _closed() -> list[str]:
    return [name for name, survey in SURVEYS.items() if not survey.is_open]


def _fits(survey: Survey, table: ForeignTable) -> bool:
    return not _lacking(survey, _find(table, survey))


def _rank(survey: Survey, table: ForeignTable) -> tuple[int, int]:
    return len(_find(table, survey)), sum(source.required for source in survey.sources)


# Which column


def make_plan(table: ForeignTable, survey: Survey, keep: Sequence[str] = ()) -> Plan:
    """Find the columns of `survey`, and those of `keep`, in a file.

    Raises IngestError when a required column is missing, says which survey would fit, when two columns
    of the file could be the same one, and when the file gives a column a unit that cannot be converted.
    """
    survey = _without_patterns(table, survey)
    spellings = _find(table, survey)
    if _lacking(survey, spellings):
        raise IngestError(_misfit(table, survey, spellings))
    sources = [source for source in survey.sources if source.column.name in spellings or _makes(source, spellings)]
    for name in keep:
        source = _kept(table, name, {entry.column.name for entry in sources})
        sources.append(source)
        spellings[source.column.name] = name
    twins = _twins(table, spellings)
    same = {twin: f"the same as {spelling}, in every row" for spelling, found in twins.items() for twin in found}
    rest = [name for name in table.names if name not in spellings.values()]
    ignored = {name: same.get(name) or survey.dropped.get(plain_name(name), _NOT_KNOWN) for name in rest}
    read = [_as_in_file(table, source, spellings.get(source.column.name)) for source in sources]
    notes = {source.column.name: note for source, note in read if note}
    return Plan(table, tuple(source for source, _ in read), spellings, ignored, notes, twins)


def _twins(table: ForeignTable, spellings: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The other columns of the same name, of each column read that is not alone."""
    spelled = _spelled(table)
    others = {read: spelled[plain_name(table.name_in_file(read))] for read in spellings.values()}
    return {read: tuple(name for name in names if name != read) for read, names in others.items() if len(names) > 1}


def _spelled(table: ForeignTable) -> dict[str, list[str]]:
    """The columns of a file by their plain names."""
    spelled: dict[str, list[str]] = {}
    for name in table.names:
        spelled.setdefault(plain_name(table.name_in_file(name)), []).append(name)
    return spelled


def plain_name(name: str) -> str:
    """A name in lower case, without the type of CasJobs ([objid]:bigint) and the table of a query (sa.objid).

    What VizieR computes begins with an underscore (_RA.icrs) and stays as it is.
    """
    typed = re.fullmatch(r"\[(.+)\]:\w+(\[\])?", name)
    return re.sub(r"^(?!_)\w+\.(?=[A-Za-z_])", "", typed[1] if typed else name).lower()


def cleaned_name(name: str) -> str:
    """A name that a column of a catalogue can have: letters, digits and _, at most 64 characters."""
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", name)[:64]
    return cleaned if re.match(r"[A-Za-z_]", cleaned) and cleaned not in RESERVED else f"_{cleaned}"[:64]


def _without_patterns(table: ForeignTable, survey: Survey) -> Survey:
    """The survey with one source for every column of the file that a pattern stands for."""
    if not survey.is_open:
        return survey
    taken = {name.lower() for source in survey.sources for name in (source.column.name, *source.names)}
    sources: list[Source] = []
    for source in survey.sources:
        if not source.pattern:
            sources.append(source)
            continue
        for name in map(plain_name, table.names):
            column = cleaned_name(name)
            if column not in taken and name not in taken and re.fullmatch(source.pattern, name, re.IGNORECASE):
                taken |= {column, name}
                made = dataclasses.replace(source.column, name=column)
                sources.append(dataclasses.replace(source, column=made, names=(name,), pattern=""))
    return dataclasses.replace(survey, sources=tuple(sources))


def _find(table: ForeignTable, survey: Survey) -> dict[str, str]:
    """Canonical name to name in the file, of every column of the survey that the file has."""
    spelled = _spelled(table)
    found: dict[str, str] = {}
    for source in survey.sources:
        names = source.names[:1] if source.only_with and source.only_with not in found else source.names
        match = next((name.lower() for name in names if name.lower() in spelled), None)
        if match is not None:
            refuse_unreadable(table, spelled[match])
            found[source.column.name] = spelled[match][0]
        elif len(named := _of_ucd(table, source.column)) == 1:
            found[source.column.name] = named[0]
    return found


def refuse_unreadable(table: ForeignTable, names: Sequence[str]) -> None:
    """Raise IngestError where columns of a file cannot be told apart."""
    if names.count(names[0]) > 1:
        raise IngestError(
            f"{table.path} names the column {names[0]!r} {names.count(names[0])} times; rename or remove all but one "
            "of them."
        )


def refuse_several(table: ForeignTable, names: Sequence[str]) -> None:
    """Raise IngestError where columns of a file, of one name but for its case, are more than one."""
    refuse_unreadable(table, [table.name_in_file(name) for name in names])
    if len(names) > 1:
        raise IngestError(f"{table.path} has the columns {' and '.join(names)}; rename or remove all but one of them.")


def _of_ucd(table: ForeignTable, column: Column) -> list[str]:
    """The columns of a file that say by their UCD that they are this one: of the main position there is but one."""
    if column.role != "position" or not column.ucd.endswith(";meta.main"):
        return []
    return [name for name in table.names if table.columns.get(name, _SILENT).ucd.lower() == column.ucd.lower()]


def _makes(source: Source, spellings: Mapping[str, str]) -> bool:
    return bool(source.made) and set(source.made[1:]) <= set(spellings)


def _lacking(survey: Survey, spellings: Mapping[str, str]) -> list[Source]:
    return [
        source
        for source in survey.sources
        if source.required and source.column.name not in spellings and not _makes(source, spellings)
    ]


def _as_in_file(table: ForeignTable, source: Source, spelling: str | None) -> tuple[Source, str]:
    """The source in the unit of the file, and what there is to say of that."""
    column = source.column
    if spelling is None or column.kind != "number" or column.role in ("id", "flag"):
        return source, ""
    unit = table.columns.get(spelling, _SILENT).unit or source.unit
    if known_unit(unit) is None:
        taken = f"the unit {unit!r} of the file is not known and was taken for {column.unit or 'none'}"
        return dataclasses.replace(source, unit=""), taken if unit and column.unit else ""
    if not column.unit and column.role not in _PLAIN_ROLES:
        return dataclasses.replace(source, column=dataclasses.replace(column, unit=unit), unit=unit), ""
    if column.system and system_of(unit) not in ("", column.system):
        raise IngestError(
            f"The column {spelling} of {table.path} is in {unit}, but {column.name} is in the {column.system} system; "
            "mend the unit or the survey."
        )
    ratio = factor(unit, column.unit)
    if ratio is None:
        raise IngestError(
            f"The column {spelling} of {table.path} is in {unit}, which cannot be converted to "
            f"{column.unit or 'a number without unit'}, the unit of {column.name}; mend the unit or the survey."
        )
    return dataclasses.replace(
        source, unit=unit
    ), f"{unit} converted to {column.unit or 'no unit'}" if ratio != 1 else ""


def _misfit(table: ForeignTable, survey: Survey, spellings: Mapping[str, str]) -> str:
    lacking = _lacking(survey, spellings)
    names = ", ".join(source.column.name for source in lacking[:4]) + (", ..." if len(lacking) > 4 else "")
    fitting = sorted((name for name in _closed() if _fits(SURVEYS[name], table)),
                     key=lambda name: _rank(SURVEYS[name], table), reverse=True)  # fmt: skip
    if fitting:
        return (
            f"{table.path} is not a file of the survey {survey.name}: it lacks {names}; it fits {fitting[0]}: "
            f"say --survey {fitting[0]}."
        )
    required = sum(source.required for source in survey.sources)
    if 2 * len(lacking) > required:
        return (
            f"{table.path} is not a file of the survey {survey.name}: it lacks {len(lacking)} of {required} columns "
            f"({names}); none of the surveys {', '.join(_closed())} fits; {_advice(table)}."
        )
    hints = "; ".join(
        f"{source.column.name} (or {', '.join(_others(source))})" for source in lacking if _others(source)
    )
    return (
        f"{table.path} lacks the column{'s' if len(lacking) > 1 else ''} {names} of the survey {survey.name}; "
        f"add {'them' if len(lacking) > 1 else 'it'}{', known as ' + hints if hints else ''}."
    )


def _others(source: Source) -> tuple[str, ...]:
    made = (" and ".join(source.made[1:]),) if source.made else ()
    return (*(name for name in source.names[1:] if name.lower() != source.column.name), *made)


def _kept(table: ForeignTable, name: str, taken: set[str]) -> Source:
    if name not in table.names:
        raise IngestError(f"{table.path} has no column {name!r} to keep; its columns are {', '.join(table.names)}.")
    refuse_several(table, [other for other in table.names if table.name_in_file(other) == name])
    cleaned = cleaned_name(name)
    if cleaned in taken:
        raise IngestError(
            f"The column {name!r} of {table.path} is read already, as {cleaned}; do not name it to --keep."
        )
    note = table.columns.get(name, _SILENT)
    words = note.description or f"{name} of the file, kept as it was"
    return Source(Column(cleaned, "float64", ucd=note.ucd, description=words), (name,))
