"""VIEWS: the linked planes and the slim histograms.

A view knows how to make its requests (see `dashboard.pictures`) from the session and how to show what comes back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import RangesUpdate, SelectionGeometry
from bokeh.models import (
    BasicTicker,
    BasicTickFormatter,
    BoxSelectTool,
    ColorBar,
    ColumnDataSource,
    Label,
    LassoSelectTool,
    LinearColorMapper,
    LogColorMapper,
    LogTicker,
    NumeralTickFormatter,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from dashboard import style
from dashboard.graticule import graticule
from dashboard.pictures import Backdrop, Bars, Picture, Shaded
from dashboard.state import Look, Plane, Session
from galviz.draw import Viewport, column_range
from galviz.manifest import Column, Manifest
from galviz.selection import Box, Clause, Polygon, Range

LASSO_CORNERS = 400
# The tools float over the picture and stay out of its way until the hand is near.
TOOLBAR = ":host{background:transparent!important;opacity:.4;transition:opacity .15s} :host(:hover){opacity:1}"


def _range(low: float, high: float, column: Column) -> Range1d:
    """Magnitudes grow downwards and to the left, as astronomers draw them; so does right ascension."""
    flipped = column.role == "magnitude" or column.ucd.startswith("pos.eq.ra")
    start, end = (high, low) if flipped else (low, high)
    return Range1d(start, end, reset_start=start, reset_end=end)


def _framed(plot: figure, handle: str) -> pn.Column:
    pane = pn.pane.Bokeh(plot, sizing_mode="stretch_both", margin=0)
    return pn.Column(pane, sizing_mode="stretch_both", margin=(0, 4), css_classes=[handle, "gv-plot"])


class PlaneView:
    """One plane: two columns, drawn as pixels, brushed with a box or a lasso."""

    def __init__(self, name: str, session: Session, changed: Callable[[], None]) -> None:
        self.name, self.session, self._changed = name, session, changed
        self._plane: Plane | None = None
        self._home: tuple[float, float, float, float] | None = None
        self._size = {"inner_width": 0, "inner_height": 0}
        self._front = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._back = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._brush = ColumnDataSource({"xs": [], "ys": []})
        self._lines = ColumnDataSource({"xs": [], "ys": [], "alpha": [], "colour": []})
        self._names = ColumnDataSource({"x": [], "y": [], "text": []})
        self.plot = self._figure()
        # One of each kind: a bar follows the ends of the mapper that it is made with, and of none that replaces it.
        self._bars = [
            ColorBar(color_mapper=kind(["#000000"], low=0.1, high=1), visible=False, width=8, padding=2,
                     ticker=ticker(desired_num_ticks=4), formatter=formatter, label_standoff=4)
            for kind, ticker, formatter in (
                (LinearColorMapper, BasicTicker, BasicTickFormatter()),
                (LogColorMapper, LogTicker, NumeralTickFormatter(format="0[.]0a")),
            )
        ]  # fmt: skip
        for bar in self._bars:
            self.plot.add_layout(bar, "right")
        self.panel = _framed(self.plot, f"gv-view-{name}")

    def _figure(self) -> figure:
        tools = [BoxSelectTool(), LassoSelectTool(continuous=False), PanTool(), WheelZoomTool(), ResetTool()]
        plot = figure(
            tools=tools, active_drag=tools[0], active_scroll=tools[3], toolbar_location="above", toolbar_inner=True,
            sizing_mode="stretch_both", min_border=4, min_border_right=10,
            x_range=Range1d(0, 1), y_range=Range1d(0, 1),
            output_backend="canvas",
        )  # fmt: skip
        images = {"image": "image", "x": "x", "y": "y", "dw": "dw", "dh": "dh"}
        plot.image_rgba(**images, source=self._back)
        plot.image_rgba(**images, source=self._front)
        plot.multi_line("xs", "ys", source=self._lines, line_color="colour", line_alpha="alpha", line_width=1)
        self._name_glyph = plot.text(
            "x", "y", "text", source=self._names, text_font_size="10px", text_align="center",
            text_baseline="middle", text_font={"value": style.FONT},
        ).glyph  # fmt: skip
        self._brush_glyph = plot.patches("xs", "ys", source=self._brush, line_width=1.5, fill_alpha=0.06).glyph
        plot.toolbar.stylesheets = [TOOLBAR]
        plot.on_event(SelectionGeometry, self._brushed)
        plot.on_event(RangesUpdate, lambda _: self._changed())
        plot.on_change("inner_width", self._resized)
        plot.on_change("inner_height", self._resized)
        return plot

    @property
    def plane(self) -> Plane:
        return self.session.planes[self.name]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, (0, 0) before the browser has laid the page out."""
        return self._size["inner_width"], self._size["inner_height"]

    def viewport(self) -> Viewport | None:
        """What the plot shows now, snapped to a thousandth of a pixel; None before it has a size."""
        width, height = self.size
        if width < 8 or height < 8:
            return None

        def snapped(axis: Range1d, pixels: int) -> tuple[float, float]:
            low, high = sorted((float(axis.start), float(axis.end)))
            digits = 3 - math.floor(math.log10((high - low) / pixels))
            return round(low, digits), round(high, digits)

        return Viewport(
            self.plane.x, self.plane.y, snapped(self.plot.x_range, width), snapped(self.plot.y_range, height),
            width, height,
        )  # fmt: skip

    def requests(self) -> dict[str, Any]:
        """What has to be drawn for this view, by the name under which `show` receives it."""
        view = self.viewport()
        if view is None:
            return {}
        session = self.session
        selection = session.selection.without(self.name)
        picture = Picture(session.catalogue, selection, view, session.look, session.theme)
        backdrop = Backdrop(session.catalogue, view, session.theme) if selection else None
        return {f"{self.name} front": picture, f"{self.name} back": backdrop}

    def show(self, layer: str, request: Picture | Backdrop | None, result: Shaded | None) -> None:
        """Put a drawn layer, front or back, on the plot, unless the plot shows another plane by now."""
        source = self._front if layer == "front" else self._back
        if request is None or result is None:
            if source.data["image"]:
                source.data = {key: [] for key in source.data}
            return
        view = request.view
        if (view.x, view.y) != (self.plane.x, self.plane.y):
            return
        place = {
            "x": [view.x_range[0]],
            "y": [view.y_range[0]],
            "dw": [view.x_range[1] - view.x_range[0]],
            "dh": [view.y_range[1] - view.y_range[0]],
        }
        same = source.data["image"] and all(source.data[key] == there for key, there in place.items())
        if not same or not np.array_equal(source.data["image"][0], result.pixels):
            source.data = {"image": [result.pixels], **place}
        if isinstance(request, Picture):
            self._colour_bar(request.look, result)

    def _colour_bar(self, look: Look, result: Shaded) -> None:
        has_bar = math.isfinite(result.low) and not (look.by == "count" and look.scale == "eq_hist")
        kind = LogColorMapper if look.by == "count" and look.scale == "log" else LinearColorMapper
        new = {
            "palette": style.colour_map(style.THEMES[self.session.theme]), "low": result.low, "high": result.high,
        }  # fmt: skip
        for bar in self._bars:
            wanted = has_bar and type(bar.color_mapper) is kind
            if wanted and any(getattr(bar.color_mapper, name) != value for name, value in new.items()):
                bar.color_mapper.update(**new)
            if bar.visible != wanted:
                bar.visible = wanted

    def restyle(self) -> None:
        """Take over the theme of the session."""
        theme = style.THEMES[self.session.theme]
        style.dress(self.plot, theme)
        for bar in self._bars:
            bar.background_fill_color, bar.major_label_text_color = theme.card, theme.quiet
            bar.bar_line_color = theme.line
        self._brush_glyph.line_color = self._brush_glyph.fill_color = theme.accent
        self._name_glyph.text_color = theme.quiet
        self._draw_graticule()

    def follow(self) -> bool:
        """Take over the plane and the brush of the session; True if the plot is empty now, for another plane."""
        is_other = self._plane != self.plane
        if is_other:
            self._plane = self.plane
            self._set_plane()
            self._draw_graticule()
        self._draw_brush()
        return is_other

    def _set_plane(self) -> None:
        manifest = self.session.catalogue.manifest
        x, y = manifest.column(self.plane.x), manifest.column(self.plane.y)
        xaxis, yaxis = self.plot.xaxis[0], self.plot.yaxis[0]
        xaxis.axis_label, yaxis.axis_label = x.title, y.title
        projected = x.role == "projection"
        for axis in (xaxis, yaxis):
            axis.visible = not projected
        self.plot.grid.visible = not projected
        self._back.data = self._front.data = {key: [] for key in self._front.data}
        self._go_home()

    def _go_home(self) -> None:
        manifest = self.session.catalogue.manifest
        x, y = manifest.column(self.plane.x), manifest.column(self.plane.y)
        x_low, x_high = column_range(self.session.catalogue, x.name)
        y_low, y_high = column_range(self.session.catalogue, y.name)
        if x.role == "projection":
            x_low, x_high, y_low, y_high = self._equal_scale(-2.06, 2.06, -1.06, 1.06)
        self._home = (x_low, x_high, y_low, y_high)
        for axis, new in ((self.plot.x_range, _range(x_low, x_high, x)), (self.plot.y_range, _range(y_low, y_high, y))):
            axis.update(start=new.start, end=new.end, reset_start=new.start, reset_end=new.end)

    def _equal_scale(self, x0: float, x1: float, y0: float, y1: float) -> tuple[float, float, float, float]:
        """The smallest window around the given one in which both axes have the same scale."""
        width, height = self.size
        if not (width and height):
            return x0, x1, y0, y1
        scale = max((x1 - x0) / width, (y1 - y0) / height)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        return x - scale * width / 2, x + scale * width / 2, y - scale * height / 2, y + scale * height / 2

    def _resized(self, attr: str, old: int, new: int) -> None:
        self._size[attr] = int(new)
        manifest = self.session.catalogue.manifest
        here = (*sorted((self.plot.x_range.start, self.plot.x_range.end)),
                *sorted((self.plot.y_range.start, self.plot.y_range.end)))  # fmt: skip
        if manifest.column(self.plane.x).role == "projection" and here == self._home:
            self._go_home()
        self._changed()

    def _brushed(self, event: SelectionGeometry) -> None:
        if not event.final:
            return
        clause = brush_clause(self.plane, event.geometry)
        if clause is not None:
            self.session.choose(self.name, clause)

    def _draw_brush(self) -> None:
        clause = self.session.selection.get(self.name)
        outline: dict[str, list[Any]] = {"xs": [], "ys": []}
        if clause is not None and clause.columns == (self.plane.x, self.plane.y):
            if isinstance(clause, Box):
                outline = {
                    "xs": [[clause.x_low, clause.x_high, clause.x_high, clause.x_low]],
                    "ys": [[clause.y_low, clause.y_low, clause.y_high, clause.y_high]],
                }
            elif isinstance(clause, Polygon):
                xs, ys = zip(*clause.vertices, strict=True)
                outline = {"xs": [list(xs)], "ys": [list(ys)]}
        if outline != dict(self._brush.data):
            self._brush.data = outline

    def _draw_graticule(self) -> None:
        theme = style.THEMES[self.session.theme]
        if self.session.catalogue.manifest.column(self.plane.x).role != "projection":
            if len(self._lines.data["xs"]):
                self._lines.data = {key: [] for key in self._lines.data}
                self._names.data = {key: [] for key in self._names.data}
            return
        lines = graticule()
        self._lines.data = {
            "xs": [line.x for line in lines if line.kind != "name"],
            "ys": [line.y for line in lines if line.kind != "name"],
            "alpha": [0.9 if line.kind == "galactic" else 0.35 for line in lines if line.kind != "name"],
            "colour": [theme.accent if line.kind == "galactic" else theme.quiet for line in lines
                       if line.kind != "name"],
        }  # fmt: skip
        names = [line for line in lines if line.kind == "name"]
        self._names.data = {
            "x": [line.x[0] for line in names],
            "y": [line.y[0] for line in names],
            "text": [line.text for line in names],
        }


def brush_clause(plane: Plane, geometry: dict[str, Any]) -> Clause | None:
    """What a drag of Bokeh's box or lasso tool on a plane asks for; None for a mere click."""
    if geometry["type"] == "rect":
        x0, x1 = sorted((float(geometry["x0"]), float(geometry["x1"])))
        y0, y1 = sorted((float(geometry["y0"]), float(geometry["y1"])))
        return Box(plane.x, plane.y, x0, x1, y0, y1) if x0 < x1 and y0 < y1 else None
    if geometry["type"] == "poly":
        corners = list(zip(map(float, geometry["x"]), map(float, geometry["y"]), strict=True))
        corners = [corner for corner in corners if all(map(math.isfinite, corner))]
        step = max(1, math.ceil(len(corners) / LASSO_CORNERS))
        return Polygon(plane.x, plane.y, tuple(corners[::step])) if len(corners[::step]) >= 3 else None
    return None


class HistogramView:
    """A slim histogram of one column, stacked by class; a drag on it is a filter."""

    BINS = 50

    def __init__(self, name: str, session: Session, changed: Callable[[], None]) -> None:
        self.name, self.session, self._changed = name, session, changed
        self.column = ""
        self.edges: tuple[float, ...] = (0.0, 1.0)
        self.log = False
        self._source = ColumnDataSource({"left": [], "right": [], "top": [], "colour": []})
        # A source of data, not an annotation: to move one makes Bokeh walk through all models of the page.
        self._outside = ColumnDataSource({"left": [], "right": []})
        self.plot = self._figure()
        self.panel = _framed(self.plot, f"gv-hist-{name}")

    def _figure(self) -> figure:
        tool = BoxSelectTool(dimensions="width")
        plot = figure(
            tools=[tool], active_drag=tool, toolbar_location=None, sizing_mode="stretch_both", min_border=2,
            min_border_left=8, min_border_right=8, x_range=Range1d(0, 1), y_range=Range1d(0, 1),
        )  # fmt: skip
        plot.quad(left="left", right="right", bottom=0, top="top", fill_color="colour", fill_alpha=0.55,
                  line_color="colour", line_alpha=0.9, source=self._source)  # fmt: skip
        self._shade = plot.vstrip("left", "right", source=self._outside, fill_alpha=0.55, line_color=None).glyph
        self._note = Label(x=4, y=4, x_units="screen", y_units="screen", text="√N", text_font_size="10px", x_offset=2)
        plot.add_layout(self._note)
        plot.yaxis.visible = False
        plot.grid.visible = False
        plot.on_event(SelectionGeometry, self._dragged)
        return plot

    def restyle(self) -> None:
        """Take over the theme of the session."""
        theme = style.THEMES[self.session.theme]
        style.dress(self.plot, theme)
        self._note.text_color = theme.quiet
        self._shade.fill_color = theme.card

    def follow(self, column: Column) -> None:
        """Show `column` from now on."""
        if column.name != self.column:
            self.column, self.log = column.name, column.scale == "log"
            probability = column.role in ("probability", "best_probability")
            low, high = (0.0, 1.0) if probability else column_range(self.session.catalogue, column.name)
            if self.log:
                low, high = math.log10(low), math.log10(high)
            places = np.linspace(low, high, self.BINS + 1)
            self.edges = tuple(float(edge) for edge in (10**places if self.log else places))
            self.plot.x_range.update(start=low, end=high)
            if self.log:
                ticks = range(math.ceil(low), math.floor(high) + 1)
                self.plot.xaxis.ticker = list(ticks)
                self.plot.xaxis.major_label_overrides = {tick: f"{10.0**tick:g}" for tick in ticks}

    def requests(self) -> dict[str, Any]:
        selection = self.session.selection.without(self.name)
        return {f"{self.name} bars": Bars(self.session.catalogue, selection, self.column, self.edges)}

    def show(self, request: Bars, counts: NDArray[Any]) -> None:
        """Draw the bars of every class from zero, on a square-root scale so that rare classes show."""
        edges = np.log10(request.edges) if self.log else np.asarray(request.edges)
        classes = request.catalogue.manifest.classes
        known = style.class_colours(classes, self.session.look.safe)
        by_class = counts.shape[1] == len(classes) > 0
        colours = list(known.values()) if by_class else [style.THEMES[self.session.theme].quiet]
        order = np.argsort(-counts.sum(axis=0))
        heights = np.sqrt(counts)
        self._source.data = {
            "left": np.tile(edges[:-1], len(order)),
            "right": np.tile(edges[1:], len(order)),
            "top": heights.T[order].ravel(),
            "colour": [colours[place] for place in order for _ in range(len(counts))],
        }
        self.plot.y_range.end = max(1.0, float(heights.max(initial=1.0)) * 1.06)

    def mark(self, low: float | None, high: float | None) -> None:
        """Grey out what lies outside [low, high], in the units of the column."""
        start, end = self.plot.x_range.start, self.plot.x_range.end

        def place(limit: float) -> float:
            return (math.log10(limit) if limit > 0 else start) if self.log else limit

        strips = [(start, place(low))] if low is not None else []
        strips += [(place(high), end)] if high is not None else []
        outside = {"left": [min(strip) for strip in strips], "right": [max(strip) for strip in strips]}
        if outside != self._outside.data:
            self._outside.data = outside

    def _dragged(self, event: SelectionGeometry) -> None:
        if not event.final:
            return
        low, high = sorted((float(event.geometry["x0"]), float(event.geometry["x1"])))
        if self.log:
            low, high = 10**low, 10**high
        if low < high:
            self.session.choose(self.name, Range(self.column, float(f"{low:.4g}"), float(f"{high:.4g}")))


@dataclass(frozen=True)
class View:
    """An entry of VIEWS: the planes that can be chosen for it, the first one shown at the start.

    `planes(manifest)` is empty when the catalogue has no such columns: the view is then left out. In a `free`
    view any two columns can be chosen.
    """

    name: str
    title: str
    planes: Callable[[Manifest], dict[str, Plane]]
    free: bool = False


def _embedding(manifest: Manifest) -> dict[str, Plane]:
    return _pair("Embedding", manifest.of_role("embedding"))


def _sky(manifest: Manifest) -> dict[str, Plane]:
    return _pair("Hammer, equal area", manifest.of_role("projection")) | _pair(
        "RA and Dec", manifest.of_role("position")
    )


def _colour_magnitude(manifest: Manifest) -> dict[str, Plane]:
    named = manifest.defaults.get("colour_magnitude", ())
    columns = tuple(manifest.columns[name] for name in named if name in manifest.columns)
    features = tuple(manifest.columns[name] for name in manifest.features)
    return _pair("Colour and magnitude", columns) or _pair("Features", features)


def _pair(title: str, columns: tuple[Column, ...]) -> dict[str, Plane]:
    return {title: Plane(columns[0].name, columns[1].name)} if len(columns) >= 2 else {}


VIEWS = (
    View("umap", "Embedding", _embedding),
    View("sky", "Sky", _sky),
    View("cmd", "Colour and magnitude", _colour_magnitude, free=True),
)


def default_planes(manifest: Manifest) -> dict[str, Plane]:
    """What each view shows at the start, for the views that the catalogue has columns for."""
    return {view.name: next(iter(planes.values())) for view in VIEWS if (planes := view.planes(manifest))}
