"""What every test shares: settings of hypothesis, the real sample, and the browser with the line about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.browser.chromium import find_chromium

ROOT = Path(__file__).parents[1]
REAL_SAMPLE = ROOT.parent / "shared" / "data" / "sdss_wise_sample.csv"
NO_BROWSER = pytest.StashKey[str]()

# Compiling a loop takes seconds the first time.
settings.register_profile("galviz", deadline=None)
settings.load_profile("galviz")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests whose sample or browser is not here; without a browser, CI fails."""
    if not REAL_SAMPLE.is_file():
        for item in items:
            if item.get_closest_marker("realdata"):
                item.add_marker(pytest.mark.skip(reason=f"the real sample is not at {REAL_SAMPLE}"))
    browser = [item for item in items if item.get_closest_marker("browser")]
    if browser and find_chromium() is None:
        config.stash[NO_BROWSER] = f"{len(browser)} browser tests did not run: no Chromium or Chrome was found"
        for item in browser:
            item.add_marker(pytest.mark.skip(reason="no Chromium or Chrome was found"))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CI=true, browser tests that could not run are a failure."""
    if NO_BROWSER in session.config.stash and in_ci() and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the very last line that browser tests did not run."""
    if message := config.stash.get(NO_BROWSER, ""):
        print(f"{'FAILED' if in_ci() else 'NOTE'}: {message}; install one or set GALVIZ_CHROMIUM.")


def in_ci() -> bool:
    """Whether this is a run of continuous integration."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the Chromium that the browser tests drive."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium or Chrome was found")
    return path


@pytest.fixture(scope="session")
def real_sample() -> Path:
    """The file of real sources, for tests marked `realdata`."""
    return REAL_SAMPLE
