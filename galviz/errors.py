"""What can go wrong, in words a user can act on.

Every error that galviz raises on purpose is a `GalvizError` whose text is one sentence: what is
wrong, where, and what to do. The command line prints it and exits with 1; the page shows it.
"""


class GalvizError(Exception):
    """Something that the user can mend; its text is one clear sentence."""


class CatalogueError(GalvizError):
    """A catalogue is missing, incomplete or damaged."""


class IngestError(GalvizError):
    """A foreign file cannot be read as the catalogue of a survey."""


class FetchError(GalvizError):
    """A published file cannot be fetched."""


class StaleIndexError(GalvizError):
    """The index of a catalogue is missing, stale or damaged."""


class SelectionError(GalvizError):
    """The text of a selection, or a column that it names, cannot be understood."""


class ModelError(GalvizError):
    """A model cannot be trained, loaded or applied to this catalogue."""


class Cancelled(GalvizError):
    """The user stopped the work; nothing was changed."""
