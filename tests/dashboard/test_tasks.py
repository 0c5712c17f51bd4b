"""Work off the event loop: newest wins, progress, cancel, errors as words."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from bokeh.application import Application
from bokeh.document import Document
from bokeh.models import Div
from bokeh.server.contexts import ApplicationContext
from bokeh.server.session import ServerSession
from tornado.ioloop import IOLoop

from dashboard import tasks
from dashboard.tasks import Newest, Stepwise, Task, soon, words
from galviz.errors import Cancelled, GalvizError

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


class Painter:
    """Work in two steps, an estimate and an exact answer; the exact one waits until it is let go or stopped."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.stopped: list[int] = []
        self.shown: list[tuple[int, str]] = []
        self.failures: list[str] = []
        self.busy: list[bool] = []
        self.newest = Stepwise(self.work, lambda *pair: self.shown.append(pair), self.failures.append, self.busy.append)

    def work(self, request: int, stop: Callable[[], bool]) -> Iterator[str]:
        yield "estimate"
        self.begun.release()
        while not self.go.wait(0.001):
            if stop():
                self.stopped.append(request)
                raise Cancelled("Drawing was stopped.")
        yield "exact"

    def idle(self) -> bool:
        return self.busy[-1:] == [False]


def test_an_estimate_is_shown_before_the_exact_answer_is_there() -> None:
    painter = Painter()
    painter.newest.ask(1)
    assert painter.begun.acquire(timeout=10)
    until(lambda: painter.shown == [(1, "estimate")])
    assert not painter.idle()
    painter.go.set()
    until(painter.idle)
    assert painter.shown == [(1, "estimate"), (1, "exact")]
    assert painter.failures == painter.stopped == []


def test_a_newer_request_stops_the_exact_work_on_an_older_one() -> None:
    painter = Painter()
    painter.newest.ask(1)
    assert painter.begun.acquire(timeout=10)
    painter.newest.ask(2)
    assert painter.begun.acquire(timeout=10)
    assert painter.stopped == [1]
    painter.go.set()
    until(painter.idle)
    assert painter.shown == [(1, "estimate"), (2, "estimate"), (2, "exact")]
    assert painter.failures == [], "to be stopped is no failure"


def test_a_slider_that_is_dragged_is_followed_by_estimates() -> None:
    painter = Painter()
    places = range(20)
    for place in places:
        painter.newest.ask(place)
        assert painter.begun.acquire(timeout=10)
    assert [place for place, _ in painter.shown] == list(places), "no place of the hand is left out"
    painter.go.set()
    until(painter.idle)
    assert painter.shown == [*((place, "estimate") for place in places), (19, "exact")]
    assert painter.stopped == list(places)[:-1]


@pytest.mark.parametrize("step", ["estimate", "exact"])
def test_an_error_in_either_step_is_told_and_what_was_shown_stays(step: str) -> None:
    shown: list[Any] = []
    failures: list[str] = []
    busy: list[bool] = []

    def work(request: int, stop: Callable[[], bool]) -> Iterator[str]:
        for name in ("estimate", "exact"):
            if (request, name) == (1, step):
                raise GalvizError("The index is damaged; run `galviz index`.")
            yield name

    newest = Stepwise(work, lambda *pair: shown.append(pair), failures.append, busy.append)
    newest.ask(1)
    until(lambda: len(failures) == 1)
    assert failures == ["The index is damaged; run `galviz index`."]
    assert busy == [True, False]
    assert shown == ([] if step == "estimate" else [(1, "estimate")])
    newest.ask(2)
    until(lambda: shown[-2:] == [(2, "estimate"), (2, "exact")])


@pytest.mark.parametrize("kind", [Newest, Stepwise])
def test_what_cannot_be_shown_is_told_and_the_next_one_is_shown(
    kind: type[Newest], loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[Any] = []
    failures: list[str] = []
    busy: list[bool] = []

    def show(request: int, result: str) -> None:
        if request == 1:
            raise ValueError("no such source of data")
        shown.append(request)

    def work(request: int, *_: Any) -> list[str]:
        return ["estimate", "exact"]

    newest = kind(work, show, failures.append, busy.append)
    newest._document = loop
    for request in (1, 2):
        newest.ask(request)
        until(lambda: loop.run(1.0) or busy[-1:] == [False])
    assert set(failures) == {words(ValueError("no such source of data"))}
    assert set(shown) == {2}
    assert busy == [True, False, True, False]
    assert "no such source of data" in caplog.text


def test_work_stops_when_the_tab_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    painter, context = Painter(), SimpleNamespace(destroyed=False, server_context=None)
    document = SimpleNamespace(session_context=context, add_next_tick_callback=lambda callback: None)
    painter.newest._document = document
    painter.newest.ask(1)
    assert painter.begun.acquire(timeout=10)
    context.destroyed = True
    until(lambda: painter.stopped == [1])


class Loop:
    """A document whose event loop is run by hand, and a clock that stands still meanwhile."""

    session_context = None

    def __init__(self) -> None:
        self.now = 100.0
        self.next: deque[Callable[[], None]] = deque()
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.add_next_tick_callback = self.next.append

    def add_timeout_callback(self, callback: Callable[[], None], milliseconds: int) -> None:
        self.later.append((self.now + milliseconds / 1000, callback))

    def hold(self, policy: str) -> None:
        assert policy == "combine"

    def unhold(self) -> None:
        pass

    def run(self, seconds: float = 0.0) -> None:
        """What is due within so many seconds."""
        self.now += seconds
        due = [callback for at, callback in self.later if at <= self.now]
        self.later = [entry for entry in self.later if entry[0] > self.now]
        for callback in due:
            callback()
        while self.next:
            self.next.popleft()()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(tasks, "REST", 0.0)
    monkeypatch.setattr(tasks, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def painted(loop: Loop) -> Painter:
    """A painter whose request is all worked out and whose first result is shown."""
    painter = Painter()
    painter.newest._document = loop
    painter.go.set()
    painter.newest.ask(1)
    until(lambda: len(loop.next) == 3)
    loop.run()
    return painter


def test_the_browser_paints_the_first_pictures_before_it_is_given_more(loop: Loop) -> None:
    painter = painted(loop)
    assert painter.shown == [(1, "estimate")]
    assert not painter.idle()
    loop.run(tasks.PACE / 2)
    assert painter.shown == [(1, "estimate")]
    loop.run(tasks.PACE)
    assert painter.shown == [(1, "estimate"), (1, "exact")]
    assert painter.idle()
    loop.run(10)
    assert not loop.later


def test_pictures_of_a_newer_request_are_never_held_back(loop: Loop) -> None:
    painter = painted(loop)
    painter.newest.ask(2)
    until(lambda: len(loop.next) == 3)
    loop.run()
    assert painter.shown == [(1, "estimate"), (1, "exact"), (2, "estimate")], "in order, though at once"
    loop.run(tasks.PACE + 0.01)
    assert painter.shown[3:] == [(2, "exact")]
    assert painter.idle()


def test_a_rest_ends_when_something_newer_is_asked_for(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "REST", 60.0)
    painter = Painter()
    painter.newest._document = loop
    painter.go.set()
    painter.newest.ask(1)
    until(lambda: len(loop.next) == 1)
    assert not painter.begun.acquire(timeout=0.05), "the work rests"
    painter.newest.ask(2)
    assert painter.begun.acquire(timeout=10)
    until(lambda: len(loop.next) == 3)
    painter.newest._newer.set()


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


async def arrived(asked: int) -> int:
    """How many callbacks run of those that a thread asks for while a page changes that holds its changes back."""
    document, divs, ran = Document(), [Div() for _ in range(30)], []
    for div in divs:
        document.add_root(div)
    application = ApplicationContext(Application(), IOLoop.current())
    context = SimpleNamespace(destroyed=False, server_context=application.server_context)
    document._session_context = lambda: context
    session = ServerSession("a session", document, IOLoop.current())

    def change(text: str) -> None:
        document.hold("combine")
        for div in divs:
            div.text = text
        document.unhold()

    def ask() -> None:
        for number in range(asked):
            soon(document, partial(ran.append, number))

    thread = threading.Thread(target=ask)
    thread.start()
    for step in count():
        await session.with_document_locked(change, str(step))
        if not thread.is_alive():
            break
    over = asyncio.Event()
    soon(document, over.set)
    await asyncio.wait_for(over.wait(), 30)
    return len(ran)


def test_nothing_is_lost_that_a_thread_asks_for_while_the_page_changes() -> None:
    patience = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        assert asyncio.run(arrived(16_000)) == 16_000
    finally:
        sys.setswitchinterval(patience)
