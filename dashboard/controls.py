"""CONTROLS: each widget writes one clause, and follows when somebody else does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import panel as pn

from dashboard import style
from dashboard.pictures import STATISTICS
from dashboard.state import Look, Session
from galviz.draw import column_range
from galviz.manifest import Column, SourceClass
from galviz.selection import OneOf, Range

SLIM: dict[str, Any] = {"height": 26, "margin": (2, 4), "css_classes": ["gv-slim"]}
SLIDER: dict[str, Any] = {
    "show_value": False, "tooltips": False, "sizing_mode": "stretch_width", "height": 24, "margin": 0,
    "css_classes": ["gv-slider"],
}  # fmt: skip
HEAD: dict[str, Any] = {"sizing_mode": "stretch_width", "height": 30, "css_classes": ["gv-filter-head"]}


class FloatSlider(pn.widgets.FloatSlider):
    """A slider that is heard at once: Panel waits 50 ms for more, which the worker that draws has no need of."""

    _priority_changes: ClassVar[list[str]] = ["value"]


class RangeSlider(pn.widgets.RangeSlider):
    """A slider of two handles that is heard at once."""

    _priority_changes: ClassVar[list[str]] = ["value"]


class Toggle(pn.widgets.Toggle):
    """A switch that is heard at once."""

    _priority_changes: ClassVar[list[str]] = ["value"]


def _set(widget: pn.viewable.Viewable, **values: object) -> None:
    """Set only what differs: Param fires for equal values too, and a callback must not chase its own tail."""
    changed = {key: value for key, value in values.items() if getattr(widget, key) != value}
    if changed:
        widget.param.update(**changed)


def _words(text: str, **layout: object) -> pn.pane.HTML:
    return pn.pane.HTML(text, margin=(5, 4), **layout)


class Captioned:
    """A button with words over it that change: for a new label of its own a browser lays out the whole page anew."""

    def __init__(self, button: pn.widgets.Button | pn.widgets.Toggle, **layout: Any) -> None:
        self.words = pn.pane.HTML("", css_classes=["gv-caption"], margin=0)
        self.panel = pn.Row(button, self.words, sizing_mode="stretch_width", **layout)

    def say(self, handle: str, text: str) -> None:
        """Write `text`, which is escaped, in the look of the CSS class `handle`."""
        _set(self.words, object=f'<div class="{handle}">{style.escape(text)}</div>')


class Legend:
    """The classes with their live counts; a click switches one off."""

    name = "class"

    def __init__(self, session: Session) -> None:
        self.session = session
        self.classes = session.catalogue.manifest.classes
        self._buttons = {entry.name: self._button(entry) for entry in self.classes}
        self._counts = {name: Captioned(button, css_classes=["gv-class"]) for name, button in self._buttons.items()}
        rows = [caption.panel for caption in self._counts.values()]
        self.panel = pn.Column(*rows, css_classes=["gv-legend"], sizing_mode="stretch_width")
        self.follow()

    def _button(self, entry: SourceClass) -> pn.widgets.Toggle:
        button = Toggle(
            label=entry.plural, value=True, sizing_mode="stretch_width", height=30, margin=0,
            stylesheets=[_swatch(entry.colour)],
        )  # fmt: skip
        button.param.watch(self._clicked, "value")
        return button

    def _clicked(self, *_: object) -> None:
        column = self.session.catalogue.manifest.class_column
        on = tuple(name for name, button in self._buttons.items() if button.value)
        if column is not None:
            self.session.choose(self.name, None if len(on) == len(self.classes) else OneOf(column.name, on))

    def follow(self) -> None:
        """Take over the session's clause and colours."""
        clause = self.session.selection.get(self.name)
        colours = style.class_colours(self.classes, self.session.look.safe)
        for name, button in self._buttons.items():
            _set(button, value=not isinstance(clause, OneOf) or name in clause.values)
            _set(button, stylesheets=[_swatch(colours[name])])

    def show(self, counts: dict[str, int], *, exact: bool = True) -> None:
        """Write the live counts beside the names, rounded where they are estimates."""
        for entry in self.classes:
            count = counts.get(entry.name, 0)
            words = style.number(count) if exact else f"≈ {style.rounded(count)}"
            self._counts[entry.name].say("gv-count", words)


def _swatch(colour: str) -> str:
    return (
        f".bk-btn{{--swatch:{colour}}}"
        ".bk-btn{text-align:left;border:0!important;background:transparent!important;box-shadow:none!important;"
        "color:var(--gv-quiet)!important;padding:4px 100px 4px 6px;font-size:13px;white-space:pre;overflow:hidden;"
        "text-decoration:line-through;opacity:.6}"
        ".bk-btn.bk-active{color:var(--gv-ink)!important;text-decoration:none;opacity:1}"
        ".bk-btn:hover{background:var(--gv-accent-soft)!important}"
        ".bk-btn:focus-visible{outline:2px solid var(--gv-accent)}"
        ".bk-btn::before{content:'';display:inline-block;width:11px;height:11px;border-radius:50%;margin-right:8px;"
        "vertical-align:-1px;border:2px solid var(--swatch);box-sizing:border-box}"
        ".bk-btn.bk-active::before{background:var(--swatch)}"
    )


class ProbabilityFilter:
    """Sources whose probability, of the predicted class or of a chosen one, is above a threshold."""

    name = "probability"

    def __init__(self, session: Session) -> None:
        self.session = session
        manifest = session.catalogue.manifest
        labels = {entry.name: entry.label for entry in manifest.classes}
        self.columns: dict[str, str] = {}
        for column in manifest.of_role("best_probability"):
            self.columns["of the predicted class"] = column.name
        for column in manifest.of_role("probability"):
            self.columns[f"of being a {labels.get(column.of_class, column.of_class)}"] = column.name
        self.select = pn.widgets.Select(options=self.columns, sizing_mode="stretch_width", **SLIM)
        self.slider = FloatSlider(start=0, end=1, step=0.005, **SLIDER)
        self.typed = pn.widgets.FloatInput(value=0.0, start=0, end=1, step=0.005, format="0.000", width=64, **SLIM)
        self.head = pn.Row(
            _words('<b class="gv-title">Probability</b>', width=76),
            self.select,
            _words('<span class="gv-quiet">&gt;</span>', width=12),
            self.typed,
            **HEAD,
        )
        self.slider.param.watch(lambda event: self._choose(event.new), "value")
        self.typed.param.watch(lambda event: self._choose(event.new), "value")
        self.select.param.watch(lambda _: self._choose(self.slider.value), "value")
        self.follow()

    @property
    def column(self) -> Column:
        return self.session.catalogue.manifest.column(self.select.value)

    def _choose(self, threshold: float | None) -> None:
        low = float(threshold or 0.0)
        _set(self.slider, value=low)
        _set(self.typed, value=low)
        clause = Range(self.select.value, low=low, include_low=False) if low > 0 else None
        other = self.session.selection.get(self.name)
        if isinstance(other, Range) and other.high is not None and other.column == self.select.value:
            clause = Range(other.column, low if low > 0 else None, other.high, low <= 0, other.include_high)
        self.session.choose(self.name, clause)

    def follow(self) -> None:
        """Take over the session's clause."""
        clause = self.session.selection.get(self.name)
        low = 0.0
        if isinstance(clause, Range):
            low = clause.low or 0.0
            if clause.column in self.columns.values():
                _set(self.select, value=clause.column)
        _set(self.slider, value=low)
        _set(self.typed, value=low)

    def limits(self) -> tuple[float | None, float | None]:
        """The limits to mark on the histogram."""
        clause = self.session.selection.get(self.name)
        return (clause.low, clause.high) if isinstance(clause, Range) else (None, None)


class RangeFilter:
    """Sources whose value of one column lies in a range; a column of logarithmic scale has such a slider."""

    def __init__(self, session: Session, column: Column) -> None:
        self.session, self.column, self.name = session, column, column.name
        self.log = column.scale == "log"
        low, high = column_range(session.catalogue, column.name)
        self._ends = self._place(low), self._place(high)
        step = (self._ends[1] - self._ends[0]) / 500
        self.slider = RangeSlider(start=self._ends[0], end=self._ends[1], step=step, value=self._ends, **SLIDER)
        self.low = pn.widgets.TextInput(width=66, placeholder="any", **SLIM)
        self.high = pn.widgets.TextInput(width=66, placeholder="any", **SLIM)
        self.head = pn.Row(
            _words(f'<b class="gv-title">{style.escape(column.title)}</b>', sizing_mode="stretch_width"),
            self.low,
            _words('<span class="gv-quiet">to</span>', width=14),
            self.high,
            **HEAD,
        )
        self.slider.param.watch(self._slid, "value")
        for box in (self.low, self.high):
            box.param.watch(self._typed, "value")
        self.follow()

    def _place(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def _value(self, place: float) -> float:
        return float(f"{10**place if self.log else place:.4g}")

    def _slid(self, *_: object) -> None:
        low, high = self.slider.value
        tolerance = self.slider.step / 2
        self._choose(
            None if low <= self._ends[0] + tolerance else self._value(low),
            None if high >= self._ends[1] - tolerance else self._value(high),
        )

    def _typed(self, *_: object) -> None:
        """A number typed in a box is a limit, an empty box is none; anything else is put back."""
        try:
            limits = [float(box.value) if box.value.strip() else None for box in (self.low, self.high)]
        except ValueError:
            self.follow()
            return
        if all(limit is None or math.isfinite(limit) for limit in limits):
            self._choose(*limits)
        self.follow()

    def _choose(self, low: float | None, high: float | None) -> None:
        if low is not None and high is not None and low > high:
            low, high = high, low
        if (low, high) == self.limits():
            return
        self.session.choose(self.name, None if low is None and high is None else Range(self.name, low, high))
        self.follow()

    def follow(self) -> None:
        """Take over the session's clause."""
        low, high = self.limits()
        for box, limit in ((self.low, low), (self.high, high)):
            _set(box, value="" if limit is None else f"{limit:g}")
        start, end = self._ends
        low_place = start if low is None or (self.log and low <= 0) else self._place(low)
        high_place = end if high is None or (self.log and high <= 0) else self._place(high)
        places = (min(max(low_place, start), end), min(max(high_place, start), end))
        if any(abs(a - b) > self.slider.step / 2 for a, b in zip(places, self.slider.value, strict=True)):
            self.slider.value = places

    def limits(self) -> tuple[float | None, float | None]:
        """The limits to mark on the histogram."""
        clause = self.session.selection.get(self.name)
        return (clause.low, clause.high) if isinstance(clause, Range) else (None, None)


class ColourControl:
    """What colours a pixel: class, count, or a statistic of a column; and the scale of it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        manifest = session.catalogue.manifest
        options = {
            "Class": "class", "Count": "count", "Mean of": "mean", "Spread of": "spread", "Minimum of": "minimum",
            "Maximum of": "maximum",
        }  # fmt: skip
        if manifest.class_column is None:
            del options["Class"]
        roles = ("best_probability", "probability", "morphology", "colour", "magnitude", "redshift")
        columns = {column.title: column.name for role in roles for column in manifest.of_role(role)}
        full = {"sizing_mode": "stretch_width", "height": 30, "css_classes": ["gv-slim"], "margin": (2, 6)}
        self.by = pn.widgets.Select(options=options, **full)
        self.column = pn.widgets.Select(options=columns, visible=False, **full)
        self.scale = pn.widgets.Select(
            options={"Logarithmic": "log", "Equalised": "eq_hist", "Linear": "linear"}, **full
        )
        self.safe = pn.widgets.Checkbox(label="Colours for colour-blind readers", margin=(4, 8))
        self.panel = pn.Column(self.by, self.column, self.scale, self.safe, sizing_mode="stretch_width")
        for widget in (self.by, self.column, self.scale, self.safe):
            widget.param.watch(self._chosen, "value")

    def _chosen(self, *_: object) -> None:
        valued = self.by.value in STATISTICS
        _set(self.column, visible=valued)
        _set(self.scale, visible=not valued)
        look = Look(self.by.value, self.column.value if valued else "", self.scale.value, self.safe.value)
        if look != self.session.look:
            self.session.look = look


Filter = ProbabilityFilter | RangeFilter


def _probability(session: Session) -> list[Filter]:
    manifest = session.catalogue.manifest
    known = manifest.of_role("best_probability") or manifest.of_role("probability")
    return [ProbabilityFilter(session)] if known else []


def _ranges(session: Session) -> list[Filter]:
    manifest = session.catalogue.manifest
    names = manifest.defaults.get("filters", manifest.features[:2])
    return [RangeFilter(session, manifest.columns[name]) for name in names if name in manifest.columns]


# Each entry makes the filters of one kind that the manifest of a catalogue asks for; each filter has a slim histogram.
CONTROLS: tuple[Callable[[Session], list[Filter]], ...] = (_probability, _ranges)


def filters(session: Session) -> list[Filter]:
    """The filters of a session, in the order of CONTROLS."""
    return [entry for make in CONTROLS for entry in make(session)]
