"""Explore how millions of survey sources were classified, and pick the ones worth a night of telescope time."""

__version__ = "0.1.0"

from galviz.catalogue import Catalogue, open_catalogue
from galviz.draw import Viewport, draw
from galviz.errors import GalvizError
from galviz.export import export
from galviz.selection import Selection

__all__ = ["Catalogue", "GalvizError", "Selection", "Viewport", "draw", "export", "open_catalogue"]
