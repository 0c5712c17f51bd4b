"""Explore how millions of survey sources were classified, and pick the ones worth a night of telescope time."""

from galviz.catalogue import Catalogue
from galviz.draw import Viewport, draw
from galviz.errors import GalvizError
from galviz.export import export
from galviz.ingest.inplace import open_catalogue
from galviz.selection import Selection
from galviz.version import __version__

__all__ = ["Catalogue", "GalvizError", "Selection", "Viewport", "__version__", "draw", "export", "open_catalogue"]
