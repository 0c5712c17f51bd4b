"""What there is to know of a catalogue, as a mapping and as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.index import has_index
from galviz.ingest import account
from galviz.manifest import Column
from galviz.progress import Progress, silent


def describe(catalogue: Catalogue, progress: Progress = silent) -> dict[str, Any]:
    """Rows, classes, columns with range and missing values, how each group of columns was made, the index.

    Reads every stored column once, part by part; the result holds numbers, text, lists and mappings only.
    """
    manifest = catalogue.manifest
    stored = [column for column in manifest.columns.values() if not column.formula]
    totals = {column.name: _Total(column, manifest.class_names) for column in stored}
    for part in range(catalogue.parts):
        for name, values in catalogue.read_part(part, list(totals)).items():
            totals[name].add(values)
        progress((part + 1) / catalogue.parts, f"{part + 1} of {catalogue.parts} parts read")
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
        "created": manifest.created,
        "software": manifest.software,
        "classes": [entry.name for entry in manifest.classes],
        "features": list(manifest.features),
        "columns": [totals[column.name].facts() for column in stored],
        "derived": {c.name: list(c.formula) for c in manifest.columns.values() if c.formula},
        "groups": {group.name: dict(group.provenance) for group in manifest.groups},
        "index": _index_state(catalogue),
    }


def _index_state(catalogue: Catalogue) -> str:
    if has_index(catalogue):
        return "up to date"
    return "stale" if (catalogue.path / "index").is_dir() else "missing"


_WORDS = ("name", "role", "dtype", "unit", "system", "ucd", "description")


class _Total:
    """Range, missing values and, of classes, counts of one column, part after part."""

    def __init__(self, column: Column, classes: tuple[str, ...]) -> None:
        self._column, self._classes = column, classes
        self._low: float | int | None = None
        self._high: float | int | None = None
        self._missing = 0
        self._counts = np.zeros(len(classes) + 1, np.int64)

    def add(self, values: NDArray[Any]) -> None:
        """Take in the values of one part."""
        if self._column.kind == "class":
            self._counts += np.bincount(values.astype(np.int64) + 1, minlength=len(self._counts))
            return
        known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        self._missing += len(values) - len(known)
        if len(known):
            low, high = known.min().item(), known.max().item()
            self._low = low if self._low is None else min(self._low, low)
            self._high = high if self._high is None else max(self._high, high)

    def facts(self) -> dict[str, Any]:
        """The column and its totals."""
        column = self._column
        words = {
            name: getattr(column, name) for name in ("name", "role", "dtype", "unit", "system", "ucd", "description")
        }
        if column.kind == "class":
            counts = dict(zip(self._classes, self._counts[1:].tolist(), strict=True))
            return words | {"missing": int(self._counts[0]), "counts": counts}
        return words | {"missing": self._missing, "min": self._low, "max": self._high}


def lines(facts: Mapping[str, Any]) -> list[str]:
    """The result of `describe` for a reader."""
    kind = "simulated" if facts["simulated"] else "observed"
    return [
        f"{facts['title']} ({kind})",
        f"{facts['rows']:,} sources in {facts['parts']} parts at {facts['path']}",
        f"survey {facts['survey']}, version {facts['version']}, made {facts['created']} by {facts['software']}"
        + (f", DOI {facts['doi']}" if facts["doi"] else ""),
        f"classes: {', '.join(facts['classes'])}",
        f"features: {', '.join(facts['features'])}",
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
