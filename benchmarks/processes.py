"""What is measured in a process of its own: opening, building the index, and memory.

``python -m benchmarks.processes open|memory CATALOGUE`` prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.scenarios import WARM_UP, scenarios
from galviz.catalogue import Catalogue, open_catalogue
from galviz.draw import draw_many
from galviz.index import open_index

BEAT = 0.02  # seconds between two looks at a process


def run(task: str, catalogue: Path) -> dict[str, Any]:
    """Do a task of this module in a new process."""
    command = [sys.executable, "-m", "benchmarks.processes", task, str(catalogue)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def opening(path: Path) -> dict[str, Any]:
    """Seconds to open the catalogue and its index in this process."""
    start = time.perf_counter()
    catalogue = open_catalogue(path)
    middle = time.perf_counter()
    open_index(catalogue)
    end = time.perf_counter()
    return {"seconds": end - start, "catalogue": middle - start, "index": end - middle}


def memory(path: Path) -> dict[str, Any]:
    """Anonymous memory in bytes: after the imports, with the index open, and at most while every scenario is drawn."""
    before = anonymous()
    catalogue = open_catalogue(path)
    open_index(catalogue)
    opened = anonymous()
    with watched(os.getpid()) as peaks:
        for scenario in scenarios(catalogue):
            for requests in scenario.steps(WARM_UP):
                for exact in (False, True):
                    draw_many(catalogue, requests, exact=exact)
    left = _status("self")
    return {
        "imports": before, "opened": opened, "drawn": peaks["RssAnon"], "left": left["RssAnon"],
        "mapped": left["RssFile"],
    }  # fmt: skip


def build(catalogue: Catalogue) -> dict[str, Any]:
    """Run ``galviz index`` and watch it: seconds, peak memory with and without mapped files, bytes on disk.

    Raises CalledProcessError when it fails.
    """
    start = time.perf_counter()
    command = [sys.executable, "-m", "galviz", "index", str(catalogue.path)]
    process = subprocess.Popen(command)
    with watched(process.pid) as peaks:
        status = process.wait()
    if status:
        raise subprocess.CalledProcessError(status, command)
    return {
        "seconds": time.perf_counter() - start, "peak_rss": peaks["VmRSS"], "peak_anonymous": peaks["RssAnon"],
        "disk": disk(catalogue),
    }  # fmt: skip


def disk(catalogue: Catalogue) -> int:
    """Bytes of the index."""
    return sum(path.stat().st_size for path in (catalogue.path / "index").rglob("*") if path.is_file())


def anonymous(process: int | str = "self") -> int:
    """Bytes of memory that no file backs."""
    return _status(process)["RssAnon"]


def _status(process: int | str) -> dict[str, int]:
    """Resident memory in bytes: all, that of no file, that of mapped files; zeros where it has ended."""
    facts = {"VmRSS": 0, "RssAnon": 0, "RssFile": 0}
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return facts
    for line in lines:
        name, _, rest = line.partition(":")
        if name in facts:
            facts[name] = int(rest.split()[0]) * 1024
    return facts


def _tree(process: int) -> dict[str, int]:
    """The memory of a process and its descendants; pages that they share count for each."""
    facts = _status(process)
    for entry in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = entry.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            below = _tree(int(child))
            facts = {name: facts[name] + below[name] for name in facts}
    return facts


@contextmanager
def watched(process: int) -> Iterator[dict[str, int]]:
    """A dictionary that holds the peaks of a process and its descendants once the block has ended."""
    peaks = _tree(process)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(BEAT):
            facts = _tree(process)
            peaks.update({name: max(peaks[name], facts[name]) for name in peaks})

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def main() -> None:
    """Do one task and print its figures."""
    task, path = sys.argv[1], Path(sys.argv[2])
    print(json.dumps({"open": opening, "memory": memory}[task](path)))


if __name__ == "__main__":
    main()
