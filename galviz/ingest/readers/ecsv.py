"""ECSV: CSV whose comment lines say what the columns are, in YAML."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.table.meta import YamlParseError, get_header_from_yaml

from galviz.errors import IngestError
from galviz.foreign import first_line
from galviz.ingest.readers.delimited import Layout, header_line, split_names, text_table
from galviz.ingest.readers.table import ColumnNote, ForeignTable


def open_ecsv(path: Path, head: bytes) -> ForeignTable:
    """Open an ECSV file whose first bytes are `head`; raises IngestError where its header is damaged."""
    comments, line, skipped, start = header_line(path, head)
    header = read_yaml(path, [comment[1:] for comment in comments[1:]])
    delimiter = header.get("delimiter", " ")
    if delimiter not in (" ", ","):
        raise IngestError(f"The header of {path} asks for the delimiter {delimiter!r}; ECSV has a blank or a comma.")
    entries = described(path, header)
    names = split_names(path, line, delimiter)
    if names != tuple(entries):
        raise IngestError(f"The header of {path} describes other columns than the line of names; make the file again.")
    columns = {name: note_of(entry) for name, entry in entries.items()}
    flags = frozenset(name for name, entry in entries.items() if entry.get("datatype") == "bool")
    newline = head[:start].endswith(b"\n") or start == len(head)
    return text_table(
        Layout(path, names, delimiter, skipped, start, newline, columns, flags, says_simulated(header)), head
    )


def read_yaml(path: Path, lines: list[str]) -> dict[str, Any]:
    """The YAML that astropy puts before a table; raises IngestError where it is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what astropy says of a key that stands twice
            header = get_header_from_yaml(lines)
    except YamlParseError as error:
        reason = first_line(error.__cause__ or error)
        raise IngestError(f"Cannot read the header of {path} as YAML: {reason}; mend or make it again.") from error
    if not isinstance(header, dict):
        raise IngestError(f"The header of {path} is not that of ECSV; make the file again.")
    return header


def meta_of(header: Mapping[str, Any]) -> Mapping[str, Any]:
    """What such a header says of the table as a whole."""
    meta = header.get("meta")
    return meta if isinstance(meta, Mapping) else {}


def says_simulated(header: Mapping[str, Any]) -> bool:
    """Whether such a header says that its sources are simulated."""
    return str(meta_of(header).get("simulated")).lower() in ("yes", "true")


def described(path: Path, header: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What such a header says of each column; raises IngestError where it says nothing."""
    entries = header.get("datatype")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) and "name" in entry for entry in entries):
        raise IngestError(f"The header of {path} describes no columns; make the file again.")
    return {str(entry["name"]): entry for entry in entries}


def note_of(entry: Mapping[str, Any]) -> ColumnNote:
    """What such a header says of one column."""
    meta = entry.get("meta")
    ucd = meta.get("ucd", "") if isinstance(meta, Mapping) else ""
    return ColumnNote(str(entry.get("unit") or ""), str(ucd or ""), str(entry.get("description") or ""))
