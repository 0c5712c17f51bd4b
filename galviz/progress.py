"""Progress of long work on a terminal: a bar where someone watches, else a line every few seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

BEAT = {True: 0.25, False: 2.0}  # seconds between two signs of life, on a terminal and in a log
Progress = Callable[[float, str], None]


def silent(fraction: float, words: str) -> None:
    """Progress that nobody watches."""


class Report:
    """Shows the progress of one task from its own thread, so that work that says nothing still looks alive.

    A context manager whose value is called with the fraction done (0 to 1) and words such as rows done. `lines`
    asks for lines even on a terminal, the first of them at once, for where several processes report. Else nothing
    is shown before the first beat: a task that fails at once leaves its error alone on the terminal.
    """

    def __init__(self, task: str, stream: TextIO | None = None, *, lines: bool = False) -> None:
        self._task = task
        self._stream = sys.stderr if stream is None else stream
        self._announced = lines
        self._watched = self._stream.isatty() and not lines
        self._fraction, self._words = 0.0, ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"progress of {task}", daemon=True)

    def __call__(self, fraction: float, words: str = "") -> None:
        self._fraction, self._words = min(max(fraction, 0.0), 1.0), words
        self._told = time.monotonic()

    def __enter__(self) -> Report:
        self._start = self._told = time.monotonic()
        self._bar = tqdm(
            total=1.0,
            desc=self._task,
            file=self._stream,
            disable=not self._watched,
            leave=False,
            bar_format="{desc}: {percentage:3.0f} % |{bar}| {elapsed}, {postfix}",
        )
        if self._announced:
            self._line(f"{self._task} ...")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._bar.close()
        if kind is None:
            seconds = time.monotonic() - self._start
            self._line(f"{self._task}: {self._words or 'done'} ({seconds:.1f} s)")

    def _beat(self) -> None:
        while not self._stop.wait(BEAT[self._watched]):
            if self._watched:
                self._bar.n = self._fraction
                self._bar.set_postfix_str(self._state(), refresh=True)
            else:
                self._line(f"{self._task}: {100 * self._fraction:.0f} %, {self._state()}")

    def _state(self) -> str:
        return ", ".join(part for part in (self._words, self._left()) if part)

    def _left(self) -> str:
        """The time left at the pace so far, or the time spent where the work has been silent for longer than that."""
        now = time.monotonic()
        if self._fraction > 0:
            left = (self._told - self._start) * (1 - self._fraction) / self._fraction - (now - self._told)
            if left >= 0.5:
                return f"{left:.0f} s left"
        return f"{now - self._start:.0f} s so far"

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def rows_of(total: int, progress: Progress, verb: str) -> Callable[[int], None]:
    """A function that is told how many more rows are done and passes on the fraction and the rows so far."""
    done = 0

    def more(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done / max(total, 1), f"{done:,} of {total:,} sources {verb}")

    return more
