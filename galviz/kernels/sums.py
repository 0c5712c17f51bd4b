"""Values of the places of sorted planes onto pixels: sums, least and most, run by run where that can be.

Sums are whole numbers of a unit, so that they are the same in whatever order they come.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galviz.kernels.bits import ALL, NONE, ONE, Words, between, known, lowest, prefetch, word_of
from galviz.kernels.lanes import FINE, FINE_BITS, REST_BITS, coarse_sum, long_sum, split_sum, sum_of_codes
from galviz.kernels.loops import Floats, lean, loop, woven
from galviz.kernels.points import pixel
from galviz.kernels.runs import SIX, Places, Strips, before, most_words, rank_words, seen, up_to

SUMS, SQUARES, LEAST, MOST = 0, 1, 2, 3
AHEAD = 2048  # values that are fetched before they are added: by itself a processor stops at each page of memory
LANE_BITS = 26  # of the units that are added 64 at a time, see `lanes`


class Amounts(NamedTuple):
    """The values of a column at the places of some strips, from the first place of the first one on, and how to add.

    A coded column comes as `codes` with `table` and `units`, the values and the units of each code, and without
    `values`; any other the other way round. `gaps` tells of missing values, which a coded column has the last code for.
    A unit is 1/scale; with `exactly` every value is whole in these units. Sums of words are in steps of `step` units,
    less `base` steps for each value. Where there are `rests`, code k stands for base + slope * k + rests[k] steps.
    `narrow`, if not zero, is a scale at which 64 values can be added at once, with rests of which all but `spare` bits
    are whole units; with `singly` every value is whole in units of 1/narrow, which then is the step. Deviations are
    taken from `centres` (rows, width), the means of the pixels.
    """

    values: Floats
    codes: NDArray[np.uint8]
    table: NDArray[np.float64]
    units: Places
    step: int
    base: int
    slope: int
    rests: NDArray[np.uint8]
    gaps: bool
    exactly: bool
    narrow: Any
    spare: int
    singly: bool
    centres: NDArray[np.float64]
    scale: float
    mode: int


@lean
def units_of_codes(codes: NDArray[np.uint8], table: Places, word: Any) -> int:
    """The sum of the units of those of 64 codes that are in `word`, by the units of each code."""
    total = np.int64(0)
    while word != NONE:
        total += table[codes[np.int64(lowest(word))]]
        word &= word - ONE
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
def pick(values: NDArray[Any], places: NDArray[np.uint32], first: int, last: int, out: NDArray[Any]) -> None:
    """Set out[first:last] to the values at places[first:last], or to some value where that is beyond their end."""
    for i in range(first, last):
        out[i] = values[min(np.int64(places[i]), values.shape[0] - 1)]


@lean
def places_meant(
    words: Words, nearer: Words, beyond: Words, first: int, amounts: Amounts, start: int, stop: int, out: Words
) -> None:
    """Set the words [start, stop) of `out` to the places of a strip that are in `words` and in `nearer`, but not in
    `beyond`, and whose value is known.

    The amounts hold the strip at `first`. Empty sets stand for all places, or for none in case of `beyond`.
    """
    values, codes, table, gaps = amounts.values, amounts.codes, amounts.table, amounts.gaps
    coded, missing = table.shape[0] > 0, np.uint8(max(0, table.shape[0] - 1))
    for w in range(start, stop):
        word = ALL if words.shape[0] == 0 else words[w]
        if nearer.shape[0] > 0:
            word &= nearer[w]
        if beyond.shape[0] > 0:
            word &= ~beyond[w]
        if gaps:
            here = first + (w << 6)
            word &= ~between(codes, here, missing, missing) if coded else known(values, here)
        out[w] = word


@woven
def sum_of_word(place: Any, word: Any, amounts: Amounts) -> Any:
    """The sum of the values of those of 64 places that are in `word`: in steps, less the base of each, and what is left
    in units of 1/FINE of a unit."""
    values, codes, table, units, _, _, slope, rests, _, _, narrow, spare, singly, _, scale, _ = amounts
    if rests.shape[0] > 0:
        return sum_of_codes(codes, place, word, slope, rests), np.int64(0)
    if table.shape[0] > 0:
        return np.int64(units_of_codes(codes[place : place + 64], units, word)), np.int64(0)
    if word == NONE:  # sooner told than added
        return np.int64(0), np.int64(0)
    if narrow > 0:
        if singly:
            return coarse_sum(values, place, word, narrow), np.int64(0)
        whole, rest, lost = split_sum(values, place, word, narrow)
        if lost == NONE:
            below = rest & ((np.int64(1) << spare) - 1)
            return (whole << (REST_BITS - spare)) + (rest >> spare), below << (FINE_BITS - spare)
    return long_sum(values, place, word, scale)


@lean
def sum_words(words: Words, start: int, stop: int, first: int, amounts: Amounts, totals: Places) -> None:
    """Set the totals [start, stop) to the sums, as `sum_of_word` has them, of the words from `start` on before each."""
    values, codes = amounts.values, amounts.codes
    coded = amounts.table.shape[0] > 0
    whole, rest = np.int64(0), np.int64(0)
    for w in range(start, stop):
        totals[w, 0], totals[w, 1] = whole, rest
        place = first + (w << 6)
        if coded:
            prefetch(codes, place + AHEAD)
        elif words[w] == NONE:
            continue
        else:
            for j in range(0, 64, 64 // values.itemsize):
                prefetch(values, place + AHEAD + j)
        more, finer = sum_of_word(place, words[w], amounts)
        whole += more
        rest += finer


@lean
def add_runs(
    words: Words,
    ranks: NDArray[np.uint32],
    totals: Places,
    place: int,
    ends: NDArray[np.uint32],
    columns: NDArray[np.uint16],
    origin: int,
    first: int,
    amounts: Amounts,
    counts: NDArray[np.uint32],
    sums: Places,
) -> None:
    """Add the values of the runs of one group of a strip, which begin at `place`, to `counts` (width,) and `sums`
    (width, 1 or 2), where no code has rests: as `runs.count_runs` does, differences of what there is up to the end of
    a run.

    Places count from that of the strip, `origin`, which the amounts hold at `first`.
    """
    start, here, step = np.uint64(origin + 1), np.uint64(first), amounts.step
    w, word, number_before = before(words, ranks, np.uint64(place))
    whole_before, rest_before = sum_of_word(here + (w << SIX), word, amounts)
    whole_before += totals[w, 0]
    rest_before += totals[w, 1]
    for k in range(ends.shape[0]):
        w, word, number = up_to(words, ranks, np.uint64(ends[k]) - start)
        c = np.uint64(columns[k])
        whole, rest = sum_of_word(here + (w << SIX), word, amounts)
        whole += totals[w, 0]
        rest += totals[w, 1]
        counts[c] += np.uint32(number - number_before)
        sums[c, 0] += step * (whole - whole_before)
        if sums.shape[1] > 1:
            sums[c, 1] += rest - rest_before
        number_before, whole_before, rest_before = number, whole, rest


@lean
def add_runs_of_codes(
    words: Words,
    ranks: NDArray[np.uint32],
    totals: Places,
    place: int,
    ends: NDArray[np.uint32],
    columns: NDArray[np.uint16],
    origin: int,
    codes: NDArray[np.uint8],
    step: int,
    base: int,
    slope: int,
    rests: NDArray[np.uint8],
    counts: NDArray[np.uint32],
    sums: Places,
) -> None:
    """As `add_runs` where codes, those of the strip, have rests: a loop of its own, whose few numbers stay at hand."""
    start = np.uint64(origin + 1)
    w, word, number_before = before(words, ranks, np.uint64(place))
    whole_before = totals[w, 0] + sum_of_codes(codes, w << SIX, word, slope, rests)
    for k in range(ends.shape[0]):
        w, word, number = up_to(words, ranks, np.uint64(ends[k]) - start)
        c = np.uint64(columns[k])
        whole = totals[w, 0] + sum_of_codes(codes, w << SIX, word, slope, rests)
        more = np.uint32(number - number_before)
        counts[c] += more
        sums[c, 0] += step * (base * np.int64(more) + whole - whole_before)
        number_before, whole_before = number, whole


@lean
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
        if sums.shape[2] > 1:
            sums[r, c, 1] += np.int64((amount - whole) * FINE)
    counts[r, c] += 1


@lean
def summarise_strips(
    xs: Floats,
    ys: Floats,
    words: Words,
    strips: Strips,
    amounts: Amounts,
    meant: Words,
    ranks: NDArray[np.uint32],
    totals: Places,
    counts: NDArray[np.uint32],
    sums: Places,
    extremes: NDArray[np.float64],
) -> None:
    """What `summarise_places` does, with memory for the places that are meant of a strip, their ranks and sums."""
    bounds, spans, window, category, first, last, reach, starts, ends, columns, above, begins, top, height = strips
    values, codes, table, _, step, base, slope, rests, gaps, exactly, _, _, _, centres, scale, mode = amounts
    every = words.shape[0] == 0
    width = counts.shape[1]
    groups = bounds.shape[1] - 1
    origin = bounds[first, 0]
    coded, none = table.shape[0] > 0, above[:0]
    in_runs = mode == SUMS and not (coded and not exactly)
    for s in range(first, last):
        _, row, bottom = seen(spans[s], window, height)
        if row < 0:
            continue
        begin = begins[s - first]
        size = (bounds[s, groups] - bounds[s, 0] + 63) >> 6
        for g in range(groups):
            if category[g] < 0 or bounds[s, g] == bounds[s, g + 1]:
                continue
            run, stop_run = starts[(s - first) * groups + g], starts[(s - first) * groups + g + 1]
            by_run = run < stop_run
            place, stop = reach[(s - first) * groups + g]
            if by_run and in_runs:
                strip = bounds[s, 0]
                here = words if every else words[(strip - origin) >> 6 :]
                start, end = (place - strip) >> 6, (stop - strip + 63) >> 6
                as_it_is = not every and not gaps and bottom == row
                for r in range(bottom - row + 1):
                    nearer = above[begin + (r - 1) * size :] if r > 0 else none
                    beyond = above[begin + r * size :] if row + r < bottom else none
                    if not as_it_is:
                        places_meant(here, nearer, beyond, strip - origin, amounts, start, end, meant)
                    mine, right, below = here if as_it_is else meant, columns[run:stop_run], ends[run:stop_run]
                    number, total = counts[row + r - top], sums[row + r - top]
                    rank_words(mine, start, end, ranks)
                    sum_words(mine, start, end, strip - origin, amounts, totals)
                    if rests.shape[0] > 0:
                        add_runs_of_codes(
                            mine, ranks, totals, place - strip, below, right, strip, codes[strip - origin :], step,
                            base, slope, rests, number, total,
                        )  # fmt: skip
                    else:
                        add_runs(
                            mine, ranks, totals, place - strip, below, right, strip, strip - origin, amounts, number,
                            total,
                        )  # fmt: skip
                continue
            for at in range((place - origin) & ~63, stop - origin, 64):
                word = word_of(words, at, place - origin, stop - origin)
                while word != NONE:
                    i: Any = origin + at + np.int64(lowest(word))
                    word &= word - ONE
                    value = table[codes[i - origin]] if coded else np.float64(values[i - origin])
                    if value != value:
                        continue
                    if by_run:
                        while np.int64(ends[run]) <= i:
                            run += 1
                        r, c = row - top, int(np.int64(columns[run]))
                        for k in range(bottom - row):
                            beyond_it = above[begin + k * size + ((i - bounds[s, 0]) >> 6)]
                            r += int((beyond_it >> np.uint64(i & 63)) & ONE)
                    else:
                        y = np.float64(ys[i])
                        if not (window[2] <= y <= window[3]):
                            continue
                        r = pixel(y, window[2], window[3], height) - top
                        c = pixel(np.float64(xs[i]), window[0], window[1], width)
                    take_value(value, mode, scale, r, c, centres, counts, sums, extremes)


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
    """Like `runs.count_places` for the values of a column, with `counts` (rows, width).

    `sums` (rows, width, 2) are the sum of the values, or for the mode SQUARES of their squared distances from the
    centres, in fixed point: units of 1/scale (1/scale^2 for squares) and of 2^-32 of that. The latter are left out,
    (rows, width, 1), where every value is whole. Whole numbers add up to the same in any order. `extremes` (rows,
    width) is the least or the most so far.
    """
    size = most_words(strips)
    meant, ranks, totals = np.empty(size, np.uint64), np.empty(size, np.uint32), np.empty((size, 2), np.int64)
    summarise_strips(xs, ys, words, strips, amounts, meant, ranks, totals, counts, sums, extremes)


@lean
def nearest(whole: Any, rest: Any) -> float:
    """The double nearest to whole + rest / FINE."""
    whole += rest >> FINE_BITS
    rest &= (np.int64(1) << FINE_BITS) - 1
    # The last sum is the only one that can be inexact.
    near = np.float64(whole)
    return float(near + (np.float64(whole - np.int64(near)) + np.float64(rest) / FINE))


@loop
def means_of(counts: NDArray[np.uint32], sums: Places, scale: float, out: NDArray[np.float64]) -> None:
    """Write what the sums of a pixel, in units of 1/scale, come to for each value to `out`, NaN where nothing is."""
    for r in range(counts.shape[0]):
        for c in range(counts.shape[1]):
            # As Datashader does: the sum as a double, then divided.
            rest = sums[r, c, 1] if sums.shape[2] > 1 else np.int64(0)
            out[r, c] = nearest(sums[r, c, 0], rest) / scale / counts[r, c] if counts[r, c] else np.nan
