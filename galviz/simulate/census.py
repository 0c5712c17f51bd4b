"""Which sources are drawn: a table of weighted cells, sampled with one random number each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galviz.simulate.kernels import alias_table

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Census:
    """Weighted cells for each of several lines of sight, stored for Walker's alias method.

    keep: (sights, cells) float32, chance to keep the cell first hit; other: (sights, cells) int32, the cell to
    take instead; total: (sights,) summed weight.
    """

    keep: NDArray[np.float32]
    other: NDArray[np.int32]
    total: NDArray[np.float64]


def census(weight: Floats) -> Census:
    """Prepare weights of shape (sights, cells) for sampling (Walker 1977, ACM TOMS 3, 253)."""
    weight = np.ascontiguousarray(weight, dtype=np.float64)
    keep = np.empty(weight.shape, np.float32)
    other = np.empty(weight.shape, np.int32)
    for sight in range(len(weight)):
        alias_table(weight[sight], keep[sight], other[sight])
    return Census(keep, other, weight.sum(axis=1))


def logistic(excess: Floats, width: float) -> Floats:
    """Soft threshold: 1 where `excess` is well below zero, 0 well above."""
    return np.asarray(1 / (1 + np.exp(np.clip(excess / width, -40, 40))))


def w1_limit(labelled: bool) -> float:
    """W1 beyond which a source is listed only if a neighbour in the beam adds its light.

    The catalogue is nearly complete to 17.1 (Wright et al. 2010, AJ 140, 1868); spectra lie at high latitudes and on
    chosen targets, where matches reach half a magnitude deeper.
    """
    return 17.9 if labelled else 17.1


def detected(w1: Floats, labelled: bool) -> Floats:
    """Chance that WISE lists a source of magnitude `w1`: its own light, or a blend with a neighbour in the beam."""
    return np.asarray(logistic(w1 - w1_limit(labelled), 0.2) + (0.02 if labelled else 0.01) * logistic(w1 - 20.5, 0.3))
