"""A catalogue of any size for benchmarks, tiled from a simulated one: ``python -m benchmarks.tiling OUT --rows N``.

The base is simulated, classified and embedded once; it lies beside OUT. Each tile takes its rows in another order
and moves each a little, so that no two rows are alike and what columns say of each other stays: a source keeps its
class and probabilities, its magnitudes shift together, and its place on the sky and in the embedding shifts by about
the distance to its neighbours. Uncertainties, extinctions and flags, which no view or filter reads, are left out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz import classify
from galviz.catalogue import MANIFEST, Catalogue, CatalogueWriter, blocks, open_catalogue
from galviz.disk import room
from galviz.embed import embed
from galviz.errors import GalvizError
from galviz.manifest import Column, new_manifest
from galviz.progress import Report
from galviz.simulate.catalogue import simulate
from galviz.simulate.sky import in_footprint
from galviz.surveys import SDSS_WISE

Columns = dict[str, NDArray[Any]]

BASE_ROWS = 2_000_000
LABELLED_ROWS = 80_000
PART = 250_000
THREADS = 2
LEFT_OUT = frozenset({"uncertainty", "extinction", "flag"})
TOGETHER, APART = 0.015, 0.003  # mag, by which all bands of a source shift and each of them on its own
SKY, SKY_EDGE = 1.0, 0.02  # degrees; the second where the first would leave the footprint
EMBEDDING = 0.02
RESOLVED = 0.03  # relative


@dataclass(frozen=True)
class Base:
    """The columns of the base in memory, each of length `rows`, and what they are."""

    rows: int
    columns: tuple[Column, ...]
    values: Mapping[str, NDArray[Any]] = field(repr=False)

    def of_role(self, role: str) -> list[str]:
        return [column.name for column in self.columns if column.role == role]


def make_base(folder: Path, rows: int = BASE_ROWS, seed: int = 0) -> Catalogue:
    """The simulated, classified and embedded catalogue of `rows` in `folder`; steps that are done are not repeated."""
    path = folder / f"base-{rows}-{seed}"
    if not (path / MANIFEST).is_file():
        with Report(f"simulate {path.name}", lines=True) as report:
            simulate(path, rows, seed, progress=report)
    catalogue = open_catalogue(path)
    if not catalogue.manifest.of_role("prediction"):
        model = _model(folder, seed)
        with Report(f"classify {path.name}", lines=True) as report:
            catalogue = classify.classify(catalogue, model, progress=report)
    if not catalogue.manifest.of_role("embedding"):
        with Report(f"embed {path.name}", lines=True) as report:
            catalogue = embed(catalogue, progress=report)
    return catalogue


def _model(folder: Path, seed: int) -> classify.Model:
    file = folder / f"labelled-{seed}.model"
    if not file.is_file():
        path = folder / f"labelled-{seed}"
        if not (path / MANIFEST).is_file():
            simulate(path, LABELLED_ROWS, seed, labelled=True)
        with Report("train the model", lines=True) as report:
            classify.save(classify.train(open_catalogue(path), progress=report), file)
    return classify.load(file)


def read_base(catalogue: Catalogue) -> Base:
    """All columns that tiles have, in memory."""
    groups = catalogue.manifest.groups
    columns = tuple(column for group in groups for column in group.columns if column.role not in LEFT_OUT)
    parts = [catalogue.read_part(part, [column.name for column in columns]) for part in range(catalogue.parts)]
    values = {column.name: np.concatenate([part[column.name] for part in parts]) for column in columns}
    return Base(catalogue.rows, columns, values)


@lru_cache(maxsize=4)
def _order(rows: int, seed: int, tile: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.SFC64((seed, 0, tile))).permutation(rows)


def tiled(base: Base, rows: slice, seed: int = 0) -> Columns:
    """The given rows of the tiled catalogue; they follow from `base`, the slice and the seed alone."""
    numbers = np.arange(rows.start, rows.stop)
    tiles, places = np.divmod(numbers, base.rows)
    source = np.concatenate(
        [_order(base.rows, seed, tile)[places[tiles == tile]] for tile in np.unique(tiles).tolist()]
    )
    columns = {name: values[source] for name, values in base.values.items()}
    rng = np.random.Generator(np.random.SFC64((seed, 1, rows.start)))
    for name in base.of_role("id"):
        columns[name] = base.values[name][0] + numbers
    _move_on_the_sky(columns, *base.of_role("position")[:2], rng)
    _shift_magnitudes(columns, base.of_role("magnitude"), rng)
    for name in base.of_role("embedding"):
        columns[name] += EMBEDDING * _normal(rng, len(numbers))
    return columns


def _normal(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    return rng.standard_normal(size, dtype=np.float32)


def _move_on_the_sky(columns: Columns, ra: str, dec: str, rng: np.random.Generator) -> None:
    size = len(columns[ra])
    east, north = rng.standard_normal((2, size))
    stretch = 1 / np.maximum(np.cos(np.radians(columns[dec])), 0.05)

    def moved(step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (columns[ra] + step * east * stretch) % 360, np.clip(columns[dec] + step * north, -90, 90)

    far, near = moved(SKY), moved(SKY_EDGE)
    inside = in_footprint(*far)
    columns[ra], columns[dec] = (np.where(inside, a, b) for a, b in zip(far, near, strict=True))
    columns[ra][columns[ra] >= 360] = 0  # what the remainder of a tiny negative number rounds to


def _shift_magnitudes(columns: Columns, names: list[str], rng: np.random.Generator) -> None:
    size = len(columns[names[0]])
    side = np.sign(columns["psf_r"] - columns["cmod_r"])
    shift = TOGETHER * _normal(rng, size)
    for name in names:
        columns[name] += shift + APART * _normal(rng, size)
        if name.startswith("w"):
            np.round(columns[name], 3, out=columns[name])  # WISE lists thousandths
    columns["resolved_r"] *= np.exp(RESOLVED * _normal(rng, size))
    columns["cmod_r"] = columns["psf_r"] - side * columns["resolved_r"]


def make_tiled(out: str | os.PathLike[str], rows: int, seed: int = 0) -> Catalogue:
    """Write a catalogue of `rows` sources at `out` and open it.

    The base is made beside it if it is missing, no larger than the catalogue. Raises CatalogueError when `out` is
    taken; nothing is left at `out` then.
    """
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    large = (path.parent / f"base-{BASE_ROWS}-{seed}" / MANIFEST).is_file()
    base = read_base(make_base(path.parent, BASE_ROWS if large else min(rows, BASE_ROWS), seed))
    manifest = new_manifest(
        path.name,
        SDSS_WISE.name,
        {"simulated": True, "rows": rows, "seed": seed, "tiled": base.rows},
        title=f"{SDSS_WISE.title}, simulated and tiled",
        simulated=True,
        **SDSS_WISE.manifest_fields(base.columns),
    )
    needed = rows * sum(np.dtype(column.dtype).itemsize for column in base.columns)
    with (
        Report(f"tile {path.name}", lines=True) as report,
        room(path, needed),
        CatalogueWriter(path, base.columns, manifest) as writer,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        parts = list(blocks(rows, PART))
        work = pool.map(lambda item: writer.write(item[0], tiled(base, item[1], seed)), enumerate(parts))
        for part, _ in zip(parts, work, strict=True):
            report(part.stop / rows, f"{part.stop:,} of {rows:,} sources written")
    return open_catalogue(path)


def main(arguments: list[str] | None = None) -> None:
    """Make one catalogue."""
    parser = argparse.ArgumentParser(description="Make a catalogue of any size for benchmarks.")
    parser.add_argument("out", type=Path, help="folder to make; the base is kept beside it")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        print(make_tiled(options.out, options.rows, options.seed).path)
    except GalvizError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
