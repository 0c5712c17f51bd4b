"""The Models tab: train on the labelled catalogue, read how good a model is and where, apply it."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import panel as pn
import param

from dashboard import plots, style
from dashboard.runs import (
    Progress,
    Recipe,
    add_run,
    applied_model,
    apply_run,
    run_of,
    stored_model,
    stored_run,
    train_run,
)
from dashboard.state import Run, Session, Settings
from dashboard.tasks import Task
from galviz.catalogue import Catalogue
from galviz.classify import CLASSIFIERS
from galviz.features import presets
from galviz.manifest import Column
from galviz.selection import Range

OWN = "my own choice"
FORM_WIDTH = 316
CURVE_HEIGHT = 430
TABLE_HEIGHT = 300


def models_tab(session: Session, settings: Settings) -> pn.viewable.Viewable:
    """The Models tab; without a labelled catalogue, a sentence that says how to get one."""
    if session.labelled is None:
        text = (
            '<div class="gv-empty"><b>No labelled catalogue</b><p>A model learns from sources of known class. '
            "Start the page with one:</p>"
            f"<code>galviz serve {style.escape(settings.catalogue)} --labelled CATALOGUE</code></div>"
        )
        return pn.Column(pn.pane.HTML(text, sizing_mode="stretch_both"), sizing_mode="stretch_both", margin=0)
    return ModelsTab(session, session.labelled).panel


def limit_column(catalogue: Catalogue) -> Column | None:
    """The magnitude by which training can be limited: the first one among the filters of the manifest."""
    columns = catalogue.manifest.columns
    names = [name for name in catalogue.manifest.defaults.get("filters", ()) if name in columns]
    return next((columns[name] for name in names if columns[name].role == "magnitude"), None)


class RecipeForm:
    """The choices that make a model."""

    def __init__(self, labelled: Catalogue) -> None:
        self.labelled = labelled
        manifest = labelled.manifest
        self.presets = presets(labelled)
        names = dict.fromkeys((*manifest.features, *(name for names in self.presets.values() for name in names)))
        first = next(iter(self.presets))
        full: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (3, 10)}
        slim: dict[str, Any] = {**full, "css_classes": ["gv-slim"]}
        self.preset = pn.widgets.Select(label="Features", options=[*self.presets, OWN], value=first, **slim)
        self.features = pn.widgets.CheckBoxGroup(
            options={manifest.columns[name].label or name: name for name in names}, inline=True,
            value=list(self.presets[first]), css_classes=["gv-checks"], **full,
        )  # fmt: skip
        titles = {name.replace("-", " ").capitalize(): name for name in CLASSIFIERS}
        self.algorithm = pn.widgets.Select(label="Algorithm", options=titles, **slim)
        self.size = pn.widgets.IntInput(label="Trees or rounds", value=200, start=1, end=2000, step=50, **slim)
        self.seed = pn.widgets.IntInput(label="Seed", value=0, start=0, end=2**31 - 1, **slim)
        self.balanced = pn.widgets.Checkbox(label="Weigh classes equally", value=True, **full)
        self.column = limit_column(labelled)
        title = style.escape(self.column.title) if self.column else ""
        self.limit = pn.widgets.FloatInput(
            label=f"Train only on sources with {title} below", value=None, placeholder="no limit", step=0.5,
            visible=self.column is not None, **slim,
        )  # fmt: skip
        self.preset.param.watch(self._preset_chosen, "value")
        self.features.param.watch(self._features_chosen, "value")
        self.panel = pn.Column(
            self.preset, self.features, self.algorithm,
            pn.Row(self.size, self.seed, sizing_mode="stretch_width", margin=0),
            self.limit, self.balanced, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def _preset_chosen(self, event: param.parameterized.Event) -> None:
        if event.new in self.presets and set(self.features.value) != set(self.presets[event.new]):
            self.features.value = list(self.presets[event.new])

    def _features_chosen(self, event: param.parameterized.Event) -> None:
        title = next((title for title, names in self.presets.items() if set(names) == set(event.new)), OWN)
        if self.preset.value != title:
            self.preset.value = title

    def recipe(self) -> Recipe:
        """What the form says now; features in the order of the manifest."""
        chosen = set(self.features.value)
        names = tuple(name for name in self.features.options.values() if name in chosen)
        limit = None
        if self.column is not None and self.limit.value is not None:
            limit = Range(self.column.name, high=self.limit.value, include_high=False)
        return Recipe(names, self.algorithm.value, self.size.value, self.balanced.value, self.seed.value, limit)


def download(label: str, filename: str, make: Callable[[], str]) -> pn.widgets.FileDownload:
    """A small link that downloads the text that `make` returns."""
    return pn.widgets.FileDownload(
        callback=lambda: io.StringIO(make()), filename=filename, label=label, embed=False, auto=True, width=74,
        height=26, margin=(6, 8), css_classes=["gv-button", "gv-data"],
    )  # fmt: skip


class CurveCard:
    """One F1 curve with its legend, its sentence and its data."""

    def __init__(self, column: Column, labelled: Catalogue) -> None:
        self.column, self.classes = column, labelled.manifest.classes
        self.figure = plots.CurvePlot(column, self.classes)
        self.sentence = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 12, 8, 12))
        self.key = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 12))
        self._run: Run | None = None
        title = f'<b class="gv-title">F1 against {style.escape(column.label or column.name)}</b>'
        head = pn.Row(
            pn.pane.HTML(title, sizing_mode="stretch_width", margin=(8, 12)),
            download("CSV", f"f1-{column.name}.csv", self.csv), sizing_mode="stretch_width", margin=0, height=38,
        )  # fmt: skip
        pane = pn.pane.Bokeh(
            self.figure.plot, sizing_mode="stretch_both", margin=(0, 4), min_height=260, css_classes=["gv-plot"]
        )
        self.panel = pn.Column(
            head, self.key, pane, self.sentence, sizing_mode="stretch_width", height=CURVE_HEIGHT,
            css_classes=["gv-card", f"gv-curve-{column.name}"],
        )  # fmt: skip

    def csv(self) -> str:
        return plots.curve_csv(self._run.evaluation.curves[self.column.name]) if self._run else ""

    def show(self, run: Run) -> None:
        curve = run.evaluation.curves.get(self.column.name)
        self.panel.visible = curve is not None
        if curve is None:
            return
        self._run = run
        self.figure.show(curve)
        text = plots.curve_sentence(curve, self.classes, self.column)
        self.sentence.object = f'<div class="gv-quiet">{style.escape(text)}</div>'

    def dress(self, theme: style.Theme, safe: bool) -> None:
        self.figure.dress(theme, safe)
        self.key.object = plots.legend_html(self.classes, safe)


class TableCard:
    """A table of the shown run with its sentence and its data."""

    def __init__(
        self, title: str, filename: str, csv: Callable[[], str], css_class: str, height: int = TABLE_HEIGHT
    ) -> None:
        self.table = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 12))
        self.sentence = pn.pane.HTML("", sizing_mode="stretch_width", margin=(6, 12, 10, 12))
        head = pn.Row(
            pn.pane.HTML(f'<b class="gv-title">{title}</b>', sizing_mode="stretch_width", margin=(8, 12)),
            download("CSV", filename, csv), sizing_mode="stretch_width", margin=0, height=38,
        )  # fmt: skip
        self.panel = pn.Column(
            head, self.table, self.sentence, sizing_mode="stretch_width", css_classes=["gv-card", css_class],
            min_height=height,
        )  # fmt: skip

    def show(self, table: str, sentence: str) -> None:
        self.table.object = table
        self.sentence.object = f'<div class="gv-quiet">{style.escape(sentence)}</div>'


class Results:
    """How good the shown run is: scores, confusion, curves, and the other runs beside it."""

    def __init__(self, session: Session, labelled: Catalogue) -> None:
        self.session, self.manifest = session, labelled.manifest
        self.run: Run | None = None
        columns = self.manifest.columns
        names = [name for name in self.manifest.defaults.get("filters", ()) if name in columns]
        self.curves = [CurveCard(columns[name], labelled) for name in names]
        self.scores = TableCard("Scores", "scores.csv", self._scores_csv, "gv-score-table", TABLE_HEIGHT)
        self.confusion = TableCard(
            "Confusion", "confusion.csv", self._confusion_csv, "gv-confusion-table", TABLE_HEIGHT
        )
        self.runs = TableCard("Runs of this session", "runs.csv", self._runs_csv, "gv-runs", 0)
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
        self.panel = pn.Column(
            pn.Row(self.scores.panel, self.confusion.panel, **wide),
            *(pn.Row(*(card.panel for card in self.curves[i : i + 2]), **wide) for i in range(0, len(self.curves), 2)),
            self.runs.panel, visible=False, **wide,
        )  # fmt: skip

    def _scores_csv(self) -> str:
        return plots.scores_csv(self.run.evaluation.scores) if self.run else ""

    def _confusion_csv(self) -> str:
        return plots.confusion_csv(self.run.evaluation.scores) if self.run else ""

    def _runs_csv(self) -> str:
        head = ["run", "model", "macro_f1", *(f"f1_{name}" for name in self.manifest.class_names)]
        rows = [
            [run.title, run.model.id, run.evaluation.scores.macro_f1, *run.evaluation.scores.f1.value]
            for run in self.session.runs
        ]
        return plots.text_csv(head, rows)

    def show(self, run: Run) -> None:
        """Show a run of the session."""
        self.run = run
        for card in self.curves:
            card.show(run)
        self.show_tables()
        self.panel.visible = True

    def show_tables(self) -> None:
        """Fill the tables, whose colours are part of their text."""
        if self.run is None:
            return
        classes, safe = self.manifest.classes, self.session.look.safe
        evaluation = self.run.evaluation
        scores = evaluation.scores
        self.scores.show(plots.scores_html(scores, classes, safe), plots.scores_sentence(evaluation, classes))
        self.confusion.show(plots.confusion_html(scores, classes), plots.confusion_sentence(scores, classes))
        best = max(self.session.runs, key=lambda run: run.evaluation.scores.macro_f1)
        sentence = f"The highest macro F1, {best.evaluation.scores.macro_f1:.3f}, is that of: {best.title}."
        self.runs.show(runs_html(self.session.runs, self.run, classes), sentence)

    def dress(self) -> None:
        """Take over theme and colours."""
        for card in self.curves:
            card.dress(style.THEMES[self.session.theme], self.session.look.safe)
        self.show_tables()


def runs_html(runs: tuple[Run, ...], shown: Run, classes: Any) -> str:
    """The runs beside each other, the best number of each column in bold."""
    heads = "".join(f'<th class="n">F1 {style.escape(entry.plural)}</th>' for entry in classes)
    numbers = [[run.evaluation.scores.macro_f1, *run.evaluation.scores.f1.value.tolist()] for run in runs]
    tops = [max(column) for column in zip(*numbers, strict=True)]
    rows = []
    for run, values in zip(runs, numbers, strict=True):
        cells = "".join(
            f'<td class="n{" best" if value == top and len(runs) > 1 else ""}">{value:.3f}</td>'
            for value, top in zip(values, tops, strict=True)
        )
        mark = ' class="shown"' if run is shown else ""
        rows.append(f'<tr{mark}><th scope="row">{style.escape(run.title)}</th>{cells}</tr>')
    return (
        f'<table class="gv-table gv-runs"><thead><tr><th>run</th><th class="n">macro F1</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


class ModelsTab:
    """Form, progress and results of one session."""

    def __init__(self, session: Session, labelled: Catalogue) -> None:
        self.session, self.labelled = session, labelled
        self.task = Task()
        self._finish: Callable[[Any], None] = lambda result: None
        self.form = RecipeForm(labelled)
        self.results = Results(session, labelled)
        self._make_controls()
        self.panel = pn.Row(
            self._left(), self._right(), sizing_mode="stretch_both", margin=0, css_classes=["gv-models"]
        )
        self.train.on_click(self._train)
        self.cancel.on_click(lambda _: self.task.cancel())
        self.apply.on_click(self._apply)
        self.shown.param.watch(lambda event: self._show(event.new), "value")
        self.task.param.watch(self._told, ["state", "fraction", "message"])
        session.param.watch(self._session_changed, ["runs", "theme", "look", "catalogue"])
        self.results.dress()
        self._take_runs()
        self._start_with_stored()

    def _make_controls(self) -> None:
        button: dict[str, Any] = {"height": 32, "margin": (8, 10)}
        self.train = pn.widgets.Button(label="Train", css_classes=["gv-primary", "gv-train"], width=120, **button)
        self.cancel = pn.widgets.Button(label="Cancel", css_classes=["gv-button"], width=80, visible=False, **button)
        self.bar = pn.indicators.Progress(
            value=0, max=100, sizing_mode="stretch_width", height=6, margin=(2, 12), visible=False,
            css_classes=["gv-progress"],
        )  # fmt: skip
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=(2, 12), css_classes=["gv-words"])
        self.shown = pn.widgets.Select(options={}, width=430, height=28, margin=(10, 8), css_classes=["gv-slim"])
        self.apply = pn.widgets.Button(
            label="Apply to the catalogue", width=170, height=28, margin=(10, 8), css_classes=["gv-button", "gv-apply"]
        )
        self.warning = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 12, 8, 12))
        self.hint = pn.pane.HTML("", sizing_mode="stretch_width", margin=0)

    def _left(self) -> pn.Column:
        manifest = self.labelled.manifest
        badge = ' <span class="gv-badge">simulated</span>' if manifest.simulated else ""
        title = (
            f'<b class="gv-title">Train a model</b>{badge}<div class="gv-quiet">on {style.escape(manifest.title)}: '
            f"{style.number(manifest.rows)} sources, one half to learn from, the other to be tested on</div>"
        )
        return pn.Column(
            pn.pane.HTML(title, sizing_mode="stretch_width", margin=(10, 12, 6, 12)), self.form.panel,
            pn.Row(self.train, self.cancel, margin=0), self.bar, self.words,
            width=FORM_WIDTH, sizing_mode="stretch_height", scroll="y-auto", css_classes=["gv-card"],
        )  # fmt: skip

    def _right(self) -> pn.Column:
        title = pn.pane.HTML('<b class="gv-title">Run</b>', width=36, margin=(14, 0, 0, 12))
        self.head = pn.Column(
            pn.Row(title, self.shown, self.apply, sizing_mode="stretch_width", margin=0), self.warning,
            sizing_mode="stretch_width", visible=False, css_classes=["gv-card"],
        )  # fmt: skip
        return pn.Column(
            self.hint, self.head, self.results.panel, sizing_mode="stretch_both", scroll="y-auto", margin=0,
            css_classes=["gv-scroll"],
        )  # fmt: skip

    def _start_with_stored(self) -> None:
        """Show the model that came with the labelled catalogue, if no other run is there yet."""
        file = stored_model(self.session)
        if file is not None and not self.session.runs:
            self._start(partial(stored_run, self.labelled, file), partial(add_run, self.session))

    def _start(self, work: Callable[[Progress], Any], finish: Callable[[Any], Any]) -> None:
        if self.task.start(work):
            self._finish = finish

    def _train(self, *_: object) -> None:
        self._start(partial(train_run, self.labelled, self.form.recipe()), self._trained)

    def _trained(self, run: Run) -> None:
        self._select(add_run(self.session, run))

    def _apply(self, *_: object) -> None:
        if self.results.run is not None:
            self._start(partial(apply_run, self.session.catalogue, self.results.run), self._applied)

    def _applied(self, catalogue: Catalogue) -> None:
        self.session.catalogue = catalogue
        self._say("The catalogue has new classes; every view shows them.")

    def _told(self, *_: object) -> None:
        task = self.task
        running = task.state == "running"
        for widget, wanted in ((self.bar, running), (self.cancel, running)):
            if widget.visible != wanted:
                widget.visible = wanted
        for button in (self.train, self.apply):
            if button.disabled != running:
                button.disabled = running
        self.bar.value = round(100 * task.fraction)
        self._say(task.message or ("starting" if running else ""), failed=task.state == "failed")
        self._say_hint()
        if task.state == "done":
            finish, self._finish = self._finish, lambda result: None
            finish(task.result)

    def _say(self, text: str, failed: bool = False) -> None:
        kind = "gv-failed" if failed else "gv-quiet"
        self.words.object = f'<div class="{kind}" role="status">{style.escape(text)}</div>' if text else ""

    def _say_hint(self) -> None:
        title, text = "No model yet", "Choose features and press Train: scores, confusion and F1 curves appear here."
        if self.task.state == "running":
            title, text = "Working", "The results appear here as soon as the model is tested."
        html = f'<div class="gv-empty"><b>{title}</b><p>{text}</p></div>'
        self.hint.visible = self.results.run is None
        if self.hint.object != html:
            self.hint.object = html

    def _session_changed(self, *events: param.parameterized.Event) -> None:
        names = {event.name for event in events}
        if "runs" in names:
            self._take_runs()
        if names & {"theme", "look"}:
            self.results.dress()
        if "catalogue" in names:
            self._warn()

    def _take_runs(self) -> None:
        """Offer the runs of the session; show the one that made the catalogue's classes if none is shown."""
        self.shown.options = {f"{number}  {run.title}": run for number, run in enumerate(self.session.runs, 1)}
        shown = self.results.run or run_of(self.session)
        if shown is not None:
            self._select(shown)
        self._say_hint()

    def _select(self, run: Run) -> None:
        if self.shown.value is not run:
            self.shown.value = run
        self._show(run)

    def _show(self, run: Run | None) -> None:
        if run is None:
            return
        self.results.show(run)
        self.head.visible = True
        self.hint.visible = False
        self._warn()

    def _warn(self) -> None:
        """Say what applying the shown run would do."""
        if self.results.run is None:
            return
        manifest, model = self.session.catalogue.manifest, self.results.run.model
        same = applied_model(self.session.catalogue) == model.id
        text = (
            f"This model made the classes that {manifest.title} shows now."
            if same
            else f"Applying it rewrites the class and probability columns of {manifest.title}, "
            f"{style.number(manifest.rows)} sources, for everyone who opens that catalogue."
        )
        self.warning.object = f'<div class="gv-quiet">{style.escape(text)}</div>'
