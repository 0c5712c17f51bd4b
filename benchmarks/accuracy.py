"""How good the first answers are: blocks of pixels against the exact counts, and classes that must not vanish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scenarios import CLASS, viewports
from galviz.catalogue import Catalogue
from galviz.clauses import OneOf, Range
from galviz.draw import Request, draw_many
from galviz.selection import Selection

SIDE = 16  # pixels of a block
ERRORS = 3.0
FEW = 1_000  # selected sources from which on a class must be visible
WINDOWS = ("psf_r", "umap_x", "sky_x", "dec", "p_best")


def block_sums(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Sums over blocks of 16x16 pixels, shape (blocks in y, blocks in x, ...); those at the edge are smaller."""
    rows, columns = (np.arange(0, size, SIDE) for size in picture.shape[:2])
    return np.add.reduceat(np.add.reduceat(picture.astype(np.float64), rows, axis=0), columns, axis=1)


@dataclass(frozen=True)
class Agreement:
    """How many blocks hold a source, by the estimate or in truth, and in how many the two agree."""

    blocks: int
    within: int
    hidden: tuple[str, ...]  # classes with many sources in the picture and none in the estimate
    exact: bool  # the first answer was the exact one

    @property
    def share(self) -> float:
        return self.within / self.blocks if self.blocks else 1.0


def agreement(estimate: Any, exact: Any, by_class: bool = False) -> Agreement:
    """Compare a first answer, counts per class with `standard_error`, with the exact one.

    A block counts when either holds a source. With `by_class` each class of a block is one comparison, else all
    classes together are; errors are added in quadrature.
    """
    counts = block_sums(np.asarray(exact))
    if estimate.attrs.get("exact"):
        return Agreement(counts[..., 0].size, counts[..., 0].size, (), True)
    guesses = block_sums(np.asarray(estimate))
    variance = block_sums(np.asarray(estimate.attrs["standard_error"], np.float64) ** 2)
    if not by_class:
        counts, guesses, variance = counts.sum(axis=2), guesses.sum(axis=2), variance.sum(axis=2)
    held = (counts > 0) | (guesses > 0)
    within = np.abs(guesses - counts) <= ERRORS * np.sqrt(variance) + 1e-5 * counts
    names = [str(name) for name in exact.coords[exact.dims[2]].values]
    sums = np.asarray(exact).sum(axis=(0, 1)), np.asarray(estimate).sum(axis=(0, 1))
    hidden = tuple(name for name, truth, guess in zip(names, *sums, strict=True) if truth >= FEW and not guess > 0)
    return Agreement(int(held.sum()), int((held & within).sum()), hidden, False)


def narrow_selections(catalogue: Catalogue, seed: int = 0) -> Iterator[tuple[str, Selection]]:
    """For each class windows of several columns that hold about 1,000 to 3,000 of its sources, and no other class."""
    rng = np.random.default_rng(seed)
    part = catalogue.read_part(0, (*WINDOWS, CLASS))
    scale = catalogue.rows / len(part[CLASS])
    for code, name in enumerate(catalogue.manifest.class_names):
        own = part[CLASS] == code
        for column in WINDOWS:
            values = np.sort(part[column][own].astype(float))
            wanted = max(1, round(rng.uniform(1_300, 2_700) / scale))
            if wanted + 1 >= len(values):
                continue
            start = int(rng.integers(0, len(values) - wanted - 1))
            window = Range(column, float(values[start]), float(values[start + wanted]), include_high=False)
            if window.low != window.high:
                yield name, Selection().choose("class", OneOf(CLASS, (name,))).choose(column, window)


@dataclass(frozen=True)
class Rare:
    """How many narrow selections of one class there were, and those of which a view showed nothing."""

    pictures: int
    blank: tuple[str, ...]
    fewest: int  # pixels that showed something in the poorest picture


def rare_classes(catalogue: Catalogue) -> Rare:
    """Draw narrow selections of every class, first and exact answer, and look for blank pictures."""
    pictures, blank, fewest = 0, [], 10**9
    for name, selection in narrow_selections(catalogue):
        requests = [Request(view, selection, by=CLASS) for view in viewports(catalogue)]
        answers = zip(*(draw_many(catalogue, requests, exact=exact) for exact in (False, True)), strict=True)
        for request, (first, exact) in zip(requests, answers, strict=True):
            if int(np.asarray(exact).sum()) < FEW:
                continue
            shown = int((np.asarray(first).sum(axis=2) > 0).sum())
            pictures, fewest = pictures + 1, min(fewest, shown)
            if not shown:
                blank.append(f"{name} in {request.view.x}, {request.view.y}: {selection}")
    return Rare(pictures, tuple(blank), fewest if pictures else 0)


def summary(agreements: Sequence[Agreement]) -> float:
    """The share of blocks that agree, all pictures together."""
    blocks = sum(entry.blocks for entry in agreements)
    return sum(entry.within for entry in agreements) / blocks if blocks else 1.0
