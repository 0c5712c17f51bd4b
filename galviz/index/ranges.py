"""A range that shows nearly all values of a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.manifest import Column

_FURTHEST = 1e299  # beyond it the width of a range is no number any more
_NARROWEST = 1e-280


def shown_range(column: Column, values: NDArray[Any]) -> tuple[float, float]:
    """A range of `values` of a column that outliers beyond 1 in 2,000 on either side do not widen; it always grows.

    Positive for a column of logarithmic scale; (0, 1) or (0.001, 1) when there is no finite value.
    """
    log = column.scale == "log"
    known = np.asarray(values, float)
    known = known[np.isfinite(known) & (known > 0)] if log else known[np.isfinite(known)]
    if not known.size:
        return (0.001, 1.0) if log else (0.0, 1.0)
    low, high = (float(n) for n in np.percentile(np.clip(known, -_FURTHEST, _FURTHEST), (0.05, 99.95)))
    if log:
        low = max(low / 1.2, _NARROWEST)
        return low, max(high * 1.2, low * 1.2)
    margin, size = 0.04 * (high - low), max(abs(low), abs(high))
    if margin <= 1e-12 * size:
        margin = max(0.5, 1e-6 * size)
    return low - margin, high + margin
