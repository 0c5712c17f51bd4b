"""What every reader gives: a foreign table as a stream of columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from galviz.errors import IngestError

# Columns by name in the file, and the fraction of the file, or of its stretch, that was read.
Chunk = tuple[dict[str, Any], float]
Kinds = Mapping[str, str]  # what to read: name in the file to "integer", "number" or "text"

ROWS = 250_000  # of a chunk, at most
_VALUES = 12_500_000  # of a chunk, at most
_FIELDS = 10_000  # columns of a table, at most


@dataclass(frozen=True)
class ColumnNote:
    """What a file says of one of its columns, in the words of the file; empty where it says nothing.

    `null` is the text of the value that stands for a missing one; the readers heed it themselves.
    """

    unit: str = ""
    ucd: str = ""
    description: str = ""
    null: str = ""


NOTHING = ColumnNote()


@dataclass(frozen=True)
class ForeignTable:
    """A file that was opened: its column names, and how to read some of them chunk by chunk.

    Numbers come as float64 with NaN where missing, integers as int64, text as an Arrow array, or as objects with None
    where missing. `rows` is None where the file does not say; `simulated` is True where the file says that its sources
    are. Where the file gives one name to several columns, all but the first have a name of their own in `names`, and
    `called` tells the one in the file; a name that stands twice in `names` cannot be read. `columns` holds what the
    file says of its columns, `files` the files read where `path` is a folder. `in_memory` says that it is read into
    memory as a whole, `row_bytes` how long a row of text is before packing, as the first ones are, 0 where that is not
    known. `warning` is what the file says of itself that whoever ingests it must know.

    A file that can be read from within has several `stretches`, which `stretch` reads one by one, in any order and at
    the same time: their chunks, one stretch after the other, are those of `chunks`. Their number follows from the
    file alone.
    """

    path: Path
    names: tuple[str, ...]
    chunks: Callable[[Kinds], Iterator[Chunk]] = field(repr=False)
    rows: int | None = None
    simulated: bool = False
    columns: Mapping[str, ColumnNote] = field(default_factory=dict, repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    stretches: int = 1
    stretch: Callable[[Kinds, int], Iterator[Chunk]] | None = field(default=None, repr=False)
    in_memory: bool = False
    row_bytes: float = 0.0
    warning: str = ""
    called: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.names) > _FIELDS:
            raise IngestError(f"{self.path} has {len(self.names):,} columns, more than {_FIELDS:,}; leave some out.")
        for name in self.names:
            if not name.isprintable():
                raise IngestError(f"{self.path} names a column {name[:40]!r}, which cannot be printed; rename it.")

    def name_in_file(self, name: str) -> str:
        """What the file calls the column of a name in `names`."""
        return self.called.get(name, name)


def rows_of_chunk(kinds: Kinds) -> int:
    """How many rows of these columns to read at once: fewer where the columns are very many."""
    return max(1, min(ROWS, _VALUES // max(1, len(kinds))))


def distinct(names: Sequence[str]) -> dict[str, str]:
    """A name of its own for each column, and the one in the file."""
    taken, numbers, found = set(names), Counter[str](), {}
    for name in names:
        own = name
        while own in found or (own != name and own in taken):
            numbers[name] += 1
            own = f"{name}#{numbers[name] + 1}"
        found[own] = name
    return found
