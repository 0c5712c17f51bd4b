"""What there is to know of a catalogue, as a mapping and as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from galviz.catalogue import Catalogue
from galviz.index import has_index
from galviz.ingest import account
from galviz.manifest import Column
from galviz.progress import Progress, silent


def describe(catalogue: Catalogue, progress: Progress = silent) -> dict[str, Any]:
    """Rows, classes, columns with range and missing values, how each group of columns was made, the index.

    Reads the footer of every part, where its writer left what there is to know of the values, and the values of
    parts that were written without; the result holds numbers, text, lists and mappings only.
    """
    manifest = catalogue.manifest
    stored = [(group.name, column) for group in manifest.groups for column in group.columns]
    totals = {column.name: _Total(column, group, manifest.class_names) for group, column in stored}
    for part in range(catalogue.parts):
        for name, tally in catalogue.tallies(part).items():
            totals[name].add(tally)
        progress((part + 1) / catalogue.parts, f"{part + 1} of {catalogue.parts} parts read")
    made = manifest.groups[0].provenance
    return {
        "name": manifest.name,
        "title": manifest.title,
        "path": str(catalogue.path),
        "rows": catalogue.rows,
        "parts": catalogue.parts,
        "survey": manifest.survey,
        "simulated": manifest.simulated,
        "doi": manifest.doi,
        "version": manifest.version,
        "format": manifest.format,
        "created": manifest.created,
        "software": manifest.software,
        "classes": [entry.name for entry in manifest.classes],
        "features": list(manifest.features),
        "columns": [total.facts() for total in totals.values()],
        "derived": {c.name: list(c.formula) for c in manifest.columns.values() if c.formula},
        "ledger": {key: made[key] for key in _LEDGER if key in made},
        "groups": {group.name: dict(group.provenance) for group in manifest.groups},
        "index": _index_state(catalogue),
    }


def _index_state(catalogue: Catalogue) -> str:
    if has_index(catalogue):
        return "up to date"
    return "stale" if (catalogue.path / "index").is_dir() else "missing"


_LEDGER = ("rows_read", "steps", "rows_kept", "unknown_classes")
_WORDS = ("name", "role", "dtype", "unit", "system", "extinction", "of_class", "ucd", "description")


class _Total:
    """Range, missing values and, of classes, counts of one column, part after part."""

    def __init__(self, column: Column, group: str, classes: tuple[str, ...]) -> None:
        self._column, self._group, self._classes = column, group, classes
        self._extremes: list[float | int] = []
        self._missing = 0
        self._counts: Counter[int] = Counter()

    def add(self, tally: Mapping[str, Any]) -> None:
        """Take in what was counted of one part."""
        self._counts.update({int(code): count for code, count in tally.get("counts", {}).items()})
        self._missing += tally.get("missing", 0)
        self._extremes += [tally[side] for side in ("min", "max") if tally.get(side) is not None]

    def facts(self) -> dict[str, Any]:
        """The column and its totals."""
        words = {name: getattr(self._column, name) for name in _WORDS} | {"group": self._group}
        if self._column.kind == "class":
            counts = {name: self._counts[code] for code, name in enumerate(self._classes)}
            return words | {"missing": self._counts[-1], "counts": counts}
        low, high = (min(self._extremes), max(self._extremes)) if self._extremes else (None, None)
        return words | {"missing": self._missing, "min": low, "max": high}


def lines(facts: Mapping[str, Any]) -> list[str]:
    """The result of `describe` for a reader."""
    kind = "simulated" if facts["simulated"] else "observed"
    return [
        f"{facts['title']} ({kind})",
        f"{facts['rows']:,} sources in {facts['parts']} parts at {facts['path']}",
        f"survey {facts['survey']}, version {facts['version']} of format {facts['format']}, made {facts['created']} "
        f"by {facts['software']}" + (f", DOI {facts['doi']}" if facts["doi"] else ""),
        f"classes: {', '.join(facts['classes']) or 'none'}",
        f"features: {', '.join(facts['features']) or 'none'}",
        f"index: {facts['index']}",
        "",
        f"{'column':<16} {'role':<16} {'unit':<10} {'range':<36} missing",
        *(_column_line(column) for column in facts["columns"]),
        "",
        f"derived: {', '.join(facts['derived']) or 'none'}",
        *(line for name, made in facts["groups"].items() for line in _group_lines(name, made)),
    ]


def _column_line(column: Mapping[str, Any]) -> str:
    if "counts" in column:
        extent = ", ".join(f"{name} {number:,}" for name, number in column["counts"].items())
    elif column["min"] is None:
        extent = "no value"
    else:
        extent = " to ".join(_number(column[side]) for side in ("min", "max"))
    unit = " ".join(word for word in (column["unit"], column["system"]) if word)
    return f"{column['name']:<16} {column['role']:<16} {unit:<10} {extent:<36} {column['missing']:,}"


def _number(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _group_lines(name: str, made: Mapping[str, Any]) -> list[str]:
    model = made.get("model")
    notes = f", model {model['id']}" if isinstance(model, Mapping) and "id" in model else ""
    return [
        f"{name}: made {made.get('date', '')} by {made.get('software', '')}{notes}",
        *(f"  {e}" for e in account(made)),
    ]
