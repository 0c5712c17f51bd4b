"""What became of every row and value that was read, so that the numbers add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from galviz.errors import CatalogueError
from galviz.surveys import Step

OTHERS = "(others)"
_TEXTS = 20  # of unknown classes that are named
_MOST_TEXTS = 1000  # of unknown classes that are counted one by one in each run


@dataclass
class Ledger:
    """Counts of what was done; rows read = rows dropped by the steps + duplicates + rows kept.

    Duplicates are resolved before the steps where
    `nearest_first`, else after them; `identity` names the column that duplicates share, "" where there is none, and
    `nearest` the one that tells which of them wins, "" where the first row does.
    """

    steps: tuple[Step, ...]
    identity: str = ""
    nearest: str = ""
    nearest_first: bool = False
    read: int = 0
    kept: int = 0
    duplicates: int = 0
    shared: int = 0  # identifiers that several rows have
    most: int = 0  # rows of one identifier
    dropped: Counter[Step] = field(default_factory=Counter)
    sentinels: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)  # of sentinels, by column
    missing: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """The counts of one stretch of the input, before duplicates are looked for."""
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": [self.dropped[step] for step in self.steps],
            "sentinels": dict(self.sentinels),
            "reasons": [[*key, number] for key, number in self.reasons.items()],
            "missing": dict(self.missing),
            "unknown": self._unknown(),
        }

    def _unknown(self) -> dict[str, int]:
        """Rows by unknown class, the rarer ones together where there are very many."""
        ordered = sorted(self.unknown.items(), key=lambda entry: (-entry[1], entry[0]))
        rest = sum(number for _, number in ordered[_MOST_TEXTS:])
        return dict(ordered[:_MOST_TEXTS]) | ({OTHERS: rest} if rest else {})

    def add(self, counts: Mapping[str, Any]) -> None:
        """Take in what `to_json` gave of another stretch."""
        self.read += counts["read"]
        self.kept += counts["kept"]
        self.dropped.update(dict(zip(self.steps, counts["dropped"], strict=True)))
        self.reasons.update({(column, reason): number for column, reason, number in counts["reasons"]})
        for name in ("sentinels", "missing", "unknown"):
            getattr(self, name).update(counts[name])

    def null(self, column: str, reason: str, values: int) -> None:
        """Count values of a column that become null."""
        if values:
            self.sentinels[column] += values
            self.reasons[column, reason] += values

    def leave_unclassed(self, text: str, rows: int) -> None:
        """Count rows whose class is a text that names none."""
        self.unknown[text] += rows

    def resolve(self, dropped: int, fallen: Sequence[int], shared: int, most: int) -> None:
        """Enter that `dropped` duplicates fell, of which `fallen` had been counted at each of the steps."""
        self.duplicates, self.shared, self.most = dropped, shared, most
        self.kept -= dropped - sum(fallen)
        self.dropped.subtract(dict(zip(self.steps, fallen, strict=True)))

    def entries(self) -> dict[str, Any]:
        """The account as it stands in the manifest: `left` of the last step is `rows_kept`."""
        lines = [(step.condition, step.reason, self.dropped[step]) for step in self.steps]
        if self.identity:
            lines.insert(0 if self.nearest_first else len(lines), self._duplicates())
        left, steps = self.read, []
        for condition, reason, number in lines:
            left -= number
            steps.append({"kept where": condition, "reason": reason, "dropped": number, "left": left})
        unknown = sorted(self.unknown.items(), key=lambda entry: (-entry[1], entry[0]))
        return {
            "rows_read": self.read,
            "steps": steps,
            "rows_kept": self.kept,
            **({"duplicates": self._shared()} if self.identity else {}),
            "unknown_classes": dict(unknown[:_TEXTS]),
        }

    def _duplicates(self) -> tuple[str, str, int]:
        which = f"smallest {self.nearest}" if self.nearest else "first row"
        return f"{which} of each {self.identity}", f"several rows share one {self.identity}", self.duplicates

    def _shared(self) -> dict[str, Any]:
        return {
            "column": self.identity,
            "nearest by": self.nearest,
            "shared": self.shared,
            "most rows": self.most,
            "dropped": self.duplicates,
        }


def account(provenance: Mapping[str, Any]) -> list[str]:
    """The account of an ingested catalogue, or of one opened in place, in lines for a reader; empty for any other.

    Raises CatalogueError for a provenance that is damaged.
    """
    if not {"rows_read", "not applied"} & set(provenance):
        return []
    try:
        return list(_account_in_place(provenance)) if "not applied" in provenance else _lines(provenance)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CatalogueError(
            f"The ledger in the manifest of the catalogue is damaged ({error!r}); make the catalogue again."
        ) from error


def _lines(provenance: Mapping[str, Any]) -> list[str]:
    lines = [f"{file['name']} {file['warning']}" for file in provenance.get("files", ()) if file.get("warning")]
    lines.append(f"{provenance['rows_read']:,} rows read")
    for step in provenance["steps"]:
        lines.append(f"{step['dropped']:,} dropped, kept where {step['kept where']}: {step['reason']}")
    lines.append(f"{provenance['rows_kept']:,} rows kept")
    if shared := provenance.get("duplicates", {}).get("shared"):
        duplicates = provenance["duplicates"]
        lines.append(f"{shared:,} {duplicates['column']} stood in several rows, at most {duplicates['most rows']:,}")
    lines += _column_lines(provenance)
    for text, number in provenance["unknown_classes"].items():
        lines.append(f"class {text!r} is not one of the survey's: {number:,} rows without a class")
    return lines


def _account_in_place(provenance: Mapping[str, Any]) -> Iterator[str]:
    yield f"opened in place, as of the survey {provenance['survey']}: {provenance['opened in place']}"
    for step in provenance["not applied"]:
        yield f"not applied: kept where {step['kept where']} ({step['reason']})"
    yield from _column_lines(provenance)


def _column_lines(provenance: Mapping[str, Any]) -> Iterator[str]:
    for column in provenance["columns"]:
        yield _column_line(column)
    for name, reason in provenance["ignored"].items():
        yield f"{name}: ignored ({reason})"


def _column_line(column: Mapping[str, Any]) -> str:
    notes = [f"from {column['read as']}", column["unit"], column.get("note", "")]
    if column.get("sentinels to null"):
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in column.get("nulled", {}).items())
        notes.append(f"{column['sentinels to null']:,} sentinels to null{f' ({reasons})' if reasons else ''}")
    if column.get("missing"):
        notes.append(f"missing in {column['missing']:,} rows read")
    return f"{column['name']}: {', '.join(note for note in notes if note)}"
