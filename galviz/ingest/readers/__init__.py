"""Foreign files as streams of columns: one module a format; nothing else reads them."""

from __future__ import annotations

from pathlib import Path

from galviz.errors import IngestError
from galviz.ingest.readers.delimited import open_csv
from galviz.ingest.readers.ecsv import open_ecsv
from galviz.ingest.readers.fitstable import open_fits
from galviz.ingest.readers.hats import open_hats
from galviz.ingest.readers.parquet import open_parquet
from galviz.ingest.readers.pickled import open_pickle
from galviz.ingest.readers.strangers import WIDE, refuse_stranger
from galviz.ingest.readers.streams import HEAD, opened
from galviz.ingest.readers.table import ROWS, Chunk, ColumnNote, ForeignTable, Kinds
from galviz.ingest.readers.votable import open_votable

__all__ = ["ROWS", "Chunk", "ColumnNote", "ForeignTable", "Kinds", "open_table"]

_XML = (b"<?xml", b"<vota")


def open_table(path: Path, *, trust_pickle: bool = False) -> ForeignTable:
    """Open a CSV, ECSV, FITS, VOTable (each plain or gzip), Parquet or HATS table, told apart by what it holds.

    A pickle of a pandas table runs code when it is read, so it is only with `trust_pickle`. Raises IngestError
    where there is no such file, or it is empty, damaged or of another format.
    """
    if path.is_dir():
        return open_hats(path)
    if path.exists() and not path.is_file():
        raise IngestError(f"{path} is a pipe or a device, which can be read but once; save it as a file and name that.")
    head = _head(path)
    if not head:
        raise IngestError(f"{path} is empty; there is nothing to ingest.")
    if head[:4] == b"PAR1":
        return open_parquet(path)
    if head.startswith(b"SIMPLE  ="):
        return open_fits(path)
    if head[:1] == b"\x80":
        return open_pickle(path, trusted=trust_pickle)
    if head.startswith(WIDE) and _begins_as_xml(head):
        return open_votable(path)
    refuse_stranger(path, head)
    if _begins_as_xml(head):
        return open_votable(path)
    if b"\0" in head:
        raise IngestError(
            f"{path} is neither CSV, ECSV, FITS, VOTable (plain or gzip), Parquet nor HATS; convert it to one of these."
        )
    return open_ecsv(path, head) if head.startswith(b"# %ECSV") else open_csv(path, head)


def _head(path: Path) -> bytes:
    """The first bytes of a file, unpacked."""
    try:
        with opened(path) as stream:
            return stream.file.read(HEAD)
    except FileNotFoundError:
        raise IngestError(f"There is no file {path}; check its name and place.") from None
    except OSError as error:
        raise IngestError(f"Cannot read {path}: {error.strerror}.") from error


def _begins_as_xml(head: bytes) -> bool:
    text = head.decode("utf-16", "replace").encode() if head.startswith(WIDE) else head.removeprefix(b"\xef\xbb\xbf")
    return text.lstrip()[:5].lower() in _XML
