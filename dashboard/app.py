"""The page: header, tabs, theme. `create_app(settings)` builds it for one session.

`panel serve dashboard/app.py` serves it too: the catalogue is then named by the environment variable
GALVIZ_CATALOGUE (and GALVIZ_LABELLED), else it is the demo's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import panel as pn

from dashboard import style
from dashboard.candidates import candidates_tab
from dashboard.explore import explore_tab
from dashboard.guide import guide_tab
from dashboard.models import models_tab
from dashboard.state import Session, Settings
from dashboard.tasks import words
from galviz.catalogue import MANIFEST, Catalogue
from galviz.errors import GalvizError
from galviz.index import open_index
from galviz.ingest.inplace import open_catalogue

TABS: tuple[tuple[str, str, Callable[[Session, Settings], pn.viewable.Viewable]], ...] = (
    ("explore", "Explore", lambda session, _: explore_tab(session).panel),
    ("candidates", "Candidates", candidates_tab),
    ("models", "Models", models_tab),
    ("about", "About", guide_tab),
)


def settings_from_environment() -> Settings:
    """What `panel serve` is to show: GALVIZ_CATALOGUE and GALVIZ_LABELLED, else the demo in `data`."""
    catalogue = Path(os.environ.get("GALVIZ_CATALOGUE", "data/demo"))
    labelled = os.environ.get("GALVIZ_LABELLED")
    return Settings(catalogue, Path(labelled) if labelled else None, routes=os.environ.get("GALVIZ_ROUTES") == "1")


def create_app(settings: Settings) -> pn.viewable.Viewable:
    """The page of one session; a catalogue that cannot be opened becomes a sentence on it."""
    theme = _asked_theme()
    pn.extension("tabulator", notifications=False, raw_css=[style.CSS], global_css=[style.page_css(theme)])
    try:
        catalogue = open_catalogue(settings.catalogue)
        open_index(catalogue)
        labelled = labelled_catalogue(settings, catalogue)
    except GalvizError as error:
        message = f'<div class="gv-failed" role="alert">{style.escape(words(error))}</div>'
        return pn.pane.HTML(message, margin=40)
    return Page(Session(catalogue=catalogue, labelled=labelled, theme=theme), settings).root


def labelled_catalogue(settings: Settings, catalogue: Catalogue) -> Catalogue | None:
    """What to train on: the catalogue that was named, else NAME-labelled beside, else the catalogue if it has truth."""
    beside = settings.catalogue.with_name(f"{settings.catalogue.name}-labelled")
    if settings.labelled is not None:
        return open_catalogue(settings.labelled)
    if (beside / MANIFEST).is_file():
        return open_catalogue(beside)
    return catalogue if catalogue.manifest.of_role("truth") else None


def _asked_theme() -> str:
    asked = pn.state.session_args.get("theme", [b"dark"])[0].decode(errors="replace")
    return asked if asked in style.THEMES else "dark"


class Page:
    """Header and tabs of one session; a tab is built when it is first opened."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session, self.settings = session, settings
        self._made: dict[str, pn.viewable.Viewable] = {}
        self._body = pn.Column(sizing_mode="stretch_both", margin=0, css_classes=["gv-body"])
        self._buttons = {name: self._tab_button(name, title) for name, title, _ in TABS}
        self._title = pn.pane.HTML("", sizing_mode="stretch_width", margin=0, css_classes=["gv-title-pane"])
        self.root = pn.Column(self._header(), self._body, sizing_mode="stretch_both", css_classes=["gv-root"], margin=0)
        session.param.watch(lambda *_: self._name_catalogue(), "catalogue")
        self._name_catalogue()
        self.open("explore")

    def _tab_button(self, name: str, title: str) -> pn.widgets.Button:
        button = pn.widgets.Button(label=title, css_classes=["gv-tab", f"gv-tab-{name}"], height=36, margin=(8, 2))
        button.on_click(lambda _: self.open(name))
        return button

    def _name_catalogue(self) -> None:
        manifest = self.session.catalogue.manifest
        badge = '<span class="gv-badge">simulated</span>' if manifest.simulated else ""
        self._title.object = (
            f'<div class="gv-brand"><span class="gv-mark">galviz</span>{badge}'
            f'<span class="gv-catalogue">{style.escape(manifest.title)}</span>'
            f'<span class="gv-quiet">{style.number(manifest.rows)} sources</span></div>'
        )

    def _header(self) -> pn.Row:
        return pn.Row(
            self._title, *self._buttons.values(), *self._theme_switch(), sizing_mode="stretch_width", height=52,
            margin=0, css_classes=["gv-header"],
        )  # fmt: skip

    def _theme_switch(self) -> tuple[pn.widgets.Button, pn.widgets.TextInput]:
        button = pn.widgets.Button(
            label="◐", css_classes=["gv-tab", "gv-theme"], width=40, height=36, margin=(8, 8, 8, 2)
        )
        relay = pn.widgets.TextInput(value=self.session.theme, visible=False)
        relay.jscallback(value="document.documentElement.dataset.gvTheme = cb_obj.value")

        def switch(*_: object) -> None:
            self.session.theme = relay.value = "light" if self.session.theme == "dark" else "dark"

        button.on_click(switch)
        return button, relay

    def open(self, name: str) -> None:
        """Show a tab, building it if this is the first time."""
        if name not in self._made:
            make = next(make for key, _, make in TABS if key == name)
            self._made[name] = make(self.session, self.settings)
            self._body.append(self._made[name])
        for key, view in self._made.items():
            if view.visible != (key == name):
                view.visible = key == name
        for key, button in self._buttons.items():
            classes = ["gv-tab", f"gv-tab-{key}", *(["gv-open"] if key == name else [])]
            if button.css_classes != classes:
                button.css_classes = classes


if __name__.startswith("bokeh_app"):
    create_app(settings_from_environment()).servable(title="galviz")
