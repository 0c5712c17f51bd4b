"""Sets of places as bit masks: place i is bit i % 64 of word i // 64.

Bits of padding places may be anything: whoever counts goes by groups of real places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from galviz.kernels.loops import Floats, loop
from galviz.kernels.polygons import turning
from galviz.kernels.vectors import everywhere, intrinsic_of, loaded, vector

Words = NDArray[np.uint64]
Zones = NDArray[np.float64]
Parts = NDArray[np.int64]  # (parts, 2): the first word of each and the one after it
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
NONE = np.uint64(0)
ONE = np.uint64(1)


def _word_operation(build: Callable[[Any, Any], Any]) -> Any:
    """A compiled function of one word that is a single instruction of the processor."""

    @intrinsic
    def operation(typingctx: Any, word: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return build(builder, args[0])

        return types.uint64(types.uint64), codegen

    return operation


ones = _word_operation(lambda builder, word: builder.ctpop(word))
# The place of the lowest one of a word that is not zero.
lowest = _word_operation(lambda builder, word: builder.cttz(word, ir.Constant(ir.IntType(1), 1)))


def _between(typingctx: Any, values: Any, place: Any, low: Any, high: Any) -> Any:
    """A word of which of the 64 values from `place` on lie in [low, high], limits of the same type as the values.

    A comparison of vectors, whose outcome processors give as such a word: several times as fast as a loop.
    """
    dtype = values.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = loaded(context, builder, signature.args[0], *args[:2])
        least, most = (everywhere(builder, limit) for limit in args[2:])
        if isinstance(dtype, types.Float):
            compare = builder.fcmp_ordered
        else:
            compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
        inside = builder.and_(compare(">=", numbers, least), compare("<=", numbers, most))
        return builder.bitcast(inside, ir.IntType(64))

    return types.uint64(values, types.intp, dtype, dtype), codegen


between: Any = intrinsic(_between)


def _known(typingctx: Any, values: Any, place: Any) -> Any:
    """A word of which of the 64 values from `place` on are numbers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not isinstance(values.dtype, types.Float):
            return ir.Constant(ir.IntType(64), -1)
        numbers = loaded(context, builder, signature.args[0], *args)
        return builder.bitcast(builder.fcmp_ordered("ord", numbers, numbers), ir.IntType(64))

    return types.uint64(values, types.intp), codegen


known: Any = intrinsic(_known)


_DOUBLES = vector(ir.DoubleType())


def _scaled(context: Any, builder: Any, kind: Any, values: Any, place: Any, scale: Any, shift: Any) -> Any:
    """The 64 values from `place` on, times `scale` plus `shift`, as doubles."""
    numbers = loaded(context, builder, kind, values, place)
    if kind.dtype.bitwidth < 64:
        numbers = builder.fpext(numbers, _DOUBLES)
    return builder.fadd(builder.fmul(numbers, everywhere(builder, scale)), everywhere(builder, shift))


def _not_below(typingctx: Any, values: Any, place: Any, scale: Any, shift: Any, limit: Any) -> Any:
    """A word of which of the 64 values from `place` on, times `scale` plus `shift` as doubles, reach `limit`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scaled = _scaled(context, builder, signature.args[0], *args[:4])
        return builder.bitcast(builder.fcmp_ordered(">=", scaled, everywhere(builder, args[4])), ir.IntType(64))

    return types.uint64(values, types.intp, types.float64, types.float64, types.float64), codegen


def _last_of_pixels(typingctx: Any, values: Any, place: Any, scale: Any, shift: Any) -> Any:
    """A word of which of the 64 values from `place` on lie in another pixel than the value after them.

    Reads 65 values. The pixel is the whole part of a value times `scale` plus `shift`.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        floor = intrinsic_of(builder, "llvm.floor.v64f64", ir.FunctionType(_DOUBLES, [_DOUBLES]))
        after = builder.add(args[1], ir.Constant(args[1].type, 1))
        here, there = (
            builder.call(floor, [_scaled(context, builder, signature.args[0], args[0], start, *args[2:])])
            for start in (args[1], after)
        )
        return builder.bitcast(builder.fcmp_unordered("!=", here, there), ir.IntType(64))

    return types.uint64(values, types.intp, types.float64, types.float64), codegen


not_below: Any = intrinsic(_not_below)
last_of_pixels: Any = intrinsic(_last_of_pixels)


@loop
def count_between(words: Words, start: int, stop: int) -> int:
    """How many of the places [start, stop) are in the set."""
    if start >= stop:
        return 0
    first, last = start >> 6, (stop - 1) >> 6
    head = ALL << np.uint64(start & 63)
    tail = ALL >> np.uint64(63 - ((stop - 1) & 63))
    if first == last:
        return int(np.int64(ones(words[first] & head & tail)))
    total = ones(words[first] & head) + ones(words[last] & tail)
    for w in range(first + 1, last):
        total += ones(words[w])
    return int(np.int64(total))


@loop
def word_of(words: Words, place: int, start: int, stop: int) -> Any:
    """The word of the 64 places from `place` on, less those outside of [start, stop); no words at all are all ones."""
    word = ALL if words.shape[0] == 0 else words[place >> 6]
    if place < start:
        word &= ALL << np.uint64(start - place)
    if place + 64 > stop:
        word &= ALL >> np.uint64(place + 64 - stop)
    return word


@loop
def fill_between(words: Words, start: int, stop: int) -> None:
    """Put the places [start, stop) into the set."""
    if start >= stop:
        return
    first, last = start >> 6, (stop - 1) >> 6
    head = ALL << np.uint64(start & 63)
    tail = ALL >> np.uint64(63 - ((stop - 1) & 63))
    if first == last:
        words[first] |= head & tail
        return
    words[first] |= head
    words[last] |= tail
    words[first + 1 : last] = ALL


@loop
def begin(parts: Parts, origin: int, words: Words) -> None:
    """Put every place of some parts into a set whose words begin with the word `origin` of a plane."""
    for p in range(parts.shape[0]):
        words[parts[p, 0] - origin : parts[p, 1] - origin] = ALL


@loop
def verdict(zone: NDArray[np.float64], low: Any, high: Any) -> int:
    """What the smallest and the largest value of a zone tell of [low, high]: 1 all in it, 0 none, -1 look."""
    if zone[0] >= low and zone[1] <= high:
        return 1
    return 0 if zone[0] > high or zone[1] < low else -1


@loop
def narrow_between(
    values: NDArray[Any], low: Any, high: Any, zones: Zones, block: int, parts: Parts, origin: int, words: Words
) -> None:
    """Keep in the set those places whose value lies in [low, high]; `zones` (blocks, 2) spare the reading.

    `words` begin with the word `origin` of a plane; those of `parts` are looked at. `block` is the number of words of a
    zone.
    """
    for p in range(parts.shape[0]):
        w = parts[p, 0]
        while w < parts[p, 1]:
            stop = min(parts[p, 1], (w // block + 1) * block)
            told = verdict(zones[w // block], low, high)
            if told == 0:
                words[w - origin : stop - origin] = NONE
            elif told < 0:
                for k in range(w, stop):
                    if words[k - origin] != NONE:
                        words[k - origin] &= between(values, k << 6, low, high)
            w = stop


@loop
def look_up(raw: NDArray[np.uint32], table: NDArray[np.uint8], start: int, stop: int, out: NDArray[np.uint8]) -> None:
    """For the bits of each single-precision number [start, stop): the entry of its order-preserving upper 20 bits."""
    for i in range(start, stop):
        word = raw[i]
        if word == np.uint32(0x80000000):
            word = np.uint32(0)  # no zero is negative
        out[i] = table[(~word if word >> np.uint32(31) else word | np.uint32(0x80000000)) >> np.uint32(12)]


@loop
def narrow_coarsely(
    coarse: NDArray[np.uint8],
    least: Any,
    most: Any,
    low: Any,
    high: Any,
    zones: Zones,
    block: int,
    parts: Parts,
    origin: int,
    words: Words,
    unsure: Words,
) -> None:
    """Like `narrow_between` with a byte for each value that ascends with it, `least` for `low` and `most` for `high`.

    The places of these two bytes stay in the set; `unsure` tells which they are, and `settle` looks at them.
    """
    for p in range(parts.shape[0]):
        w = parts[p, 0]
        while w < parts[p, 1]:
            stop = min(parts[p, 1], (w // block + 1) * block)
            told = verdict(zones[w // block], low, high)
            unsure[w - origin : stop - origin] = NONE
            if told == 0:
                words[w - origin : stop - origin] = NONE
            elif told < 0:
                for k in range(w, stop):
                    word = words[k - origin]
                    if word != NONE:
                        words[k - origin] = word & between(coarse, k << 6, least, most)
                        unsure[k - origin] = between(coarse, k << 6, least, least) | between(coarse, k << 6, most, most)
            w = stop


def _prefetch(typingctx: Any, values: Any, place: Any) -> Any:
    """Let the processor fetch the value at `place`, without waiting for it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        address, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
        fetch = intrinsic_of(builder, "llvm.prefetch.p0i8", kind)
        to_read, keep, data = (ir.Constant(number, flag) for flag in (0, 3, 1))
        builder.call(fetch, [builder.bitcast(builder.gep(array.data, [args[1]]), address), to_read, keep, data])
        return context.get_dummy_value()

    return types.void(values, types.intp), codegen


prefetch: Any = intrinsic(_prefetch)
BATCH = 512  # places that are fetched before the first of them is looked at


@loop
def add_between(values: Floats, low: Any, high: Any, places: NDArray[np.int64], origin: int, words: Words) -> None:
    """Put those of the places into the set whose value lies in [low, high]."""
    for place in places:
        value = values[place]
        words[(place >> 6) - origin] |= np.uint64((value >= low) & (value <= high)) << np.uint64(place & 63)


@loop
def settle(values: Floats, low: Any, high: Any, parts: Parts, origin: int, words: Words, unsure: Words) -> None:
    """Keep of the `unsure` places of the set those whose value lies in [low, high].

    The places are far apart: their values are on the way while the next places are sought.
    """
    places = np.empty(BATCH + 64, np.int64)
    number = 0
    for p in range(parts.shape[0]):
        for w in range(parts[p, 0], parts[p, 1]):
            left = unsure[w - origin] & words[w - origin]
            if left == NONE:
                continue
            words[w - origin] ^= left
            while left != NONE:
                place = (w << 6) + np.int64(lowest(left))
                left &= left - ONE
                prefetch(values, place)
                places[number] = place
                number += 1
            if number >= BATCH:
                add_between(values, low, high, places[:number], origin, words)
                number = 0
    add_between(values, low, high, places[:number], origin, words)


@loop
def mark_mask(mask: NDArray[np.bool_], words: Words) -> None:
    """Set the words that a mask of places fills; what is beyond its end is not in the set."""
    for w in range(words.shape[0]):
        word = NONE
        base = w << 6
        for j in range(min(64, mask.shape[0] - base)):
            word |= np.uint64(mask[base + j]) << np.uint64(j)
        words[w] = word


@loop
def gather(source: Words, places: NDArray[np.uint32], first: int, last: int, words: Words) -> None:
    """Set the words [first, last): bit i is the bit of `source` at places[i], none where that is beyond its end."""
    size = source.shape[0] << 6
    for w in range(first, last):
        base = w << 6
        word = NONE
        for j in range(64):
            place = np.int64(places[base + j])
            if place < size:
                word |= ((source[place >> 6] >> np.uint64(place & 63)) & ONE) << np.uint64(j)
        words[w] = word


@loop
def scatter(source: Words, places: NDArray[np.uint32], words: Words) -> None:
    """Put places[i] into the set `words` for every i of the set `source`."""
    size = words.shape[0] << 6
    for w in range(source.shape[0]):
        word = source[w]
        base = w << 6
        while word != NONE:
            place = np.int64(places[base + np.int64(lowest(word))])
            if place < size:
                words[place >> 6] |= ONE << np.uint64(place & 63)
            word &= word - ONE


@loop
def first_not_below(values: Floats, start: int, stop: int, limit: float) -> int:
    """The first of the ascending values [start, stop) that is not below `limit`, else `stop`."""
    while start < stop:
        middle = (start + stop) >> 1
        if values[middle] < limit:
            start = middle + 1
        else:
            stop = middle
    return start


@loop
def first_above(values: Floats, start: int, stop: int, limit: float) -> int:
    """The first of the ascending values [start, stop) that is above `limit`, else `stop`."""
    while start < stop:
        middle = (start + stop) >> 1
        if values[middle] <= limit:
            start = middle + 1
        else:
            stop = middle
    return start


@loop
def inside_edges(
    x: float, y: float, px: NDArray[np.float64], py: NDArray[np.float64], edges: NDArray[np.int64], number: int
) -> bool:
    """Even-odd rule over `number` edges, edge k leading from vertex k - 1 to k; a point on an edge is inside."""
    inside = False
    for e in range(number):
        k = edges[e]
        x0, y0, x1, y1 = px[k - 1], py[k - 1], px[k], py[k]
        turn = turning(x0, y0, x1, y1, x, y)
        if turn == 0.0 and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
            return True
        if (y0 > y) != (y1 > y) and ((turn > 0.0) == (y1 > y0)):
            inside = not inside
    return inside


@loop
def mark_polygon(
    xs: Floats,
    ys: Floats,
    bounds: NDArray[np.int64],
    spans: NDArray[np.float64],
    px: NDArray[np.float64],
    py: NDArray[np.float64],
    first: int,
    last: int,
    words: Words,
) -> None:
    """Set the words of the strips [first, last) of a plane to the places inside a polygon, as `inside_polygon` does.

    Of a thin strip only the edges that cross it matter, and rows ascend in x: away from the crossings, whole
    runs of rows are inside or outside.
    """
    n = px.shape[0]
    left, right, low, high = px.min(), px.max(), py.min(), py.max()
    slack = 1e-9 * (right - left) + 1e-12 * max(abs(left), abs(right))
    edges = np.empty(n, np.int64)
    near = np.empty((n, 2))
    origin = bounds[first, 0]
    words[:] = NONE
    for s in range(first, last):
        bottom, top = spans[s]
        if not (bottom <= high and top >= low):
            continue
        number = 0
        for k in range(n):
            x0, y0, x1, y1 = px[k - 1], py[k - 1], px[k], py[k]
            if min(y0, y1) > top or max(y0, y1) < bottom:
                continue
            edges[number] = k
            a, b = min(x0, x1), max(x0, x1)
            if y0 != y1:
                slope = (x1 - x0) / (y1 - y0)
                at_bottom = x0 + slope * (max(bottom, min(y0, y1)) - y0)
                at_top = x0 + slope * (min(top, max(y0, y1)) - y0)
                # A steep slope blows rounding up; the extent of the edge bounds it.
                reach = slack + 1e-12 * abs(slope) * max(abs(bottom), abs(top))
                a, b = max(a, min(at_bottom, at_top) - reach), min(b, max(at_bottom, at_top) + reach)
            near[number, 0], near[number, 1] = a - slack, b + slack
            number += 1
        order = np.argsort(near[:number, 0])
        for g in range(bounds.shape[1] - 1):
            place, stop = bounds[s, g], bounds[s, g + 1]
            place = first_not_below(xs, place, stop, left)
            stop = first_above(xs, place, stop, right)
            e = 0
            while place < stop:
                # A run without a crossing, up to where the next edge comes near.
                free = stop if e == number else first_not_below(xs, place, stop, near[order[e], 0])
                if free > place:
                    if inside_edges(np.float64(xs[place]), np.float64(ys[place]), px, py, edges, number):
                        fill_between(words, place - origin, free - origin)
                    place = free
                if e == number:
                    break
                reach = near[order[e], 1]
                e += 1
                while e < number and near[order[e], 0] <= reach:
                    reach = max(reach, near[order[e], 1])
                    e += 1
                free = first_above(xs, place, stop, reach)
                for i in range(place, free):
                    if inside_edges(np.float64(xs[i]), np.float64(ys[i]), px, py, edges, number):
                        words[(i - origin) >> 6] |= ONE << np.uint64(i & 63)
                place = max(place, free)
