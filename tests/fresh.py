"""Caches of the drawing engine emptied, so that a test draws and does not look up."""

from __future__ import annotations

from galviz import estimate, exact, marks
from galviz.draw import _pictures


def forget() -> None:
    """Forget pictures, masks and runs."""
    forget_pictures()
    for cache in (marks._cache, marks._asked, exact._known_runs, estimate._masks):
        cache.clear()


def forget_pictures() -> None:
    """Forget finished pictures only."""
    _pictures._kept.clear()
