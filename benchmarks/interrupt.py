"""An ingest that is killed goes on to the same bytes: ``python -m benchmarks.interrupt``.

For each of CSV, FITS and Parquet, an ingest of simulated sources in a process of its own is killed with SIGKILL at
points spread evenly over the time that it takes, and the same command is run again. Manifest and parts must then be
those of an ingest that nobody killed, byte for byte. Exits with 1 where they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from astropy.table import Table

from benchmarks.ingest import BATCH, published
from galviz.catalogue import MANIFEST
from galviz.healpix import healpix
from galviz.ingest import ingest, job

SUFFIXES = (".csv", ".fits", ".parquet")
BEGIN, END = "begin", "end"
EPOCH = "1700000000"  # the date in all manifests


def write_source(path: Path, rows: int) -> None:
    """Simulated sources of the published layout in the format of the suffix, every tenth of them twice."""
    pieces = [published(min(BATCH, rows - start), 0, part) for part, start in enumerate(range(0, rows, BATCH))]
    table = pa.concat_tables([*pieces, pieces[0].slice(0, rows // 10)]).slice(rows // 10)
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=max(1, rows // 8))
    else:
        Table({name: table[name].to_numpy() if name != "class_pred" else table[name].to_pylist()
               for name in table.column_names}).write(path)  # fmt: skip


def run(source: Path, out: Path, rows: int) -> None:
    """Ingest in small steps, so that there is much to be interrupted."""
    job.PART_ROWS, job.RUN_BYTES = max(1, rows // 12), 8 * 18 * max(1, rows // 10)
    healpix([0.0], [0.0])  # what is slow for the first time only
    print(BEGIN, flush=True)
    ingest(source, out, "sdss-wise")
    print(END, flush=True)


def duration(source: Path, out: Path, rows: int) -> float:
    """Seconds that an ingest takes in a process that has begun, without the end of the process."""
    with started(source, out, rows) as process:
        start = time.perf_counter()
        assert process.stdout is not None
        assert process.stdout.readline().strip() == END
        seconds = time.perf_counter() - start
    shutil.rmtree(out.parent)
    return seconds


def started(source: Path, out: Path, rows: int) -> subprocess.Popen[str]:
    """A process that has imported everything and begins to ingest now."""
    command = [sys.executable, "-m", "benchmarks.interrupt", "--run", str(source), str(out), "--rows", str(rows)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == BEGIN
    return process


def finished(source: Path, out: Path, rows: int) -> dict[str, bytes]:
    """The files of a catalogue after an ingest that nobody stops."""
    with started(source, out, rows) as process:
        process.communicate()
    if process.returncode:
        raise SystemExit(f"the ingest of {source} failed")
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def killed(source: Path, out: Path, rows: int, seconds: float) -> bool:
    """Kill an ingest after so many seconds; whether it was killed before it ended."""
    with started(source, out, rows) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def campaign(folder: Path, rows: int, points: int, suffixes: Sequence[str] = SUFFIXES) -> dict[str, int]:
    """How many of `points` interrupted ingests of each format ended in the same bytes."""
    same = {}
    for suffix in suffixes:
        source = folder / f"source{suffix}"
        write_source(source, rows)
        whole = finished(source, folder / "whole" / "out", rows)
        seconds = min(duration(source, folder / "timed" / "out", rows) for _ in range(3))
        outcomes = [
            attempt(source, folder / str(point) / "out", rows, seconds * (point + 0.5) / points, whole)
            for point in range(points)
        ]
        same[suffix] = sum(outcomes)
        shutil.rmtree(folder / "whole")
        source.unlink()
    return same


def attempt(source: Path, out: Path, rows: int, seconds: float, whole: dict[str, bytes]) -> bool:
    """Whether an ingest that is killed left nothing half-made, and goes on to the bytes of `whole`."""
    before_end = killed(source, out, rows, seconds)
    staging = out.with_name(f".{out.name}.ingest")
    entries = len((staging / "journal").read_bytes().splitlines()) if (staging / "journal").exists() else 0
    half_made = out.exists() and not (out / MANIFEST).is_file()
    print(f"{source.suffix}: killed {before_end} after {seconds:.2f} s, {entries} entries in the journal", flush=True)
    if out.exists() and not staging.exists():
        found = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    else:
        found = finished(source, out, rows)
    left = [path.name for path in out.parent.iterdir() if path != out]
    differing = [name for name in sorted({*found, *whole}) if found.get(name) != whole.get(name)]
    if differing or half_made or left:
        print(f"NOT THE SAME: {differing}, half made: {half_made}, left behind: {left}", flush=True)
    shutil.rmtree(out.parent)
    return not (differing or half_made or left)


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; 1 when bytes differ."""
    parser = argparse.ArgumentParser(description="Kill ingests and run them again.")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--points", type=int, default=40, help="ingests that are killed, of each format")
    parser.add_argument("--only", nargs="+", choices=SUFFIXES, default=SUFFIXES, help="formats")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--run", nargs=2, type=Path, metavar=("SOURCE", "OUT"), help="ingest in small steps")
    options = parser.parse_args(arguments)
    if options.run:
        run(*options.run, options.rows)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        same = campaign(Path(folder), options.rows, options.points, options.only)
    for suffix, number in same.items():
        print(f"{suffix}: {number} of {options.points} interrupted ingests gave the same bytes")
    if options.json:
        options.json.write_text(json.dumps(same, indent=1) + "\n", encoding="utf-8")
    return 0 if all(number == options.points for number in same.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
