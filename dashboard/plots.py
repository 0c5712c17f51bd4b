"""Figures and tables of an evaluation: made once, filled from a run, re-dressed when the theme changes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    LinearAxis,
    NumeralTickFormatter,
    Range1d,
    SaveTool,
    Span,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from dashboard import style
from galviz.evaluate import Curve, Evaluation, Scores, Thresholds
from galviz.manifest import Column, SourceClass

HISTOGRAM_TOP = 0.5  # the height at which the fullest bin of the largest class ends, as in the poster


def segments(x: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> dict[str, list[list[float]]]:
    """The band between two curves as polygons, one for each stretch without a missing value."""
    known = np.isfinite(low) & np.isfinite(high)
    ends = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(int)))
    pieces = [slice(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True)]
    return {
        "xs": [[*x[piece].tolist(), *x[piece][::-1].tolist()] for piece in pieces],
        "ys": [[*low[piece].tolist(), *high[piece][::-1].tolist()] for piece in pieces],
    }


def outline(edges: NDArray[Any], heights: NDArray[Any]) -> dict[str, list[float]]:
    """A histogram as one polygon that stands on zero."""
    return {
        "x": [float(edges[0]), *np.repeat(edges, 2)[1:-1].tolist(), float(edges[-1])],
        "y": [0.0, *np.repeat(heights, 2).tolist(), 0.0],
    }


class CurvePlot:
    """F1 of each class against one column: line with its band, mean probability, and the number of sources."""

    def __init__(self, column: Column, classes: Sequence[SourceClass]) -> None:
        self.column, self.classes = column, tuple(classes)
        self._parts: dict[str, dict[str, ColumnDataSource]] = {}
        self._coloured: dict[str, list[Any]] = {entry.name: [] for entry in classes}
        self.plot = figure(
            tools=[SaveTool()], toolbar_location=None, x_axis_type="log" if column.scale == "log" else "linear",
            x_range=Range1d(0.1, 1), y_range=Range1d(0, 1.03), sizing_mode="stretch_both", min_border=8,
            x_axis_label=column.title, y_axis_label="F1, mean probability", output_backend="canvas",
        )  # fmt: skip
        self._number = Range1d(0, 1)
        self.plot.extra_y_ranges = {"number": self._number}
        self._axis = LinearAxis(
            y_range_name="number", axis_label="correct sources in a bin", ticker=FixedTicker(ticks=[]),
            formatter=NumeralTickFormatter(format="0,0"),
        )  # fmt: skip
        self.plot.add_layout(self._axis, "right")
        self.plot.ygrid.ticker = self.plot.yaxis[0].ticker
        for draw in (self._draw_number, self._draw_curves):
            for entry in self.classes:
                draw(entry)
        self._hover()

    def _source(self, name: str, what: str, *keys: str) -> ColumnDataSource:
        source = ColumnDataSource({key: [] for key in keys})
        self._parts.setdefault(name, {})[what] = source
        return source

    def _draw_number(self, entry: SourceClass) -> None:
        number = self._source(entry.name, "number", "x", "y")
        bars = self.plot.patch("x", "y", source=number, y_range_name="number", fill_alpha=0.10, line_alpha=0.5)
        self._coloured[entry.name].append(bars.glyph)

    def _draw_curves(self, entry: SourceClass) -> None:
        plot = self.plot
        band = self._source(entry.name, "band", "xs", "ys")
        curve = self._source(entry.name, "curve", "x", "f1", "low", "high", "mean", "below", "bin", "number", "class")
        glyphs = [
            plot.patches("xs", "ys", source=band, fill_alpha=0.22, line_color=None).glyph,
            plot.line("x", "below", source=curve, line_dash="dotted", line_width=1.4, line_alpha=0.8).glyph,
            plot.line("x", "mean", source=curve, line_dash=[7, 4], line_width=1.6).glyph,
            plot.line("x", "f1", source=curve, line_width=2.2).glyph,
        ]
        marks = plot.scatter("x", "f1", source=curve, size=6, line_color=None, name="marks")
        self._coloured[entry.name] += [*glyphs, marks.glyph]

    def _hover(self) -> None:
        marks = self.plot.select({"name": "marks"})
        tips = [("class", "@class"), ("bin", "@bin"), ("F1", "@f1{0.000} (@low{0.000} to @high{0.000})"),
                ("mean probability", "@mean{0.000}"), ("correct", "@number{0,0}")]  # fmt: skip
        self.plot.add_tools(HoverTool(renderers=list(marks), tooltips=tips))

    def show(self, curve: Curve) -> None:
        """Fill the figure with the curve of a run."""
        labels = {entry.name: entry.plural for entry in self.classes}
        bins = [f"{low:.4g} to {high:.4g}" for low, high in zip(curve.edges[:-1], curve.edges[1:], strict=True)]
        peak = max(float(curve.correct.max(initial=0)), 1.0)
        self.plot.x_range.update(start=float(curve.edges[0]), end=float(curve.edges[-1]))
        self._number.end = peak / HISTOGRAM_TOP * self.plot.y_range.end
        self._axis.ticker.ticks = number_ticks(peak)
        for place, name in enumerate(curve.classes):
            parts = self._parts.get(name)
            if parts is None:
                continue
            f1 = curve.f1
            parts["number"].data = outline(curve.edges, curve.correct[place])
            parts["band"].data = segments(curve.centres, f1.low[place], f1.high[place])
            parts["curve"].data = {
                "x": curve.centres,
                "f1": f1.value[place],
                "low": f1.low[place],
                "high": f1.high[place],
                "mean": curve.mean_probability[place],
                "below": curve.mean_probability[place] - curve.std_probability[place],
                "bin": bins,
                "number": curve.correct[place],
                "class": [labels[name]] * len(bins),
            }

    def dress(self, theme: style.Theme, safe: bool) -> None:
        """Take over the theme and the colours of the classes."""
        style.dress(self.plot, theme)
        for name, colour in style.class_colours(self.classes, safe).items():
            for glyph in self._coloured[name]:
                if getattr(glyph, "line_color", None) is not None:
                    glyph.line_color = colour
                if hasattr(glyph, "fill_color"):
                    glyph.fill_color = colour


def number_ticks(peak: float) -> list[float]:
    """Zero and two or three round numbers up to the peak of a histogram."""
    step = 10.0 ** math.floor(math.log10(peak))
    step = next(factor * step for factor in (0.5, 1, 2, 5) if peak / (factor * step) < 4)
    return [step * number for number in range(int(peak / step) + 1)]


class ThresholdPlot:
    """Completeness and purity of one class against the threshold of its probability."""

    LINES = ("completeness", "purity")

    def __init__(self) -> None:
        self.plot = figure(
            tools=[], toolbar_location=None, x_range=Range1d(0, 1), y_range=Range1d(0, 1.03), min_border=4,
            min_border_right=14, sizing_mode="stretch_both", output_backend="canvas", y_axis_label="fraction",
        )  # fmt: skip
        self._lines = {name: ColumnDataSource({"x": [], "y": []}) for name in self.LINES}
        self._bands = {name: ColumnDataSource({"xs": [], "ys": []}) for name in self.LINES}
        self._glyphs: dict[str, list[Any]] = {}
        for name in self.LINES:
            band = self.plot.patches("xs", "ys", source=self._bands[name], fill_alpha=0.2, line_color=None).glyph
            dash = "solid" if name == "completeness" else [7, 4]
            line = self.plot.line("x", "y", source=self._lines[name], line_width=2, line_dash=dash).glyph
            self._glyphs[name] = [band, line]
        self.mark = Span(location=0, dimension="height", line_width=1.5, visible=False)
        self.plot.add_layout(self.mark)

    def show(self, thresholds: Thresholds, name: str, title: str) -> None:
        """Fill the figure for the class `name`; `title` stands on the axis of the threshold."""
        self.plot.xaxis[0].axis_label = title
        place = thresholds.classes.index(name) if name in thresholds.classes else None
        for what in self.LINES:
            measure = getattr(thresholds, what)
            empty = np.empty(0)
            x = empty if place is None else thresholds.threshold
            value, low, high = (
                empty if place is None else array[place] for array in (measure.value, measure.low, measure.high)
            )
            self._lines[what].data = {"x": x, "y": value}
            self._bands[what].data = segments(x, low, high)

    def dress(self, theme: style.Theme) -> None:
        style.dress(self.plot, theme)
        for name, colour in (("completeness", theme.accent), ("purity", theme.ink)):
            band, line = self._glyphs[name]
            band.fill_color = line.line_color = colour
        self.mark.line_color = theme.quiet


def curve_sentence(curve: Curve, classes: Sequence[SourceClass], column: Column) -> str:
    """What the figure shows, in one sentence: the best F1 of each class, and where it is lowest."""
    plurals = {entry.name: entry.plural for entry in classes}
    parts = []
    for place, name in enumerate(curve.classes):
        f1 = curve.f1.value[place]
        if np.isfinite(f1).any():
            worst = int(np.nanargmin(f1))
            low, high = curve.edges[worst : worst + 2]
            parts.append(
                f"{plurals.get(name, name)} from {np.nanmax(f1):.2f} down to {f1[worst]:.2f} at {low:.3g} – {high:.3g}"
            )
    if not parts:
        return f"No bin of {column.label or column.name} holds enough correct sources to draw a curve."
    return f"F1 by {column.title}: {', '.join(parts)}."


def curve_csv(curve: Curve) -> str:
    """The data of a figure: a line for each class and bin."""
    names = ("f1", "precision", "recall")
    head = ["class", "bin_low", "bin_high"]
    head += [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    head += ["correct", "support", "predicted", "mean_probability", "std_probability"]
    rows: list[list[Any]] = []
    for i, label in enumerate(curve.classes):
        for j in range(len(curve.edges) - 1):
            measures = [getattr(getattr(curve, name), end)[i, j] for name in names for end in ("value", "low", "high")]
            counts = [array[i, j] for array in (curve.correct, curve.support, curve.predicted)]
            means = [curve.mean_probability[i, j], curve.std_probability[i, j]]
            rows.append([label, curve.edges[j], curve.edges[j + 1], *measures, *counts, *means])
    return text_csv(head, rows)


def scores_csv(scores: Scores) -> str:
    """The table of scores: a line for each class."""
    names = ("precision", "recall", "f1")
    head = ["class", *(f"{name}{end}" for name in names for end in ("", "_low", "_high")), "sources"]
    rows = [
        [label, *(getattr(getattr(scores, name), end)[i] for name in names for end in ("value", "low", "high")),
         scores.support[i]]
        for i, label in enumerate(scores.classes)
    ]  # fmt: skip
    return text_csv(head, rows)


def confusion_csv(scores: Scores) -> str:
    """The confusion matrix: a line for each true class."""
    rows = [[label, *scores.confusion[i].tolist()] for i, label in enumerate(scores.classes)]
    return text_csv(["true_class", *(f"predicted_{name}" for name in scores.classes)], rows)


def text_csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lines of comma-separated values; a number that is missing is empty."""

    def plain(value: Any) -> Any:
        value = value.item() if isinstance(value, np.generic) else value
        return "" if isinstance(value, float) and not math.isfinite(value) else value

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([plain(value) for value in row] for row in rows)
    return file.getvalue()


def _swatch(colour: str) -> str:
    return f'<i class="gv-dot" style="background:{style.escape(colour)}"></i>'


def legend_html(classes: Sequence[SourceClass], safe: bool) -> str:
    """What the lines of a curve mean."""
    colours = style.class_colours(tuple(classes), safe)
    names = "".join(f"<span>{_swatch(colours[entry.name])}{style.escape(entry.plural)}</span>" for entry in classes)
    return (
        f'<div class="gv-key">{names}<span><i class="gv-band"></i>F1, 95 % band</span>'
        '<span><i class="gv-dash"></i>mean probability</span><span><i class="gv-dots"></i>1 σ below</span>'
        '<span><i class="gv-step"></i>correct sources (right axis)</span></div>'
    )


def _measured(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return '<td class="n">–</td>'
    return f'<td class="n"><b>{value:.3f}</b><span class="gv-range">{low:.3f} – {high:.3f}</span></td>'


def scores_html(scores: Scores, classes: Sequence[SourceClass], safe: bool) -> str:
    """Precision, recall and F1 of each class with their intervals, and the macro F1."""
    colours = style.class_colours(tuple(classes), safe)
    labels = {entry.name: entry.plural for entry in classes}
    rows = []
    for i, name in enumerate(scores.classes):
        cells = "".join(
            _measured(m.value[i], m.low[i], m.high[i]) for m in (scores.precision, scores.recall, scores.f1)
        )
        title = f"{_swatch(colours.get(name, 'gray'))}{style.escape(labels.get(name, name))}"
        rows.append(f'<tr><th scope="row">{title}</th>{cells}<td class="n">{style.number(scores.support[i])}</td></tr>')
    return (
        '<table class="gv-table gv-scores"><thead><tr><th></th><th class="n">precision</th><th class="n">recall</th>'
        f'<th class="n">F1</th><th class="n">sources</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        f'<tfoot><tr><th>all classes</th><td class="n" colspan="2">accuracy <b>{scores.accuracy:.3f}</b></td>'
        f'<td class="n">macro <b>{scores.macro_f1:.3f}</b></td><td class="n">{style.number(scores.n)}</td></tr></tfoot>'
        "</table>"
    )


def scores_sentence(evaluation: Evaluation, classes: Sequence[SourceClass]) -> str:
    """On what the scores were measured, in one sentence."""
    scores = evaluation.scores
    where = "held out from training" if evaluation.held_out else "of another catalogue than that of training"
    left = f"; {style.number(evaluation.left_out)} more lack a feature" if evaluation.left_out else ""
    return f"Measured on {style.number(scores.n)} labelled sources {where}{left}; intervals are Wilson's at 95 %."


def confusion_html(scores: Scores, classes: Sequence[SourceClass]) -> str:
    """True against predicted classes: counts, and the share of each row as shading."""
    labels = {entry.name: style.escape(entry.plural) for entry in classes}
    names = [labels.get(name, style.escape(name)) for name in scores.classes]
    rows = []
    for i, counts in enumerate(scores.confusion.tolist()):
        total = max(sum(counts), 1)
        cells = "".join(
            f'<td style="--share:{100 * count / total:.1f}%"><b>{style.number(count)}</b>'
            f"<span>{share_text(count, total)}</span></td>"
            for count in counts
        )
        rows.append(f'<tr><th scope="row">{names[i]}</th>{cells}</tr>')
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        '<table class="gv-table gv-confusion"><thead><tr><th class="gv-corner">true ↓ predicted →</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def share_text(count: float, total: float) -> str:
    """A share in per cent that does not say 0 or 100 where that is not so."""
    share = 100 * count / total
    if 0 < share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.95 <= share < 100 else f"{share:.1f} %"


def confusion_sentence(scores: Scores, classes: Sequence[SourceClass]) -> str:
    """The most frequent confusion, in one sentence."""
    labels = {entry.name: entry.plural for entry in classes}
    wrong = scores.confusion.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return "No source was taken for one of another class."
    i, j = np.unravel_index(int(wrong.argmax()), wrong.shape)
    true, taken = (labels.get(scores.classes[k], scores.classes[k]) for k in (i, j))
    share = share_text(int(wrong[i, j]), max(int(scores.support[i]), 1))
    return f"The most frequent confusion: {style.number(wrong[i, j])} {true} ({share} of them) were taken for {taken}."


def threshold_key() -> str:
    """What the lines of the threshold figure mean."""
    lines = (("gv-line", "completeness"), ("gv-dash", "purity"))
    return f'<div class="gv-key">{"".join(f"<span><i class={kind}></i>{name}</span>" for kind, name in lines)}</div>'


def threshold_html(
    evaluation: Evaluation, chosen: SourceClass, threshold: float, found: tuple[float, float] | None, title: str
) -> str:
    """Completeness and purity at a threshold in words, and where they were measured."""
    where = f"{style.number(evaluation.scores.n)} labelled test sources with p({style.escape(chosen.label)})"
    if found is None:
        return f'<div class="gv-quiet">Of the {where} &gt; {threshold:g} there is none.</div>'
    kept, right = (f"<b>{share_text(share, 1)}</b>" for share in found)
    return (
        f'<div class="gv-tested">Completeness {kept}, purity {right} <span class="gv-quiet">among {where} &gt; '
        f"{threshold:g}; model: {style.escape(title)}. Other cuts are not in the test.</span></div>"
    )
