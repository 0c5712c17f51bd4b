"""What every test shares: settings of hypothesis, the real sample, and the browser with the line about it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from galviz import index
from tests.browser.chromium import find_chromium
from tests.fresh import forget

ROOT = Path(__file__).parents[1]
REAL_SAMPLE = ROOT.parent / "shared" / "data" / "sdss_wise_sample.csv"
NO_BROWSER = "no Chromium or Chrome was found"
MANY_FILES = 400  # open ones, of 1,024 that many systems allow
# Compiling a loop takes seconds the first time.
settings.register_profile("galviz", deadline=None)
settings.load_profile("galviz")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Missed(), "missed")
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests whose sample or browser is not here."""
    for item in items:
        if item.get_closest_marker("browser") and find_chromium() is None:
            item.add_marker(pytest.mark.skip(reason=NO_BROWSER))
        if item.get_closest_marker("realdata") and not REAL_SAMPLE.is_file():
            item.add_marker(pytest.mark.skip(reason=f"the real sample is not at {REAL_SAMPLE}"))


class Missed:
    """Counts the tests that had no browser, says so in the very last line, and with CI=true makes that a failure."""

    def __init__(self) -> None:
        self.number = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.number += report.skipped and NO_BROWSER in str(report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.number and in_ci() and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        if self.number and not hasattr(config, "workerinput"):
            said = f"{self.number} browser tests did not run: {NO_BROWSER}; install one or set GALVIZ_CHROMIUM."
            print(f"{'FAILED' if in_ci() else 'NOTE'}: {said}")


@pytest.fixture(scope="module", autouse=True)
def few_open_files() -> Iterator[None]:
    """Let go of the indexes of a module, each of which keeps up to a hundred files open."""
    yield
    forget()
    index._cache.clear()
    gc.collect()


@pytest.fixture(autouse=True)
def not_too_many_open_files() -> Iterator[None]:
    """Collect refused indexes, which errors that refer to themselves keep open, before no more files can be opened."""
    yield
    if len(os.listdir("/dev/fd")) > MANY_FILES:
        gc.collect()


def in_ci() -> bool:
    """Whether this is a run of continuous integration."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the Chromium that the browser tests drive."""
    path = find_chromium()
    if path is None:
        pytest.skip(NO_BROWSER)
    return path


@pytest.fixture(scope="session")
def real_sample() -> Path:
    """The file of real sources, for tests marked `realdata`."""
    return REAL_SAMPLE
