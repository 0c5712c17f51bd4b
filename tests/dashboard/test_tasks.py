"""Work off the event loop: newest wins, progress, cancel, errors as words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import Div

from dashboard.tasks import Newest, Task, soon, words
from galviz.errors import GalvizError

Progress = Callable[[float, str], None]


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread; ten seconds are far more than it needs."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "the other thread did not get there"
        time.sleep(0.005)


def test_of_many_requests_only_the_newest_follows_the_one_under_way() -> None:
    gate, shown, worked, busy = threading.Event(), [], [], []

    def work(request: int) -> int:
        worked.append(request)
        assert gate.wait(10)
        return request * 10

    newest = Newest(work, lambda request, result: shown.append((request, result)), pytest.fail, busy.append)
    newest.ask(1)
    until(lambda: worked == [1])
    for request in (2, 3, 4):
        newest.ask(request)
    gate.set()
    until(lambda: busy == [True, False])
    assert worked == [1, 4]
    assert shown == [(1, 10), (4, 40)]


def test_a_failed_drawing_is_told_and_the_next_one_works() -> None:
    shown: list[Any] = []
    failures: list[str] = []
    busy: list[bool] = []

    def work(request: int) -> int:
        if request == 1:
            raise GalvizError("The index is stale; run `galviz index`.")
        return request

    newest = Newest(work, lambda *pair: shown.append(pair), failures.append, busy.append)
    newest.ask(1)
    until(lambda: busy == [True, False] and len(failures) == 1)
    assert failures == ["The index is stale; run `galviz index`."]
    newest.ask(2)
    until(lambda: shown == [(2, 2)])


def test_a_task_reports_and_ends_with_its_result() -> None:
    task, go = Task(), threading.Event()

    def work(progress: Progress) -> str:
        progress(0.5, "half")
        assert go.wait(10)
        return "made"

    assert task.start(work)
    until(lambda: task.message == "half")
    assert (task.state, task.fraction) == ("running", 0.5)
    assert not task.start(work), "a running task is not started twice"
    go.set()
    until(lambda: task.state == "done")
    assert (task.result, task.fraction) == ("made", 1.0)


def test_a_cancelled_task_stops_at_its_next_report() -> None:
    task, started = Task(), threading.Event()

    def work(progress: Progress) -> None:
        while True:
            started.set()
            progress(0.1, "on and on")
            time.sleep(0.01)

    task.start(work)
    assert started.wait(10)
    task.cancel()
    until(lambda: task.state == "cancelled")
    assert task.result is None
    assert task.start(lambda progress: 1), "it can be started again"
    until(lambda: task.state == "done")


@pytest.mark.parametrize("error", [GalvizError("No such column."), ZeroDivisionError("division by zero")])
def test_a_failed_task_says_why(error: Exception) -> None:
    def work(progress: Progress) -> None:
        raise error

    task = Task()
    task.start(work)
    until(lambda: task.state == "failed")
    assert task.message == words(error)
    assert str(error) in task.message


def test_changes_of_a_callback_are_sent_as_one_and_in_order() -> None:
    document, div, sent = Document(), Div(text="old"), []
    document.add_root(div)
    document.on_change(lambda event: sent.append(event))
    waiting: list[Callable[[], None]] = []
    document.add_next_tick_callback = waiting.append

    def change() -> None:
        div.text = "drawing"
        assert sent == [], "nothing leaves before the end of the callback"
        div.text = "exact"

    soon(document, change)
    assert div.text == "old", "the event loop runs it, not the caller"
    waiting.pop()()
    assert [event.new for event in sent] == ["exact"]
    assert document.callbacks.hold_value is None
