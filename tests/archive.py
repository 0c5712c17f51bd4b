"""An archive on this machine that speaks like Zenodo and misbehaves on request."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from galviz.fetch.web import Clock, Limits, Web

DOI = "10.5281/zenodo.100"
CHUNK = 1000
LIMITS = Limits(chunk=CHUNK, least=100, patience=60.0, tries=4, longest=100.0, connect=30.0, read=30.0)


@lru_cache(8)
def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@dataclass
class Answer:
    """How one request for a file is answered; the usual values are those of an honest answer.

    `stop` closes the connection after so many bytes of the body, -1 before the headers; `stall` waits there until the
    archive is closed. `flip` damages the first byte. `length` is what Content-Length says, "" for none; `extent` what
    Content-Range says; `change` is the content from now on; `pause` is slept after each byte.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    stop: int | None = None
    stall: bool = False
    flip: bool = False
    ranges: bool = True
    length: str | None = None
    extent: str | None = None
    change: bytes | None = None
    pause: float = 0.0


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that has gone away is no error of the archive."""


class Archive:
    """Files under the names of a record, served at `root`; `answers` are used up one a request for a file."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.reset()
        self._closing = threading.Event()
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.close_connection = True
                with contextlib.suppress(ConnectionError):
                    archive.answer(self)

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.root = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def reset(self) -> None:
        """An archive without files that behaves."""
        self.files: dict[str, bytes] = {}
        self.answers: list[Answer] = []
        self.record: Callable[[dict[str, Any]], Any] = lambda usual: usual
        self.records: list[Answer] = []
        self.limits: dict[str, str] = {}
        self.etags = True
        self.dates = True
        self.served: list[tuple[str, int]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.published: dict[str, bytes] | None = None

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def bytes_served(self) -> int:
        """The bytes of files that were sent; of an answer that nobody took all of them count."""
        return sum(size for _, size in self.served)

    def usual_record(self) -> dict[str, Any]:
        """The record as Zenodo writes it."""
        address = f"{self.root}/api/records/102"
        files = self.files if self.published is None else self.published
        return {
            "id": 102,
            "conceptrecid": "100",
            "doi": "10.5281/zenodo.102",
            "files": [
                {
                    "id": "a-b-c",
                    "key": name,
                    "size": len(content),
                    "checksum": f"md5:{_md5(content)}",
                    "links": {"self": f"{address}/files/{name}/content"},
                }
                for name, content in files.items()
            ],
            "links": {"self": address, "latest": f"{address}/versions/latest"},
        }

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path)
        self.asked.append((path, dict(request.headers)))
        if path == "/loop":
            return self.say(request, 302, b"", {"Location": "/loop"})
        if path in ("/api/records/100", "/api/records/102/versions/latest"):
            return self.say(request, 301, b"", {"Location": "/api/records/102"})
        if path == "/api/records/102":
            odd = self.records.pop(0) if self.records else Answer()
            if odd.status:
                return self.say(request, odd.status, b"", odd.headers)
            made = self.record(self.usual_record())
            content = made if isinstance(made, bytes) else json.dumps(made).encode()
            return self.say(request, 200, content, self.limits)
        name = re.fullmatch(r"/api/records/102/files/(.+)/content", path)
        if name and name[1] in self.files:
            return self.file(request, name[1], self.answers.pop(0) if self.answers else Answer())
        return self.say(request, 404, b"")

    @staticmethod
    def say(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        request.send_response(status)
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def file(self, request: BaseHTTPRequestHandler, name: str, how: Answer) -> None:
        if how.change is not None:
            self.files[name] = how.change
        content = self.files[name]
        names = {"ETag": f'"md5:{_md5(content)}"'} if self.etags else {}
        if self.dates:
            names["Last-Modified"] = f"Sat, 01 Jan 2022 00:{len(content) % 60:02d}:{sum(content[:9]) % 60:02d} GMT"
        if how.status:
            return self.say(request, how.status, b"", how.headers)
        if how.stop == -1:
            return None
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        condition = request.headers.get("If-Range")
        part = how.ranges and asked is not None and condition in (None, *names.values())
        start, stop = (int(asked[1]), int(asked[2]) + 1) if part and asked else (0, len(content))
        body = content[start:stop]
        if part and not body:
            return self.say(request, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
        request.send_response(206 if part else 200)
        if part:
            extent = f"bytes {start}-{start + len(body) - 1}/{len(content)}"
            request.send_header("Content-Range", extent if how.extent is None else how.extent)
        if how.length != "":
            request.send_header("Content-Length", str(len(body)) if how.length is None else how.length)
        for key, value in {**names, **how.headers}.items():
            request.send_header(key, value)
        request.end_headers()
        self.body(request, name, body, how)
        return None

    def body(self, request: BaseHTTPRequestHandler, name: str, body: bytes, how: Answer) -> None:
        if how.flip:
            body = bytes([body[0] ^ 1]) + body[1:]
        sent = body if how.stop is None else body[: how.stop]
        self.served.append((name, len(sent)))
        if how.pause:
            for place in range(len(sent)):
                request.wfile.write(sent[place : place + 1])
                if self._closing.wait(how.pause):
                    return
        else:
            request.wfile.write(sent)
        if how.stall:
            self._closing.wait()


class Watch:
    """A clock that stands still but for the sleep that it is asked for, or with `runs` goes on between."""

    def __init__(self, *, runs: bool = False) -> None:
        self.slept: list[float] = []
        self.clock = Clock(
            date=lambda: 1_700_000_000.0 + sum(self.slept),
            monotonic=lambda: sum(self.slept) + (time.monotonic() if runs else 0.0),
            sleep=self.slept.append,
        )

    def web(self, archive: Archive, limits: Limits = LIMITS) -> Web:
        return Web(archive.root, limits, self.clock)


@contextlib.contextmanager
def open_archive(tls: ssl.SSLContext | None = None) -> Iterator[Archive]:
    """An archive that is closed at the end; with a context it speaks TLS."""
    archive = Archive(tls)
    try:
        yield archive
    finally:
        archive.close()
