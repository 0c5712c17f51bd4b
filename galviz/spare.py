"""Memory to write on that is used again: fresh memory costs many times what is written on it.

It is taken from the system in large chunks, and lent out in parts of any size.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Words = NDArray[np.uint64]
LEAST = 1 << 15  # words from which memory is kept
PAGE = 1 << 9  # words that memory is lent in multiples of
CHUNK = 1 << 23  # words that are taken from the system at once
MOST_CHUNKS = 9


class Pool:
    """Chunks of memory, and which parts of them nobody uses."""

    def __init__(self) -> None:
        self._chunks: list[Words] = []
        self._free: list[tuple[int, int, int]] = []  # chunk, first and last word, ascending and never touching
        # What is let go of in the middle of anything, perhaps of this: it waits until memory is asked for.
        self._returned: deque[Words] = deque()
        self._lock = threading.Lock()

    def borrow(self, words: int) -> Words:
        """So many words with anything in them."""
        if words < LEAST:
            return np.empty(words, np.uint64)
        size = -(-words // PAGE) * PAGE
        with self._lock:
            self._take_back()
            if not any(stop - start >= size for _, start, stop in self._free):
                if size > CHUNK or len(self._chunks) >= MOST_CHUNKS:
                    return np.empty(words, np.uint64)
                self._add(np.empty(CHUNK, np.uint64))
            place = next(place for place, (_, start, stop) in enumerate(self._free) if stop - start >= size)
            number, start, stop = self._free[place]
            self._free[place : place + 1] = [(number, start + size, stop)] if stop - start > size else []
            return self._chunks[number][start : start + words]

    def give_back(self, words: Words) -> None:
        """Let words that were borrowed be used again; nobody looks at them any more.

        Also while the interpreter ends, when names of modules are gone.
        """
        if words.base is not None:
            self._returned.append(words)

    def reserve(self) -> None:
        """Take all memory from the system that may be kept, and touch it, so that it is at hand."""
        while True:
            with self._lock:
                if len(self._chunks) >= MOST_CHUNKS:
                    return
            chunk = np.empty(CHUNK, np.uint64)
            chunk[:] = 0
            with self._lock:
                self._add(chunk)

    def _add(self, chunk: Words) -> None:
        self._chunks.append(chunk)
        self._free.append((len(self._chunks) - 1, 0, chunk.size))

    def _take_back(self) -> None:
        if not self._returned:
            return
        parts = list(self._free)
        while self._returned:
            words = self._returned.popleft()
            number = next((place for place, chunk in enumerate(self._chunks) if words.base is chunk), None)
            if number is not None:
                start = (_address(words) - _address(self._chunks[number])) // words.itemsize
                parts.append((number, start, start + -(-words.size // PAGE) * PAGE))
        self._free = []
        for number, start, stop in sorted(parts):
            if self._free and self._free[-1][0] == number and self._free[-1][2] == start:
                start = self._free.pop()[1]
            self._free.append((number, start, stop))


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


class _Loan:
    """What an array is made of whose memory goes back to a pool once nobody has the array any more."""

    def __init__(self, pool: Pool, words: Words, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._pool, self._words = pool, words
        self.__array_interface__ = {
            "shape": shape, "typestr": dtype.str, "data": (_address(words), False), "version": 3,
        }  # fmt: skip

    def __del__(self) -> None:
        self._pool.give_back(self._words)


_pool = Pool()
borrow, give_back, reserve = _pool.borrow, _pool.give_back, _pool.reserve


def full(shape: tuple[int, ...], value: float, dtype: DTypeLike) -> NDArray[Any]:
    """As `numpy.full`, in memory that is used again once nobody has the array any more."""
    kind = np.dtype(dtype)
    words = -(-int(np.prod(shape)) * kind.itemsize // 8)
    if words < LEAST:
        return np.full(shape, value, kind)
    array = np.asarray(_Loan(_pool, _pool.borrow(words), shape, kind))
    array.fill(value)
    return array
