"""What the metadata of a Parquet file say of its columns: fields of Arrow, a VOTable header, the YAML of astropy.

A VOTable without rows in the metadata makes a file VOParquet
(https://www.ivoa.net/documents/Notes/VOParquet/20250116/), as TOPCAT, TAP services and HATS write it. astropy writes
YAML; where it has masked columns, these are two columns of the file each, values and mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from galviz.errors import IngestError
from galviz.foreign import first_line
from galviz.ingest.readers.ecsv import described, meta_of, note_of, read_yaml, says_simulated
from galviz.ingest.readers.table import NOTHING, ColumnNote

CONTENT = b"IVOA.VOTable-Parquet.content"
_YAML = b"table_meta_yaml"
_MOST_XML, _MOST_YAML = 16 << 20, 1 << 20  # bytes


@dataclass(frozen=True)
class Description:
    """What is said of each column, whether the sources are simulated, and the column that masks another one."""

    notes: Mapping[str, ColumnNote] = field(default_factory=dict)
    simulated: bool = False
    masks: Mapping[str, str] = field(default_factory=dict)

    def completed(self, other: Description) -> Description:
        """With what another one says besides."""
        names = dict.fromkeys((*self.notes, *other.notes))
        notes = {name: _completed(self.notes.get(name, NOTHING), other.notes.get(name, NOTHING)) for name in names}
        return Description(notes, self.simulated or other.simulated, {**other.masks, **self.masks})


def _completed(note: ColumnNote, other: ColumnNote) -> ColumnNote:
    return ColumnNote(
        note.unit or other.unit, note.ucd or other.ucd, note.description or other.description, note.null or other.null
    )


def description_of(path: Path, schema: Any) -> Description:
    """What the Arrow schema of a file says; raises IngestError where its VOTable or its YAML is damaged.

    Of what is said twice, the fields count before the VOTable, and that before the YAML.
    """
    metadata = schema.metadata or {}
    found = Description(_of_fields(schema), metadata.get(b"simulated") in (b"yes", b"true"))
    if CONTENT in metadata:
        found = found.completed(Description(_of_votable(path, metadata[CONTENT])))
    if _YAML in metadata:
        found = found.completed(_of_yaml(path, metadata[_YAML], schema.names))
    return replace(found, notes={name: note for name, note in found.notes.items() if note != NOTHING})


def _of_fields(schema: Any) -> dict[str, ColumnNote]:
    notes = {}
    for entry in schema:
        words = {key: (entry.metadata or {}).get(key.encode(), b"") for key in ("unit", "ucd", "description")}
        notes[entry.name] = ColumnNote(**{key: value.decode("utf-8", "replace") for key, value in words.items()})
    return notes


def _of_votable(path: Path, content: bytes) -> dict[str, ColumnNote]:
    """What the fields of the first table say."""
    if len(content) > _MOST_XML:
        raise IngestError(f"The VOTable header of {path} is longer than 16 MB; make the file again.")
    try:
        text = content.decode()
        if "<!DOCTYPE" in text:
            raise IngestError(f"The VOTable header of {path} declares a document type, which none needs; remove it.")
        root = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise IngestError(f"The VOTable header of {path} is no XML: {first_line(error)}; make it again.") from error
    table = next((entry for entry in root.iter() if _tag(entry) == "TABLE"), None)
    fields = [] if table is None else [entry for entry in table if _tag(entry) == "FIELD"]
    return {name: _of_field(entry) for entry in fields if (name := entry.get("name") or entry.get("ID"))}


def _tag(element: ElementTree.Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def _of_field(element: ElementTree.Element) -> ColumnNote:
    parts = {_tag(part): part for part in element}
    words = " ".join((parts["DESCRIPTION"].text or "").split()) if "DESCRIPTION" in parts else ""
    null = parts["VALUES"].get("null", "") if "VALUES" in parts else ""
    return ColumnNote(element.get("unit", "").strip(), element.get("ucd", "").strip(), words, null.strip())


def _of_yaml(path: Path, content: bytes, names: list[str]) -> Description:
    if len(content) > _MOST_YAML:
        raise IngestError(f"The YAML header of {path} is longer than 1 MB; make the file again.")
    header = read_yaml(path, content.decode("utf-8", "replace").splitlines())
    notes = {name: note_of(entry) for name, entry in described(path, header).items()}
    return Description(
        notes, says_simulated(header), _masks(path, meta_of(header).get("__serialized_columns__"), names)
    )


def _masks(path: Path, serialized: Any, names: list[str]) -> dict[str, str]:
    """The columns of flags that say where others have no value, by the names of these."""
    entries = serialized.values() if isinstance(serialized, Mapping) else ()
    pairs = {}
    for entry in entries:
        parts = [entry.get(key) if isinstance(entry, Mapping) else None for key in ("data", "mask")]
        data, mask = (part.get("name") if isinstance(part, Mapping) else None for part in parts)
        if data in names and mask is not None:
            if mask not in names:
                raise IngestError(f"{path} lacks the column {mask}, which says where {data} has none; make it again.")
            pairs[data] = mask
    return pairs
