"""Long work off the event loop: newest wins for drawing; progress, cancel and words for the rest.

The event loop serves every session of the server, so nothing that takes longer than a few milliseconds runs
on it. Results come back through `soon`: of all that Bokeh offers nothing is safe from a thread.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import panel as pn
import param
from bokeh.document import Document
from bokeh.server.contexts import BokehServerContext
from tornado.ioloop import IOLoop

from galviz.errors import Cancelled, GalvizError

# Seconds: a browser has PACE to paint what it was given before it is given more, and most of the machine for REST.
PACE, REST = 0.2, 0.12
log = logging.getLogger("galviz")

DRAWING = ThreadPoolExecutor(2, thread_name_prefix="draw")
WORKING = ThreadPoolExecutor(2, thread_name_prefix="work")
REPORT_EVERY = 0.2


def words(error: BaseException) -> str:
    """An error as a sentence for the page; what was not foreseen goes to the log in full."""
    if isinstance(error, GalvizError):
        return str(error)
    log.error("unexpected error", exc_info=error)
    return f"Something went wrong that should not ({type(error).__name__}: {error}); the server's log says more."


class Newest:
    """One worker a session in which the newest request wins.

    `work(request)` runs in a thread, one call at a time; `show(request, result)` runs on the event loop as soon
    as it is done. Of the requests that come meanwhile only the newest is worked on next, so a slider that is
    being dragged shows where it was a moment ago and never falls further behind.
    """

    def __init__(
        self, work: Callable[..., Any], show: Callable[[Any, Any], None], fail: Callable[[str], None],
        busy: Callable[[bool], None],
    ) -> None:  # fmt: skip
        self._work, self._show, self._fail, self._busy = work, show, fail, busy
        self._document: Document | None = pn.state.curdoc
        self._waiting: list[Any] = []
        self._running = False
        self._newer = threading.Event()

    def ask(self, request: Any) -> None:
        """Ask for `request`; called on the event loop."""
        self._waiting = [request]
        self._newer.set()
        if not self._running:
            self._running = True
            self._busy(True)
            self._start()

    def _start(self) -> None:
        request = self._waiting.pop()
        self._newer = newer = threading.Event()
        future = DRAWING.submit(self._run, request, lambda: newer.is_set() or _gone(self._document))
        future.add_done_callback(lambda done: soon(self._document, partial(self._finish, done.exception())))

    def _run(self, request: Any, stop: Callable[[], bool]) -> None:
        self._tell(request, self._work(request))

    def _tell(self, request: Any, result: Any) -> None:
        soon(self._document, partial(self._put, request, result))

    def _put(self, request: Any, result: Any) -> None:
        """Show a result; the page says so if that fails, and does not wait for ever for what will not come."""
        try:
            self._show(request, result)
        except Exception as error:
            self._fail(words(error))

    def _finish(self, error: BaseException | None) -> None:
        if self._waiting:
            self._start()
            return
        self._running = False
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self._busy(False)
        if error is not None:
            self._fail(words(error))


class Stepwise(Newest):
    """A worker whose `work(request, stop)` yields one result after the other.

    The first one is shown as soon as it is there. The browser then has PACE seconds to paint it before it is given
    what came meanwhile: while it lays out texts and bars it paints nothing. The work itself rests a little too, unless
    there is something newer to do. `stop()` is true as soon as there is a newer request or nobody looks any more; work
    that then raises Cancelled has not failed.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._later: list[Callable[[], None]] = []
        self._shown_at = 0.0

    def _run(self, request: Any, stop: Callable[[], bool]) -> None:
        for number, result in enumerate(self._work(request, stop)):
            show = partial(self._put, request, result)
            soon(self._document, partial(self._arrive, show, at_once=number == 0))
            if number == 0 and self._document is not None:
                self._newer.wait(REST)

    def _end(self, error: BaseException | None) -> None:
        self._arrive(partial(super()._end, error), at_once=not self._later)

    def _arrive(self, show: Callable[[], None], *, at_once: bool) -> None:
        """Show it and all that waits, now or when the page is due; on the event loop."""
        self._later.append(show)
        if at_once or self._document is None:
            self._catch_up()
        elif len(self._later) == 1:
            self._when_due()

    def _when_due(self) -> None:
        left = self._shown_at + PACE - time.monotonic()
        if not self._later or self._document is None:
            return
        if left <= 0:
            self._catch_up()
        else:
            waited = partial(_at_once, self._document, self._when_due)
            self._document.add_timeout_callback(waited, math.ceil(1000 * left))

    def _catch_up(self) -> None:
        waiting, self._later = self._later, []
        for show in waiting:
            show()
        self._shown_at = time.monotonic()


def _gone(document: Document | None) -> bool:
    """Whether the tab of a session was closed, and its session ended."""
    context = document.session_context if document is not None else None
    return context is not None and context.destroyed


def soon(document: Document | None, callback: Callable[[], None]) -> None:
    """Run `callback` on the event loop of the session, from any thread; at once where there is no session.

    What the callback changes is held back and sent as one, in order: Panel sends small changes of its own past
    large ones that are still on their way, so that an old text could arrive after a new one.
    """
    if document is None:
        callback()
    elif (loop := _loop(document)) is None:
        _next(document, callback)
    else:
        # Not from here: a document whose changes are held back loses what a thread adds while it lets go of them.
        loop.add_callback(_next, document, callback)


def _next(document: Document, callback: Callable[[], None]) -> None:
    if not _gone(document):
        document.add_next_tick_callback(partial(_at_once, document, callback))


def _loop(document: Document) -> IOLoop | None:
    """The event loop of the server that has the session of a document."""
    context = document.session_context
    server = context.server_context if context is not None else None
    application = server.application_context if isinstance(server, BokehServerContext) else None
    return application.io_loop if application is not None else None


def _at_once(document: Document, callback: Callable[[], None]) -> None:
    document.hold("combine")
    try:
        callback()
    finally:
        document.unhold()


class Task(param.Parameterized):
    """A long piece of work of one session: start it, watch `state`, `fraction` and `message`, cancel it.

    `state` is idle, running, done, failed or cancelled. A task that is started again while it runs is refused.
    """

    state = param.Selector(default="idle", objects=["idle", "running", "done", "failed", "cancelled"])
    fraction = param.Number(default=0.0, bounds=(0, 1))
    message = param.String(default="")
    result = param.Parameter(default=None)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._document: Document | None = pn.state.curdoc
        self._cancel = threading.Event()
        self._reported = 0.0

    def start(self, work: Callable[[Callable[[float, str], None]], Any]) -> bool:
        """Run `work(progress)` in a thread; `progress(fraction, words)` raises Cancelled after `cancel`."""
        if self.state == "running":
            return False
        self._cancel.clear()
        self.param.update(state="running", fraction=0.0, message="", result=None)
        WORKING.submit(self._run, work)
        return True

    def cancel(self) -> None:
        """Ask the work to stop at its next report of progress."""
        self._cancel.set()

    def _run(self, work: Callable[[Callable[[float, str], None]], Any]) -> None:
        try:
            result = work(self._progress)
        except Cancelled:
            self._soon(state="cancelled", message="Cancelled; nothing was changed.")
        except Exception as error:  # here and in `Newest._put` any error becomes words on the page
            self._soon(state="failed", message=words(error))
        else:
            self._soon(result=result, state="done", fraction=1.0, message="")

    def _progress(self, fraction: float, message: str) -> None:
        if self._cancel.is_set():
            raise Cancelled("Cancelled.")
        now = time.monotonic()
        if now - self._reported >= REPORT_EVERY:
            self._reported = now
            self._soon(fraction=min(max(fraction, 0.0), 1.0), message=message)

    def _soon(self, **values: Any) -> None:
        soon(self._document, partial(self._apply, values))

    def _apply(self, values: dict[str, Any]) -> None:
        if self.state != "running" and "state" not in values:
            return
        self.param.update(**values)
