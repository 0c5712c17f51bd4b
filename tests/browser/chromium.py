"""Which browser the tests drive; as a program, fetch one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def find_chromium() -> str | None:
    """Path of $GALVIZ_CHROMIUM, an installed Chromium or Chrome, or the one that Playwright has fetched."""
    if named := os.environ.get("GALVIZ_CHROMIUM"):
        return shutil.which(named)
    if installed := next(filter(None, map(shutil.which, BROWSERS)), None):
        return installed
    with sync_playwright() as playwright:
        fetched = playwright.chromium.executable_path
    return fetched if Path(fetched).is_file() else None


def main() -> None:
    """Fetch Chromium through Playwright where there is none; a failure is told, and pytest tells it again."""
    if find_chromium() or os.environ.get("GALVIZ_CHROMIUM"):
        return
    print("No Chromium or Chrome is installed; fetching one through Playwright ...", flush=True)
    if subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode:
        print("It could not be fetched; the browser tests are skipped.", flush=True)


if __name__ == "__main__":
    main()
