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
    fill_between,
    first_above,
    first_not_below,
    last_of_pixels,
    lowest,
    not_below,
    ones,
    word_of,
)
from galviz.kernels.loops import Floats, lean, loop, woven
from galviz.kernels.points import Window, pixel

Places = NDArray[np.int64]
SIX, LAST = np.uint64(6), np.uint64(63)  # 64 places are a word


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
    reach: Places
    starts: Places
    ends: NDArray[np.uint32]
    columns: NDArray[np.uint16]
    above: Words
    begins: Places
    top: int
    height: int


@lean
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
def ends_of_pixels(xs: Floats, w: int, scale: float, shift: float) -> Any:
    """A word of which of the places of word `w` end a run of places in the same pixel column; on the edges of the
    window a column may have two."""
    base = w << 6
    if base + 64 < xs.shape[0]:
        return last_of_pixels(xs, base, scale, shift)
    word = NONE
    for j in range(xs.shape[0] - base - 1):
        here, there = np.float64(xs[base + j]) * scale + shift, np.float64(xs[base + j + 1]) * scale + shift
        word |= np.uint64(np.floor(here) != np.floor(there)) << np.uint64(j)
    return word


MOST_ROWS = 8  # of pixels, in which a strip lies whose places are counted by runs
SPARSE = 64  # a group with fewer places than one in so many pixels is drawn place by place


@loop
def sizes_above(
    bounds: Places, spans: NDArray[np.float64], window: Window, height: int, first: int, last: int, begins: Places
) -> None:
    """Write where the sets of each of the strips [first, last) begin in `above` to `begins` (strips + 1); see
    `find_runs`."""
    total = 0
    for s in range(first, last):
        begins[s - first] = total
        whole, row, bottom = seen(spans[s], window, height)
        if whole and bottom - row < MOST_ROWS:
            total += (bottom - row) * ((bounds[s, bounds.shape[1] - 1] - bounds[s, 0] + 63) >> 6)
    begins[last - first] = total


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
    begins: Places,
    reach: Places,
    starts: Places,
    ends: NDArray[np.uint32],
    columns: NDArray[np.uint16],
    above: Words,
) -> int:
    """Find the runs of the strips [first, last) that lie within a few rows of pixels; returns their number.

    `reach` (strips * groups, 2) becomes the places of each group between the left and the right of the window.
    `starts` (strips * groups + 1) is where the runs of each group of each of these strips begin in `ends`, the place
    after each run, and `columns`, its pixel column. A group has none where it is quicker to go row by row. Of a strip
    that lies in several rows of pixels, `above` holds from the word `begins` of the strip on one set of places after
    the other: those beyond its first row, those beyond its second, and so on.
    """
    groups = bounds.shape[1] - 1
    scale = height / (window[3] - window[2])
    shift = -window[2] * scale
    x_scale = width / (window[1] - window[0])
    x_shift = -window[0] * x_scale
    number = 0
    for s in range(first, last):
        whole, row, bottom = seen(spans[s], window, height)
        fits = whole and bottom - row < MOST_ROWS
        strip = bounds[s, 0]
        size = (bounds[s, groups] - strip + 63) >> 6
        for g in range(groups):
            starts[(s - first) * groups + g] = number
            stop = first_above(xs, bounds[s, g], bounds[s, g + 1], window[1])
            place = first_not_below(xs, bounds[s, g], stop, window[0])
            reach[(s - first) * groups + g] = place, stop
            for k in range(row + 1, bottom + 1 if fits else 0):
                begin = begins[s - first] + (k - row - 1) * size
                for w in range((place - strip) >> 6, (stop - strip + 63) >> 6):
                    above[begin + w] = not_below(ys, strip + (w << 6), scale, shift, k)
            if not fits or (stop - place) * 4 < width * (bottom - row + 1):
                continue
            for w in range(place >> 6, (stop + 63) >> 6):
                word = ends_of_pixels(xs, w, x_scale, x_shift)
                if stop <= (w + 1) << 6:
                    word = (word | ONE << np.uint64((stop - 1) & 63)) & (ALL >> np.uint64(-stop & 63))
                if place > w << 6:
                    word &= ALL << np.uint64(place & 63)
                while word != NONE:
                    last_place = (w << 6) + np.int64(lowest(word))
                    word &= word - ONE
                    ends[number] = last_place + 1
                    columns[number] = pixel(np.float64(xs[last_place]), window[0], window[1], width)
                    number += 1
    starts[(last - first) * groups] = number
    return number


@loop
def words_within(reach: Places, out: Places) -> int:
    """Write the words that hold places of `reach` to `out`, as ascending parts [first, last); returns their number."""
    number = 0
    for k in range(reach.shape[0]):
        if reach[k, 0] == reach[k, 1]:
            continue
        start, stop = reach[k, 0] >> 6, (reach[k, 1] + 63) >> 6
        if number and start <= out[number - 1, 1]:
            out[number - 1, 1] = stop
        else:
            out[number] = start, stop
            number += 1
    return number


@lean
def most_words(strips: Strips) -> int:
    """The number of words of the longest of the strips."""
    bounds, most = strips.bounds, 0
    for s in range(strips.first, strips.last):
        most = max(most, (bounds[s, bounds.shape[1] - 1] - bounds[s, 0] + 63) >> 6)
    return most


@lean
def count_every_run(
    place: int, ends: NDArray[np.uint32], origin: int, columns: NDArray[np.uint16], out: NDArray[np.uint32]
) -> None:
    """Add all places of runs that follow each other from `place` on to `out` (width,)."""
    for k in range(ends.shape[0]):
        end = int(np.int64(ends[k])) - origin
        out[columns[k]] += np.uint32(end - place)
        place = end


@lean
def rank_words(words: Words, start: int, stop: int, ranks: NDArray[np.uint32]) -> None:
    """Set the ranks [start, stop) to how many places there are from the word `start` on before each word."""
    total = NONE
    for w in range(start, stop):
        ranks[w] = np.uint32(total)
        total += ones(words[w])


@woven
def before(words: Words, ranks: NDArray[np.uint32], place: Any) -> Any:
    """The word that a place is in, its places before that one, and how many there are in the ranked set by then.

    Of `place` as of all else here, what is unsigned needs no look whether it counts from the end.
    """
    w = place >> SIX
    word = words[w] & ~(ALL << (place & LAST))
    return w, word, ranks[w] + np.uint32(ones(word))


@woven
def up_to(words: Words, ranks: NDArray[np.uint32], place: Any) -> Any:
    """As `before` with the place itself."""
    w = place >> SIX
    word = words[w] & (ALL >> (~place & LAST))
    return w, word, ranks[w] + np.uint32(ones(word))


@lean
def count_runs(
    words: Words, ranks: NDArray[np.uint32], place: int, ends: NDArray[np.uint32], origin: int,
    columns: NDArray[np.uint16], out: NDArray[np.uint32],
) -> None:  # fmt: skip
    """As `count_every_run` for the places of a ranked set: differences of how many there are up to the end of a run.

    No branch depends on how long a run is. Quicker where most runs end in a word of their own, as those of a strip do
    that is thinner than a pixel; the others go along the words.
    """
    start = np.uint64(origin + 1)
    _, _, known = before(words, ranks, np.uint64(place))
    for k in range(ends.shape[0]):
        _, _, now = up_to(words, ranks, np.uint64(ends[k]) - start)
        out[columns[k]] += np.uint32(now - known)
        known = now


@lean
def count_two_rows(
    words: Words, above: Words, place: int, ends: NDArray[np.uint32], origin: int, columns: NDArray[np.uint16],
    first: NDArray[np.uint32], second: NDArray[np.uint32],
) -> None:  # fmt: skip
    """As `count_runs` with those of the places that are `above` added to the `second` row (width,), the others to the
    `first`."""
    every = words.shape[0] == 0
    start, w = np.uint64(origin + 1), np.uint64(place >> 6)
    word = ALL if every else words[w]
    before = ~(ALL << np.uint64(place & 63))
    known, known_above = ones(word & before), ones(word & above[w] & before)
    total, total_above = NONE, NONE
    for k in range(ends.shape[0]):
        end = np.uint64(ends[k]) - start
        while w < end >> SIX:
            total += ones(word)
            total_above += ones(word & above[w])
            w += ONE
            word = ALL if every else words[w]
        part = word & (ALL >> (~end & LAST))
        now, now_above = total + ones(part), total_above + ones(part & above[w])
        higher = np.uint32(now_above - known_above)
        first[columns[k]] += np.uint32(now - known) - higher
        second[columns[k]] += higher
        known, known_above = now, now_above


@lean
def count_next_row(
    words: Words, above: Words, place: int, ends: NDArray[np.uint32], origin: int, columns: NDArray[np.uint16],
    out: NDArray[np.uint32], less: NDArray[np.uint32],
) -> None:  # fmt: skip
    """As `count_runs` for those of the places that are `above`, which are taken off the row before, `less`."""
    every = words.shape[0] == 0
    start, w = np.uint64(origin + 1), np.uint64(place >> 6)
    word = above[w] if every else words[w] & above[w]
    before, total = ones(word & ~(ALL << np.uint64(place & 63))), NONE
    for k in range(ends.shape[0]):
        end = np.uint64(ends[k]) - start
        while w < end >> SIX:
            total += ones(word)
            w += ONE
            word = above[w] if every else words[w] & above[w]
        now = total + ones(word & (ALL >> (~end & LAST)))
        number = np.uint32(now - before)
        out[columns[k]] += number
        less[columns[k]] -= number
        before = now


@lean
def count_strips(
    xs: Floats, ys: Floats, words: Words, strips: Strips, ranks: NDArray[np.uint32], out: NDArray[np.uint32]
) -> None:
    """What `count_places` does, with memory for the ranks of the words of a strip."""
    bounds, spans, window, category, first, last, reach, starts, ends, columns, above, begins, top, height = strips
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
            place, stop = reach[(s - first) * groups + g]
            if run < stop_run:
                start = bounds[s, 0]
                mine = words if every else words[(start - origin) >> 6 :]
                here, right = ends[run:stop_run], columns[run:stop_run]
                size = (bounds[s, groups] - start + 63) >> 6
                lowest_row = out[row - top, :, c]
                if bottom == row and every:
                    count_every_run(place - start, here, start, right, lowest_row)
                    continue
                if bottom == row:
                    rank_words(mine, (place - start) >> 6, (stop - start + 63) >> 6, ranks)
                    count_runs(mine, ranks, place - start, here, start, right, lowest_row)
                    continue
                beyond = above[begins[s - first] :]
                count_two_rows(mine, beyond, place - start, here, start, right, lowest_row, out[row + 1 - top, :, c])
                for r in range(row + 2, bottom + 1):
                    beyond = above[begins[s - first] + (r - row - 1) * size :]
                    nearer = out[r - 1 - top, :, c]
                    count_next_row(mine, beyond, place - start, here, start, right, out[r - top, :, c], nearer)
                continue
            for base in range((place - origin) & ~63, stop - origin, 64):
                word = word_of(words, base, place - origin, stop - origin)
                while word != NONE:
                    i: Any = origin + base + np.int64(lowest(word))
                    word &= word - ONE
                    y = np.float64(ys[i])
                    if window[2] <= y <= window[3]:
                        r = pixel(y, window[2], window[3], height) - top
                        out[r, pixel(np.float64(xs[i]), window[0], window[1], width), c] += 1


@loop
def count_places(xs: Floats, ys: Floats, words: Words, strips: Strips, out: NDArray[np.uint32]) -> None:
    """Add the places of some strips to `out` (rows, width, categories).

    `words` are the bits of these strips from the first word of the first one on; none at all means every place.
    """
    count_strips(xs, ys, words, strips, np.empty(most_words(strips), np.uint32), out)


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
