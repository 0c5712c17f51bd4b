"""A server that treats a small catalogue as a large one: ``python -m tests.browser.slow CATALOGUE PORT GATE``.

Its index has a sample to estimate from. Exact pictures take half a second, and as long as there is a file GATE, so
that a browser can see what comes first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashboard import pictures
from dashboard.server import serve
from galviz import exact
from galviz.catalogue import open_catalogue
from galviz.draw import draw_many
from galviz.errors import Cancelled
from galviz.index import build_index, layout

SIZES = {"EXACT_ROWS": 1000, "SAMPLE_ROWS": 8000, "CELL_ROWS": 4}
EXACT_SECONDS = 0.5


def slowly(*arguments: Any, exact: bool = True, stop: Callable[[], bool], **options: Any) -> Any:
    """`draw_many`, whose exact pictures take their time unless they are stopped."""
    end = time.monotonic() + EXACT_SECONDS
    while exact and (time.monotonic() < end or Path(sys.argv[3]).exists()):
        if stop():
            raise Cancelled("Drawing was stopped.")
        time.sleep(0.005)
    return draw_many(*arguments, exact=exact, stop=stop, **options)


def main() -> None:
    """Build the index of the catalogue anew and serve until stopped."""
    path, port = Path(sys.argv[1]), int(sys.argv[2])
    for name, size in SIZES.items():
        setattr(layout, name, size)
    exact.QUICK_ROWS = 0
    pictures.draw_many = slowly
    build_index(open_catalogue(path))
    serve(path, port=port)


if __name__ == "__main__":
    main()
