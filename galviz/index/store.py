"""An index on disk as mapped arrays, each of them verified when it is first used.

index.json                        layout, checksums of all files and of itself; written last
columns/NAME.npy                  columns in row order
plane-K/columns/NAME.npy          a plane's coordinates and carried columns, in its order
plane-K/zones/NAME.npy            smallest and largest of each block of a column
plane-K/bounds.npy, spans.npy     places and y of the strips
plane-K/home.npy                  place in plane 0 of each place, K > 0
plane-0/rows.npy, to-K.npy        catalogue row and place in plane K of each place in plane 0
plane-K/sample/NAME.npy           a sample; plane-K/weight.npy and floor.npy belong to it
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue, write_text
from galviz.index.files import Facts, checksum, file_checksum, raw_bytes
from galviz.index.layout import Layout, PlaneLayout

FORMAT = 2
FACTS = "index.json"
SMALL = 256 << 20  # an index of fewer bytes is verified as a whole when it is opened

Key = TypeVar("Key", bound=Hashable)


class Damage(Exception):
    """What is wrong with an index, as a clause."""


class StoredArray:
    """A read-only array over a mapped file, compared with its checksum once, when it is first asked for."""

    def __init__(self, root: Path, name: str, facts: Facts, damaged: Callable[[Damage], Exception]) -> None:
        self.name, self._facts, self._damaged = name, facts, damaged
        self._path = root / name
        self._lock, self._verified = threading.Lock(), False
        self._raw = raw_bytes(self._path)
        start = facts.start
        if len(self._raw) != facts.nbytes:
            raise Damage(f"{name} has {len(self._raw)} bytes, not {facts.nbytes}")
        if self._raw[: len(start)].tobytes() != start:
            raise Damage(f"{name} is of another type or shape")
        self._array: NDArray[Any] = self._raw[len(start) :].view(facts.dtype).reshape(facts.shape)

    @property
    def nbytes(self) -> int:
        return self._facts.nbytes

    @property
    def shape(self) -> tuple[int, ...]:
        return self._facts.shape

    def get(self) -> NDArray[Any]:
        """The array. Raises StaleIndexError when the file is not what was written."""
        with self._lock:
            if not self._verified:
                self._compare(checksum(self._raw))
                self._verified = True
        return self._array

    def check(self) -> None:
        """Verify the file without keeping it in memory. Raises StaleIndexError and OSError."""
        self._compare(file_checksum(self._path))

    def _compare(self, found: int) -> None:
        if f"{found:016x}" != self._facts.checksum:
            raise self._damaged(Damage(f"{self.name} is not what was written"))


class StoredArrays(Mapping[Key, NDArray[Any]]):
    """Arrays by name, each verified at the first look-up."""

    def __init__(self, files: Mapping[Key, StoredArray]) -> None:
        self._files = files

    def __getitem__(self, key: Key) -> NDArray[Any]:
        return self._files[key].get()

    def __contains__(self, key: object) -> bool:
        return key in self._files

    def __iter__(self) -> Iterator[Key]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


@dataclass(frozen=True, eq=False)
class Sample:
    """A stratified sample of a plane: stored values of every indexed column, in the order of the plane.

    `weight` is how many rows each sampled row stands for; the rows without coordinates are sampled too and come last.
    `floor` (64, 64) holds, by y cell and x cell, the sum over classes of w * (w - 1): the squared error that sources
    leave open which the sample cannot see. 0 where every row is sampled.
    """

    columns: Mapping[str, NDArray[Any]]
    floor: NDArray[np.float64]
    stored_weight: StoredArray

    @property
    def weight(self) -> NDArray[np.float32]:
        return self.stored_weight.get()


@dataclass(frozen=True, eq=False)
class Plane:
    """One sorted copy of the rows; see `galviz.index.layout`.

    `size` places with padding; `bounds` (strips, groups + 1) the places where each group of each strip starts and
    ends, the last strip being the rows without coordinates; `spans` (strips, 2) the smallest and largest y of each
    strip, NaN for the last one; `columns` x, y and the carried columns by name; `zones` (blocks, 2) their smallest and
    largest stored value in each block; `tables` the values of coded columns.
    """

    number: int
    layout: PlaneLayout
    size: int
    bounds: NDArray[np.int64]
    spans: NDArray[np.float64]
    columns: Mapping[str, NDArray[Any]]
    zones: Mapping[str, NDArray[np.float64]]
    tables: Mapping[str, NDArray[np.float64]]
    sample: Sample | None
    stored_home: StoredArray | None

    @property
    def strips(self) -> int:
        """Number of strips, that of the rows without coordinates included."""
        return len(self.bounds)

    @property
    def home(self) -> NDArray[np.uint32] | None:
        """The place in plane 0 of each place; None for plane 0 itself."""
        return None if self.stored_home is None else self.stored_home.get()


@dataclass(frozen=True, eq=False)
class Index:
    """The index of one version of a catalogue: `columns` in row order (those that fit), and the sorted `planes`.

    `to[k]` is the place in plane k of each place of plane 0. `identity` is the same for the same content only.
    """

    path: Path
    layout: Layout
    columns: Mapping[str, NDArray[Any]]
    planes: tuple[Plane, ...]
    to: Mapping[int, NDArray[np.uint32]]
    files: Mapping[str, StoredArray]
    identity: str

    @property
    def rows(self) -> int:
        return self.layout.rows

    @property
    def row(self) -> NDArray[np.uint32]:
        """The catalogue row of each place of plane 0; empty without planes."""
        return self.files[rows_file(0)].get() if self.planes else np.empty(0, np.uint32)


def column_file(name: str) -> str:
    return f"columns/{name}.npy"


def plane_file(number: int, what: str) -> str:
    """The file of `what` in a plane: bounds, spans, home, floor or weight."""
    return f"plane-{number}/{what}.npy"


def plane_column_file(number: int, name: str) -> str:
    return f"plane-{number}/columns/{name}.npy"


def zones_file(number: int, name: str) -> str:
    return f"plane-{number}/zones/{name}.npy"


def sample_file(number: int, name: str) -> str:
    return f"plane-{number}/sample/{name}.npy"


def rows_file(number: int) -> str:
    return plane_file(number, "rows")


def to_file(number: int) -> str:
    return plane_file(0, f"to-{number}")


def plane_columns(layout: Layout, number: int) -> tuple[str, ...]:
    """What a plane has a copy of: its coordinates, then the carried columns."""
    plane = layout.planes[number]
    return tuple(dict.fromkeys((plane.x, plane.y, *layout.carried)))


def seal(root: Path, digest: str, layout: Layout, files: Mapping[str, Facts]) -> None:
    """Write the facts of an index into its folder `root`; without them it is none."""
    known = {
        name: {"dtype": facts.dtype, "shape": list(facts.shape), "checksum": facts.checksum}
        for name, facts in sorted(files.items())
    }
    content = {"format": FORMAT, "manifest": digest, "layout": layout.to_json(), "files": known}
    write_text(root / FACTS, _sealed_text(content))


def _sealed_text(content: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return json.dumps({**content, "checksum": digest}, indent=1) + "\n"


def map_index(root: Path, catalogue: Catalogue, damaged: Callable[[Damage], Exception]) -> Index:
    """Map the index in the folder `root`; verifies what is small, and all of it where it is small as a whole.

    Raises Damage, or what `damaged` makes of one when an array is first used.
    """
    try:
        text = (root / FACTS).read_text(encoding="utf-8")
        facts = json.loads(text)
        if facts["format"] != FORMAT:
            raise Damage(f"it is of format {facts['format']}, this galviz reads format {FORMAT}")
        if text != _sealed_text({name: value for name, value in facts.items() if name != "checksum"}):
            raise Damage(f"{FACTS} is not what was written")
        if facts["manifest"] != catalogue.digest:
            raise Damage("it was made from another version")
        layout = Layout.from_json(facts["layout"])
        files = {name: StoredArray(root, name, Facts.from_json(raw), damaged) for name, raw in facts["files"].items()}
        planes = tuple(_plane(layout, number, files) for number in range(len(layout.planes)))
        columns = {name: files[column_file(name)] for name in layout.loose}
        to = {number: files[to_file(number)] for number in range(1, len(planes))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damage(" ".join(str(error).split()).rstrip(".")) from error
    if sum(file.nbytes for file in files.values()) < SMALL:
        for file in files.values():
            file.get()
    return Index(root, layout, StoredArrays(columns), planes, StoredArrays(to), files, str(facts["checksum"]))


def _plane(layout: Layout, number: int, files: Mapping[str, StoredArray]) -> Plane:
    names = plane_columns(layout, number)
    columns = {name: files[plane_column_file(number, name)] for name in names}
    bounds = files[plane_file(number, "bounds")].get()
    tables = {name: np.array(layout.tables[name], float) for name in names if name in layout.tables}
    for values in tables.values():
        values.flags.writeable = False
    return Plane(
        number,
        layout.planes[number],
        columns[layout.planes[number].x].shape[0],
        bounds,
        files[plane_file(number, "spans")].get(),
        StoredArrays(columns),
        {name: files[zones_file(number, name)].get() for name in names},
        {
            name: values
            for name, values in tables.items()
            if name not in (layout.planes[number].x, layout.planes[number].y)
        },
        _sample(layout, number, files) if layout.sampled else None,
        files[plane_file(number, "home")] if number else None,
    )


def _sample(layout: Layout, number: int, files: Mapping[str, StoredArray]) -> Sample:
    start = sample_file(number, "")[: -len(".npy")]
    columns = {name[len(start) : -len(".npy")]: file for name, file in files.items() if name.startswith(start)}
    return Sample(StoredArrays(columns), files[plane_file(number, "floor")].get(), files[plane_file(number, "weight")])
