"""Damaged files end in a catalogue that accounts for every row, or in one sentence; 300 of them in the benchmark."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import mutants


def test_damaged_files_of_every_format(tmp_path: Path) -> None:
    found = mutants.campaign(tmp_path, tuple(mutants.FORMATS), 3 * len(mutants.FORMATS))
    wrong = [entry for entries in found.values() for entry in entries if not mutants.is_well(entry[2])]
    assert not wrong, mutants.table(found)
    verdicts = {outcome.verdict for entries in found.values() for *_, outcome in entries}
    assert verdicts == {"catalogue", "sentence"}
    assert [path.name for path in tmp_path.glob("mutant*")] == []


def test_a_mutant_follows_from_its_number() -> None:
    good = bytes(range(256)) * 40
    assert mutants.mutant(good, "csv", 7) == mutants.mutant(good, "csv", 7)
    made = {mutants.mutant(good, name, number) for name in ("csv", "fits") for number in range(60)}
    assert len(made) > 110
    assert {damage for _, damage in made} == {damage.__name__ for damage in mutants.DAMAGES}


def ledger(read: int, dropped: int, kept: int) -> dict[str, Any]:
    return {"rows_read": read, "steps": [{"dropped": dropped}], "rows_kept": kept}


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"sentence": "rows.csv is bad; mend it."}, "sentence"),
        ({"sentence": "Something is bad; mend it."}, "NOT A SENTENCE"),
        ({"sentence": "rows.csv is bad;\nmend it."}, "NOT A SENTENCE"),
        ({"sentence": "rows.csv is bad"}, "NOT A SENTENCE"),
        ({"traceback": "KeyError"}, "TRACEBACK"),
        ({"rows": 8, "ledger": ledger(10, 2, 8)}, "catalogue"),
        ({"rows": 8, "ledger": ledger(9, 1, 8)}, "ROWS VANISHED"),
        ({"rows": 8, "ledger": ledger(10, 1, 8)}, "LEDGER"),
        ({"rows": 7, "ledger": ledger(10, 2, 8)}, "LEDGER"),
    ],
)
def test_the_judge_is_strict(told: dict[str, Any], verdict: str) -> None:
    assert mutants.judge(told, Path("rows.csv"), {10})[0] == verdict


@pytest.mark.parametrize(
    ("behaviour", "verdict"),
    [
        (lambda *_: bytearray(3 << 30), "DIED"),
        (lambda *_: time.sleep(60), "DIED"),
        (lambda *_: 1 / 0, "DIED"),
    ],
    ids=["memory", "hang", "crash"],
)
def test_a_process_that_goes_astray_is_seen(
    behaviour: Any, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "attempt", behaviour)
    monkeypatch.setattr(mutants, "PATIENCE", 0.5)
    assert mutants.run(tmp_path / "rows.csv", tmp_path / "out", {1}).verdict == verdict


def test_lines_are_the_rows_of_text() -> None:
    assert mutants.rows_of(b"# a\n# b\nx,y\n1,2\n\n3,4", "csv", 99) == {2}
    assert mutants.rows_of(b"anything", "fits", 99) == {99}
    assert mutants.rows_of(b'x,y\n1,"\r"\n', "csv", 99) == {1, 2}
