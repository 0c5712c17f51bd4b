"""What one user looks at: one `Session` a browser tab, holding frozen values that are replaced, never edited."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import param

from galviz.catalogue import Catalogue
from galviz.classify import Model
from galviz.evaluate import Evaluation
from galviz.selection import Clause, Selection

UNDO_DEPTH = 100
# Changes of one clause that follow each other within this many seconds are one drag, undone in one step.
SAME_GESTURE = 0.8


@dataclass(frozen=True)
class Settings:
    """What the server was started with; `routes` tells whether it answers at /health and /export."""

    catalogue: Path
    labelled: Path | None = None
    routes: bool = False


@dataclass(frozen=True)
class Look:
    """How pixels are coloured.

    `by` is class, count, or mean, spread, minimum or maximum (of `column`); `scale` is log, eq_hist or linear.
    """

    by: str = "class"
    column: str = ""
    scale: str = "log"
    safe: bool = False


@dataclass(frozen=True)
class Plane:
    """A view's plane: the columns on its axes."""

    x: str
    y: str


@dataclass(frozen=True)
class Run:
    """A trained model with its evaluation, as the Models tab made it."""

    model: Model
    evaluation: Evaluation
    title: str = ""


class Session(param.Parameterized):
    """The state of one browser tab. Widgets and views write it through `choose` and watch it."""

    catalogue = param.ClassSelector(class_=Catalogue, allow_refs=False)
    labelled = param.ClassSelector(class_=Catalogue, default=None, allow_None=True, allow_refs=False)
    selection = param.ClassSelector(class_=Selection, default=Selection())
    look = param.ClassSelector(class_=Look, default=Look())
    planes = param.Dict(default={})
    theme = param.Selector(default="dark", objects=["dark", "light"])
    runs = param.ClassSelector(class_=tuple, default=())

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._past: list[Selection] = []
        self._future: list[Selection] = []
        self._last = ("", 0.0)

    def choose(self, name: str, clause: Clause | None) -> None:
        """Let `clause` be what the widget or view `name` asks for; None removes it."""
        self._replace(self.selection.choose(name, clause), name)

    def remove(self, name: str) -> None:
        """Remove the clause of `name`: never part of a drag, however soon it follows one."""
        self._replace(self.selection.choose(name, None), "")

    def clear(self) -> None:
        """Select every source."""
        self._replace(Selection(), "")

    def _replace(self, selection: Selection, by: str) -> None:
        if selection == self.selection:
            return
        now = time.monotonic()
        writer, last = self._last
        self._last = (by, now)
        if not by or by != writer or now - last > SAME_GESTURE or not self._past:
            self._past = [*self._past[-UNDO_DEPTH:], self.selection]
        self._future = []
        self.selection = selection

    def undo(self) -> None:
        """Go back to the selection before this one, if there is one."""
        if self._past:
            self._future.append(self.selection)
            self._last = ("", 0.0)
            self.selection = self._past.pop()

    def redo(self) -> None:
        """Take back an undo."""
        if self._future:
            self._past.append(self.selection)
            self.selection = self._future.pop()

    def label(self, column: str) -> str:
        """The words for a column, for sentences."""
        known = self.catalogue.manifest.columns.get(column)
        return known.label or column if known else column
