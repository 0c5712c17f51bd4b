"""Where columns live: a catalogue is a folder of Parquet parts with a manifest.

The manifest is written last and renamed into place, so a folder without a manifest is not a catalogue.

A HATS catalogue that galviz exported has one too and is opened in place; its classes are stored by name. One that
others made gets its manifest when something is first written beside its files (`galviz.ingest.inplace`).

Columns that come later (probabilities, an embedding) lie in sidecar parts of the same row order; adding
them writes a manifest of the next version and gives a new `Catalogue` value.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galviz.disk import put, replacing
from galviz.errors import CatalogueError
from galviz.foreign import read_foreign
from galviz.formulas import FORMULAS
from galviz.manifest import Column, Group, Manifest, Part, stamp
from galviz.selection import Selection

MANIFEST = "manifest.json"
TALLIES = "galviz.tallies"  # the key of `tallies` in the metadata of a part
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Catalogue:
    """A catalogue on disk at one version: cheap to make, hashable by place and version."""

    path: Path
    manifest: Manifest = dataclasses.field(compare=False)
    digest: str = ""

    @property
    def rows(self) -> int:
        return self.manifest.rows

    @property
    def parts(self) -> int:
        """Number of parts; every group of columns has the same."""
        return len(self.manifest.groups[0].parts)

    @property
    def is_in_place(self) -> bool:
        """Whether the parts are files that galviz did not write."""
        return bool(self.manifest.groups[0].readings)

    def check_writable(self) -> None:
        """Raise CatalogueError where nothing can be written beside files that galviz did not write."""
        if self.is_in_place and not os.access(self.path, os.W_OK | os.X_OK):
            raise CatalogueError(
                f"Nothing can be written into {self.path}; make a copy elsewhere with `galviz ingest {self.path} OUT`."
            )

    def keep_manifest(self) -> None:
        """Write the manifest of a catalogue that was opened without one. Raises CatalogueError."""
        if not (self.path / MANIFEST).exists():
            write_text(self.path / MANIFEST, self.manifest.to_json())

    def read_part(self, part: int, columns: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """The columns of one part as NumPy arrays; classes as codes, derived columns computed."""
        manifest = self.manifest
        wanted = list(manifest.columns) if columns is None else [manifest.column(name).name for name in columns]
        derived = {name: manifest.columns[name] for name in wanted if manifest.columns[name].formula}
        needed = dict.fromkeys(
            name for wish in wanted for name in (derived[wish].formula[1:] if wish in derived else (wish,))
        )
        stored: dict[str, NDArray[Any]] = {}
        for group in manifest.groups:
            names = [column.name for column in group.columns if column.name in needed]
            if names:
                stored.update(_read(self.path, group, part, names, manifest.class_names))
        if wrong := next((name for name in stored if stored[name].dtype != manifest.columns[name].dtype), None):
            found, expected = stored[wrong].dtype, manifest.columns[wrong].dtype
            raise CatalogueError(
                f"{wrong} in part {part} of {self.path} is {found}, not {expected}; make the catalogue again."
            )
        return {name: _derive(derived[name], stored) if name in derived else stored[name] for name in wanted}

    def tallies(self, part: int) -> dict[str, Any]:
        """The `tallies` of every stored column of a part: as it was written, else by reading it."""
        result: dict[str, Any] = {}
        for group in self.manifest.groups:
            result |= {} if group.readings else _written_tallies(self.path / group.parts[part].path)
        names = [column.name for group in self.manifest.groups for column in group.columns]
        rest = [self.manifest.columns[name] for name in names if name not in result]
        return result | (tallies(rest, self.read_part(part, [column.name for column in rest])) if rest else {})

    def read_frame(self, part: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The columns of one part as a data frame; classes as categories."""
        arrays = self.read_part(part, columns)
        names = list(arrays) if columns is None else list(columns)
        return pd.DataFrame({name: self.labelled(name, arrays[self.manifest.column(name).name]) for name in names})

    def labelled(self, column: str, values: NDArray[Any]) -> Any:
        """Class codes as a categorical with the names of the classes; other values as they are."""
        if self.manifest.column(column).kind != "class":
            return values
        names = pd.Index(self.manifest.class_names, dtype=object)
        return pd.Categorical.from_codes(values, categories=names)

    def frame(self, columns: Sequence[str] | None = None, selection: Selection | str | None = None) -> Any:
        """The catalogue as a `dask.dataframe`, one partition a part, rows in file order.

        `columns` None gives all; `selection` is a Selection or its text. Raises SelectionError for a name
        that the manifest does not know.
        """
        chosen = as_selection(selection)
        names = list(self.manifest.columns) if columns is None else list(columns)
        for name in (*names, *chosen.columns):
            self.manifest.column(name)
        empty = pd.DataFrame(
            {name: self.labelled(name, np.empty(0, self.manifest.column(name).dtype)) for name in names}
        )
        return dd.from_map(
            _selected_part, range(self.parts), catalogue=self, columns=names, selection=chosen, meta=empty
        )

    def count(self, selection: Selection | str | None = None) -> int:
        """The exact number of selected sources, read part by part."""
        chosen = as_selection(selection)
        if not chosen:
            return self.rows
        return sum(int(chosen.mask(self.read_frame(part, chosen.columns)).sum()) for part in range(self.parts))

    def add_columns(
        self,
        name: str,
        columns: Sequence[Column],
        parts: Iterable[Arrays],
        provenance: Mapping[str, Any] | None = None,
    ) -> Catalogue:
        """Write sidecar columns, one mapping of arrays a part in order, and return the next version.

        A sidecar of the same name is replaced. Nothing changes when `parts` raises or a part has another
        number of rows.
        """
        self.check_writable()
        taken = {c.name for g in self.manifest.groups if g.name != name for c in g.columns}
        if clash := taken & {column.name for column in columns}:
            raise CatalogueError(f"The catalogue {self.manifest.name} already has a column {sorted(clash)[0]!r}.")
        version = self.manifest.version + 1
        folder = self.path / "sidecars" / f"{name}-{version}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            written = []
            for number, (arrays, part) in enumerate(zip(parts, self.manifest.groups[0].parts, strict=False)):
                made = write_part(folder / f"part-{number:05d}.parquet", self.path, columns, arrays)
                if made.rows != part.rows:
                    raise CatalogueError(f"Part {number} of {name} has {made.rows} rows, expected {part.rows}.")
                written.append(made)
            if len(written) < self.parts:
                raise CatalogueError(f"{name} has {len(written)} of {self.parts} parts.")
            group = Group(name, tuple(columns), tuple(written), {**(provenance or {}), **stamp()})
            others = tuple(entry for entry in self.manifest.groups if entry.name != name)
            text = dataclasses.replace(self.manifest, version=version, groups=(*others, group)).to_json()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            write_text(self.path / MANIFEST, text)
        except BaseException:
            if (self.path / MANIFEST).read_text(encoding="utf-8") != text:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        for old in self.manifest.groups:
            if old.name == name:
                shutil.rmtree((self.path / old.parts[0].path).parent, ignore_errors=True)
        return open_catalogue(self.path)


def _selected_part(part: int, catalogue: Catalogue, columns: list[str], selection: Selection) -> pd.DataFrame:
    frame = catalogue.read_frame(part, list(dict.fromkeys((*columns, *selection.columns))))
    if selection:
        frame = frame[selection.mask(frame)]
    return frame[columns]


def _read(root: Path, group: Group, number: int, names: list[str], classes: Sequence[str]) -> dict[str, NDArray[Any]]:
    part = group.parts[number]
    path = root / part.path
    if group.readings:
        return read_foreign(path, part.rows, group, names, classes)
    try:
        table = pq.read_table(path, columns=names, page_checksum_verification=True, memory_map=True, partitioning=None)
        arrays = {name: _coded(table.column(name), classes).to_numpy() for name in names}
    except (OSError, KeyError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    if table.num_rows != part.rows:
        raise CatalogueError(f"{path} has {table.num_rows} rows, not {part.rows}; make the catalogue again.")
    return arrays


def _written_tallies(path: Path) -> dict[str, Any]:
    """The tallies in the footer of a part; empty where it was written without."""
    try:
        notes = pq.read_schema(path).metadata or {}
        result: dict[str, Any] = json.loads(notes.get(TALLIES.encode(), b"{}"))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    return result


def _damaged(path: Path, error: BaseException) -> CatalogueError:
    reason = " ".join(str(error).split()).rstrip(".")
    return CatalogueError(f"Cannot read {path}: {reason}; make the catalogue again.")


def _coded(values: Any, classes: Sequence[str]) -> Any:
    """Names of classes, as a catalogue in HATS has them, as codes; other values as they are."""
    if not pa.types.is_string(values.type):
        return values
    return pc.index_in(values, pa.array(classes, pa.string())).fill_null(-1).cast(pa.int8())


def _derive(column: Column, stored: Arrays) -> NDArray[Any]:
    kind, *names = column.formula
    result: NDArray[Any] = FORMULAS[kind](*(stored[name] for name in names)).astype(column.dtype)
    return result


def as_selection(selection: Selection | str | None) -> Selection:
    """A Selection, its text or None, as a Selection."""
    if selection is None:
        return Selection()
    return Selection.parse(selection) if isinstance(selection, str) else selection


def open_catalogue(path: str | os.PathLike[str]) -> Catalogue:
    """Open the catalogue in the folder `path`; reads the manifest only.

    Raises CatalogueError when there is no manifest, or it cannot be read, or a part is missing.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CatalogueError(f"There is no catalogue at {folder}: no such folder; make one with `galviz demo`.")
    file = folder / MANIFEST
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise CatalogueError(
            f"{folder} is not a catalogue: it has no {MANIFEST}; make one with `galviz ingest` or `galviz simulate`."
        ) from None
    except OSError as error:
        raise CatalogueError(f"Cannot read {file}: {error.strerror}.") from error
    try:
        manifest = Manifest.from_json(data.decode())
    except CatalogueError as error:
        raise CatalogueError(f"The manifest {file} {error}; make the catalogue again.") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CatalogueError(f"The manifest {file} is damaged ({error!r}); make the catalogue again.") from error
    for group in manifest.groups:
        for part in group.parts:
            if not (folder / part.path).is_file():
                remedy = "fetch" if group.readings else "make"
                raise CatalogueError(f"The catalogue {folder} lacks {part.path}; {remedy} the catalogue again.")
    return Catalogue(folder.resolve(), manifest, digest_of(data))


def digest_of(manifest: bytes) -> str:
    """What tells one version of a catalogue from any other, from the bytes of its manifest."""
    return hashlib.sha256(manifest).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whatever happens.

    Raises CatalogueError when it cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> CatalogueError:
    """The sentence for a full disk, a missing permission and their like."""
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split()).rstrip(".")
    return CatalogueError(f"Cannot write {path}: {reason}; make room or choose another folder, and run it again.")


def write_part(path: Path, root: Path, columns: Sequence[Column], arrays: Arrays) -> Part:
    """Write one Parquet part with page checksums and return its entry for the manifest.

    Raises CatalogueError when the arrays are not those of `columns` or the disk is full.
    """
    names = [column.name for column in columns]
    if missing := set(names) ^ set(arrays):
        raise CatalogueError(f"The part {path.name} and its columns do not agree on {sorted(missing)}.")
    stored = {c.name: np.ascontiguousarray(arrays[c.name], dtype=c.dtype) for c in columns}
    table = pa.table(stored).replace_schema_metadata({TALLIES: json.dumps(tallies(columns, stored))})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            pq.write_table(
                table, file, compression="zstd", compression_level=1, write_page_checksum=True, use_dictionary=False
            )
    except OSError as error:
        raise cannot_write(path, error) from error
    return Part(str(path.relative_to(root)), table.num_rows, file.sha256)


def check_place(path: Path, overwrite: bool) -> None:
    """Raise CatalogueError unless a new catalogue may come to be at `path`."""
    if path.exists() and not overwrite:
        raise CatalogueError(f"{path} exists already; choose another folder or say --overwrite.")
    if path.exists() and not path.is_dir():
        raise CatalogueError(f"{path} is a file and is not overwritten; choose another folder.")
    if path.exists() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        raise CatalogueError(f"{path} is not a catalogue and is not overwritten; choose another folder.")
    if (path / MANIFEST).is_file() and _has_foreign_parts(path):
        raise CatalogueError(
            f"{path} holds files that galviz did not write and is not overwritten; choose another folder."
        )


def _has_foreign_parts(folder: Path) -> bool:
    """Whether galviz did not write the parts of the catalogue in `folder`; of a damaged one, whether that may be."""
    try:
        return any(group.get("readings") for group in json.loads((folder / MANIFEST).read_bytes())["groups"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return (folder / "dataset").exists()


def tallies(columns: Sequence[Column], arrays: Arrays) -> dict[str, Any]:
    """What is to be known of the values of each column without reading them again, as numbers, lists and mappings.

    Of numbers `missing`, the values that are not finite, and `min` and `max` of the others, None where there is none;
    of classes `counts` by code.
    """
    return {column.name: _tally(column, arrays[column.name]) for column in columns}


def _tally(column: Column, values: NDArray[Any]) -> dict[str, Any]:
    if column.kind == "class":
        counts = np.bincount(values.view(np.uint8), minlength=256)
        codes = np.arange(256, dtype=np.uint8).view(np.int8)
        return {"counts": {str(code): int(count) for code, count in zip(codes, counts, strict=True) if count}}
    finite = np.isfinite(values)
    known = values if finite.all() else values[finite]
    low, high = (known.min().item(), known.max().item()) if len(known) else (None, None)
    return {"missing": len(values) - len(known), "min": low, "max": high}


@dataclass
class CatalogueWriter:
    """Write a new catalogue: parts from any thread, then the manifest, then one rename.

    Use as a context manager; when the block raises, nothing is left at `path`.
    """

    path: Path
    columns: tuple[Column, ...]
    manifest: Manifest
    overwrite: bool = False

    def __post_init__(self) -> None:
        self.path = Path(os.path.realpath(self.path))
        check_place(self.path, self.overwrite)
        self._folder = self.path.with_name(f".{self.path.name}.partial")
        self._parts: dict[int, Part] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> CatalogueWriter:
        try:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return self

    def write(self, number: int, arrays: Arrays) -> None:
        """Write part `number`; the numbers of all parts are 0, 1, 2 ... in row order when the block ends."""
        part = write_part(self._folder / "parts" / f"part-{number:05d}.parquet", self._folder, self.columns, arrays)
        with self._lock:
            self._parts[number] = part

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _finish(self) -> None:
        if missing := set(range(len(self._parts))) - set(self._parts):
            raise CatalogueError(f"The catalogue {self.path} lacks part {min(missing)}; nothing was written.")
        parts = tuple(self._parts[number] for number in range(len(self._parts)))
        provenance = {**self.manifest.groups[0].provenance, **stamp()} if self.manifest.groups else stamp()
        group = Group("base", self.columns, parts, provenance)
        manifest = dataclasses.replace(self.manifest, groups=(group,))
        if manifest.rows == 0:
            raise CatalogueError(f"No row is left for the catalogue {self.path}; nothing was written.")
        write_text(self._folder / MANIFEST, manifest.to_json())
        try:
            put(self._folder, self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error


def blocks(rows: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows that cover `rows`."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
