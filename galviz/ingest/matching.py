"""Which column of a foreign file is which column of a survey."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from galviz.errors import IngestError
from galviz.ingest.readers import ForeignTable
from galviz.manifest import Column
from galviz.surveys import SURVEYS, Source, Survey

_BYTES_A_FIELD = 7  # of a CSV file, roughly


@dataclass(frozen=True)
class Plan:
    """How to read one file: its columns of the catalogue in order, and their spellings in the file.

    A source without a spelling is made from others. `ignored` gives the reason for every column not read.
    """

    table: ForeignTable
    sources: tuple[Source, ...]
    spellings: Mapping[str, str]
    ignored: Mapping[str, str]

    @property
    def kinds(self) -> dict[str, str]:
        """What to read, as `ForeignTable.chunks` wants it."""
        columns = {source.column.name: source.column for source in self.sources}
        return {spelling: _kind(columns[name]) for name, spelling in self.spellings.items()}

    @property
    def rows(self) -> int:
        """The rows of the file, estimated from its size where it does not say."""
        size = self.table.path.stat().st_size
        return size // _BYTES_A_FIELD // len(self.table.names) if self.table.rows is None else self.table.rows

    def check_against(self, first: Plan) -> None:
        """Raise IngestError unless this file gives the same columns as the `first` one."""
        ours, theirs = ({source.column.name for source in plan.sources} for plan in (self, first))
        if ours != theirs:
            name = sorted(ours ^ theirs)[0]
            having, lacking = (self, first) if name in ours else (first, self)
            raise IngestError(
                f"{having.table.path} has the column {name} and {lacking.table.path} has not; ingest them apart."
            )


def _kind(column: Column) -> str:
    if column.kind == "class":
        return "text"
    return "integer" if column.role == "id" else "number"


def make_plan(table: ForeignTable, survey: Survey, keep: Sequence[str] = ()) -> Plan:
    """Find the columns of `survey`, and those of `keep`, in a file.

    Raises IngestError when a required column is missing, says which survey would fit, and when two columns
    of the file could be the same one.
    """
    spellings = _find(table, survey)
    if _lacking(survey, spellings):
        raise IngestError(_misfit(table, survey, spellings))
    sources = [source for source in survey.sources if source.column.name in spellings or _makes(source, spellings)]
    for name in keep:
        source = _kept(table, name, {entry.column.name for entry in sources})
        sources.append(source)
        spellings[source.column.name] = name
    rest = [name for name in table.names if name not in spellings.values()]
    ignored = {name: survey.dropped.get(name.lower(), "not a column of the survey") for name in rest}
    return Plan(table, tuple(sources), spellings, ignored)


def _find(table: ForeignTable, survey: Survey) -> dict[str, str]:
    """Canonical name to name in the file, of every column of the survey that the file has."""
    spelled: dict[str, list[str]] = {}
    for name in table.names:
        spelled.setdefault(name.lower(), []).append(name)
    found: dict[str, str] = {}
    for source in survey.sources:
        names = source.names[:1] if source.only_with and source.only_with not in found else source.names
        match = next((name.lower() for name in names if name.lower() in spelled), None)
        if match is not None:
            if len(spelled[match]) > 1:
                raise IngestError(
                    f"{table.path} has the columns {' and '.join(spelled[match])}, and either could be "
                    f"{source.column.name}; rename one of them."
                )
            found[source.column.name] = spelled[match][0]
    return found


def _makes(source: Source, spellings: Mapping[str, str]) -> bool:
    return bool(source.made) and set(source.made[1:]) <= set(spellings)


def _lacking(survey: Survey, spellings: Mapping[str, str]) -> list[Source]:
    return [
        source
        for source in survey.sources
        if source.required and source.column.name not in spellings and not _makes(source, spellings)
    ]


def _misfit(table: ForeignTable, survey: Survey, spellings: Mapping[str, str]) -> str:
    lacking = _lacking(survey, spellings)
    names = ", ".join(source.column.name for source in lacking[:4]) + (", ..." if len(lacking) > 4 else "")
    fitting = [other.name for other in SURVEYS.values() if not _lacking(other, _find(table, other))]
    if fitting:
        return (
            f"{table.path} is not a file of the survey {survey.name}: it lacks {names}; it fits {fitting[0]}: "
            f"say --survey {fitting[0]}."
        )
    required = sum(source.required for source in survey.sources)
    if 2 * len(lacking) > required:
        return (
            f"{table.path} is not a file of the survey {survey.name}: it lacks {len(lacking)} of {required} columns "
            f"({names}); none of the surveys {', '.join(SURVEYS)} fits."
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
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", name)[:64]
    cleaned = cleaned if re.match(r"[A-Za-z_]", cleaned) else f"_{cleaned}"[:64]
    if cleaned in taken:
        raise IngestError(
            f"The column {name!r} of {table.path} is read already, as {cleaned}; do not name it to --keep."
        )
    return Source(Column(cleaned, "float64", description=f"{name} of the file, kept as it was"), (name,))
