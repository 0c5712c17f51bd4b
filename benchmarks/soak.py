"""Eight threads that draw at once return what one returns: ``python -m benchmarks.soak --minutes 5``.

Random requests, some of them stopped early, go to all threads while caches are emptied now and then; every answer is
compared with the one that a single thread gave. Exits with 1 where one differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import law
from galviz import exact, marks
from galviz.catalogue import Catalogue, open_catalogue
from galviz.clauses import Clause
from galviz.draw import Request, Viewport, _pictures, column_range, draw_many
from galviz.errors import Cancelled
from galviz.index import build_index, has_index, open_index
from galviz.selection import Box, OneOf, Polygon, Range, Selection

REQUESTS = 120
STOPPED = 0.2  # share of the requests that are stopped early
FORGET = 0.05  # seconds between two emptyings of the caches


def requests_for(catalogue: Catalogue, number: int, seed: int) -> list[Request]:
    """Random pictures of the usual planes of any catalogue with an index."""
    rng = np.random.default_rng(seed)
    index = open_index(catalogue)
    planes, by = [(plane.layout.x, plane.layout.y) for plane in index.planes], index.layout.by
    ranges = {name: column_range(catalogue, name) for name in {*index.layout.carried, *sum(planes, ())}}

    def between(name: str, share: float) -> tuple[float, float]:
        low, high = ranges[name]
        start = low + (1 - share) * (high - low) * rng.random()
        return float(start), float(start + share * (high - low))

    def clause() -> Clause:
        kind, (x, y) = rng.random(), planes[rng.integers(len(planes))]
        if kind < 0.4:
            name = str(rng.choice(sorted(ranges)))
            return Range(name, *between(name, 0.7))
        if kind < 0.6:
            return Box(x, y, *between(x, 0.6), *between(y, 0.6))
        if kind < 0.8 or not by:
            angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
            centre, reach = np.array([np.mean(between(name, 0.5)) for name in (x, y)]), rng.uniform(0.1, 0.5, (12, 1))
            size = np.array([np.ptp(ranges[name]) for name in (x, y)])
            corners = centre + reach * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            return Polygon(x, y, tuple((float(a), float(b)) for a, b in corners))
        names = catalogue.manifest.class_names
        return OneOf(by, tuple(name for name in names if rng.random() < 0.7))

    def request() -> Request:
        x, y = planes[rng.integers(len(planes))]
        share = float(rng.choice([0.1, 0.5, 1.0]))
        size = ((30, 8), (200, 150))[rng.integers(2)]
        view = Viewport(x, y, between(x, share), between(y, share), *size)
        several = [clause() for _ in range(rng.integers(3))]
        kind = str(rng.choice(["count", "mean", "std", "min", "max", *(["by", "by"] if by else [])]))
        column = by if kind == "by" else str(rng.choice(index.layout.carried))
        options = {} if kind == "count" else {kind: column}
        return Request(view, Selection(tuple((str(k), each) for k, each in enumerate(several))), **options)

    return [request() for _ in range(number)]


def forget() -> None:
    """Empty the caches, as another session that draws a lot would."""
    for cache, lock in (
        (_pictures._kept, _pictures._lock), (marks._cache, marks._lock), (marks._asked, marks._lock),
        (exact._known_runs, threading.Lock()),
    ):  # fmt: skip
        with lock:
            cache.clear()


class Soak:
    """Threads that draw the same requests in orders of their own; `told` counts pictures, stops and mismatches."""

    def __init__(self, catalogue: Catalogue, requests: Sequence[Request]) -> None:
        self.catalogue, self.requests = catalogue, requests
        forget()
        self.truth = [draw_many(catalogue, [request])[0].to_numpy() for request in requests]
        self.told, self.errors = Counter[str](), list[BaseException]()
        self._lock = threading.Lock()

    def run(self, seconds: float, threads: int) -> None:
        """Draw for so long; raises the first error of any thread."""
        end = time.monotonic() + seconds
        workers = [threading.Thread(target=self._guarded, args=(self._draw, seed, end)) for seed in range(threads)]
        workers.append(threading.Thread(target=self._guarded, args=(self._empty, 0, end)))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self.errors:
            raise self.errors[0]

    def _guarded(self, work: Callable[[int, float], None], seed: int, end: float) -> None:
        try:
            work(seed, end)
        except BaseException as error:
            self.errors.append(error)

    def _empty(self, seed: int, end: float) -> None:
        while time.monotonic() < end:
            time.sleep(FORGET)
            forget()

    def _draw(self, seed: int, end: float) -> None:
        rng = np.random.default_rng(seed)
        while time.monotonic() < end and not self.errors:
            chosen = rng.integers(len(self.requests), size=rng.integers(1, 4))
            left = int(rng.integers(1, 20)) if rng.random() < STOPPED else -1

            def stop() -> bool:
                nonlocal left
                left -= left > 0
                return left == 0

            try:
                drawn = draw_many(self.catalogue, [self.requests[k] for k in chosen], stop=stop)
            except Cancelled:
                self._count("stopped", 1)
                continue
            self._compare(chosen, [picture.to_numpy() for picture in drawn])

    def _compare(self, chosen: NDArray[np.int64], drawn: Sequence[NDArray[Any]]) -> None:
        for k, picture in zip(chosen.tolist(), drawn, strict=True):
            truth = self.truth[k]
            same = np.array_equal(picture, truth, equal_nan=truth.dtype.kind == "f")
            self._count("pictures", 1)
            if not same:
                self._count("mismatches", 1)
                print(f"NOT EQUAL: {self.requests[k]}")

    def _count(self, what: str, number: int) -> None:
        with self._lock:
            self.told[what] += number


def main(arguments: list[str] | None = None) -> int:
    """Draw, print and return 1 when any picture differs."""
    parser = argparse.ArgumentParser(description="Compare what many threads draw at once with what one draws.")
    parser.add_argument("--minutes", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--catalogue", type=Path, help="a catalogue with an index; default: a small one made for this")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the small one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        if options.catalogue:
            catalogue = open_catalogue(options.catalogue)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(law.cut_small(options.rows, strips=200, loose=False))
            catalogue = law.write(Path(folder) / "survey", law.survey(options.rows, options.seed))
        if not has_index(catalogue):
            build_index(catalogue)
        soak = Soak(catalogue, requests_for(catalogue, REQUESTS, options.seed))
        soak.run(60 * options.minutes, options.threads)
    told = soak.told
    print(
        f"{told['pictures']:,} pictures by {options.threads} threads in {options.minutes:g} minutes, "
        f"{told['stopped']:,} requests stopped, {told['mismatches']} mismatches"
    )
    return 1 if told["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main())
