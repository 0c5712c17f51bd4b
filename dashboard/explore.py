"""The Explore tab: three linked planes, slim histograms, filters, and the sentence that says what is selected."""

from __future__ import annotations

from typing import Any

import panel as pn

from dashboard import style
from dashboard.controls import Captioned, ColourControl, Legend, filters
from dashboard.pictures import Answer, Asked, Counts, answers
from dashboard.state import Plane, Session
from dashboard.tasks import Stepwise, soon
from dashboard.views import VIEWS, HistogramView, PlaneView, View, default_planes

AXIS_ROLES = ("colour", "magnitude", "morphology", "redshift", "probability", "best_probability")


class Explore:
    """Composes the views and controls of one session and keeps them drawn."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.planes = default_planes(session.catalogue.manifest) | session.planes
        self.planes = [PlaneView(view.name, session, self._soon) for view in VIEWS if view.name in session.planes]
        self.legend, self.colour, self.filters = Legend(session), ColourControl(session), filters(session)
        self.histograms = [HistogramView(entry.name, session, self._soon) for entry in self.filters]
        # What is on the page, with whether it is exact; what should be; what of it is being drawn; whether that failed.
        self._shown: dict[str, tuple[Any, bool]] = {}
        self._wanted: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._failed = False
        self._following = False
        self._known_chips: dict[str, Captioned] = {}
        self._sentence = pn.pane.HTML("", sizing_mode="stretch_width", css_classes=["gv-sentence-pane"])
        self._busy = pn.pane.HTML("", width=120, css_classes=["gv-marks"])
        hint = '<span class="gv-quiet">Drag a box or a lasso in any view, or move a filter below.</span>'
        self._hint = pn.pane.HTML(hint, sizing_mode="stretch_width", margin=(0, 8))
        self._chips = pn.Column(sizing_mode="stretch_width", css_classes=["gv-chips"])
        self._newest = Stepwise(answers, self._show, self._fail, lambda _: self._mark())
        self.panel = self._layout()
        self._restyle()
        self._follow()
        session.param.watch(lambda *_: self._restyle(), "theme")
        session.param.watch(lambda *_: self._soon(), ["selection", "look", "theme", "planes", "catalogue"])
        self._mark()
        pn.state.onload(self._soon)

    def redraw(self) -> None:
        """Ask for everything of which the page does not show the exact answer."""
        requests: dict[str, Any] = {"counts": Counts(self.session.catalogue, self.session.selection)}
        for view in (*self.planes, *self.histograms):
            requests.update(view.requests())
        self._wanted = requests
        changed = {name: item for name, item in requests.items() if self._shown.get(name) != (item, True)}
        if changed != self._asked:
            self._asked, self._failed = dict(changed), False
            seen = frozenset(name for name, item in changed.items() if self._shown.get(name) == (item, False))
            self._newest.ask(Asked(changed, seen))

    def _show(self, asked: Asked, results: dict[str, Answer]) -> None:
        views = {view.name: view for view in self.planes}
        bars = {view.name: view for view in self.histograms}
        for name, answer in results.items():
            request = asked.requests[name]
            if self._is_late(name, request):
                continue
            self._shown[name] = (request, answer.exact)
            if answer.exact and self._asked.get(name, _NOTHING) == request:
                del self._asked[name]
            view, _, layer = name.partition(" ")
            if isinstance(request, Counts):
                self._say(request, *answer.result, exact=answer.exact)
            elif layer == "bars":
                bars[view].show(request, answer.result)
            else:
                views[view].show(layer, request, answer.result)
        self._mark()

    def _is_late(self, name: str, request: Any) -> bool:
        """Whether this is no longer wanted, and what is wanted again is on the page already."""
        shown, _ = self._shown.get(name, (_NOTHING, False))
        wanted = self._wanted.get(name, _NOTHING)
        return request != wanted and shown == wanted

    def _soon(self) -> None:
        # A dragged slider fires faster than the page can follow: many changes, one update.
        if not self._following:
            self._following = True
            soon(pn.state.curdoc, self._follow)

    def _restyle(self) -> None:
        for view in (*self.planes, *self.histograms):
            view.restyle()

    def _follow(self) -> None:
        self._following = False
        for plane in self.planes:
            if plane.follow():
                gone = [name for name in self._shown if name.partition(" ")[0] == plane.name]
                for name in gone:
                    del self._shown[name]
        self.legend.follow()
        for entry, view in zip(self.filters, self.histograms, strict=True):
            entry.follow()
            view.follow(entry.column)
            view.mark(*entry.limits())
        self.redraw()

    def _mark(self) -> None:
        """Say whether something is being drawn, and what the pictures on the page are."""
        busy = bool(self._asked) or not self._shown
        if self._failed:
            quality = "out of date"
        elif not all(exact for _, exact in self._shown.values()):
            quality = "estimate"
        else:
            quality = "…" if busy else "exact"
        text = (
            f'<span class="gv-busy{" on" if busy else ""}" role="status">{"drawing" if busy else ""}</span>'
            f'<span class="gv-quality">{quality}</span>'
        )
        if self._busy.object != text:
            self._busy.object = text

    def _fail(self, message: str) -> None:
        self._shown.pop("counts", None)  # the sentence is to be written again as soon as something can be drawn
        self._asked, self._failed = {}, True
        self._sentence.object = f'<div class="gv-sentence gv-failed" role="alert">{style.escape(message)}</div>'
        self._list_chips()
        self._mark()

    def _say(self, request: Counts, total: int, by_class: dict[str, int], *, exact: bool) -> None:
        self.legend.show(by_class, exact=exact)
        number = style.number(total) if exact else f"about {style.rounded(total)}"
        words = style.escape(request.selection.sentence(self.session.label))
        rows = style.number(request.catalogue.rows)
        what = f"of {rows} sources: {words}" if request.selection else f"of {rows} sources: every source"
        nothing = " — nothing matches; widen a filter or press Undo" if exact and total == 0 else ""
        self._sentence.object = (
            f'<div class="gv-sentence" data-count="{int(total)}" aria-live="polite">'
            f"<b>{number}</b> {what}{nothing}</div>"
        )
        self._list_chips()

    def _list_chips(self) -> None:
        clauses = dict(self.session.selection)
        for name, clause in clauses.items():
            if name not in self._known_chips:
                self._known_chips[name] = self._chip(name)
            self._known_chips[name].say("gv-chip-words", clause.sentence(self.session.label))
        wanted = [self._known_chips[name].panel for name in clauses] or [self._hint]
        if list(self._chips) != wanted:
            self._chips[:] = wanted

    def _chip(self, name: str) -> Captioned:
        button = pn.widgets.Button(
            label="✕", height=26, sizing_mode="stretch_width", margin=0, css_classes=["gv-chip-off"]
        )
        button.on_click(lambda _: self.session.remove(name))
        return Captioned(button, css_classes=["gv-chip"], margin=(2, 4))

    def _layout(self) -> pn.Row:
        buttons = {"height": 28, "css_classes": ["gv-button"], "margin": (4, 3), "sizing_mode": "stretch_width"}
        actions = []
        for text, act in (("Undo", self.session.undo), ("Redo", self.session.redo), ("Clear", self.session.clear)):
            button = pn.widgets.Button(label=text, **buttons)
            button.on_click(lambda _, act=act: act())
            actions.append(button)
        side = pn.Column(
            _card("Classes", self.legend.panel),
            _card("Colour by", self.colour.panel),
            _card("Selected", self._chips, pn.Row(*actions, sizing_mode="stretch_width")),
            width=232, sizing_mode="stretch_height", css_classes=["gv-side"],
        )  # fmt: skip
        bar = pn.Row(self._sentence, self._busy, sizing_mode="stretch_width", height=34, css_classes=["gv-bar"])
        kinds = {view.name: view for view in VIEWS}
        hero, *rest = [self._plane_card(kinds[plane.name], plane) for plane in self.planes] or [pn.Column()]
        views = pn.Row(
            hero, pn.Column(*rest, sizing_mode="stretch_both", margin=0), sizing_mode="stretch_both", min_height=300
        )
        strip = pn.Row(
            *(
                pn.Column(
                    entry.head, view.panel, entry.slider, sizing_mode="stretch_both",
                    css_classes=["gv-card", f"gv-filter-{entry.name}"],
                )
                for entry, view in zip(self.filters, self.histograms, strict=True)
            ),
            sizing_mode="stretch_width", height=168, css_classes=["gv-strip"],
        )  # fmt: skip
        main = pn.Column(bar, views, strip, sizing_mode="stretch_both", css_classes=["gv-main"])
        return pn.Row(side, main, sizing_mode="stretch_both", css_classes=["gv-explore"])

    def _plane_card(self, kind: View, plane: PlaneView) -> pn.Column:
        head = pn.Row(
            pn.pane.HTML(f'<b class="gv-title">{style.escape(kind.title)}</b>', sizing_mode="stretch_width"),
            *self._axes(kind, plane), sizing_mode="stretch_width", height=30, css_classes=["gv-plane-head"],
        )  # fmt: skip
        return pn.Column(head, plane.panel, sizing_mode="stretch_both", css_classes=["gv-card"])

    def _axes(self, kind: View, plane: PlaneView) -> list[pn.widgets.Select]:
        """The widgets that choose what the axes of a view show."""
        manifest = self.session.catalogue.manifest
        slim = {"height": 26, "css_classes": ["gv-slim"], "margin": (2, 2)}
        if kind.free:
            columns = {column.title: column.name for role in AXIS_ROLES for column in manifest.of_role(role)}
            x = pn.widgets.Select(options=columns, value=plane.plane.x, width=130, **slim)
            y = pn.widgets.Select(options=columns, value=plane.plane.y, width=130, **slim)
            for select in (x, y):
                select.param.watch(lambda _: self._set_plane(plane, Plane(x.value, y.value)), "value")
            return [x, y]
        options = kind.planes(manifest)
        if len(options) < 2:
            return []
        select = pn.widgets.Select(options=options, value=plane.plane, width=172, **slim)
        select.param.watch(lambda event: self._set_plane(plane, event.new), "value")
        return [select]

    def _set_plane(self, plane: PlaneView, new: Plane) -> None:
        if new != plane.plane:
            self.session.planes = {**self.session.planes, plane.name: new}


_NOTHING = object()


def _card(title: str, *children: Any) -> pn.Column:
    head = pn.pane.HTML(f'<b class="gv-title">{title}</b>', sizing_mode="stretch_width", margin=(4, 8))
    return pn.Column(head, *children, sizing_mode="stretch_width", css_classes=["gv-card"])


def explore_tab(session: Session) -> Explore:
    """The Explore tab of a session."""
    return Explore(session)
