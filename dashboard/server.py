"""The server: the page, /health and /export/<name>.

`galviz serve` calls `serve`. `panel serve dashboard/app.py --plugins dashboard.server` adds the two routes to
a server that Panel starts.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import re
import socket
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import panel as pn
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from dashboard.app import create_app, settings_from_environment
from dashboard.pictures import CLUSTER, STATISTICS, Asked, Backdrop, Bars, Counts, Picture, answers
from dashboard.state import Look, Settings
from dashboard.tasks import WORKING, words
from dashboard.views import default_planes
from galviz.draw import Viewport, column_range, never
from galviz.errors import GalvizError
from galviz.export import EXPORTERS, export
from galviz.index import open_index
from galviz.ingest.inplace import open_catalogue
from galviz.selection import Box, Polygon, Range, Selection

log = logging.getLogger("galviz")
CHUNK = 1 << 20
ALL = Selection()
CORNER = 0.1  # of each side of a plane, to warm up in


class Readiness:
    """Whether the first picture can be drawn; warming up compiles the loops and reads what it needs once."""

    def __init__(self, settings: Settings, address: str = "") -> None:
        self.settings, self.address = settings, address
        self.state, self.message = 503, "warming up"

    def warm(self) -> None:
        """Draw one picture of every kind; afterwards /health answers 200, or 503 with the reason."""
        try:
            _draw_once(self.settings)
        except GalvizError as error:
            self.message = words(error)
            log.error("%s", self.message)
        else:
            # Modules and loops are for good: to go through them for garbage would stop a slider for 0.2 s each time.
            gc.collect()
            gc.freeze()
            self.state, self.message = 200, "ready"
            if self.address:
                print(f"Ready on {self.address} (Ctrl-C stops it)", flush=True)


def _draw_once(settings: Settings) -> None:
    """What a session begins with, in full; then everything else that a page can ask for, in a corner of each plane."""
    catalogue = open_catalogue(settings.catalogue)
    views = [
        (name, Viewport(plane.x, plane.y, column_range(catalogue, plane.x), column_range(catalogue, plane.y)))
        for name, plane in default_planes(catalogue.manifest).items()
    ]
    start: dict[str, Any] = {f"{view.x} {view.y}": Picture(catalogue, ALL, view, Look(), "dark") for _, view in views}
    _answer({**start, "counts": Counts(catalogue, ALL)})
    for name, view in views:
        corner = replace(view, x_range=_start_of(view.x_range), y_range=_start_of(view.y_range), width=64, height=48)
        (x0, x1), (y0, y1) = corner.x_range, corner.y_range
        # Probabilities are kept as codes, coordinates as they are: other loops.
        columns = [view.x, *(column.name for column in catalogue.manifest.of_role("best_probability"))]
        for brush in (Polygon(view.x, view.y, ((x0, y0), (x1, y0), (x1, y1))), Box(view.x, view.y, x0, x1, y0, y1)):
            chosen = Selection().choose(name, brush).choose("range", Range(view.x, low=x0))
            looks = [Look(), Look("count"), *(Look(by, column) for by in STATISTICS for column in columns)]
            asked: dict[str, Any] = {str(look): Picture(catalogue, chosen, corner, look, "dark") for look in looks}
            asked |= {"back": Backdrop(catalogue, corner, "dark"), "counts": Counts(catalogue, chosen)}
            _answer({**asked, "bars": Bars(catalogue, chosen, view.x, (x0, (x0 + x1) / 2, x1))})


def _answer(requests: dict[str, Any]) -> None:
    for _ in answers(Asked(requests), never):
        pass


def _start_of(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    return low, low + CORNER * (high - low)


class HealthHandler(RequestHandler):
    """GET /health: 200 with JSON once data can be drawn, 503 before."""

    def initialize(self, readiness: Readiness) -> None:
        self.readiness = readiness

    def get(self) -> None:
        self.set_status(self.readiness.state)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"ready": self.readiness.state == 200, "status": self.readiness.message}))


class ExportHandler(RequestHandler):
    """GET /export/NAME.SUFFIX?where=EXPRESSION: the selected sources as a file, made off the event loop."""

    def initialize(self, settings: Settings) -> None:
        self.shown = settings  # `settings` is taken: tornado's own

    async def get(self, name: str) -> None:
        suffix = Path(name).suffix
        if suffix not in EXPORTERS:
            raise HTTPError(404, reason=f"no export as {suffix or 'nothing'}")
        with tempfile.TemporaryDirectory(prefix="galviz-") as folder:
            path = Path(folder) / f"export{suffix}"
            try:
                await asyncio.wrap_future(WORKING.submit(self._write, path))
            except GalvizError as error:
                self.set_status(400)
                self.set_header("Content-Type", "text/plain; charset=utf-8")
                await self.finish(words(error))
                return
            await self._send(path, name)

    def _write(self, path: Path) -> None:
        columns = self.get_query_argument("columns", "")
        catalogue = open_catalogue(self.shown.catalogue)
        selection = Selection.parse(self.get_query_argument("where", ""))
        export(catalogue, selection, path, columns=columns.split(",") if columns else None)

    async def _send(self, path: Path, name: str) -> None:
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", f'attachment; filename="{safe}"')
        self.set_header("Content-Length", str(path.stat().st_size))
        with path.open("rb") as file:
            try:
                while chunk := file.read(CHUNK):
                    self.write(chunk)
                    await self.flush()
            except StreamClosedError:
                log.info("the download of %s was broken off", safe)


def routes(settings: Settings, address: str = "") -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """The routes beside the page, and a thread that warms the server up and then tells the address, if given."""
    readiness = Readiness(settings, address)
    threading.Thread(target=readiness.warm, name="warm-up", daemon=True).start()
    return [
        (r"/health", HealthHandler, {"readiness": readiness}),
        (r"/export/([^/]{1,100})", ExportHandler, {"settings": settings}),
    ]


def serve(
    catalogue: Path, labelled: Path | None = None, port: int = 5006, address: str = "127.0.0.1", client: Any = None,
) -> None:  # fmt: skip
    """Serve the page of a catalogue until interrupted; raises GalvizError before listening if it cannot be opened.

    With a `distributed.Client` the workers of its cluster draw the exact pictures.
    """
    open_index(open_catalogue(catalogue))
    CLUSTER.client = client
    settings = Settings(Path(catalogue), Path(labelled) if labelled else None, routes=True)
    everywhere = address in ("0.0.0.0", "::")
    names = [socket.gethostname(), socket.getfqdn()] if everywhere else [address]
    hosts = {*names, "127.0.0.1", "localhost"}
    url = f"http://{names[-1]}:{port}"
    print(f"Opening {catalogue} for {url} ...", flush=True)
    logging.getLogger("tornado.access").addFilter(lambda record: "/health" not in record.getMessage())
    pn.serve(
        {"/": lambda: create_app(settings)}, port=port, address=address, show=False, verbose=False,
        websocket_origin=[f"{host}:{port}" for host in hosts], title="galviz",
        extra_patterns=routes(settings, url), loop=IOLoop.current(),
        unused_session_lifetime_milliseconds=60_000, check_unused_sessions_milliseconds=20_000,
    )  # fmt: skip


def _plugin_routes() -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    os.environ["GALVIZ_ROUTES"] = "1"
    return routes(settings_from_environment())


def __getattr__(name: str) -> Any:
    # `panel serve --plugins` reads ROUTES; making it warms the server up, which `serve` does by itself.
    if name == "ROUTES":
        return _plugin_routes()
    raise AttributeError(name)
