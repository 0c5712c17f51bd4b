"""The loops of the index over rows, without the interpreter lock."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galviz.kernels import loop

NOWHERE = np.uint32(0xFFFFFFFF)  # the place or row of padding
_PRIME = np.uint64(0x100000001B3)
_SIGN, _ALL = np.uint32(0x80000000), np.uint32(0xFFFFFFFF)
_STEP, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@loop
def checksum_words(start: np.uint64, words: NDArray[np.uint64], tail: NDArray[np.uint8]) -> np.uint64:
    """A number that changes with any single word: each step is one to one in the word and in what was before.

    `start` is the number of what came before.
    """
    result = np.uint64(start)
    for word in words:
        result = (result ^ word) * _PRIME
    for byte in tail:
        result = (result ^ np.uint64(byte)) * _PRIME
    return result


@loop
def _slice_of(value: float, low: float, scale: float, slices: int) -> int:
    place = (value - low) * scale
    if place < 0:
        return 0
    return slices - 1 if place >= slices else int(place)


@loop
def locate(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    group: NDArray[np.uint8],
    lows: tuple[float, float],
    scales: tuple[float, float, float],
    strips: int,
    cells: int,
    groups: int,
    bucket: NDArray[np.int64],
    cell: NDArray[np.int64],
) -> None:
    """The bucket (strip, group) and the sample cell (y cell, x cell, group) of each row.

    `scales` are x cells, strips and y cells a unit. Rows without coordinates have the last strip and cell of all.
    """
    for i in range(len(x)):
        if np.isnan(x[i]) or np.isnan(y[i]):
            strip, square = strips, cells * cells
        else:
            strip = _slice_of(y[i], lows[1], scales[1], strips)
            across = _slice_of(x[i], lows[0], scales[0], cells)
            square = _slice_of(y[i], lows[1], scales[2], cells) * cells + across
        bucket[i] = strip * groups + group[i]
        cell[i] = square * groups + group[i]


@loop
def order_by_bucket(bucket: NDArray[np.int64], starts: NDArray[np.int64], order: NDArray[np.int64]) -> None:
    """Rows bucket by bucket, in row order within a bucket; `starts` is used up."""
    for i in range(len(bucket)):
        order[starts[bucket[i]]] = i
        starts[bucket[i]] += 1


@loop
def pack_keys(
    x: NDArray[np.float32], words: NDArray[np.uint32], bucket: NDArray[np.int64], bits: int, keys: NDArray[np.uint64]
) -> None:
    """Keys that sort by bucket, x (NaN last) and row; `words` are the bits of x, and a row number has `bits` bits."""
    shift = np.uint64(bits)
    for i in range(len(x)):
        word = words[i]
        if np.isnan(x[i]):
            ordered = _ALL
        elif x[i] == 0:
            ordered = _SIGN  # of either sign
        elif word & _SIGN:
            ordered = np.uint32(~word)
        else:
            ordered = np.uint32(word | _SIGN)
        keys[i] = (((np.uint64(bucket[i]) << np.uint64(32)) | np.uint64(ordered)) << shift) | np.uint64(i)


@loop
def spread(
    values: NDArray[np.unsignedinteger],
    order: NDArray[np.int64],
    places: NDArray[np.int64],
    out: NDArray[np.unsignedinteger],
) -> None:
    """out[places[i]] = values[order[i]]"""
    for i in range(len(order)):
        out[places[i]] = values[order[i]]


@loop
def invert(rows: NDArray[np.uint32], inverse: NDArray[np.uint32]) -> None:
    """The place of each row."""
    for place in range(len(rows)):
        if rows[place] != NOWHERE:
            inverse[rows[place]] = place


@loop
def link(
    rows: NDArray[np.uint32], inverse: NDArray[np.uint32], home: NDArray[np.uint32], to: NDArray[np.uint32]
) -> None:
    """The home place of each place, and back; `inverse` is the home place of each row."""
    for place in range(len(rows)):
        if rows[place] != NOWHERE:
            other = inverse[rows[place]]
            home[place] = other
            to[other] = place


@loop
def choose(
    first: int, cell: NDArray[np.int64], rates: NDArray[np.float64], seed: int, chosen: NDArray[np.bool_]
) -> None:
    """Which rows a sample takes: each with the rate of its cell, decided by a hash of its number (splitmix64)."""
    for i in range(len(cell)):
        mixed = (np.uint64(first + i) + np.uint64(1) + (np.uint64(seed) << np.uint64(40))) * _STEP
        mixed = (mixed ^ (mixed >> _S30)) * _MIX_1
        mixed = (mixed ^ (mixed >> _S27)) * _MIX_2
        mixed ^= mixed >> _S31
        chosen[i] = float(mixed >> _S11) * 2.0**-53 < rates[cell[i]]


@loop
def zone(
    values: NDArray[np.generic], starts: NDArray[np.int64], ends: NDArray[np.int64], size: int, out: NDArray[np.float64]
) -> None:
    """Smallest and largest value of the real rows of each block of `size` rows; NaN where one is NaN.

    Real rows lie from `starts` to `ends` of each strip; `out` (blocks, 2) starts as inf, -inf.
    """
    for strip in range(len(starts)):
        place = starts[strip]
        while place < ends[strip]:
            block = place // size
            stop = min((block + 1) * size, ends[strip])
            low, high = out[block, 0], out[block, 1]
            for i in range(place, stop):
                value = float(values[i])
                if np.isnan(value) or np.isnan(low):
                    low = high = np.nan
                else:
                    low, high = min(low, value), max(high, value)
            out[block, 0], out[block, 1] = low, high
            place = stop


@loop
def span(
    values: NDArray[np.generic], starts: NDArray[np.int64], ends: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Smallest and largest value from `starts` to `ends` of each strip; `out` keeps what it has where there is none."""
    for strip in range(len(starts)):
        if starts[strip] < ends[strip]:
            low, high = np.inf, -np.inf
            for i in range(starts[strip], ends[strip]):
                value = float(values[i])
                low, high = min(low, value), max(high, value)
            out[strip, 0], out[strip, 1] = low, high
