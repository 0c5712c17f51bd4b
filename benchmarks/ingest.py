"""galviz ingest against pyarrow alone: ``python -m benchmarks.ingest --rows N``.

Makes a CSV of N simulated sources in the published layout. Then, in turn and each in a process of its own: pyarrow
streams that CSV into one zstd Parquet file, once with the types that it infers and once with those of a catalogue, and
galviz ingests it: cleaned, without duplicates, sorted by HEALPix, checksummed and synced. Prints seconds, the ratio and
the peak of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.report import machine
from galviz.ingest import ingest
from galviz.simulate import batch

BATCH = 250_000
NAMES = ("GALAXY", "QSO", "STAR")
LAYOUT = (
    *("objid", "ra", "dec", "psf_u", "psf_g", "psf_r", "psf_i", "psf_z", "w1", "w2", "w3", "w4", "resolvedr"),
    *("class_pred", "class_prob_galaxy", "class_prob_quasar", "class_prob_star"),
)
GOAL, MEMORY = 2.0, 2e9


def published(rows: int, seed: int, part: int) -> pa.Table:
    """Simulated sources in the 17 columns of the published file, with votes of 200 trees."""
    columns = batch(rows, seed, part)
    rng = np.random.default_rng((seed, part))
    weights = np.full((rows, 3), 0.06)
    weights[np.arange(rows), columns["sim_class"]] = 0.88
    votes = rng.multinomial(200, weights)
    made = {f"class_prob_{name}": votes[:, place] / 200 for place, name in enumerate(("galaxy", "quasar", "star"))}
    made |= {"class_pred": np.array(NAMES, object)[votes.argmax(axis=1)], "resolvedr": columns["resolved_r"]}
    return pa.table({name: made[name] if name in made else columns[name] for name in LAYOUT})


def write_csv(path: Path, rows: int, seed: int = 0) -> None:
    """A CSV of simulated sources in the published layout."""
    partial = path.with_suffix(".partial")
    with pa.csv.CSVWriter(partial, published(1, seed, 0).schema) as writer:
        for part, start in enumerate(range(0, rows, BATCH)):
            writer.write_table(published(min(BATCH, rows - start), seed, part))
    os.replace(partial, path)


def with_pyarrow(source: Path, out: Path) -> None:
    """What pyarrow needs, with the types that it infers."""
    _streamed(source, out, {})


def with_types(source: Path, out: Path) -> None:
    """What pyarrow needs, with the types of a catalogue."""
    types = {name: pa.float32() for name in LAYOUT[3:] if name != "class_pred"}
    _streamed(source, out, types | {"objid": pa.int64(), "ra": pa.float64(), "dec": pa.float64()})


def _streamed(source: Path, out: Path, types: dict[str, Any]) -> None:
    with (
        pa.csv.open_csv(source, convert_options=pa.csv.ConvertOptions(column_types=types)) as reader,
        pq.ParquetWriter(out, reader.schema, compression="zstd") as writer,
    ):
        for chunk in reader:
            writer.write_batch(chunk)


def with_galviz(source: Path, out: Path) -> None:
    """What galviz needs."""
    ingest(source, out, "sdss-wise")


CONTESTANTS: dict[str, Callable[[Path, Path], None]] = {
    "pyarrow": with_pyarrow,
    "pyarrow, same types": with_types,
    "galviz": with_galviz,
}


def measured(name: str, source: Path, folder: Path) -> dict[str, float]:
    """Seconds, seconds of processor and peak memory of one contestant in a process of its own."""
    out = folder / "out"
    command = [sys.executable, "-m", "benchmarks.ingest", "--run", name, str(source), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seconds = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{name} failed")
    size = sum(path.stat().st_size for path in (out.rglob("*") if out.is_dir() else [out]))
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": float(seconds), "cpu": cpu, "memory": usage.ru_maxrss * 1024, "bytes": size}


def race(source: Path, rows: int, repeat: int, names: Sequence[str]) -> dict[str, Any]:
    """All contestants in turn, `repeat` times."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        for _ in range(repeat):
            for name, rounds in results.items():
                rounds.append(measured(name, source, Path(folder)))
                print(name, rounds[-1], flush=True)
    return {"rows": rows, "csv": source.stat().st_size, "machine": machine(), "results": results}


def table(results: dict[str, Any]) -> str:
    """Seconds, ratio to galviz, seconds of all cores, peak memory and size on disk of each contestant."""
    rounds = results["results"]
    lines = [f"{'':<22}{'seconds':>9}{'galviz takes':>14}{'processor':>11}{'peak MB':>9}{'MB on disk':>12}"]
    for name, runs in rounds.items():
        ratio = ratio_to(rounds, name)
        seconds, cpu = (median(run[key] for run in runs) for key in ("seconds", "cpu"))
        peak = max(run["memory"] for run in runs)
        lines.append(
            f"{name:<22}{seconds:>9.2f}{f'{ratio:.2f} x' if ratio else '':>14}"
            f"{cpu:>11.2f}{peak / 1e6:>9.0f}{runs[0]['bytes'] / 1e6:>12.0f}"
        )
    return "\n".join(lines)


def ratio_to(rounds: dict[str, list[dict[str, float]]], name: str) -> float:
    """The median over rounds of the time of galviz over that of a contestant; 0 where one of them did not run."""
    if "galviz" not in rounds or name not in rounds:
        return 0.0
    pairs = zip(rounds["galviz"], rounds[name], strict=True)
    return median(ours["seconds"] / theirs["seconds"] for ours, theirs in pairs)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description="Measure galviz ingest against pyarrow.")
    result.add_argument("--rows", type=int, default=1_000_000)
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--repeat", type=int, default=3)
    result.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "data" / "bench")
    result.add_argument("--only", default=",".join(CONTESTANTS).replace(", ", ";"), help=argparse.SUPPRESS)
    result.add_argument("--json", type=Path, help="file for everything that was measured")
    result.add_argument("--run", nargs=3, metavar=("NAME", "CSV", "OUT"), help="run one contestant and print its time")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; 1 when a goal is missed."""
    options = parser().parse_args(arguments)
    if options.run:
        name, source, out = options.run
        start = time.perf_counter()
        CONTESTANTS[name](Path(source), Path(out))
        print(time.perf_counter() - start)
        return 0
    options.folder.mkdir(parents=True, exist_ok=True)
    source = options.folder / f"published-{options.rows}-{options.seed}.csv"
    if not source.exists():
        write_csv(source, options.rows, options.seed)
    names = [name.replace(";", ", ") for name in options.only.split(",")]
    results = race(source, options.rows, options.repeat, names)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    memory = max(run["memory"] for run in results["results"].get("galviz", [{"memory": 0.0}]))
    reached = ratio_to(results["results"], "pyarrow") <= GOAL and memory <= MEMORY
    print(f"goal: at most {GOAL:g} times pyarrow within {MEMORY / 1e9:g} GB: {'reached' if reached else 'missed'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
