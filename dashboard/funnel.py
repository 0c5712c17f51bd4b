"""The ledger of an ingest as a funnel: rows read, what fell at each step and why, rows kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dashboard import style

SHOWN = ("rows_read", "steps", "rows_kept", "unknown_classes")  # what a funnel says of a provenance


def funnel_html(provenance: Mapping[str, Any]) -> str:
    """The funnel of a provenance, escaped; nothing where rows were not counted, as in a simulated catalogue."""
    if "rows_read" not in provenance:
        return ""
    read, kept = int(provenance["rows_read"]), int(provenance["rows_kept"])
    rows = "".join(_step_row(step, before, left, read) for step, before, left in _flow(provenance["steps"], read))
    share = f"{100 * kept / read:.4g} % of the rows read" if read else ""
    notes = "".join(f"<p class='gv-quiet'>{note}</p>" for note in _notes(provenance))
    return (
        '<table class="gv-table gv-funnel"><caption class="gv-quiet">Rows left after each step</caption>'
        '<thead><tr><th>step</th><th aria-hidden="true"></th><th class="n">dropped</th><th class="n">left</th></tr>'
        f"</thead><tbody>{_row('rows read', '', read, read, read)}{rows}</tbody>"
        f"<tfoot>{_row('rows kept', share, kept, kept, read)}</tfoot></table>{notes}"
    )


def _flow(steps: Sequence[Mapping[str, Any]], read: int) -> Iterator[tuple[Mapping[str, Any], int, int]]:
    """Each step with the rows before and after it."""
    before = read
    for step in steps:
        left = before - int(step["dropped"])
        yield step, before, left
        before = left


def _step_row(step: Mapping[str, Any], before: int, left: int, read: int) -> str:
    condition = f"kept where {step['kept where']}" if step.get("kept where") else ""
    return _row(str(step.get("reason", "")), condition, before, left, read, before - left)


def _row(title: str, note: str, before: int, left: int, read: int, dropped: int | None = None) -> str:
    """A row of the table; its bar is as wide as what is left, its rim as what was there before."""
    wide, narrow = (100 * rows / read if read else 0.0 for rows in (before, left))
    e = style.escape
    small = f'<span class="gv-range">{e(note)}</span>' if note else ""
    fell = "" if dropped is None else f"−{style.number(dropped)}" if dropped else "0"
    return (
        f'<tr><th scope="row">{e(title)}{small}</th>'
        f'<td aria-hidden="true"><i class="gv-flow" style="width:{wide:.4f}%"></i>'
        f'<i class="gv-flow gv-left" style="width:{narrow:.4f}%"></i></td>'
        f'<td class="n">{fell}</td><td class="n"><b>{style.number(left)}</b></td></tr>'
    )


def _notes(provenance: Mapping[str, Any]) -> Iterator[str]:
    """What became of values and classes in rows that stayed, escaped."""
    nulled = {c["name"]: c["sentinels to null"] for c in provenance.get("columns", ()) if c.get("sentinels to null")}
    if nulled:
        yield f"Values that mean “missing” and became empty, in all rows read: {_counts(nulled)}."
    if unknown := provenance.get("unknown_classes"):
        yield f"Classes that the survey does not know, kept without a class: {_counts(unknown)}."


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{style.escape(name or '(empty)')} {style.number(count)}" for name, count in numbers.items())
