"""The routes beside the page: /health says when data can be drawn, /export gives exactly the selected rows."""

from __future__ import annotations

import gc
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import quote

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application

from dashboard import server
from dashboard.state import Settings
from galviz.catalogue import Catalogue

Get = Callable[[str], tuple[int, bytes]]


def serving(settings: Settings) -> Iterator[Get]:
    """A server with the routes only, on a free port of this machine, in a thread of its own."""
    socket, port = bind_unused_port()
    started: Future[IOLoop] = Future()

    def run() -> None:
        loop = IOLoop()
        http_server = HTTPServer(Application(server.routes(settings)))
        http_server.add_sockets([socket])
        loop.add_callback(started.set_result, loop)
        loop.start()
        http_server.stop()
        loop.close(all_fds=True)

    def get(path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    thread = threading.Thread(target=run, daemon=True)  # a test that fails must end, too
    thread.start()
    loop = started.result(10)
    yield get
    loop.add_callback(loop.stop)
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def get(catalogue: Catalogue) -> Iterator[Get]:
    yield from serving(Settings(catalogue.path, None, routes=True))


def wait_for(get: Get, status: int) -> dict[str, object]:
    end = time.monotonic() + 30
    while True:
        seen, body = get("/health")
        if seen == status:
            return dict(json.loads(body))
        assert time.monotonic() < end, (seen, body)
        time.sleep(0.05)


def test_health_turns_200_when_a_picture_can_be_drawn(get: Get) -> None:
    assert wait_for(get, 200) == {"ready": True, "status": "ready"}


def test_health_is_503_while_warming_up(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(server, "_draw_once", lambda settings: gate.wait(30))
    for get in serving(Settings(catalogue.path)):
        assert get("/health")[0] == 503
        gate.set()
        wait_for(get, 200)


def test_a_garbage_collection_does_not_stop_the_page(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made before the first picture is not looked at again."""
    monkeypatch.setattr(server, "_draw_once", lambda settings: None)
    gc.unfreeze()
    for get in serving(Settings(catalogue.path)):
        wait_for(get, 200)
        assert gc.get_freeze_count() > 100_000
    gc.unfreeze()


def test_health_names_the_command_when_there_is_no_index(no_index: Catalogue) -> None:
    for get in serving(Settings(no_index.path)):
        end = time.monotonic() + 30
        while b"warming" in (answer := get("/health"))[1]:
            assert time.monotonic() < end
        assert answer[0] == 503
        assert "galviz index" in json.loads(answer[1])["status"]


@pytest.mark.parametrize("where", ["p_quasar > 0.5 and psf_r < 20", "class == 'QSO'", "psf_r < -5", ""])
def test_a_csv_has_exactly_the_selected_rows(get: Get, catalogue: Catalogue, where: str) -> None:
    status, body = get(f"/export/candidates.csv?where={quote(where)}")
    assert status == 200
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert len(lines) - 1 == catalogue.count(where)
    assert "objid" in lines[0].split(",")


def test_only_the_asked_columns_come(get: Get) -> None:
    _, body = get("/export/x.csv?where=psf_r%3C18&columns=ra,dec,class_pred")
    header = next(line for line in body.decode().splitlines() if not line.startswith("#"))
    assert header == "ra,dec,class_pred"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/export/x.csv?where=" + quote("__import__('os').system('true') > 0"), 400),
        ("/export/x.csv?where=" + quote("nonsense > 1"), 400),
        ("/export/x.csv?where=psf_r%3C18&columns=nonsense", 400),
        ("/export/x.exe?where=", 404),
        ("/export/..%2F..%2Fetc%2Fpasswd", 404),
    ],
)
def test_a_bad_request_is_refused_in_words(get: Get, path: str, status: int, catalogue: Catalogue) -> None:
    seen, body = get(path)
    assert seen == status
    if status == 400:
        assert body.decode().endswith(".")
        assert "Traceback" not in body.decode()


def test_nothing_is_served_without_a_catalogue(tmp_path: Path) -> None:
    with pytest.raises(server.GalvizError, match="no such folder"):
        server.serve(tmp_path / "nowhere", port=0)
