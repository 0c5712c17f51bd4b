"""Downloads under attack: ``python -m benchmarks.fetch --kills 40 --cases 1000 --megabytes 512``.

An archive on this machine serves a file. A process that fetches it is killed at points spread over it, and run again:
how many bytes were sent twice, in chunks. Then random sequences of faults, a run after another until none is left: how
many ended in the right file, how many in a sentence, and whether one ended in a wrong file. Then the time of a large
file beside that of a bare copy without a checksum. Exits with 1 where a file is wrong or more than a chunk was
repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import urllib3

from galviz.errors import GalvizError
from galviz.fetch import PUBLISHED, download
from galviz.fetch.published import FileSet, Published
from galviz.fetch.web import Limits, Web
from tests.archive import CHUNK, DOI, Answer, Archive, Watch, open_archive

NAME = "rows.bin"
MB = 1_000_000
# A machine that pauses must not add an interruption of its own.
KILLED = Limits(chunk=256 * 1024, least=1024, patience=600.0, connect=600.0, read=600.0)
WRONG, RIGHT, REFUSED = "a wrong file", "the right file", "a sentence"


def fetch(root: str, folder: str, name: str = NAME, limits: Limits = KILLED) -> None:
    """Download a file of the archive at `root`; runs in a process of its own too."""
    publish(name)
    download("test", folder, web=Web(root, limits))


def publish(name: str) -> None:
    """Let "test" be the published catalogue that consists of this file."""
    PUBLISHED["test"] = Published("test", DOI, FileSet("sdss-wise", ((name,),), "csv"))


def repeated_after_kill(archive: Archive, folder: Path, point: float) -> float:
    """Chunks sent twice when the fetching process is killed at this share of the file and run again; -1 if it is wrong.

    What was under way to a killed process counts as sent.
    """
    content, name = archive.files[NAME], f"{point:.4f}.bin"
    archive.files[name] = content
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=fetch, args=(archive.root, str(folder), name))
    process.start()
    part = folder / f"{name}.part"
    while process.is_alive() and not (part.exists() and part.stat().st_size >= point * len(content)):
        time.sleep(0.0005)
    process.kill()
    process.join()
    fetch(archive.root, str(folder), name)
    if (folder / name).read_bytes() != content:
        return -1.0
    sent = sum(size for served, size in archive.served if served == name)
    return (sent - len(content)) / KILLED.chunk


def random_answer(rng: random.Random, content: bytes) -> Answer:
    """One answer, in most cases a wrong one."""
    size = len(content)
    headers = rng.choice([{}, {"Retry-After": "2"}, {"Retry-After": "x"}, {"Location": "https://example.org/x"}])
    other = rng.randbytes(rng.choice([size, size - 1, size + 1]))
    return rng.choice(
        [
            Answer(),
            Answer(stop=rng.randrange(-1, CHUNK)),
            Answer(stop=rng.randrange(size), ranges=False),
            Answer(ranges=False),
            Answer(flip=True),
            Answer(length=rng.choice(["", "0", "17", "100000"]), ranges=rng.random() < 0.5),
            Answer(extent=rng.choice(["", f"bytes 0-99/{size}", "bytes 0-99/*", "bytes 5-999/*", "bytes 0-999/1"])),
            Answer(change=rng.choice([content, other]), ranges=rng.random() < 0.5),
            Answer(status=rng.choice([429, 503, 500, 404, 403, 416, 204, 301]), headers=headers),
            Answer(headers={"Content-Encoding": "gzip"}),
        ]
    )


def outcomes(archive: Archive, folder: Path, seed: int) -> Counter[str]:
    """What the runs of one case end in; the last of them meets no fault."""
    rng = random.Random(seed)
    content = rng.randbytes(rng.randrange(1, 4 * CHUNK))
    archive.reset()
    archive.files, archive.etags, archive.dates = {NAME: content}, rng.random() < 0.7, rng.random() < 0.7
    publish(NAME)
    counts: Counter[str] = Counter()
    for faults in (rng.randrange(8), rng.randrange(5), 0, 0):
        archive.answers = [random_answer(rng, content) for _ in range(faults)]
        published = hashlib.md5(archive.files[NAME]).digest()
        try:
            download("test", folder, web=Watch().web(archive))
        except GalvizError:
            counts[WRONG if (folder / NAME).exists() else REFUSED] += 1
        else:
            right = hashlib.md5((folder / NAME).read_bytes()).digest() == published
            counts[RIGHT if right else WRONG] += 1
            return counts
    return counts


def seconds(archive: Archive, folder: Path) -> tuple[float, float]:
    """The time that galviz needs for the file of the archive, and that of a bare copy."""
    begun = time.perf_counter()
    fetch(archive.root, str(folder), limits=Limits())
    middle = time.perf_counter()
    address = f"{archive.root}/api/records/102/files/{NAME}/content"
    with urllib3.PoolManager() as pool, (folder / "bare").open("wb") as file:
        for piece in pool.request("GET", address, preload_content=False).stream(1 << 20):
            file.write(piece)
    return middle - begun, time.perf_counter() - middle


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=512)
    options = parser.parse_args(arguments)
    multiprocessing.set_forkserver_preload(["galviz.fetch"])
    with tempfile.TemporaryDirectory() as name, open_archive() as archive:
        place = Path(name)
        archive.files = {NAME: random.Random(0).randbytes(10 * MB)}
        repeated = []
        for number in range(options.kills):
            repeated.append(repeated_after_kill(archive, place / "kills", (number + 0.5) / options.kills))
        counts: Counter[str] = Counter()
        for seed in range(options.cases):
            counts += outcomes(archive, place / f"case-{seed}", seed)
        archive.reset()
        archive.files = {NAME: random.Random(1).randbytes(MB) * options.megabytes}
        ours, bare = seconds(archive, place) if options.megabytes else (0.0, 0.0)
    good = sum(0 <= chunks <= 1 for chunks in repeated)
    if repeated:
        print(f"killed and run again: {good} of {len(repeated)} right, at most {max(repeated):.2f} chunks sent twice")
    if options.cases:
        print(f"{options.cases:,} sequences of faults, {counts.total():,} runs:")
        for outcome in (RIGHT, REFUSED, WRONG):
            print(f"  {outcome:<15}{counts[outcome]:>7,}")
    if bare:
        print(f"{options.megabytes:,} MB: {ours:.2f} s, bare copy {bare:.2f} s, ratio {ours / bare:.2f}")
    return int(good < len(repeated) or counts[WRONG] > 0)


if __name__ == "__main__":
    sys.exit(main())
