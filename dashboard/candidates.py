"""The Candidates tab: a class, a threshold of its probability, and every source that passes, as table and file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import panel as pn
import param

from dashboard import plots, style
from dashboard.runs import add_run, run_of, stored_model, stored_run
from dashboard.sheets import NAME, Fetched, Sheet, fetch, table_columns
from dashboard.state import Session, Settings
from dashboard.tasks import Newest, Task
from galviz.catalogue import Catalogue
from galviz.draw import class_counts
from galviz.evaluate import Thresholds
from galviz.export import EXPORTERS, export
from galviz.listing import Expectation
from galviz.manifest import Column, SourceClass
from galviz.selection import Range

CLAUSE = "probability"
SIZES = (25, 50)
MOST_INLINE = 200_000  # rows of a download that goes through the page instead of a route


def candidates_tab(session: Session, settings: Settings) -> pn.viewable.Viewable:
    """The Candidates tab of a session."""
    return CandidatesTab(session, settings).panel


def rarest(catalogue: Catalogue, classes: list[SourceClass]) -> str:
    """The class to begin with: the one that the manifest chooses, else the one with the fewest sources."""
    names = [entry.name for entry in classes]
    chosen = catalogue.manifest.defaults.get("chosen_class", "")
    if chosen in names:
        return str(chosen)
    column = catalogue.manifest.class_column
    if column is None:
        return names[0]
    counts = class_counts(catalogue, by=column.name)
    return min(names, key=lambda name: counts.get(name, 0))


def at_threshold(thresholds: Thresholds, name: str, threshold: float) -> tuple[float, float] | None:
    """Completeness and purity of a class above a threshold, or None where the test says nothing of it."""
    if name not in thresholds.classes:
        return None
    row = thresholds.classes.index(name)
    place = max(int(np.searchsorted(thresholds.threshold, threshold + 1e-9, side="right")) - 1, 0)
    found = float(thresholds.completeness.value[row, place]), float(thresholds.purity.value[row, place])
    return found if np.isfinite(found).all() else None


def distinct_suffixes() -> list[str]:
    """One suffix for each kind of file, in the order of EXPORTERS."""
    first = {exporter: suffix for suffix, exporter in reversed(EXPORTERS.items())}
    return [suffix for suffix in EXPORTERS if suffix in first.values()]


def table_looks(columns: list[Column]) -> dict[str, Any]:
    """Titles, widths and alignment of the columns of the table."""
    numbers = [column.name for column in columns if column.kind == "number" and column.role != "id"]
    widths = {NAME: 200, **{column.name: 176 for column in columns if column.role == "id"}}
    return {
        "titles": {NAME: "IAU name", **{column.name: style.escape(column.label or column.name) for column in columns}},
        "text_align": dict.fromkeys(numbers, "right"),
        "header_align": dict.fromkeys(numbers, "right"),
        "widths": widths | {column.name: 130 for column in columns if column.kind == "class"},
    }


class Listing(pn.widgets.Tabulator):
    """A table whose rows come sorted; a click on a title only says which order is wanted."""

    def _sort_df(self, df: pd.DataFrame) -> pd.DataFrame:
        return df


class Threshold:
    """The class and the threshold of its probability: one clause of the selection."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.columns: dict[str, str] = {}
        self.classes: list[SourceClass] = []
        self.select = pn.widgets.Select(
            options={}, height=30, sizing_mode="stretch_width", css_classes=["gv-slim"], margin=(2, 10)
        )
        self.slider = pn.widgets.FloatSlider(
            start=0, end=1, step=0.005, show_value=False, tooltips=False, sizing_mode="stretch_width", height=20,
            margin=(10, 10), css_classes=["gv-slider", "gv-candidate-threshold"],
        )  # fmt: skip
        self.typed = pn.widgets.FloatInput(
            start=0, end=1, step=0.005, format="0.000", value=0.0, width=78, height=28, css_classes=["gv-slim"],
            margin=(4, 10),
        )  # fmt: skip
        title = '<b class="gv-title">Candidate</b>'
        above = '<span class="gv-quiet">with a probability above</span>'
        self.panel = pn.Column(
            pn.Row(pn.pane.HTML(title, width=72, margin=(8, 0, 0, 12)), self.select, margin=0,
                   sizing_mode="stretch_width"),
            pn.Row(pn.pane.HTML(above, sizing_mode="stretch_width", margin=(8, 12)), self.typed, margin=0,
                   sizing_mode="stretch_width"),
            self.slider, width=290, margin=(6, 0),
        )  # fmt: skip
        self.take_columns()
        self.select.param.watch(self._class_chosen, "value")
        self.slider.param.watch(lambda event: self._choose(event.new), "value")
        self.typed.param.watch(lambda event: self._choose(event.new), "value")

    def take_columns(self) -> None:
        """Offer the classes for which the catalogue has a probability."""
        manifest = self.session.catalogue.manifest
        self.columns = {column.of_class: column.name for column in manifest.of_role("probability")}
        self.classes = [entry for entry in manifest.classes if entry.name in self.columns]
        options = {entry.plural: entry.name for entry in self.classes}
        if options != self.select.options:
            first = rarest(self.session.catalogue, self.classes) if options else None
            self.select.param.update(options=options, value=first)
        self.panel.visible = bool(options)

    @property
    def column(self) -> str:
        """The probability of the chosen class, or nothing where the catalogue has none."""
        return self.columns.get(self.select.value, "")

    @property
    def chosen(self) -> SourceClass | None:
        return next((entry for entry in self.classes if entry.name == self.select.value), None)

    @property
    def clause(self) -> Range | None:
        clause = self.session.selection.get(CLAUSE)
        return clause if isinstance(clause, Range) else None

    @property
    def value(self) -> float:
        """The threshold that holds for the chosen class."""
        clause = self.clause
        return (clause.low or 0.0) if clause is not None and clause.column == self.column else 0.0

    def _choose(self, threshold: float | None) -> None:
        low = round(float(threshold or 0.0), 6)
        if low == self.value:
            return
        clause = self.clause
        high = clause.high if clause is not None and clause.column == self.column else None
        if low <= 0 and high is None:
            self.session.choose(CLAUSE, None)
        else:
            self.session.choose(CLAUSE, Range(self.column, low if low > 0 else None, high, include_low=False))

    def _class_chosen(self, event: param.parameterized.Event) -> None:
        """Carry the threshold over to the other class."""
        clause = self.clause
        if clause is not None and clause.column == self.columns.get(event.old):
            self.session.choose(CLAUSE, Range(self.column, clause.low, clause.high, include_low=False))

    def follow(self) -> None:
        """Take over the session's clause, whoever made it."""
        clause = self.clause
        if clause is not None and clause.column != self.column:
            named = [name for name, column in self.columns.items() if column == clause.column]
            if named:
                self.select.value = named[0]
        for widget in (self.slider, self.typed):
            if widget.value != self.value:
                widget.value = self.value


class Pager:
    """Which rows the table shows: order, page and page size."""

    def __init__(self, columns: list[Column], sort: str, changed: Callable[[], None]) -> None:
        small: dict[str, Any] = {"height": 28, "margin": (5, 4), "css_classes": ["gv-slim"]}
        button: dict[str, Any] = {"height": 28, "margin": (5, 2), "css_classes": ["gv-button"]}
        options = {column.label or column.name: column.name for column in columns}
        self.sort = pn.widgets.Select(options=options, value=sort, width=150, **small)
        self.down = pn.widgets.Toggle(label="descending", value=True, width=94, **button)
        self.size = pn.widgets.Select(options={f"{n} rows": n for n in SIZES}, value=SIZES[1], width=86, **small)
        self.before = pn.widgets.Button(label="‹", width=32, **button)
        self.number = pn.widgets.IntInput(value=1, start=1, width=74, **small)
        self.after = pn.widgets.Button(label="›", width=32, **button)
        self.total = pn.pane.HTML("", width=78, margin=(11, 4))
        self._changed = changed
        self._held = False
        self.before.on_click(lambda _: self.go((self.number.value or 1) - 1))
        self.after.on_click(lambda _: self.go((self.number.value or 1) + 1))
        self.number.param.watch(lambda _: changed(), "value")
        self.down.param.watch(self._turned, "value")
        for widget in (self.sort, self.size):
            widget.param.watch(lambda _: self.restart(), "value")
        word = partial(pn.pane.HTML, margin=(11, 4))
        self.row = [
            word('<span class="gv-quiet">Sort by</span>', width=46, margin=(11, 2, 11, 12)),
            self.sort, self.down, self.size, pn.Spacer(sizing_mode="stretch_width"),
            word('<span class="gv-quiet">Page</span>', width=32),
            self.before, self.number, self.after, self.total,
        ]  # fmt: skip

    def take_columns(self, columns: list[Column], sort: str) -> bool:
        """Offer other columns to sort by, and begin with `sort`; tells whether they are others."""
        options = {column.label or column.name: column.name for column in columns}
        if options == self.sort.options:
            return False
        self._held = True
        self.sort.param.update(options=options, value=sort or columns[0].name)
        self._held = False
        return True

    def go(self, number: int) -> None:
        """Show that page, if there is one."""
        self.number.value = min(max(number, 1), self.number.end or number)

    def order(self, sort: str, descending: bool) -> None:
        """Sort by a column in one step, back on the first page."""
        if (sort, descending) == (self.sort.value, self.down.value):
            return
        self._held = True
        self.down.value, self.sort.value = descending, sort
        self._held = False
        self.restart()

    def restart(self) -> None:
        """Back to the first page of another order or selection."""
        if self._held:
            return
        if self.number.value == 1:
            self._changed()
        else:
            self.number.value = 1

    def _turned(self, *_: object) -> None:
        self.down.label = "descending" if self.down.value else "ascending"
        self.restart()

    def show(self, number: int, pages: int) -> None:
        """Take over what was fetched."""
        self.number.end = pages
        if self.number.value != number:
            self.number.value = number
        self.total.object = f'<span class="gv-quiet">of {style.number(pages)}</span>'
        for widget, off in ((self.before, number <= 1), (self.after, number >= pages)):
            if widget.disabled != off:
                widget.disabled = off


class CandidatesTab:
    """Header, table and downloads of one session."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session, self.settings = session, settings
        self.threshold = Threshold(session)
        columns = table_columns(session.catalogue.manifest)
        self.pager = Pager(columns, self.threshold.column or columns[0].name, self._ask)
        self.table = self._make_table(columns)
        self.task = Task()
        self.fetched: Fetched | None = None
        self._asked: Sheet | None = None
        self.newest = Newest(fetch, self._show, self._fail, lambda busy: None)
        self._last_column = self.threshold.column
        self._make_words()
        self.panel = self._layout()
        self.table.param.watch(self._title_clicked, "sorters")
        self.threshold.select.param.watch(self._class_changed, "value")
        session.param.watch(self._session_changed, ["selection", "catalogue", "theme", "runs"])
        self.panel.param.watch(lambda *_: self._session_changed(), "visible")
        self.task.param.watch(lambda *_: self._tested(), ["state", "message"])
        self._start_with_stored()
        self._session_changed()

    def _make_table(self, columns: list[Column]) -> Listing:
        return Listing(
            pd.DataFrame({name: pd.Series(dtype=object) for name in (NAME, *(column.name for column in columns))}),
            show_index=False, disabled=True, selectable=False, pagination="remote", page_size=max(SIZES),
            sortable={NAME: False}, theme="simple", layout="fit_columns", sizing_mode="stretch_both", margin=0,
            css_classes=["gv-candidates-table"], configuration={"columnDefaults": {"minWidth": 92}},
            **table_looks(columns),
        )  # fmt: skip

    def _take_columns(self) -> None:
        """Follow a catalogue that has gained or lost columns."""
        columns = table_columns(self.session.catalogue.manifest)
        self.threshold.take_columns()
        if self.pager.take_columns(columns, self.threshold.column):
            self.table.param.update(**table_looks(columns))

    def _make_words(self) -> None:
        wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
        self.sentence = pn.pane.HTML("", margin=(10, 16, 0, 16), **wide)
        self.quality = pn.pane.HTML("", margin=(6, 16), **wide)
        self.figure = plots.ThresholdPlot()
        self.plot = pn.Column(
            pn.pane.HTML(plots.threshold_key(), margin=(8, 0, 0, 48)),
            pn.pane.Bokeh(self.figure.plot, width=400, height=152, margin=0), width=412, margin=0, visible=False,
            css_classes=["gv-threshold-plot"],
        )  # fmt: skip
        self.links = pn.pane.HTML("", width=300, margin=(9, 12))
        self.inline = pn.widgets.FileDownload(
            callback=self._inline_file, filename=self._file_name(".csv"), label="CSV", embed=False, auto=True, width=60,
            height=28, visible=False, margin=(5, 10), css_classes=["gv-button", "gv-export"],
        )  # fmt: skip

    def _layout(self) -> pn.Column:
        words = pn.Column(self.sentence, self.quality, sizing_mode="stretch_width", margin=0)
        head = pn.Row(
            self.threshold.panel, words, self.plot, sizing_mode="stretch_width", height=190, css_classes=["gv-card"]
        )
        inline = () if self.settings.routes else (self.inline,)
        bar = pn.Row(*self.pager.row, self.links, *inline, sizing_mode="stretch_width", height=38, margin=0)
        body = pn.Column(bar, self.table, sizing_mode="stretch_both", css_classes=["gv-card"])
        return pn.Column(head, body, sizing_mode="stretch_both", margin=0, css_classes=["gv-candidates"])

    def _start_with_stored(self) -> None:
        file = stored_model(self.session)
        if file is not None and not self.session.runs:
            self.task.start(partial(stored_run, self.session.labelled, file))

    def _tested(self) -> None:
        if self.task.state == "done":
            add_run(self.session, self.task.result)
        self._show_quality()

    def _session_changed(self, *events: param.parameterized.Event) -> None:
        if not self.panel.visible:
            return
        names = {event.name for event in events} or {"selection", "catalogue", "theme", "runs"}
        if "theme" in names:
            self.figure.dress(style.THEMES[self.session.theme])
        if "catalogue" in names:
            self._take_columns()
        if names & {"selection", "catalogue"}:
            self.threshold.follow()
            if self._asked is not None and self._asked.selection != self.session.selection:
                self.pager.restart()
            else:
                self._ask()
        self._show_quality()

    def _class_changed(self, *_: object) -> None:
        if self.pager.sort.value == self._last_column:
            self.pager.sort.value = self.threshold.column
        self._last_column = self.threshold.column
        self._session_changed()

    def _title_clicked(self, event: param.parameterized.Event) -> None:
        if not event.new:
            return
        wanted, down = event.new[0]["field"], event.new[0]["dir"] == "desc"
        if wanted in self.pager.sort.options.values():
            self.pager.order(wanted, down)

    def _ask(self) -> None:
        pager = self.pager
        sheet = Sheet(
            self.session.catalogue, self.session.selection, self.threshold.column, pager.sort.value, pager.down.value,
            pager.number.value or 1, pager.size.value,
        )  # fmt: skip
        if sheet != self._asked:
            self._asked = sheet
            self.newest.ask(sheet)

    def _show(self, sheet: Sheet, fetched: Fetched) -> None:
        """Show what was fetched; controls follow only the newest request, lest they ask for an older one again."""
        self.fetched = fetched
        self.table.value = fetched.frame
        self._show_sentence(sheet, fetched.expectation)
        if sheet != self._asked:
            return
        self.pager.show(fetched.page, fetched.pages(sheet.size))
        self._show_links(sheet, fetched.expectation.rows)
        sorters = [{"field": sheet.sort, "dir": "desc" if sheet.descending else "asc"}]
        if self.table.sorters != sorters:
            self.table.sorters = sorters

    def _fail(self, text: str) -> None:
        self.sentence.object = f'<div class="gv-failed" role="alert">{style.escape(text)}</div>'

    def _show_sentence(self, sheet: Sheet, sums: Expectation) -> None:
        """How many sources are selected, and how many of the class are expected among them."""
        which = style.escape(sheet.selection.sentence(self.session.label))
        text = (
            f'<div class="gv-candidate-count" data-count="{sums.rows}"><b>{style.number(sums.rows)}</b> '
            f"of {style.number(sheet.catalogue.rows)} sources: {which}</div>"
        )
        if (chosen := self.threshold.chosen) is not None:
            number, margin = style.number(round(sums.number)), style.number(round(1.96 * sums.deviation))
            text += (
                f'<div class="gv-expected">Expected {style.escape(chosen.plural)} among them: '
                f"<b>{number} ± {margin}</b>"
                f'<span class="gv-quiet"> (95 %), the sum of {style.escape(sheet.probability)}. Votes are not '
                "calibrated where there are no spectra: expect fewer.</span></div>"
            )
        self.sentence.object = text

    def _show_quality(self) -> None:
        """Completeness and purity at the threshold, from the run that made the probabilities or the latest one."""
        run, chosen = run_of(self.session), self.threshold.chosen
        shown = run is not None and chosen is not None
        if self.plot.visible != shown:
            self.plot.visible = shown
        if run is None or chosen is None:
            self.quality.object = f'<div class="gv-quiet">{style.escape(self._no_run())}</div>'
            return
        threshold = self.threshold.value
        self.figure.show(run.evaluation.thresholds, chosen.name, f"threshold of p({chosen.label})")
        self.figure.mark.update(location=threshold, visible=threshold > 0)
        found = at_threshold(run.evaluation.thresholds, chosen.name, threshold)
        self.quality.object = plots.threshold_html(run.evaluation, chosen, threshold, found, run.title)

    def _no_run(self) -> str:
        if self.task.state == "running":
            return f"Testing the stored model: {self.task.message or 'starting'}"
        if self.task.state == "failed":
            return self.task.message
        if self.session.labelled is None:
            return "Completeness and purity need labelled sources: `galviz serve CATALOGUE --labelled CATALOGUE`."
        return "Train a model in the Models tab to see completeness and purity against the threshold."

    def _file_name(self, suffix: str) -> str:
        return f"{self.session.catalogue.manifest.name}-candidates{suffix}"

    def _show_links(self, sheet: Sheet, rows: int) -> None:
        """Links to the selection as files; without a route the CSV goes through the page while it is small."""
        self.links.visible = self.settings.routes or rows > MOST_INLINE
        self.inline.visible = not self.links.visible
        if not self.settings.routes:
            self.links.object = '<span class="gv-quiet">Use `galviz export` for so many rows.</span>'
            return
        where = quote(str(sheet.selection))
        links = []
        for suffix in distinct_suffixes():
            name = quote(self._file_name(suffix))
            main = ' class="gv-export"' if suffix == ".csv" else ""
            href = style.escape(f"./export/{name}?where={where}")
            links.append(f'<a{main} href="{href}" download="{style.escape(name)}">{suffix[1:].upper()}</a>')
        self.links.object = f'<span class="gv-links"><span class="gv-quiet">Download</span>{"".join(links)}</span>'

    def _inline_file(self) -> BytesIO:
        with tempfile.TemporaryDirectory(prefix="galviz-") as folder:
            path = Path(folder) / "candidates.csv"
            export(self.session.catalogue, self.session.selection, path)
            return BytesIO(path.read_bytes())
