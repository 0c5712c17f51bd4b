"""A real server on a free port and a real browser that must not complain nor look elsewhere."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import TimeoutError as PageTimeoutError

from tests.browser.chromium import FLAGS

HOST = "127.0.0.1"
WINDOW = {"width": 1440, "height": 900}
START = 180.0  # seconds that a server may take until it can draw; loops compile the first time


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small demo, made by the command line; $GALVIZ_TEST_DATA names one that is there already."""
    if ready := os.environ.get("GALVIZ_TEST_DATA"):
        return Path(ready)
    data = tmp_path_factory.mktemp("data")
    rows = ["--rows", "40000", "--labelled-rows", "8000"]
    command = [sys.executable, "-m", "galviz", "demo", "--data", str(data), *rows, "--no-serve"]
    subprocess.run(command, check=True, capture_output=True)
    return data


@pytest.fixture(scope="session")
def server(demo: Path) -> Iterator[str]:
    """The address of a server that shows the demo."""
    catalogues = [str(demo / "demo"), "--labelled", str(demo / "demo-labelled")]
    yield from serving(lambda port: [sys.executable, "-m", "galviz", "serve", *catalogues, "--port", str(port)])


def serving(command: Callable[[int], list[str]]) -> Iterator[str]:
    """The address of the server that `command(port)` starts, once it can draw; it is stopped afterwards."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="galviz-") as folder:
        log = Path(folder) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(command(port), stdout=output, stderr=subprocess.STDOUT)
        address = f"http://{HOST}:{port}"
        try:
            _wait_until_healthy(address, process, log)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"the server stopped:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.2)
    pytest.fail(f"the server was not ready after {START:g} s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser window of a laptop; fails the test if a page in it complained or asked another host."""
    complaints: list[str] = []

    def watch(page: Page) -> None:
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("websocket", lambda socket: _note_stranger(socket.url, complaints))

    context = browser.new_context(viewport=WINDOW, accept_downloads=True)
    context.set_default_timeout(90_000)  # other tests run meanwhile
    context.on("page", watch)
    context.on("request", lambda request: _note_stranger(request.url, complaints))
    yield context
    context.close()
    assert complaints == []


def _note_stranger(url: str, complaints: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != HOST:
        complaints.append(f"a request left for {url}")


@pytest.fixture
def open_page(context: BrowserContext, server: str) -> Callable[[], Page]:
    """Open the page in a new tab and wait until its three views are drawn."""

    def open_new() -> Page:
        page = context.new_page()
        page.goto(server)
        settle(page)
        return page

    return open_new


@pytest.fixture
def page(open_page: Callable[[], Page]) -> Page:
    return open_page()


def settle(page: Page) -> None:
    """Wait until the page shows exact pictures and a count, and works no more."""
    page.wait_for_selector(".gv-sentence[data-count]")
    exact = page.locator(".gv-quality", has_text=re.compile("^exact$"))
    try:
        exact.wait_for()
        page.wait_for_timeout(300)  # the last pictures are on their way to the canvas
        exact.wait_for()
    except PageTimeoutError:
        shown = [page.locator(name).first.inner_text() for name in (".gv-quality", ".gv-busy", ".gv-sentence")]
        pytest.fail(f"the page does not settle; it shows {shown}")


@pytest.fixture(scope="session")
def settled() -> Callable[[Page], None]:
    return settle
