"""galviz against Datashader and DuckDB: ``python -m benchmarks.engine --rows N``.

Makes what is missing (a tiled catalogue of N rows, its index, a copy of the columns that the others read) and
measures every scenario for every contestant in turn, in one process. Pages of files are warm: each contestant draws
each scenario once before. Where pictures of two contestants differ, the run fails.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import accuracy, processes, report
from benchmarks.peers import PEERS, Contestant, Galviz, Memory, peer_table
from benchmarks.scenarios import WARM_UP, ZOOMS, Scenario, scenarios
from benchmarks.tiling import make_tiled
from galviz.catalogue import MANIFEST, Catalogue, open_catalogue
from galviz.draw import Request
from galviz.index import has_index

DATA = Path(__file__).parents[1] / "data" / "bench"
EVERY = 10  # contestants but galviz draw every tenth step of a drag
LARGE = 20_000_000  # rows from which on the slow contestants draw once
CHOICES = ("galviz", "memory", "threads", *PEERS)
Answers = dict[tuple[str, int], list[Any]]


class Disagreement(Exception):
    """Two contestants drew different pictures."""


class Run:
    """One measurement of a catalogue; `results` grows as it goes on."""

    def __init__(self, catalogue: Catalogue, repeat: int, wanted: str = "") -> None:
        self.catalogue, self.repeat = catalogue, repeat
        self.scenarios = [entry for entry in scenarios(catalogue) if re.search(wanted, entry.name)]
        self.results: dict[str, Any] = {"scenarios": {entry.name: {} for entry in self.scenarios}}
        self._exact: Answers = {}

    def measure(self, contestants: Sequence[Contestant], repeat: int, *, warm_up: bool = True) -> None:
        """Draw every scenario by all contestants in turn, `repeat` times; galviz comes first and is the reference.

        Without `warm_up` only the first scenario is drawn once before. A contestant that lets go of gigabytes makes a
        virtual machine map the pages of all others anew. So each finds its own mapped: of Datashader's `tries` the
        best one counts, and galviz draws a step of a later repeat before, since a cache would answer the same one. A
        scenario that has no steps left for that goes without.
        """
        for scenario in self.scenarios:
            row = self.results["scenarios"][scenario.name]
            racing = [c for c in contestants if isinstance(c, Galviz) or not scenario.own]
            warm = racing if warm_up or scenario is self.scenarios[0] else []
            answers = {c.name: self._steps(c, scenario, WARM_UP, last=1)[1] for c in warm}
            # Where the first answer is the exact one, what it leaves in the cache would answer the other.
            alike = report.FIRST in answers and answers[report.FIRST][0].attrs["exact"]
            racing = [contestant for contestant in racing if not (alike and contestant.name == report.FIRST)]
            repeats = min(repeat, scenario.most)
            for number in range(repeats):
                for contestant in racing:
                    if isinstance(contestant, Galviz) and len(racing) > 1 and 2 * repeats <= scenario.most:
                        self._steps(contestant, scenario, repeats + number, last=1)
                    self._measure(contestant, scenario, number)
            if alike:
                row[report.FIRST] = row[report.EXACT]
            if racing:
                print(scenario.name, {c.name: round(min(row[c.name]), 4) for c in racing}, flush=True)
            gc.collect()

    def _measure(self, contestant: Contestant, scenario: Scenario, number: int) -> None:
        tries = [self._steps(contestant, scenario, number) for _ in range(contestant.tries)]
        seconds, answers = min(tries, key=lambda attempt: attempt[0])
        self.results["scenarios"][scenario.name].setdefault(contestant.name, []).append(seconds)
        if number or contestant.name == report.FIRST:
            return
        if contestant.name == report.EXACT:
            self._exact[scenario.name, number] = answers
        elif (scenario.name, number) in self._exact:
            _compare(scenario.name, contestant.name, self._exact[scenario.name, number], answers)

    def _steps(
        self, contestant: Contestant, scenario: Scenario, number: int, last: int | None = None
    ) -> tuple[float, list[Any]]:
        """Mean seconds a step and the answers of the first step."""
        steps = scenario.steps(number)[:last]
        if not contestant.name.startswith("galviz"):
            steps = steps[::EVERY]
        answers = []
        start = time.perf_counter()
        for requests in steps:
            drawn = contestant.draw(requests)
            answers = answers or drawn
        return (time.perf_counter() - start) / len(steps), answers

    def undo(self, contestant: Galviz) -> None:
        """Seconds for three views that were drawn one and five steps ago; the longer of the two."""
        steps = next(entry for entry in scenarios(self.catalogue) if entry.name == report.DRAG).steps(self.repeat)
        for requests in steps:
            contestant.draw(requests)
        self.results["undo"] = max(_seconds(contestant, steps[-back]) for back in (2, 6))

    def judge_first_answers(self) -> None:
        """Compare estimates with exact pictures, scenario by scenario, and look for classes that vanish."""
        first, exact = Galviz(self.catalogue, exact=False), Galviz(self.catalogue, exact=True)
        together, apart = {}, []
        hidden: list[str] = []
        for scenario in self.scenarios:
            requests = scenario.steps(self.repeat + 1)[0]
            if any(request.by is None for request in requests):
                continue
            pairs = list(zip(first.draw(requests), exact.draw(requests), strict=True))
            together[scenario.name] = [accuracy.agreement(*pair) for pair in pairs]
            apart += [accuracy.agreement(*pair, by_class=True) for pair in pairs]
            hidden += [f"{name}: {scenario.name}" for entry in together[scenario.name] for name in entry.hidden]
        shares = {name: accuracy.summary(entries) for name, entries in together.items()}
        rare = accuracy.rare_classes(self.catalogue)
        deep = {name for name in shares if any(f": {words}" in name for words, _ in ZOOMS[1:])}
        near = {name for name in deep if f": {ZOOMS[1][0]}" in name}
        worst = min(shares, key=lambda name: shares[name])
        self.results["accuracy"] = {
            "share": accuracy.summary([entry for name in shares.keys() - deep for entry in together[name]]),
            "share_near": accuracy.summary([entry for name in near for entry in together[name]]),
            "share_deep": accuracy.summary([entry for name in deep - near for entry in together[name]]),
            "share_by_class": accuracy.summary(apart),
            "worst": f"{100 * shares[worst]:.2f} % ({worst})",
            "shares": shares,
            "estimated": sum(not entry.exact for entry in apart) / len(apart),
            "hidden": hidden,
            "blank": rare.blank,
            "pictures": rare.pictures,
            "fewest": rare.fewest,
        }


def _seconds(contestant: Contestant, requests: Sequence[Request]) -> float:
    start = time.perf_counter()
    contestant.draw(requests)
    return time.perf_counter() - start


def _compare(scenario: str, name: str, own: Sequence[Any], other: Sequence[Any]) -> None:
    """Counts are equal to the last source; means agree to rounding.

    DuckDB tells points on the edge of a lasso in another way, so there only the sums need to be near.
    """
    for a, b in zip(own, other, strict=True):
        mine, theirs = np.asarray(a), np.asarray(b)
        if name == "duckdb" and "lasso" in scenario:
            same = abs(int(mine.sum()) - int(theirs.sum())) <= 1e-5 * mine.sum()
        elif mine.dtype.kind == "f":
            same = np.allclose(mine, theirs, rtol=1e-6, atol=1e-6, equal_nan=True)
        else:
            same = np.array_equal(mine, theirs)
        if not same:
            raise Disagreement(f"{name} and galviz differ: {scenario}, {np.nansum(theirs)} against {np.nansum(mine)}")


def prepared(rows: int, folder: Path, seed: int, rebuild: bool) -> tuple[Catalogue, dict[str, Any] | None]:
    """The catalogue with its index, made where missing; the facts of the build, where they are known."""
    if not (folder / MANIFEST).is_file():
        make_tiled(folder, rows, seed)
    catalogue = open_catalogue(folder)
    facts = folder.with_name(f"{folder.name}.build.json")
    if rebuild or not has_index(catalogue):
        facts.write_text(json.dumps(processes.build(catalogue)), encoding="utf-8")
    return catalogue, json.loads(facts.read_text(encoding="utf-8")) if facts.is_file() else None


def measured(catalogue: Catalogue, repeat: int, only: Sequence[str], wanted: str = "") -> dict[str, Any]:
    """The scenarios that match `wanted` for the contestants of `only`.

    The frame in memory is gone before the slow contestants start.
    """
    run = Run(catalogue, repeat, wanted)
    first, exact = Galviz(catalogue, exact=False), Galviz(catalogue, exact=True)
    # The first answer before the exact one, as in the page; the other way round a cache would answer it.
    contestants: list[Contestant] = [first, exact] if "galviz" in only else []
    names = catalogue.manifest.class_names
    table = peer_table(catalogue) if set(only) != {"galviz"} else None
    if table and ("memory" in only or "threads" in only):
        start = time.perf_counter()
        memory = Memory(table, names)
        run.results["load_frame"] = time.perf_counter() - start
        contestants += [memory] * ("memory" in only) + [memory.threaded()] * ("threads" in only)
        del memory
    gc.collect()
    gc.freeze()  # as a server does
    run.measure(contestants, repeat)
    contestants.clear()
    gc.collect()
    if "galviz" in only and not wanted:
        run.undo(exact)
        run.judge_first_answers()
    slow = [
        PEERS[name](table, names) for name in PEERS if table and name in only and (name != "duckdb" or has_duckdb())
    ]
    large = catalogue.rows > LARGE
    if slow:
        run.measure(slow, 1 if large else repeat, warm_up=not large)
    return run.results


def has_duckdb() -> bool:
    if report.has("duckdb"):
        return True
    print("DuckDB is not installed and left out; `pip install -e '.[bench]'` installs it.")
    return False


def one_size(options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one catalogue, printed and returned."""
    folder = options.catalogue or DATA / f"tiled-{options.rows}"
    catalogue, build = prepared(options.rows, folder, options.seed, options.rebuild)
    facts = {"rows": catalogue.rows, "seed": options.seed, "machine": report.machine(), "build": build}
    facts["disk"] = processes.disk(catalogue)
    facts["open"] = min((processes.run("open", folder) for _ in range(3)), key=lambda entry: entry["seconds"])
    results = facts | measured(catalogue, options.repeat, options.only, options.scenarios)
    if options.memory:
        results["memory"] = processes.run("memory", folder)
    if not options.skip_browser:
        from benchmarks import browser  # needs Playwright, which only tests need otherwise

        results["browser"] = browser.measured(catalogue)
    results["load_after"] = os.getloadavg()
    show(results)
    return results


def show(results: dict[str, Any]) -> None:
    """Print the tables of one catalogue."""
    facts = results["machine"]
    print(f"\n{results['rows']:,} rows, {facts['cores']} cores of {facts['processor']}, load {facts['load']}")
    print(report.table(results), "\n")
    for name in ("open", "build", "disk", "memory", "undo", "load_frame", "accuracy", "browser"):
        if results.get(name):
            print(f"{name}: {results[name]}")
    print("\nThe goals are those for 111,000,000 rows on a machine that does nothing else.")
    print(f"{report.verdict_table(report.verdicts(results))}\n", flush=True)


def grown(options: argparse.Namespace) -> dict[int, Any]:
    """The results at 1 M and 10 M rows and at those asked for, each from a process of its own."""
    several = {}
    with tempfile.TemporaryDirectory() as folder:
        for rows in sorted({1_000_000, 10_000_000, options.rows}):
            out = Path(folder) / f"{rows}.json"
            command = [sys.executable, "-m", "benchmarks.engine", "--rows", str(rows), "--json", str(out)]
            command += ["--repeat", str(options.repeat), "--only", ",".join(options.only), "--seed", str(options.seed)]
            command += ["--skip-browser"] * (options.skip_browser or rows != options.rows)
            command += ["--memory"] * options.memory
            subprocess.run(command, check=True)
            several[rows] = json.loads(out.read_text(encoding="utf-8"))
    print(report.growth_table(several), "\n")
    print(report.verdict_table(report.growth_verdicts(several)))
    return several


def _contestants(text: str) -> list[str]:
    names = text.split(",")
    if wrong := [name for name in names if name not in CHOICES]:
        raise argparse.ArgumentTypeError(f"there is no {wrong[0]!r}; choose from {', '.join(CHOICES)}")
    return names


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description="Measure galviz against Datashader and DuckDB.")
    result.add_argument("--rows", type=int, default=1_000_000)
    result.add_argument("--catalogue", type=Path, help="folder of a tiled catalogue; default: data/bench/tiled-ROWS")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--json", type=Path, help="file for everything that was measured")
    result.add_argument("--repeat", type=int, default=3)
    result.add_argument("--only", type=_contestants, default=list(CHOICES), help=f"some of {','.join(CHOICES)}")
    result.add_argument("--scenarios", default="", help="a regular expression: only scenarios whose name matches")
    result.add_argument("--rebuild", action="store_true", help="build the index even if it is there, and measure that")
    result.add_argument("--memory", action="store_true", help="measure the memory that drawing takes")
    result.add_argument("--growth", action="store_true", help="measure 1 M and 10 M rows too, and the growth")
    result.add_argument("--skip-browser", action="store_true")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; 1 when pictures differ."""
    options = parser().parse_args(arguments)
    try:
        results = grown(options) if options.growth else one_size(options)
    except Disagreement as error:
        print(f"NOT EQUAL: {error}")
        return 1
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
