"""The least that a Bokeh app can do: images swapped when a slider moves: ``python -m benchmarks.bare PORT 600x500``."""

from __future__ import annotations

import sys
from itertools import cycle

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, Slider
from bokeh.plotting import figure
from bokeh.server.server import Server

VARIANTS = 4


def build(document: Document, sizes: list[tuple[int, int]]) -> None:
    """Fill a document with one figure of random pixels for each (width, height) and a slider."""
    rng = np.random.default_rng(0)
    sources, pictures, figures = [], [], []
    for width, height in sizes:
        shape = (height, width)
        pictures.append(cycle([rng.integers(0, 1 << 32, shape, np.uint32) for _ in range(VARIANTS)]))
        source = ColumnDataSource(_columns(next(pictures[-1])))
        plot = figure(frame_width=width, frame_height=height, x_range=(0, 1), y_range=(0, 1))
        plot.image_rgba("image", "x", "y", "dw", "dh", source=source)
        sources.append(source)
        figures.append(plot)
    slider = Slider(start=0, end=1, step=0.005, value=0)

    def swap(attr: str, old: object, new: object) -> None:
        for source, images in zip(sources, pictures, strict=True):
            source.data = _columns(next(images))

    slider.on_change("value", swap)
    large, *small = figures
    document.add_root(column(slider, row(large, column(*small))))


def _columns(picture: np.ndarray) -> dict[str, list[object]]:
    return {"image": [picture], "x": [0], "y": [0], "dw": [1], "dh": [1]}


def main() -> None:
    """Serve until stopped."""
    port = int(sys.argv[1])
    sizes = [(int(width), int(height)) for width, height in (text.split("x") for text in sys.argv[2:])]
    server = Server({"/": lambda document: build(document, sizes)}, port=port, address="127.0.0.1")
    server.start()
    server.io_loop.start()


if __name__ == "__main__":
    main()
