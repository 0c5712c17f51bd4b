"""Text with a delimiter: CSV, and the same with tabs, semicolons or blanks, plain or gzip."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.foreign import ARROW, first_line
from galviz.ingest.readers.strangers import refuse_complaint
from galviz.ingest.readers.streams import HEAD, is_packed, opened, skip
from galviz.ingest.readers.table import Chunk, ColumnNote, ForeignTable, Kinds, distinct
from galviz.ingest.readers.values import from_arrow

_BLOCK = 4 << 20
_STRETCH = 64 << 20  # bytes of a file that are read by one thread at a time
_BYTES_A_FIELD = 9  # roughly
_RULED = re.compile(rb"([^\r\n]*)\r?\n(-[-\t|; ]*)\r?\n")  # a line of units, and a rule below it, of VizieR
_END = re.compile(rb"[ \r\n]*|#(END#|INFO\b).*", re.DOTALL)  # a line without values, as VizieR writes last ones
_LONGEST = 16 << 20  # bytes of a line, at most
_TAIL = 1 << 12  # bytes in which these lie
_BLANKS = [" " * width for width in range(41)]  # as wide as columns of VizieR are
_NULLS = [*_BLANKS, "NULL", "null", "None", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NAN", "--", "-"]


@dataclass(frozen=True)
class Layout:
    """How the rows of a text file lie: column names, delimiter, the lines and bytes before the first row, and whether
    these end with a newline, without which nothing finds a line from within.

    `columns` is what the comment lines say of the columns; `flags` are columns of True and False.
    """

    path: Path
    names: tuple[str, ...]
    delimiter: str
    skipped: int
    start: int
    newline: bool
    columns: Mapping[str, ColumnNote] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    simulated: bool = False


def open_csv(path: Path, head: bytes) -> ForeignTable:
    """Open values separated by commas, tabs, semicolons or bars whose first bytes are `head`."""
    notes, header, skipped, start = header_line(path, head)
    refuse_complaint(path, header, head)
    delimiter = max(",\t;|", key=header.count)
    called = distinct(split_names(path, header, delimiter))
    names = tuple(called)
    _check_names(path, names, head[start:].decode("utf-8", "replace").lstrip().partition("\n")[0].split(delimiter))
    simulated = any(re.fullmatch(r"#\s*simulated\s*[:=]\s*(yes|true)\s*", note, re.IGNORECASE) for note in notes)
    columns, ruled = _units(notes), _RULED.match(head, start)
    units = ruled[1].decode("utf-8", "replace").split(delimiter) if ruled else []
    if ruled and len(units) == len(names) and b"---" in ruled[2] and not any(map(_is_number, units)):
        columns |= _of_vizier(notes, names, units)
        skipped, start = skipped + 2, ruled.end()
    newline = head[:start].endswith(b"\n") or start == len(head)
    layout = Layout(path, names, delimiter, skipped, start, newline, columns, simulated=simulated)
    return replace(text_table(layout, head), called=called)


def _check_names(path: Path, names: tuple[str, ...], following: list[str]) -> None:
    """Raise IngestError where a first line is one of values, as the `following` one is, or nothing separates them."""
    values = zip(names, following, strict=False)
    named = any(_is_number(below) and not _is_number(name) for name, below in values)
    if 2 * sum(map(_is_number, names)) > len(names) and not named:
        raise IngestError(f"The first line of {path} holds no column names, but values; put a line of names before it.")
    if len(names) == 1 and re.search(r"\w\s+\w", names[0]):
        raise IngestError(
            f"The first line of {path} is {names[0][:60]!r}, which is no line of column names; separate them, and the "
            "values, by commas, semicolons or tabs."
        )


def text_table(layout: Layout, head: bytes) -> ForeignTable:
    """The table of a text file of this layout, whose first bytes are `head`."""
    whole = is_packed(layout.path) or not layout.newline
    return ForeignTable(
        layout.path,
        layout.names,
        lambda kinds: _chunks(layout, kinds),
        simulated=layout.simulated,
        columns=layout.columns,
        stretches=1 if whole else max(1, -(-layout.path.stat().st_size // _STRETCH)),
        stretch=None if whole else lambda kinds, number: _stretch(layout, kinds, number),
        row_bytes=_row_bytes(head[layout.start :]),
    )


def _row_bytes(text: bytes) -> float:
    """How long its lines are, the last of which may be cut off."""
    lines = text.count(b"\n")
    return (text.rfind(b"\n") + 1) / lines if lines else float(len(text))


def header_line(path: Path, head: bytes) -> tuple[tuple[str, ...], str, int, int]:
    """The comment lines before the header, the header itself, and the lines and the bytes up to and with it."""
    notes: list[str] = []
    start = 0
    for number, found in enumerate(re.finditer(rb"([^\r\n]*)(\r\n|\r|\n|$)", head), start=1):
        line, start = found[1].decode("utf-8-sig", errors="replace"), found.end()
        if start == len(head) == HEAD:
            raise IngestError(f"{path} has no line with column names in its first {HEAD // 1024} kB; name a table.")
        if line.startswith("#") or re.fullmatch(r"sep=.\s*", line):  # so begin files for Excel
            notes.append(line)
        elif line.strip():
            return tuple(notes), line, number, start
    raise IngestError(f"{path} has no line with column names; there is nothing to ingest.")


def split_names(path: Path, header: str, delimiter: str) -> tuple[str, ...]:
    """The column names of a header."""
    try:
        return tuple(name.strip() for name in next(csv.reader([header], delimiter=delimiter)))
    except csv.Error as error:
        raise IngestError(f"Cannot read the column names of {path}: {first_line(error)}; mend them.") from error


def _units(notes: tuple[str, ...]) -> dict[str, ColumnNote]:
    """Units as galviz writes them: `# units: ra [deg], psf_r [mag]`."""
    lines = [note for note in notes if re.match(r"#\s*units?\s*:", note)]
    return {name: ColumnNote(unit) for line in lines for name, unit in re.findall(r"([^\s,:]+) \[([^]]*)\]", line)}


def _of_vizier(notes: tuple[str, ...], names: tuple[str, ...], units: list[str]) -> dict[str, ColumnNote]:
    """What VizieR says of columns: UCDs and descriptions in comments, units in a line of their own."""
    found = [re.fullmatch(r"#Column\t([^\t]+)\t[^\t]*\t([^\t]*)(?:\t\[ucd=([^\]]*)\])?\s*", note) for note in notes]
    words = {match[1].strip(): (match[3] or "", match[2].strip()) for match in found if match}
    return {
        name: ColumnNote(unit.strip(), *words.get(name, ("", "")))
        for name, unit in zip(names, units, strict=True)
        if unit.strip() or name in words
    }


class _Counted:
    """A stream from the byte `start` on, less last lines without values, whose lines are counted while it is read."""

    def __init__(self, file: Any, start: int) -> None:
        self._file, self._start = file, start
        self._held = b""  # of which it is not known whether it is the end
        self._ends, self._last = 0, b"\n"
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        if self._start:
            self._file.read(self._start)
            self._start = 0
        block = b""
        while not block and (more := self._file.read(size)):
            self._held += more
            cut = max(0, len(self._held) - _TAIL)
            block, self._held = self._held[:cut], self._held[cut:]
        if not block:
            block, self._held = _without_end(self._held), b""
        self._ends += block.count(b"\n")
        self._last = block[-1:] or self._last
        return block

    def close(self) -> None:
        self.closed = True

    @property
    def lines(self) -> int:
        return self._ends + (self._last != b"\n")


def _without_end(tail: bytes) -> bytes:
    """The end of a file less last lines without values; a line that begins before it is kept."""
    while (start := tail.rfind(b"\n", 0, -1) + 1) and _END.fullmatch(tail, start):
        tail = tail[:start]
    return tail


def _chunks(layout: Layout, kinds: Kinds) -> Iterator[Chunk]:
    with opened(layout.path) as stream:
        packed = stream.file is not stream.raw  # Arrow unpacks it, and leaves the interpreter free meanwhile
        counted = _Counted(pa.CompressedInputStream(stream.raw, "gzip") if packed else stream.file, layout.start)
        source = pa.PythonFile(counted, mode="r")
        lines = _Lines(lambda: counted.lines, lambda: _again(layout))
        for columns in _batches(layout, kinds, source, lines, threads=True):
            yield columns, stream.fraction


def _stretch(layout: Layout, kinds: Kinds, number: int) -> Iterator[Chunk]:
    """The lines that begin in a stretch of the file."""
    with layout.path.open("rb") as raw:
        start, end = (
            _line_start(layout.path, raw, max(layout.start, place * _STRETCH)) for place in (number, number + 1)
        )
        raw.seek(start)
        text = raw.read(end - start)
        text = text if raw.read(1) else _without_end(text)
    done = 0
    lines = _Lines(
        lambda: text.count(b"\n") + (not text.endswith(b"\n")),
        lambda: nullcontext(io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", errors="replace")),
    )
    for columns in _batches(layout, kinds, pa.BufferReader(text), lines, threads=False) if text else ():
        done += len(next(iter(columns.values())))
        yield columns, min(1.0, done * _BYTES_A_FIELD * len(layout.names) / len(text))


def _line_start(path: Path, raw: BinaryIO, place: int) -> int:
    """Where the first line begins that begins at or behind a place."""
    raw.seek(place - 1)
    if len(raw.readline(_LONGEST)) == _LONGEST:
        raise _too_long(path, f"at byte {place:,}")
    return raw.tell()


def _too_long(path: Path, place: str) -> IngestError:
    return IngestError(f"{path} has a line of more than {_LONGEST >> 20} MB {place}; it is damaged or no table.")


def _lines(path: Path, file: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a text, none of which is so long that it would fill the memory."""
    number = 0
    while line := file.readline(_LONGEST):
        number += 1
        if len(line) == _LONGEST:
            raise _too_long(path, f"{number:,} lines after its column names")
        yield line


@dataclass(frozen=True)
class _Lines:
    """The lines that Arrow reads: how many ends of them there are, known when it is done, and they themselves again."""

    number: Callable[[], int]
    again: Callable[[], AbstractContextManager[Iterable[str]]]

    def filled(self) -> int:
        """How many of them have values."""
        with self.again() as lines:
            return sum(not _END.fullmatch(line.encode()) for line in lines)


def _batches(
    layout: Layout, kinds: Kinds, source: Any, lines: _Lines, *, threads: bool
) -> Iterator[dict[str, NDArray[Any]]]:
    """The wanted columns of the rows; raises IngestError where a line that is not blank did not become a row."""
    rows = 0
    try:
        for batch in _parsed(layout, kinds, source, threads):
            rows += batch.num_rows
            yield from_arrow(layout.path, _flags_as_numbers(layout, batch, kinds), kinds)
    except pa.ArrowInvalid as error:
        raise IngestError(
            _fault(layout, kinds) or f"Cannot read {layout.path} as CSV: {first_line(error)}; mend it."
        ) from error
    except OSError as error:
        raise IngestError(f"Cannot read {layout.path}: {first_line(error)}; fetch or pack it again.") from error
    if rows != lines.number() and rows != (filled := lines.filled()):
        raise IngestError(
            _fault(layout, kinds)
            or f"{layout.path} has {filled:,} lines with values and {rows:,} rows; mend its quotation marks."
        )


def _parsed(layout: Layout, kinds: Kinds, source: Any, threads: bool) -> Iterator[Any]:
    types = {name: pa.string() if name in layout.flags else ARROW[kind] for name, kind in kinds.items()}
    try:
        reader = pa.csv.open_csv(
            source,
            pa.csv.ReadOptions(column_names=layout.names, block_size=_BLOCK, use_threads=threads),
            pa.csv.ParseOptions(delimiter=layout.delimiter),
            pa.csv.ConvertOptions(
                column_types=types, include_columns=list(kinds), null_values=_NULLS, strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise
    yield from reader


def _flags_as_numbers(layout: Layout, batch: Any, kinds: Kinds) -> Any:
    for name in layout.flags & kinds.keys():
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, batch.column(name).cast(pa.bool_()))
    return batch


@contextmanager
def _text(layout: Layout, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
    """The lines after the header; their ends as they are in the file where `newline` is empty."""
    with opened(layout.path) as stream:
        skip(stream, layout.start)
        yield io.TextIOWrapper(stream.file, encoding="utf-8", errors="replace", newline=newline)


@contextmanager
def _again(layout: Layout) -> Iterator[Iterator[str]]:
    with _text(layout) as file:
        yield _lines(layout.path, file)


def _fault(layout: Layout, kinds: Kinds) -> str | None:
    """What is wrong with a file and in which line: the slow way, for a file that the fast way refused."""
    line, ended = layout.skipped, 0
    try:
        with _text(layout, newline="") as file:
            rows = csv.reader(_lines(layout.path, file), delimiter=layout.delimiter)
            for row in rows:
                before, line = line, layout.skipped + rows.line_num
                if len(row) == 1 < len(layout.names) and _END.fullmatch(row[0].encode()):
                    ended = ended or line
                    continue
                if row and ended:
                    return f"Line {ended} of {layout.path} has no values, and others follow; remove it."
                if row and (words := _row_fault(layout, kinds, row, lines=line - before)):
                    return f"Line {before + 1} of {layout.path} {words}"
    except csv.Error as error:
        return f"Cannot read {layout.path} as CSV after line {line}: {first_line(error)}; mend it."
    return None


def _row_fault(layout: Layout, kinds: Kinds, row: list[str], lines: int) -> str | None:
    if lines > 1:
        return (
            f"opens a quotation that ends {lines - 1} lines later; close or remove the quotation mark, or the line "
            "breaks in the value."
        )
    if len(row) != len(layout.names):
        text = f" ({row[0][:60]!r})" if len(row) == 1 else ""
        return f"has {len(row)} values{text}, but there are {len(layout.names)} column names; mend the line."
    for name, kind in kinds.items():
        text = row[layout.names.index(name)].strip()
        if kind != "text" and name not in layout.flags and not _readable(text, kind):
            needed, empty = (
                ("a whole number below 2^63", "") if kind == "integer" else ("a number", " or leave it empty")
            )
            if re.fullmatch(r"[+-]?\d[\d., ]*,\d[\d., ]*", text):
                return (
                    f"has {text[:40]!r} in the column {name}, which needs {needed}; write decimal points, and nothing "
                    "between thousands."
                )
            return f"has {text[:40]!r} in the column {name}, which needs {needed}; mend the value{empty}."
        if kind == "text" and "\N{REPLACEMENT CHARACTER}" in text:
            return f"has {text[:40]!r} in the column {name}, which is not text in UTF-8; mend the value."
    return None


def _is_number(text: str) -> bool:
    return text.strip() not in _NULLS and _readable(text.strip(), "number")


def _readable(text: str, kind: str) -> bool:
    if text in _NULLS:
        return kind != "integer"
    try:
        number = int(text) if kind == "integer" else float(text)
    except ValueError:
        return False
    return "_" not in text and (kind == "number" or -(2**63) <= number < 2**63)
