"""Counts per class as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.kernels.loops import loop

LEAST = np.float32(1e-6)


@loop
def totals_of(counts: NDArray[Any], out: NDArray[np.float32]) -> int:
    """Set `out` (height, width) to the sums over the classes of `counts` (height, width, classes); returns how many of
    them are positive."""
    number = 0
    for r in range(counts.shape[0]):
        for k in range(counts.shape[1]):
            total = np.float32(0)
            for c in range(counts.shape[2]):
                total += np.float32(counts[r, k, c])
            out[r, k] = total
            number += int(total > 0)
    return number


@loop
def mix_colours(
    counts: NDArray[Any],
    totals: NDArray[np.float32],
    tones: NDArray[np.float32],
    opacity: NDArray[np.uint8],
    out: NDArray[np.uint32],
) -> None:
    """Set the pixels of `out` (height, width) that are filled to the mean colour of their sources, red lowest.

    `tones` (classes, 3) are the colours of the classes, 0 to 255; `totals` those of `totals_of`. The pixels that are
    filled take their `opacity` one after the other.
    """
    filled = 0
    for r in range(counts.shape[0]):
        for k in range(counts.shape[1]):
            if not totals[r, k] > 0:
                continue
            share = np.float32(1) / max(totals[r, k], LEAST)
            pixel = np.uint32(opacity[filled]) << np.uint32(24)
            filled += 1
            for channel in range(3):
                tone = np.float32(0)
                for c in range(counts.shape[2]):
                    tone += np.float32(counts[r, k, c]) * tones[c, channel]
                pixel |= np.uint32(tone * share) << np.uint32(8 * channel)
            out[r, k] = pixel
