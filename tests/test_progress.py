from __future__ import annotations

import io
import time

import pytest

from galviz import progress
from galviz.progress import Report, rows_of


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BEAT", {True: 0.01, False: 0.01})


def wait_for(stream: io.StringIO, text: str) -> None:
    deadline = time.monotonic() + 5
    while text not in stream.getvalue():
        assert time.monotonic() < deadline, stream.getvalue()
        time.sleep(0.005)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_lines_even_while_the_work_is_silent() -> None:
    stream = io.StringIO()
    with Report("embed", stream) as report:
        report(0.5, "10 of 20 sources placed")
        wait_for(stream, "embed: 50 %, 10 of 20 sources placed")
        already = stream.getvalue()
        wait_for(stream, already + "embed: 50 %, 10 of 20 sources placed, 0 s so far\n")
        report(1.0, "20 of 20 sources placed")
    assert stream.getvalue().splitlines()[-1].startswith("embed: 20 of 20 sources placed (")


def test_time_left_follows_from_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress, "BEAT", {True: 60.0, False: 60.0})
    with Report("index", io.StringIO()) as report:
        monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
        report._start = 100.0
        now[0] = 110.0
        report(0.25, "a quarter")
        assert report._state() == "a quarter, 30 s left"
        now[0] = 120.0
        assert report._state() == "a quarter, 20 s left"
        now[0] = 150.0
        assert report._state() == "a quarter, 50 s so far"


def test_a_terminal_gets_a_bar() -> None:
    stream = Terminal()
    with Report("index", stream) as report:
        report(0.5, "10 sources indexed")
        wait_for(stream, "10 sources indexed")
        assert " 50 % |" in stream.getvalue()
        assert "\r" in stream.getvalue()


def test_a_task_that_fails_at_once_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BEAT", {True: 60.0, False: 60.0})
    stream = io.StringIO()
    with pytest.raises(ValueError, match="bad"), Report("ingest", stream):
        raise ValueError("bad")
    assert stream.getvalue() == ""


def test_lines_announce_themselves_at_once() -> None:
    stream = Terminal()
    with Report("simulate demo", stream, lines=True):
        assert stream.getvalue().startswith("simulate demo ...\n")
    assert "\r" not in stream.getvalue()


def test_rows_add_up() -> None:
    heard: list[tuple[float, str]] = []
    more = rows_of(2000, lambda fraction, words: heard.append((fraction, words)), "indexed")
    more(500)
    more(1500)
    assert heard == [(0.25, "500 of 2,000 sources indexed"), (1.0, "2,000 of 2,000 sources indexed")]
