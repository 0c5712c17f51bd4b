"""Words to write on that are used again: fresh memory costs many times what is written on it."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
STEP = 1 << 18  # words of a huge page; memory comes in multiples of it, so that what is nearly alike can take it over
LEAST, MOST_BYTES = 1 << 16, 256 << 20  # words that are kept, and bytes in all
_kept: list[Words] = []
_lock = threading.RLock()  # a mask may be let go of in the middle of anything


def borrow(words: int) -> Words:
    """So many words with anything in them."""
    size = _size(words)
    with _lock:
        for number, spare in enumerate(_kept):
            if spare.size == size:
                return _kept.pop(number)[:words]
    return np.empty(size, np.uint64)[:words]


def give_back(words: Words) -> None:
    """Let words that were borrowed be used again; nobody looks at them any more."""
    if words.size >= LEAST and isinstance(words.base, np.ndarray):
        with _lock:
            _kept.append(words.base)
            while sum(spare.nbytes for spare in _kept) > MOST_BYTES:
                _kept.pop(0)


def reserve(words: int, number: int) -> None:
    """Have memory for `number` times so many words at hand, as far as it would be kept."""
    if words < LEAST:
        return
    fresh = [borrow(words) for _ in range(min(number, MOST_BYTES // (8 * _size(words))))]
    for each in fresh:
        each[:] = 0
        give_back(each)


def _size(words: int) -> int:
    return max(1, words) if words < LEAST else -(-words // STEP) * STEP
