"""VOTable, plain or gzip: TABLEDATA, BINARY and BINARY2, each read block by block.

astropy builds a VOTable as a whole, so expat is asked directly; entities, files that a STREAM refers to and FITS
inside the XML are refused. The first table that has rows is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.parsers import expat

from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.foreign import first_line
from galviz.ingest.readers import table
from galviz.ingest.readers.streams import opened
from galviz.ingest.readers.table import NOTHING, Chunk, ColumnNote, ForeignTable, Kinds, distinct
from galviz.ingest.readers.votablerows import PIECE, TYPES, Bytes, Cells, Field

_BLOCK = 1 << 20
_CELLS = 1 << 20  # that wait, roughly, since each is text
_HEADER = 16 << 20  # bytes before the rows, at most
_END = 1 << 16  # bytes of a file in which lies what is said behind the rows


def open_votable(path: Path) -> ForeignTable:
    """Open a VOTable; raises IngestError where its header is damaged or it has no table."""
    document = Document(path)
    with opened(path) as stream:
        while not document.begun and (block := stream.file.read(_BLOCK)):
            document.feed(block)
            document.bound(_HEADER)
    if not document.begun:
        document.close()
        raise IngestError(f"{path} has no table with rows; name a VOTable that has one.")
    notes = {field.name: field.note for field in document.fields if field.note != NOTHING}
    names = tuple(field.name for field in document.fields)
    cut_off = document.cut_off or _ends_cut_off(path)
    warning = "says that the query found more rows than it sent (OVERFLOW)" if cut_off else ""
    return ForeignTable(
        path,
        names,
        lambda kinds: _chunks(path, kinds),
        document.said,
        document.simulated,
        notes,
        warning=warning,
        called=document.called,
    )


def _ends_cut_off(path: Path) -> bool:
    """Whether an INFO behind the rows says so; of a packed file that is not known, since it is not unpacked for it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END))
        infos = re.findall(rb"<(?:\w+:)?INFO\b[^>]*>", file.read(_END))
    return any(b"QUERY_STATUS" in info.upper() and b"OVERFLOW" in info.upper() for info in infos)


def _chunks(path: Path, kinds: Kinds) -> Iterator[Chunk]:
    document = Document(path)
    with opened(path) as stream:
        while block := stream.file.read(_BLOCK):
            document.feed(block)
            document.bound(PIECE)
            if document.full:
                yield document.take(kinds), stream.fraction
        document.close()
    if document.waiting:
        yield document.take(kinds), 1.0


class Document:
    """A VOTable as far as it was fed: its fields, and the rows that wait to be taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fields: list[Field] = []
        self.called: dict[str, str] = {}
        self.said: int | None = None
        self.simulated = self.cut_off = False
        self.begun = False
        self._failed = False  # whether an INFO is open that says so of the query, and why
        self._described = False  # whether a FIELD is open, so that what is said is said of it
        self._taken = self._fed = 0
        self._rows: Cells | Bytes | None = None
        self._open, self._text = "", ""  # where in the document we are: in "", "TABLE", a kind of rows, or "after"
        self._parser = expat.ParserCreate()
        self._parser.buffer_text, self._parser.buffer_size = True, _BLOCK
        self._parser.EntityDeclHandler = self._entity
        self._hear()

    @property
    def waiting(self) -> int:
        return self._rows.waiting if self._rows else 0

    @property
    def full(self) -> bool:
        """Whether enough rows wait to be taken."""
        return self.waiting >= table.ROWS or self.waiting * len(self.fields) >= _CELLS

    def feed(self, block: bytes, last: bool = False) -> None:
        self._fed += len(block)
        try:
            self._parser.Parse(block, last)
        except (expat.ExpatError, ValueError, LookupError, UnicodeError) as error:
            raise self._fault(f"is no XML ({first_line(error).split(':')[0]}); fetch it again") from error

    def close(self) -> None:
        """Say that nothing follows; raises IngestError where something is missing."""
        self.feed(b"", last=True)
        rows = self._taken + self.waiting
        if self.said is not None and rows != self.said and self.begun:
            raise IngestError(f"{self.path} has {rows:,} rows and says {self.said:,}; fetch it again.")

    def bound(self, most: int) -> None:
        """Raise IngestError where a piece of the document is larger than what a table needs."""
        pending = self._fed - max(self._parser.CurrentByteIndex, 0)
        if max(pending, len(self._text), self._rows.pending if self._rows else 0) > most or (
            not self.begun and self._fed > most
        ):
            raise self._fault(f"has more than {most >> 20} MB in one piece; it is no table of sources")

    def take(self, kinds: Kinds) -> dict[str, NDArray[Any]]:
        """The wanted columns of the rows that wait, which wait no longer."""
        assert self._rows is not None
        rows, before = self._rows.waiting, self._taken
        columns = self._rows.take(kinds, before)
        self._taken += rows
        return columns

    def _fault(self, words: str) -> IngestError:
        return IngestError(f"Line {self._parser.CurrentLineNumber:,} of {self.path} {words}.")

    # What expat finds

    def _hear(self) -> None:
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._words

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag, name = name, name.rpartition(":")[2]
        if name == "INFO":
            self._info(attributes)
        elif name == "TABLE" and not self._open:
            self._open, self.fields = "TABLE", []
            self.said = self._number(attributes["nrows"]) if "nrows" in attributes else None
        elif self._open == "TABLE":
            self._start_in_table(tag, name, attributes)
        elif name == "STREAM" and isinstance(self._rows, Bytes) and self._open != "after":
            self._stream(attributes)

    def _start_in_table(self, tag: str, name: str, attributes: dict[str, str]) -> None:
        if name == "FIELD":
            self.fields.append(self._field(attributes))
            self._described = True
        elif name == "VALUES" and self._described and "null" in attributes:
            self._note(null=attributes["null"].strip())
        elif name == "DESCRIPTION":
            self._text = ""
        elif name == "TABLEDATA":
            self._name_apart()
            self._hear_cells(tag)
        elif name in ("BINARY", "BINARY2"):
            self._name_apart()
            self._begin(name, Bytes(self.path, self.fields, masked=name == "BINARY2"))
        elif name == "FITS":
            raise self._fault("keeps its rows as FITS inside the XML, which is not read; convert it to FITS or Parquet")

    def _name_apart(self) -> None:
        """Give fields of the same name names of their own."""
        self.called = distinct([field.name for field in self.fields])
        self.fields = [replace(field, name=name) for field, name in zip(self.fields, self.called, strict=True)]

    def _hear_cells(self, tag: str) -> None:
        """Let expat speak of cells in the fewest steps, since there are many millions of them."""
        rows = Cells(self.path, self.fields)
        self._begin("TABLEDATA", rows)
        row, cell = (tag.replace("TABLEDATA", name) for name in ("TR", "TD"))
        pieces, cells = rows.pieces, rows.cells

        def start(name: str, attributes: dict[str, str]) -> None:
            pieces.clear()

        def end(name: str) -> None:
            if name == cell:
                cells.append("".join(pieces))
            elif name == row:
                if not rows.end_row():
                    raise self._fault(f"ends a row that has not {len(self.fields)} values; fetch it again")
            elif name == tag:
                self._open = "after"
                self._hear()
            else:
                raise self._fault(f"has an element {name[:40]!r} among the rows; fetch it again")

        self._parser.StartElementHandler, self._parser.EndElementHandler = start, end
        self._parser.CharacterDataHandler = pieces.append

    def _end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if name == "INFO" and self._failed:
            why = " ".join(self._text.split())[:160].rstrip(". ")
            raise self._fault(f"says that the query failed{f' ({why!r})' if why else ''}; ask for the table again")
        if self._open == "TABLE":
            if name == "DESCRIPTION" and self._described:
                self._note(description=" ".join(self._text.split()))
            elif name == "FIELD":
                self._described = False
            elif name == "TABLE":  # one without rows; another may follow
                self._open = ""
        elif name == self._open and isinstance(self._rows, Bytes):
            if not self._rows.whole:
                raise self._fault("ends its rows within one; fetch it again")
            self._open = "after"

    def _words(self, text: str) -> None:
        if isinstance(self._rows, Bytes):
            if self._open != "after" and not self._rows.add(text):
                raise self._fault("has rows that are not base64, or that are longer than their columns; fetch it again")
        elif self._open != "after" or self._failed:
            self._text += text

    def _entity(self, name: str, *_: Any) -> None:
        raise self._fault(f"declares an entity {name[:40]!r}, which a table does not need; remove it")

    def _begin(self, name: str, rows: Cells | Bytes) -> None:
        if not self.fields:
            raise self._fault("begins the rows of a table without columns; fetch it again")
        self._open, self._rows, self._text, self.begun = name, rows, "", True

    def _info(self, attributes: dict[str, str]) -> None:
        name, value = attributes.get("name", "").lower(), attributes.get("value", "").lower()
        self.simulated |= name == "simulated" and value in ("yes", "true")
        self.cut_off |= (name, value) == ("query_status", "overflow")
        self._failed = (name, value) == ("query_status", "error")
        self._text = "" if self._failed else self._text

    def _stream(self, attributes: dict[str, str]) -> None:
        if "href" in attributes:
            raise self._fault("keeps its rows in another file, which is not opened; save it with its rows inside")
        if attributes.get("encoding") != "base64":
            raise self._fault("keeps its rows in another way than base64; convert it to FITS or Parquet")

    def _field(self, attributes: dict[str, str]) -> Field:
        datatype, arraysize = attributes.get("datatype", ""), attributes.get("arraysize", "").strip()
        factors = arraysize.removesuffix("*").removesuffix("x").split("x") if arraysize != "*" else []
        if datatype not in TYPES or not all(factor.isdecimal() for factor in factors if arraysize):
            raise self._fault(f"has a FIELD of the type {datatype[:40]!r} [{arraysize[:40]}]; fetch it again")
        note = ColumnNote(attributes.get("unit", "").strip(), attributes.get("ucd", "").strip())
        name = attributes.get("name") or attributes.get("ID", "")
        field = Field(name.strip(), datatype, arraysize, note)
        if (field.count or 0) * field.size_of_one > PIECE:
            raise self._fault(f"has a FIELD of {arraysize[:40]} values a row; it is no table of sources")
        return field

    def _note(self, **words: str) -> None:
        last = self.fields[-1]
        self.fields[-1] = replace(last, note=replace(last.note, **words))

    def _number(self, text: str) -> int:
        if not text.strip().isdecimal():
            raise self._fault(f"says nrows={text[:40]!r}, which is no number; fetch it again")
        return int(text)
