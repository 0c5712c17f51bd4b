"""Sorted planes onto pixels: whole runs of rows where a strip lies within one row of pixels, else row by row.

A plane holds its rows by (strip of y, group, x), see `galviz.index.layout`. `window` is (xmin, xmax, ymin, ymax).
The pixel of a coordinate never falls while the coordinate grows, so the rows of one pixel follow each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.kernels.bits import NONE, Words, count_between, fill_between, first_above, first_not_below, lowest
from galviz.kernels.loops import Floats, loop

Window = NDArray[np.float64]
Places = NDArray[np.int64]
SUMS, SQUARES, LEAST, MOST = 0, 1, 2, 3


@loop
def pixel(value: float, low: float, high: float, pixels: int) -> int:
    """The pixel of a coordinate within [low, high], as Datashader finds it."""
    scale = pixels / (high - low)
    return min(int(value * scale + -low * scale), pixels - 1)


@loop
def seen(span: NDArray[np.float64], window: Window, height: int) -> tuple[bool, int, int]:
    """Whether a strip of this span lies wholly in the window, and its first and last row of pixels; -1 if out of it."""
    bottom, top = span
    if not (bottom <= window[3] and top >= window[2]):
        return False, -1, -1
    whole = bottom >= window[2] and top <= window[3]
    first = pixel(max(bottom, window[2]), window[2], window[3], height)
    last = pixel(min(top, window[3]), window[2], window[3], height)
    return whole, first, last


@loop
def next_column(xs: Floats, place: int, stop: int, window: Window, width: int, column: int) -> int:
    """The first place of [place, stop) right of a pixel column; found by doubling steps, since it is mostly near."""
    step = 1
    reach = place + 1
    while reach < stop and pixel(np.float64(xs[reach]), window[0], window[1], width) <= column:
        place = reach
        step *= 2
        reach = place + step
    reach = min(reach, stop)
    place += 1
    while place < reach:
        middle = (place + reach) >> 1
        if pixel(np.float64(xs[middle]), window[0], window[1], width) <= column:
            place = middle + 1
        else:
            reach = middle
    return place


@loop
def find_runs(
    xs: Floats,
    bounds: Places,
    spans: NDArray[np.float64],
    window: Window,
    width: int,
    height: int,
    first: int,
    last: int,
    starts: Places,
    ends: NDArray[np.uint32],
    columns: NDArray[np.uint16],
) -> int:
    """Find the runs of the strips [first, last) that lie within one row of pixels; returns their number.

    `starts` (strips * groups + 1) is where the runs of each group of each of these strips begin in `ends`, the place
    after each run, and `columns`, its pixel column. A group has none where it is quicker to go row by row.
    """
    groups = bounds.shape[1] - 1
    number = 0
    for s in range(first, last):
        whole, top, bottom = seen(spans[s], window, height)
        for g in range(groups):
            starts[(s - first) * groups + g] = number
            if not (whole and top == bottom):
                continue
            stop = first_above(xs, bounds[s, g], bounds[s, g + 1], window[1])
            place = first_not_below(xs, bounds[s, g], stop, window[0])
            if stop - place < 2 * width:
                continue
            while place < stop:
                column = pixel(np.float64(xs[place]), window[0], window[1], width)
                place = next_column(xs, place, stop, window, width, column)
                ends[number] = place
                columns[number] = column
                number += 1
    starts[(last - first) * groups] = number
    return number


@loop
def count_places(
    xs: Floats,
    ys: Floats,
    words: Words,
    bounds: Places,
    spans: NDArray[np.float64],
    window: Window,
    category: Places,
    first: int,
    last: int,
    starts: Places,
    ends: NDArray[np.uint32],
    columns: NDArray[np.uint16],
    top_row: int,
    height: int,
    out: NDArray[np.uint32],
) -> None:
    """Add the places of the strips [first, last) to `out` (rows, width, categories), whose first row is `top_row`.

    `words` are the bits of these strips from the first word of strip `first` on; none at all means every place.
    `category` (groups,) is where a group is counted, -1 nowhere.
    """
    width = out.shape[1]
    groups = bounds.shape[1] - 1
    every = words.shape[0] == 0
    origin = bounds[first, 0]
    for s in range(first, last):
        _, row, _ = seen(spans[s], window, height)
        if row < 0:
            continue
        for g in range(groups):
            c = category[g]
            if c < 0 or bounds[s, g] == bounds[s, g + 1]:
                continue
            run, stop_run = starts[(s - first) * groups + g], starts[(s - first) * groups + g + 1]
            if run < stop_run:
                place = first_not_below(xs, bounds[s, g], bounds[s, g + 1], window[0])
                for k in range(run, stop_run):
                    end: Any = np.int64(ends[k])
                    if every:
                        out[row - top_row, columns[k], c] += end - place
                    else:
                        out[row - top_row, columns[k], c] += count_between(words, place - origin, end - origin)
                    place = end
                continue
            stop = first_above(xs, bounds[s, g], bounds[s, g + 1], window[1])
            place = first_not_below(xs, bounds[s, g], stop, window[0])
            i: Any = 0
            while place < stop:
                if every:
                    i = place
                    place += 1
                else:
                    word = words[(place - origin) >> 6] >> np.uint64((place - origin) & 63)
                    if word == NONE:
                        place = ((place - origin) | 63) + 1 + origin
                        continue
                    i = place + np.int64(lowest(word))
                    if i >= stop:
                        break
                    place = i + 1
                y = np.float64(ys[i])
                if window[2] <= y <= window[3]:
                    r = pixel(y, window[2], window[3], height) - top_row
                    out[r, pixel(np.float64(xs[i]), window[0], window[1], width), c] += 1


@loop
def summarise_places(
    xs: Floats,
    ys: Floats,
    values: NDArray[Any],
    table: NDArray[np.float64],
    centres: NDArray[np.float64],
    scale: float,
    mode: int,
    words: Words,
    bounds: Places,
    spans: NDArray[np.float64],
    window: Window,
    category: Places,
    first: int,
    last: int,
    starts: Places,
    ends: NDArray[np.uint32],
    columns: NDArray[np.uint16],
    top_row: int,
    height: int,
    counts: NDArray[np.uint32],
    sums: NDArray[np.int64],
    extremes: NDArray[np.float64],
) -> None:
    """Like `count_places` for the values of a column, with `counts` (rows, width).

    `sums` (rows, width, 2) are the sum of the values, or for the mode SQUARES of their squared distances from `centres`
    (rows, width), in fixed point: units of 1/scale (1/scale^2 for squares) and of 2^-36 of that. Whole numbers add up
    to the same in any order.
    `extremes` (rows, width) is the least or the most so far. `table` are the values of a coded column, else empty.
    """
    width = counts.shape[1]
    groups = bounds.shape[1] - 1
    every = words.shape[0] == 0
    origin = bounds[first, 0]
    coded = table.shape[0] > 0
    fine = 68719476736.0  # 2^36
    for s in range(first, last):
        _, row, _ = seen(spans[s], window, height)
        if row < 0:
            continue
        for g in range(groups):
            if category[g] < 0 or bounds[s, g] == bounds[s, g + 1]:
                continue
            run, stop_run = starts[(s - first) * groups + g], starts[(s - first) * groups + g + 1]
            by_run = run < stop_run
            stop = first_above(xs, bounds[s, g], bounds[s, g + 1], window[1])
            place = first_not_below(xs, bounds[s, g], stop, window[0])
            i: Any = 0
            while place < stop:
                if every:
                    i = place
                    place += 1
                else:
                    word = words[(place - origin) >> 6] >> np.uint64((place - origin) & 63)
                    if word == NONE:
                        place = ((place - origin) | 63) + 1 + origin
                        continue
                    i = place + np.int64(lowest(word))
                    if i >= stop:
                        break
                    place = i + 1
                value = table[np.int64(values[i])] if coded else np.float64(values[i])
                if value != value:
                    continue
                if by_run:
                    while np.int64(ends[run]) <= i:
                        run += 1
                    r, c = row - top_row, int(np.int64(columns[run]))
                else:
                    y = np.float64(ys[i])
                    if not (window[2] <= y <= window[3]):
                        continue
                    r = pixel(y, window[2], window[3], height) - top_row
                    c = pixel(np.float64(xs[i]), window[0], window[1], width)
                if mode == LEAST:
                    if counts[r, c] == 0 or value < extremes[r, c]:
                        extremes[r, c] = value
                elif mode == MOST:
                    if counts[r, c] == 0 or value > extremes[r, c]:
                        extremes[r, c] = value
                else:
                    part = value * scale
                    if mode == SQUARES:
                        part = (value - centres[r, c]) * scale
                        part *= part
                    whole_part = np.int64(part)
                    sums[r, c, 0] += whole_part
                    sums[r, c, 1] += np.int64((part - whole_part) * fine)
                counts[r, c] += 1


@loop
def count_groups(words: Words, bounds: Places, first: int, last: int, out: Places) -> None:
    """Add the number of places of each group of the strips [first, last) to `out` (groups,).

    `words` are as in `count_places`.
    """
    origin = bounds[first, 0]
    for s in range(first, last):
        for g in range(bounds.shape[1] - 1):
            if words.shape[0] == 0:
                out[g] += bounds[s, g + 1] - bounds[s, g]
            else:
                out[g] += count_between(words, bounds[s, g] - origin, bounds[s, g + 1] - origin)


@loop
def mark_groups(bounds: Places, on: NDArray[np.bool_], first: int, last: int, words: Words) -> None:
    """Put the places of the groups that are `on` into a set that begins with strip `first` and is empty so far."""
    for s in range(first, last):
        for g in range(bounds.shape[1] - 1):
            if on[g]:
                fill_between(words, bounds[s, g] - bounds[first, 0], bounds[s, g + 1] - bounds[first, 0])


@loop
def count_bins(
    values: NDArray[Any],
    table: NDArray[np.int64],
    edges: NDArray[np.float64],
    near: NDArray[np.int64],
    words: Words,
    bounds: Places,
    category: Places,
    first: int,
    last: int,
    out: Places,
) -> None:
    """Add the places of the strips [first, last) to a histogram `out` (bins, categories).

    `table` is the bin of each code, -1 for none, of a coded column. Else it is empty, and `near` (65537,) is a
    bin at or below that of any number whose order-preserving upper 16 bits are the place in it.
    """
    origin = bounds[first, 0]
    bins = out.shape[0]
    coded = table.shape[0] > 0
    every = words.shape[0] == 0
    for s in range(first, last):
        for g in range(bounds.shape[1] - 1):
            c = category[g]
            if c < 0:
                continue
            place, stop = bounds[s, g], bounds[s, g + 1]
            i: Any = 0
            while place < stop:
                if every:
                    i = place
                    place += 1
                else:
                    word = words[(place - origin) >> 6] >> np.uint64((place - origin) & 63)
                    if word == NONE:
                        place = ((place - origin) | 63) + 1 + origin
                        continue
                    i = place + np.int64(lowest(word))
                    if i >= stop:
                        break
                    place = i + 1
                b = table[np.int64(values[i])] if coded else bin_of(np.float64(values[i]), edges, near, bins)
                if b >= 0:
                    out[b, c] += 1


@loop
def bin_of(value: float, edges: NDArray[np.float64], near: NDArray[np.int64], bins: int) -> int:
    """The bin of a value, the last one including its upper edge; -1 for none."""
    if not (edges[0] <= value <= edges[bins]):
        return -1
    raw = np.int64(np.float32(value).view(np.uint32))
    upper = (raw ^ 0xFFFFFFFF) >> 16 if raw >> 31 else (raw | 0x80000000) >> 16
    b = int(near[upper])
    while b + 1 < bins and value >= edges[b + 1]:
        b += 1
    return b


@loop
def weigh_points(
    xs: Floats,
    ys: Floats,
    codes: NDArray[np.int8],
    weights: NDArray[np.float32],
    mask: NDArray[np.bool_],
    window: Window,
    out: NDArray[np.float32],
    squared: NDArray[np.float32],
) -> None:
    """Add a sample to the estimated numbers and their squared errors, both (height, width, categories).

    A row of weight w stands for w rows, with the variance w (w - 1) of a Bernoulli sample (Horvitz and Thompson 1952).
    """
    height, width, categories = out.shape
    for i in range(xs.shape[0]):
        x, y, c = np.float64(xs[i]), np.float64(ys[i]), codes[i]
        if mask[i] and 0 <= c < categories and window[0] <= x <= window[1] and window[2] <= y <= window[3]:
            r, k = pixel(y, window[2], window[3], height), pixel(x, window[0], window[1], width)
            w = weights[i]
            out[r, k, c] += w
            squared[r, k, c] += w * (w - np.float32(1.0))


@loop
def weigh_values(
    xs: Floats,
    ys: Floats,
    values: NDArray[Any],
    weights: NDArray[np.float32],
    mask: NDArray[np.bool_],
    window: Window,
    sums: NDArray[np.float64],
    extremes: NDArray[np.float64],
) -> None:
    """Add a sample to `sums` (height, width, 4): weight, weighted mean so far, weighted squared deviations from it
    (West 1979), squared weights; and to the least and the most of `extremes` (height, width, 2)."""
    height, width, _ = sums.shape
    for i in range(xs.shape[0]):
        x, y, value = np.float64(xs[i]), np.float64(ys[i]), np.float64(values[i])
        if mask[i] and value == value and window[0] <= x <= window[1] and window[2] <= y <= window[3]:
            r, k = pixel(y, window[2], window[3], height), pixel(x, window[0], window[1], width)
            w = np.float64(weights[i])
            if sums[r, k, 0] == 0.0 or value < extremes[r, k, 0]:
                extremes[r, k, 0] = value
            if sums[r, k, 0] == 0.0 or value > extremes[r, k, 1]:
                extremes[r, k, 1] = value
            sums[r, k, 0] += w
            off = value - sums[r, k, 1]
            sums[r, k, 1] += off * w / sums[r, k, 0]
            sums[r, k, 2] += w * off * (value - sums[r, k, 1])
            sums[r, k, 3] += w * w
