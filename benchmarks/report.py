"""Facts about the machine, tables of seconds and ratios, and what of the goals is reached."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scenarios import TITLES, ZOOMS

Results = Mapping[str, Any]
PACKAGES = ("galviz", "numpy", "numba", "pandas", "datashader", "dask", "pyarrow", "duckdb", "bokeh", "panel")
EXACT, FIRST, MEMORY, DASK = "galviz exact", "galviz first", "datashader memory", "datashader dask"
FILTERS = ("probability", "probability, psf_r, resolved_r", "class off")
BRUSHES = ("box in UMAP, two views", "lasso in UMAP, two views")
MEANS = ("mean p_best", "mean psf_r", "mean w1", "mean resolved_r")  # the last one needs sums in two halves
DRAG = "slider drag, a step"
GB, MB = 1e9, 1e6


def machine() -> dict[str, Any]:
    """Cores, memory, load and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "load": os.getloadavg(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def has(package: str) -> bool:
    """Whether a package of an extra is installed."""
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def middle(results: Results, scenario: str, contestant: str) -> float | None:
    """The median of the seconds, None where it was not measured."""
    seconds = results["scenarios"].get(scenario, {}).get(contestant)
    return median(seconds) if seconds else None


def table(results: Results) -> str:
    """Median seconds of every scenario and contestant; in brackets how many times as long as galviz exact."""
    names = list(dict.fromkeys(name for row in results["scenarios"].values() for name in row))
    lines = [_row("median seconds (times galviz exact)", names)]
    for scenario in results["scenarios"]:
        own = middle(results, scenario, EXACT)
        lines.append(_row(scenario, [_cell(middle(results, scenario, name), own) for name in names]))
    return "\n".join(lines)


def _row(first: str, cells: Sequence[str]) -> str:
    return f"{first:47s}" + "".join(f"{cell:>25s}" for cell in cells)


def _cell(seconds: float | None, own: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.4f}" + (f" ({seconds / own:6.1f}x)" if own else "")


def growth_table(several: Mapping[int, Results]) -> str:
    """Median seconds of galviz at each number of rows, and the growth between the last two."""
    sizes = sorted(several)
    lines = [_row("median seconds, rows:", [f"{rows:,}" for rows in sizes] + ["last / one before"])]
    for contestant in (FIRST, EXACT, MEMORY):
        lines.append(f"  {contestant}")
        for scenario in several[sizes[-1]]["scenarios"]:
            seconds = [middle(several[rows], scenario, contestant) for rows in sizes]
            if all(value is not None for value in seconds):
                cells = [f"{value:.4f}" for value in seconds]
                lines.append(_row(scenario, [*cells, f"{growth(seconds):.2f}x"]))
    return "\n".join(lines)


def growth(seconds: Sequence[float | None]) -> float:
    """How many times as long the last takes as the one before."""
    *_, before, last = (value or float("nan") for value in (None, *seconds))
    return last / before


@dataclass(frozen=True)
class Verdict:
    """One line of the goals: what was aimed at, what came out, and whether that is enough; None: not measured."""

    goal: str
    reached: str
    met: bool | None


def verdicts(results: Results) -> list[Verdict]:
    """Every goal of one run, in order."""
    found = []
    for scenario in FILTERS:
        found.append(_times(results, scenario, EXACT, MEMORY, 8))
        found.append(_times(results, scenario, EXACT, DASK, 40))
        found.append(_times(results, scenario, FIRST, MEMORY, 40))
    found += _accuracy(results.get("accuracy"))
    filter_change = max((middle(results, name, EXACT) or 0 for name in FILTERS), default=0)
    for scenario in BRUSHES:
        goal = f"{scenario}: at most 1.5x the slowest filter change"
        found.append(_at_most(goal, middle(results, scenario, EXACT), filter_change, 1.5))
    for title in TITLES:
        (whole, _), (part, _), *_ = ZOOMS
        for new in ("", ", new viewport"):
            full, near = (middle(results, f"{title}: {words}{new}", EXACT) for words in (whole, part))
            found.append(_at_most(f"{title}, {part}{new}: at most a third of the full extent", near, full, 1 / 3))
    found.append(_limit("undo: at most 5 ms", results.get("undo"), 0.005, lambda s: f"{1000 * s:.2f} ms"))
    drag = min((s for name in (FIRST, EXACT) if (s := middle(results, DRAG, name))), default=None)
    words: Callable[[float], str] = lambda s: f"{1 / s:.1f} steps/s, the quicker of first and exact"  # noqa: E731
    found.append(_limit("a dragged slider: at least 20 steps a second", drag, 1 / 20, words))
    for scenario in MEANS:
        counts = middle(results, "probability", EXACT)
        found.append(_at_most(f"{scenario}: at most 2x class counts", middle(results, scenario, EXACT), counts, 2))
    return found + _resources(results) + _browser(results.get("browser"))


def _times(results: Results, scenario: str, own: str, other: str, goal: float) -> Verdict:
    mine, theirs = (middle(results, scenario, name) for name in (own, other))
    title = f"{scenario}: {own} at least {goal:g}x faster than {other}"
    if not mine or not theirs:
        return Verdict(title, "not measured", None)
    return Verdict(title, f"{theirs / mine:.1f}x", theirs / mine >= goal)


def _at_most(goal: str, seconds: float | None, of: float | None, factor: float) -> Verdict:
    if not seconds or not of:
        return Verdict(goal, "not measured", None)
    return Verdict(goal, f"{seconds / of:.2f}x", seconds / of <= factor)


def _limit(goal: str, value: float | None, limit: float, words: Callable[[float], str]) -> Verdict:
    return Verdict(goal, "not measured", None) if value is None else Verdict(goal, words(value), value <= limit)


def _accuracy(accuracy: Results | None) -> list[Verdict]:
    near, deep = (words for words, _ in ZOOMS[1:])
    within = "at least 99 % of blocks within three standard errors"
    goals = {f"{within}, full extent": "share", f"{within}, {near}": "share_near", f"{within}, {deep}": "share_deep"}
    visible = "every class with 1,000 selected sources is visible"
    if not accuracy:
        return [Verdict(goal, "not measured", None) for goal in (*goals, visible)]
    hidden = [*accuracy["hidden"], *accuracy["blank"]]
    seen = f"{accuracy['pictures']} narrow pictures, {len(hidden)} blank, at least {accuracy['fewest']} pixels"
    shares = [Verdict(goal, f"{100 * accuracy[key]:.2f} %", accuracy[key] >= 0.99) for goal, key in goals.items()]
    return [*shares, Verdict(visible, seen, not hidden)]


def _resources(results: Results) -> list[Verdict]:
    def size(value: float) -> str:
        return f"{value / GB:.2f} GB"

    def seconds(value: float) -> str:
        return f"{value:.2f} s"

    build, memory = results.get("build") or {}, results.get("memory") or {}
    return [
        _limit("open: at most 2 s", (results.get("open") or {}).get("seconds"), 2, seconds),
        _limit("memory beyond mapped pages: at most 2.5 GB", memory.get("drawn"), 2.5 * GB, size),
        _limit("index built in at most 15 minutes", build.get("seconds"), 900, seconds),
        _limit("index built in at most 8 GB of memory", build.get("peak_anonymous"), 8 * GB, size),
        _limit("index: at most 10 GB on disk", results.get("disk"), 10 * GB, size),
    ]


def _browser(browser: Results | None) -> list[Verdict]:
    found = browser or {}
    bare, first, exact = (median(found[key]) if found.get(key) else None for key in ("bare", "first", "exact"))
    return [
        _at_most("browser, first answer: at most 2x a bare Bokeh app", first, bare, 2),
        _at_most("browser, exact answer: at most 5x a bare Bokeh app", exact, bare, 5),
        _limit("a second session: at most 50 MB", found.get("second_session"), 50 * MB, lambda b: f"{b / MB:.1f} MB"),
    ]


def verdict_table(found: Sequence[Verdict]) -> str:
    words = {True: "reached", False: "NOT REACHED", None: "not measured"}
    return "\n".join(f"{words[entry.met]:13s} {entry.goal}: {entry.reached}" for entry in found)


def growth_verdicts(several: Mapping[int, Results]) -> list[Verdict]:
    """The first answer grows by less than 2x from the last number of rows but one to the last."""
    sizes = sorted(several)[-2:]
    if len(sizes) < 2:
        return []
    found = []
    for scenario in (*FILTERS, *BRUSHES):
        before, last = (middle(several[rows], scenario, FIRST) for rows in sizes)
        goal = f"{scenario}: first answer grows by less than 2x from {sizes[0]:,} to {sizes[1]:,} rows"
        found.append(_at_most(goal, last, before, 2))
    return found
