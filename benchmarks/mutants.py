"""Damaged files end in a catalogue that accounts for every row, or in one sentence: ``python -m benchmarks.mutants``.

Good files of each format are damaged at random: bits flipped, ends cut off, bytes inserted, removed, swapped, zeroed,
headers changed. Each mutant is ingested by a process of its own, which is allowed ten seconds of processor time and
2 GB of memory. Exits with 1 where one ends otherwise, and names it; ``--only NAME:NUMBER`` does that one again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import MaskedColumn, Table

from galviz.catalogue import Catalogue
from galviz.errors import GalvizError
from galviz.export import export
from galviz.ingest import ingest
from galviz.simulate.catalogue import simulate

ROWS = 2_000
SECONDS = 10  # of processor time
PATIENCE = 120.0  # seconds until a process that does nothing is given up
MEMORY = 2 << 30
TEXT = b'",\n\r\t;#\x00\xff-0123456789eE.+<>/& aZ'
SHIPPED = ("csv", "fits", "votable", "parquet")


Write = Callable[[Catalogue, Path], object]


def _own(catalogue: Catalogue, path: Path) -> None:
    export(catalogue, None, path)


def _of_others(kind: str = "") -> Write:
    """A file as astropy writes it, which has no checksum; `kind` is the way a VOTable keeps its rows."""

    def write(catalogue: Catalogue, path: Path) -> None:
        rows = Table.from_pandas(catalogue.read_frame(0).astype({"class": str}))
        rows.write(path, **({"format": "votable", "tabledata_format": kind} if kind else {}))

    return write


def _plain_parquet(catalogue: Catalogue, path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(catalogue.read_frame(0)), path, row_group_size=700)


def _masked_parquet(catalogue: Catalogue, path: Path) -> None:
    """As astropy writes it: YAML in the metadata, and a column of flags for each one that has gaps."""
    rows = Table.from_pandas(catalogue.read_frame(0).astype({"class": str}), units={"ra": "deg", "dec": "deg"})
    for name in ("psf_u", "redshift"):
        rows[name] = MaskedColumn(rows[name], mask=np.arange(len(rows)) % 7 == 0, unit=rows[name].unit)
    rows.write(path)


def _vizier(catalogue: Catalogue, path: Path) -> None:
    """Text as VizieR writes it: units and a rule below the names, columns of one width, an end."""
    frame = catalogue.read_frame(0)
    frame = frame.astype({"class": str}).map(lambda value: "" if value != value else str(value))
    widths = [max(frame[name].str.len().max(), len(name)) for name in frame]
    lines = [
        "\t".join(frame),
        "\t".join("deg" if name in ("ra", "dec") else "" for name in frame),
        "\t".join("-" * width for width in widths),
        *("\t".join(map(str.rjust, row, widths)) for row in frame.itertuples(index=False)),
    ]
    comments = "".join(f"#Column\t{name}\t(A)\t{name}\t[ucd=meta.id]\n" for name in frame)
    path.write_text("#Table\tsources:\n" + comments + "\n".join(lines) + "\n\n#END# -ref=0\n")


def _packed(catalogue: Catalogue, path: Path) -> None:
    export(catalogue, None, path.with_suffix(""))
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))


FORMATS: dict[str, tuple[str, Write]] = {
    "csv": ("rows.csv", _own),
    "fits": ("rows.fits", _of_others()),
    "votable": ("rows.vot", _own),
    "parquet": ("rows.parquet", _plain_parquet),
    "own fits": ("own.fits", _own),
    "own parquet": ("own.parquet", _own),
    "astropy parquet": ("astropy.parquet", _masked_parquet),
    "ecsv": ("rows.ecsv", _own),
    "vizier": ("rows.tsv", _vizier),
    "tabledata": ("tabledata.vot", _of_others("tabledata")),
    "binary": ("binary.vot", _of_others("binary")),
    "binary2": ("binary2.vot", _of_others("binary2")),
    "csv.gz": ("packed.csv.gz", _packed),
    "fits.gz": ("packed.fits.gz", _packed),
}


# Damage


def flip(data: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(8))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


def insert(data: bytearray, rng: np.random.Generator) -> None:
    place = int(rng.integers(len(data)))
    data[place:place] = rng.bytes(int(rng.integers(1, 64)))


def remove(data: bytearray, rng: np.random.Generator) -> None:
    place = int(rng.integers(len(data)))
    del data[place : place + int(rng.integers(1, 3000))]


def swap(data: bytearray, rng: np.random.Generator) -> None:
    length = int(rng.integers(1, 200))
    one, other = sorted(rng.integers(len(data) - length, size=2).tolist())
    if other - one >= length:
        here, there = data[one : one + length], data[other : other + length]
        data[one : one + length], data[other : other + length] = there, here


def blank(data: bytearray, rng: np.random.Generator) -> None:
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 3000))
    length = min(length, len(data) - place)
    data[place : place + length] = bytes([int(rng.choice([0, 32, 255]))]) * length


def retype(data: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(len(data), size=rng.integers(1, 4)):
        data[place] = TEXT[int(rng.integers(len(TEXT)))]


def reword(data: bytearray, rng: np.random.Generator) -> None:
    """Change letters and digits among the first or the last bytes, where the headers are."""
    size = min(int(rng.choice([200, 3000, 12_000])), len(data))
    start = int(rng.choice([0, len(data) - size]))
    for place in start + rng.integers(size, size=rng.integers(1, 4)):
        data[place] = TEXT[int(rng.integers(len(TEXT)))]


def repeat(data: bytearray, rng: np.random.Generator) -> None:
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 3000))
    data[place:place] = data[place : place + length]


DAMAGES = (flip, cut, insert, remove, swap, blank, retype, reword, repeat)


def mutant(good: bytes, name: str, number: int) -> tuple[bytes, str]:
    """A damaged copy and what was done to it; the same name and number give the same one."""
    rng = np.random.default_rng([number, *name.encode()])
    damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
    data = bytearray(good)
    damage(data, rng)
    return bytes(data), damage.__name__


# Judgement


@dataclass(frozen=True)
class Outcome:
    """How the ingest of one mutant ended: `verdict` is catalogue, sentence, or what is wrong with it."""

    verdict: str
    words: str
    seconds: float
    memory: int


def rows_of(data: bytes, name: str, rows: int) -> set[int]:
    """How many rows a mutant may have: those of the good file, and of text as many as it has lines.

    A carriage return alone ends a line of a mutant, unless it stands between quotation marks.
    """
    if name == "tabledata":  # which does not say how many there are
        return {len(re.findall(rb"<TR>", data))}
    if name == "vizier":  # whose two lines below the names are rows where they are damaged
        lines = sum(bool(line.strip()) and not line.startswith(b"#") for line in data.split(b"\n"))
        return {lines - 1, lines - 3}
    return {_lines(data, rb"\r?\n"), _lines(data, rb"\r\n|\r|\n")} if name in ("csv", "ecsv") else {rows}


def _lines(data: bytes, end: bytes) -> int:
    lines = [line for line in re.split(end, data.removeprefix(b"\xef\xbb\xbf")) if line.strip()]
    comments = next((place for place, line in enumerate(lines) if not line.startswith(b"#")), len(lines))
    return len(lines) - comments - 1


def judge(told: Mapping[str, Any], path: Path, rows: set[int]) -> tuple[str, str]:
    """The verdict on what a process told of itself, and the words to it."""
    if "traceback" in told:
        return "TRACEBACK", told["traceback"]
    if "sentence" in told:
        words = str(told["sentence"])
        whole = path.name in words and words.endswith(".") and words.isprintable()
        return "sentence" if whole else "NOT A SENTENCE", words
    ledger = told["ledger"]
    dropped = sum(step["dropped"] for step in ledger["steps"])
    if ledger["rows_read"] not in rows:
        return "ROWS VANISHED", f"{ledger['rows_read']} rows read of {max(rows)}"
    if ledger["rows_read"] - dropped != ledger["rows_kept"] or ledger["rows_kept"] != told["rows"]:
        return (
            "LEDGER",
            f"{ledger['rows_read']} read, {dropped} dropped, {ledger['rows_kept']} kept, {told['rows']} there",
        )
    return "catalogue", f"{told['rows']} rows"


def attempt(path: Path, out: Path) -> dict[str, Any]:
    """Ingest a file and tell how that ended."""
    try:
        made = ingest(path, out, "sdss-wise")
    except GalvizError as error:
        return {"sentence": str(error)}
    except BaseException:
        return {"traceback": traceback.format_exc()}
    return {"rows": made.rows, "ledger": {k: made.manifest.groups[0].provenance[k] for k in LEDGER}}


LEDGER = ("rows_read", "steps", "rows_kept")


def run(path: Path, out: Path, rows: set[int]) -> Outcome:
    """Ingest a file in a process of its own, within the limits."""
    end, start = os.pipe()
    if (child := os.fork()) == 0:
        try:
            _limit()
            with os.fdopen(start, "w") as pipe:
                pipe.write(json.dumps(attempt(path, out)))
        finally:
            os._exit(0)
    os.close(start)
    told = _listen(end, child)
    _, status, used = os.wait4(child, 0)
    seconds, memory = used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss
    if not told:
        how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status}"
        return Outcome("DIED", how, seconds, memory)
    verdict, words = judge(json.loads(told), path, rows)
    if verdict in ("catalogue", "sentence") and (seconds > SECONDS or memory > MEMORY):
        verdict = "TOO MUCH"
    return Outcome(verdict, words, seconds, memory)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _listen(end: int, child: int) -> str:
    """What the process says until it ends; one that is silent for too long is ended.

    The time is taken in slices, so that a pause of the whole machine counts as one of them.
    """
    with os.fdopen(end) as pipe:
        if not any(wait([pipe], PATIENCE / 20) for _ in range(20)):
            os.kill(child, signal.SIGKILL)
        return pipe.read()


# The campaign


def good_files(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """A good file of each format, of the same simulated sources."""
    catalogue = simulate(folder / "sky", ROWS, 3, labelled=True)
    made = {}
    for name in names:
        file, write = FORMATS[name]
        made[name] = folder / file
        write(catalogue, made[name])
    return made


def try_mutant(good: Path, name: str, number: int, folder: Path) -> tuple[Outcome, str]:
    """Damage a file, ingest it, and clear up; the damage is named too."""
    data, damage = mutant(good.read_bytes(), name, number)
    path = folder / f"mutant-{number}-{good.name}"
    path.write_bytes(data)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        outcome = run(path, Path(out) / "out", rows_of(data, name, ROWS))
    path.unlink()
    return outcome, damage


def campaign(
    folder: Path, names: tuple[str, ...], mutants: int, first: int = 0
) -> dict[str, list[tuple[int, str, Outcome]]]:
    """`mutants` of the formats in turn from the number `first` on: numbers, damages and outcomes by format."""
    good = good_files(folder, names)
    found: dict[str, list[tuple[int, str, Outcome]]] = {name: [] for name in names}
    for number in range(first, first + mutants):
        name = names[number % len(names)]
        outcome, damage = try_mutant(good[name], name, number, folder)
        found[name].append((number, damage, outcome))
    return found


def is_well(outcome: Outcome) -> bool:
    """Whether an ingest ended as it should."""
    return outcome.verdict in ("catalogue", "sentence")


def table(found: Mapping[str, list[tuple[int, str, Outcome]]]) -> str:
    """A line a format, then a line a mutant that ended otherwise."""
    lines = [f"{'format':16s}{'mutants':>9s}{'catalogue':>11s}{'sentence':>10s}{'otherwise':>11s}{'s':>7s}{'MB':>7s}"]
    for name, entries in found.items():
        verdicts = Counter(outcome.verdict for *_, outcome in entries)
        wrong = sum(not is_well(outcome) for *_, outcome in entries)
        seconds = max(outcome.seconds for *_, outcome in entries)
        memory = max(outcome.memory for *_, outcome in entries) / 1e6
        lines.append(
            f"{name:16s}{len(entries):9d}{verdicts['catalogue']:11d}{verdicts['sentence']:10d}{wrong:11d}"
            f"{seconds:7.1f}{memory:7.0f}"
        )
    for name, entries in found.items():
        for number, damage, outcome in entries:
            if not is_well(outcome):
                lines.append(f"{outcome.verdict} {name}:{number} ({damage}): {outcome.words}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Damage, ingest, print and return 1 when any mutant ended otherwise."""
    parser = argparse.ArgumentParser(description="Ingest damaged files.")
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one; others are other mutants")
    parser.add_argument("--formats", default=",".join(SHIPPED), help=f"of {', '.join(FORMATS)}, or all")
    parser.add_argument("--only", metavar="NAME:NUMBER", help="one mutant, and what was said of it")
    options = parser.parse_args(arguments)
    names = tuple(FORMATS) if options.formats == "all" else tuple(options.formats.split(","))
    with tempfile.TemporaryDirectory() as folder:
        if options.only:
            name, number = options.only.split(":")
            good = good_files(Path(folder), (name,))[name]
            outcome, damage = try_mutant(good, name, int(number), Path(folder))
            print(f"{damage}: {outcome.verdict}: {outcome.words}")
            return 0 if is_well(outcome) else 1
        found = campaign(Path(folder), names, options.mutants, options.first)
    print(table(found))
    wrong = sum(not is_well(outcome) for entries in found.values() for *_, outcome in entries)
    print(f"{options.mutants - wrong} of {options.mutants} mutants end in a catalogue or in one sentence")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
