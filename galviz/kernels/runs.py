"""Sorted planes onto pixels: whole runs of rows where a strip lies within one row of pixels, else row by row.

A plane holds its rows by (strip of y, group, x), see `galviz.index.layout`. `window` is (xmin, xmax, ymin, ymax).
The pixel of a coordinate never falls while the coordinate grows, so the rows of one pixel follow each other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galviz.kernels.bits import (
    ALL,
    NONE,
    ONE,
    Words,
    count_between,
    count_shared,
    fill_between,
    first_above,
    first_not_below,
    lowest,
    ones,
    word_of,
)
from galviz.kernels.loops import Floats, loop
from galviz.kernels.points import Window, pixel

Places = NDArray[np.int64]
SUMS, SQUARES, LEAST, MOST = 0, 1, 2, 3


class Strips(NamedTuple):
    """The strips [first, last) of a plane as a picture of `height` rows of pixels sees them.

    `category` (groups,) is where a group is counted, -1 nowhere. The runs are those that `find_runs` has found. What
    is drawn begins with the row of pixels `top`.
    """

    bounds: Places
    spans: NDArray[np.float64]
    window: Window
    category: Places
    first: int
    last: int
    starts: Places
    ends: NDArray[np.uint32]
    columns: NDArray[np.uint16]
    lower: Words
    top: int
    height: int


class Amounts(NamedTuple):
    """The values of a column at the places of some strips, from the first place of the first one on, and how to add.

    A coded column comes as `codes` with `table` and `units`, the values and the units of each code, and without
    `values`; any other the other way round. `least` and `of` are as in `units_of_votes`, `of` else zero. `gaps` tells
    of missing values. A unit is 1/scale; with `exactly` every value is whole in these units. Deviations are taken from
    `centres` (rows, width), the means of the pixels.
    """

    values: Floats
    codes: NDArray[np.uint8]
    table: NDArray[np.float64]
    units: Places
    least: Any
    of: Any
    gaps: bool
    exactly: bool
    centres: NDArray[np.float64]
    scale: float
    mode: int


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
    ys: Floats,
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
    lower: Words,
) -> int:
    """Find the runs of the strips [first, last) that lie within one or two rows of pixels; returns their number.

    `starts` (strips * groups + 1) is where the runs of each group of each of these strips begin in `ends`, the place
    after each run, and `columns`, its pixel column. A group has none where it is quicker to go row by row. `lower`,
    the words of these strips, becomes the set of places in the second row of pixels of their strip.
    """
    groups = bounds.shape[1] - 1
    origin = bounds[first, 0]
    scale = height / (window[3] - window[2])
    shift = -window[2] * scale
    number = 0
    for s in range(first, last):
        whole, row, bottom = seen(spans[s], window, height)
        fits = whole and bottom <= row + 1
        if fits and bottom > row:
            part = ys[bounds[s, 0] : bounds[s, groups]]
            begin = (bounds[s, 0] - origin) >> 6
            for w in range((part.shape[0] + 63) >> 6):
                word = NONE
                here = part[w << 6 : min(part.shape[0], (w + 1) << 6)]
                for j in range(here.shape[0]):
                    word |= np.uint64(here[j] * scale + shift >= bottom) << np.uint64(j)
                lower[begin + w] = word
        for g in range(groups):
            starts[(s - first) * groups + g] = number
            if not fits:
                continue
            stop = first_above(xs, bounds[s, g], bounds[s, g + 1], window[1])
            place = first_not_below(xs, bounds[s, g], stop, window[0])
            if stop - place < width:
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
def count_runs(
    words: Words, place: int, ends: NDArray[np.uint32], origin: int, columns: NDArray[np.uint16],
    out: NDArray[np.uint32],
) -> None:  # fmt: skip
    """Add the set places of runs that follow each other from `place` on to `out` (width,).

    Numbers are differences of how many there are up to the end of a run, so that each word is counted about once.
    """
    w = place >> 6
    before, total = ones(words[w] & ~(ALL << np.uint64(place & 63))), NONE
    for k in range(ends.shape[0]):
        end = np.int64(ends[k]) - origin - 1
        while w < end >> 6:
            total += ones(words[w])
            w += 1
        now = total + ones(words[w] & (ALL >> np.uint64(63 - (end & 63))))
        out[columns[k]] += np.uint32(now - before)
        before = now


@loop
def count_places(xs: Floats, ys: Floats, words: Words, strips: Strips, out: NDArray[np.uint32]) -> None:
    """Add the places of some strips to `out` (rows, width, categories).

    `words` are the bits of these strips from the first word of the first one on; none at all means every place.
    """
    bounds, spans, window, category, first, last, starts, ends, columns, lower, top, height = strips
    width = out.shape[1]
    groups = bounds.shape[1] - 1
    every = words.shape[0] == 0
    origin = bounds[first, 0]
    for s in range(first, last):
        _, row, bottom = seen(spans[s], window, height)
        if row < 0:
            continue
        for g in range(groups):
            c = category[g]
            if c < 0 or bounds[s, g] == bounds[s, g + 1]:
                continue
            run, stop_run = starts[(s - first) * groups + g], starts[(s - first) * groups + g + 1]
            if run < stop_run:
                place = first_not_below(xs, bounds[s, g], bounds[s, g + 1], window[0]) - origin
                if bottom == row and not every:
                    count_runs(words, place, ends[run:stop_run], origin, columns[run:stop_run], out[row - top, :, c])
                    continue
                for k in range(run, stop_run):
                    end: Any = np.int64(ends[k]) - origin
                    number = end - place if every else count_between(words, place, end)
                    if number > 0 and bottom > row:
                        below = count_between(lower, place, end) if every else count_shared(words, lower, place, end)
                        out[bottom - top, columns[k], c] += below
                        number -= below
                    out[row - top, columns[k], c] += number
                    place = end
                continue
            stop = first_above(xs, bounds[s, g], bounds[s, g + 1], window[1])
            place = first_not_below(xs, bounds[s, g], stop, window[0])
            for base in range((place - origin) & ~63, stop - origin, 64):
                word = word_of(words, base, place - origin, stop - origin)
                while word != NONE:
                    i: Any = origin + base + np.int64(lowest(word))
                    word &= word - ONE
                    y = np.float64(ys[i])
                    if window[2] <= y <= window[3]:
                        r = pixel(y, window[2], window[3], height) - top
                        out[r, pixel(np.float64(xs[i]), window[0], window[1], width), c] += 1


FINE = 4294967296.0  # 2^32, of which the second half of a sum counts fractions


# Always 64 rows, of which a word chooses: a loop of fixed length costs less than one that ends where a run does.
@loop
def units_of(values: Floats, scale: float, word: Any) -> int:
    """The sum of those of 64 values that are in `word`, each in whole units of 1/scale."""
    total = np.int64(0)
    for j in range(64):
        total += np.int64(np.float64(values[j]) * scale) & -np.int64((word >> np.uint64(j)) & ONE)
    return int(total)


@loop
def rest_of(values: Floats, scale: float, word: Any) -> int:
    """The sum of what `units_of` leaves of each value, in units of 2^-32/scale."""
    total = np.int64(0)
    for j in range(64):
        value = np.float64(values[j]) * scale
        total += np.int64((value - np.int64(value)) * FINE) & -np.int64((word >> np.uint64(j)) & ONE)
    return int(total)


@loop
def units_of_codes(codes: NDArray[np.uint8], table: Places, word: Any) -> int:
    """As `units_of` for the codes of a column, by the units of each."""
    total = np.int64(0)
    for j in range(64):
        total += table[codes[j]] & -np.int64((word >> np.uint64(j)) & ONE)
    return int(total)


@loop
def units_of_votes(codes: NDArray[np.uint8], least: Any, of: Any, scale: float, word: Any) -> int:
    """As `units_of` where code k stands for (least + k) / of in single precision: quicker to divide than to look up."""
    total = np.int64(0)
    for j in range(64):
        value = np.float32(np.int32(codes[j]) + least) / of
        total += np.int64(np.float64(value) * scale) & -np.int64((word >> np.uint64(j)) & ONE)
    return int(total)


@loop
def is_exact(values: Floats, scale: float, first: int, last: int) -> bool:
    """Whether all values [first, last) are whole in units of 1/scale, missing ones aside."""
    for i in range(first, last):
        value = np.float64(values[i]) * scale
        if value == value and np.float64(np.int64(value)) != value:
            return False
    return True


@loop
def take_value(
    value: float,
    mode: int,
    scale: float,
    r: int,
    c: int,
    centres: NDArray[np.float64],
    counts: NDArray[np.uint32],
    sums: Places,
    extremes: NDArray[np.float64],
) -> None:
    """Take one value into the pixel (r, c), as `summarise_places` describes it."""
    if mode == LEAST:
        if counts[r, c] == 0 or value < extremes[r, c]:
            extremes[r, c] = value
    elif mode == MOST:
        if counts[r, c] == 0 or value > extremes[r, c]:
            extremes[r, c] = value
    else:
        amount = value * scale
        if mode == SQUARES:
            amount = (value - centres[r, c]) * scale
            amount *= amount
        whole = np.int64(amount)
        sums[r, c, 0] += whole
        sums[r, c, 1] += np.int64((amount - whole) * FINE)
    counts[r, c] += 1


@loop
def summarise_places(
    xs: Floats,
    ys: Floats,
    words: Words,
    strips: Strips,
    amounts: Amounts,
    counts: NDArray[np.uint32],
    sums: Places,
    extremes: NDArray[np.float64],
) -> None:
    """Like `count_places` for the values of a column, with `counts` (rows, width).

    `sums` (rows, width, 2) are the sum of the values, or for the mode SQUARES of their squared distances from the
    centres, in fixed point: units of 1/scale (1/scale^2 for squares) and of 2^-32 of that. Whole numbers add up
    to the same in any order. `extremes` (rows, width) is the least or the most so far.
    """
    bounds, spans, window, category, first, last, starts, ends, columns, lower, top, height = strips
    values, codes, table, units, least, of, gaps, exactly, centres, scale, mode = amounts
    width = counts.shape[1]
    groups = bounds.shape[1] - 1
    origin = bounds[first, 0]
    coded = table.shape[0] > 0
    in_runs = mode == SUMS and not gaps and not (coded and not exactly)
    for s in range(first, last):
        _, row, bottom = seen(spans[s], window, height)
        if row < 0:
            continue
        for g in range(groups):
            if category[g] < 0 or bounds[s, g] == bounds[s, g + 1]:
                continue
            run, stop_run = starts[(s - first) * groups + g], starts[(s - first) * groups + g + 1]
            by_run = run < stop_run
            stop = first_above(xs, bounds[s, g], bounds[s, g + 1], window[1])
            place = first_not_below(xs, bounds[s, g], stop, window[0])
            for base in range((place - origin) & ~63, stop - origin, 64):
                word = word_of(words, base, place - origin, stop - origin)
                if word == NONE:
                    continue
                if by_run:
                    while np.int64(ends[run]) <= origin + base:
                        run += 1
                if by_run and in_runs:
                    for second in range(1 + (bottom > row)):
                        part = word
                        if bottom > row:
                            part &= lower[base >> 6] if second else ~lower[base >> 6]
                        if part == NONE:
                            continue
                        r = row + second - top
                        begin, k = 0, run
                        while begin < 64 and k < stop_run:
                            end = min(64, np.int64(ends[k]) - origin - base)
                            mine = part & (ALL >> np.uint64(64 - end)) & (ALL << np.uint64(begin))
                            if mine != NONE:
                                c = int(np.int64(columns[k]))
                                counts[r, c] += np.uint32(ones(mine))
                                if of > 0:
                                    sums[r, c, 0] += units_of_votes(codes[base : base + 64], least, of, scale, mine)
                                elif coded:
                                    sums[r, c, 0] += units_of_codes(codes[base : base + 64], units, mine)
                                else:
                                    sums[r, c, 0] += units_of(values[base : base + 64], scale, mine)
                                    if not exactly:
                                        sums[r, c, 1] += rest_of(values[base : base + 64], scale, mine)
                            begin = end
                            k += 1
                    continue
                while word != NONE:
                    i: Any = origin + base + np.int64(lowest(word))
                    word &= word - ONE
                    value = table[codes[i - origin]] if coded else np.float64(values[i - origin])
                    if value != value:
                        continue
                    if by_run:
                        while np.int64(ends[run]) <= i:
                            run += 1
                        r, c = row - top, int(np.int64(columns[run]))
                        if bottom > row and (lower[(i - origin) >> 6] >> np.uint64((i - origin) & 63)) & ONE:
                            r += 1
                    else:
                        y = np.float64(ys[i])
                        if not (window[2] <= y <= window[3]):
                            continue
                        r = pixel(y, window[2], window[3], height) - top
                        c = pixel(np.float64(xs[i]), window[0], window[1], width)
                    take_value(value, mode, scale, r, c, centres, counts, sums, extremes)


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
    values: Floats,
    raw: NDArray[np.uint32],
    edges: NDArray[np.float64],
    near: NDArray[np.integer[Any]],
    words: Words,
    bounds: Places,
    category: Places,
    first: int,
    last: int,
    out: Places,
) -> None:
    """Add the places of the strips [first, last) to a histogram `out` (bins, categories).

    `raw` are the bits of the single-precision `values`. `near` (2^19,) is the bin of every number whose
    order-preserving upper 19 bits are the place in it; where these have several, it is -1 - the lowest of them.
    """
    origin = bounds[first, 0]
    bins = out.shape[0]
    for s in range(first, last):
        for g in range(bounds.shape[1] - 1):
            c = category[g]
            if c < 0:
                continue
            place, stop = bounds[s, g] - origin, bounds[s, g + 1] - origin
            for base in range(place & ~63, stop, 64):
                word = word_of(words, base, place, stop)
                while word != NONE:
                    i = origin + base + np.int64(lowest(word))
                    word &= word - ONE
                    value = np.float64(values[i])
                    if not (edges[0] <= value <= edges[bins]):
                        continue
                    bits = raw[i]
                    upper = (~bits if bits >> np.uint32(31) else bits | np.uint32(0x80000000)) >> np.uint32(13)
                    b = np.int64(near[upper])
                    if b < 0:  # an edge is near
                        b = -1 - b
                        while b + 1 < bins and value >= edges[b + 1]:
                            b += 1
                    out[b, c] += 1


@loop
def count_codes_of(
    codes: NDArray[np.uint8], words: Words, bounds: Places, category: Places, first: int, last: int, out: Places
) -> None:
    """Add the places of the strips [first, last) to the number of places of each code, `out` (256, categories)."""
    origin = bounds[first, 0]
    for s in range(first, last):
        for g in range(bounds.shape[1] - 1):
            c = category[g]
            if c < 0:
                continue
            place, stop = bounds[s, g] - origin, bounds[s, g + 1] - origin
            for base in range(place & ~63, stop, 64):
                word = word_of(words, base, place, stop)
                while word != NONE:
                    out[codes[origin + base + np.int64(lowest(word))], c] += 1
                    word &= word - ONE


@loop
def pixels_of(
    xs: Floats, ys: Floats, codes: NDArray[np.int8], depth: int, window: Window, width: int, height: int,
    out: NDArray[np.int32],
) -> None:  # fmt: skip
    """Where each row counts in a picture (height, width, depth), as one number; -1 for nowhere."""
    for i in range(xs.shape[0]):
        x, y, c = np.float64(xs[i]), np.float64(ys[i]), np.int64(codes[i])
        out[i] = -1
        if 0 <= c < depth and window[0] <= x <= window[1] and window[2] <= y <= window[3]:
            r, k = pixel(y, window[2], window[3], height), pixel(x, window[0], window[1], width)
            out[i] = (r * width + k) * depth + c


@loop
def weigh_points(
    rows: Places, places: NDArray[np.int32], cells: NDArray[np.int32], weights: NDArray[np.float32],
    out: NDArray[np.float32], squared: NDArray[np.float32], field: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add the rows of a sample to the estimated numbers at their `places`, and to the squared errors of these and of
    their `cells`; -1 is nowhere.

    A row of weight w stands for w rows, with the variance w (w - 1) of a Bernoulli sample (Horvitz and Thompson 1952).
    """
    for k in range(rows.shape[0]):
        i = rows[k]
        w = weights[i]
        variance = w * (w - np.float32(1.0))
        if cells[i] >= 0:
            field[cells[i]] += variance
        if places[i] >= 0:
            out[places[i]] += w
            squared[places[i]] += variance


@loop
def errors_of(
    squared: NDArray[np.float32], field: NDArray[np.float64], cell_rows: Places, cell_columns: Places, share: float,
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """The standard error of each pixel (height, width, depth): of its own rows, or of its `share` of those of its cell
    in `field` (cells, cells, depth) where that is more."""
    height, width, depth = out.shape
    for r in range(height):
        for k in range(width):
            for c in range(depth):
                spread = np.float32(field[cell_rows[r], cell_columns[k], c] * share)
                out[r, k, c] = np.sqrt(max(squared[r, k, c], spread))


@loop
def weigh_bins(
    rows: Places, bins: NDArray[np.int32], codes: NDArray[np.int8], weights: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add the weights of the rows of a sample to `out` (bins, categories); a negative bin or code is none."""
    for k in range(rows.shape[0]):
        i = rows[k]
        if bins[i] >= 0 and 0 <= codes[i] < out.shape[1]:
            out[bins[i], codes[i]] += weights[i]


@loop
def weigh_values(
    rows: Places, places: NDArray[np.int32], values: NDArray[Any], weights: NDArray[np.float32],
    sums: NDArray[np.float64], extremes: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add the rows of a sample to `sums` (pixels, 4) and to the least and the most of `extremes` (pixels, 2).

    The sums are weight, weighted mean so far, weighted squared deviations from it (West 1979), squared weights.
    """
    for k in range(rows.shape[0]):
        i, place = rows[k], np.int64(places[rows[k]])
        value = np.float64(values[i])
        if place >= 0 and value == value:
            w = np.float64(weights[i])
            if sums[place, 0] == 0.0 or value < extremes[place, 0]:
                extremes[place, 0] = value
            if sums[place, 0] == 0.0 or value > extremes[place, 1]:
                extremes[place, 1] = value
            sums[place, 0] += w
            off = value - sums[place, 1]
            sums[place, 1] += off * w / sums[place, 0]
            sums[place, 2] += w * off * (value - sums[place, 1])
            sums[place, 3] += w * w
