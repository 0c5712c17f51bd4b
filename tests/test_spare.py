"""Memory is used again, by who needs as much or less, never by two at once, and not too much of it is kept."""

from __future__ import annotations

import gc
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galviz import spare
from galviz.spare import CHUNK, LEAST, PAGE, Pool


def is_kept(pool: Pool, words: np.ndarray) -> bool:
    return any(words.base is chunk for chunk in pool._chunks)


def test_words_are_used_again() -> None:
    pool = Pool()
    words = pool.borrow(LEAST)
    words[:] = 7
    pool.give_back(words)
    again = pool.borrow(LEAST - 0)
    assert again.ctypes.data == words.ctypes.data
    assert not is_kept(pool, pool.borrow(LEAST - 1))
    assert len(pool._chunks) == 1


def test_parts_of_any_size_come_from_what_neighbours_gave_back() -> None:
    pool = Pool()
    parts = [pool.borrow(CHUNK // 4) for _ in range(4)]
    assert len(pool._chunks) == 1
    for part in (parts[2], parts[0], parts[1]):
        pool.give_back(part)
    large = pool.borrow(CHUNK * 3 // 4)
    assert large.ctypes.data == parts[0].ctypes.data
    assert len(pool._chunks) == 1


def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "MOST_CHUNKS", 2)
    pool = Pool()
    lent = [pool.borrow(CHUNK) for _ in range(3)]
    assert [is_kept(pool, words) for words in lent] == [True, True, False]
    assert not is_kept(Pool(), Pool().borrow(CHUNK + 1))
    pool.give_back(lent[2])
    assert not is_kept(pool, pool.borrow(CHUNK))
    pool.give_back(lent[1])
    assert is_kept(pool, pool.borrow(CHUNK))


def test_memory_is_reserved_as_far_as_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "MOST_CHUNKS", 3)
    pool = Pool()
    lent = pool.borrow(CHUNK)
    pool.reserve()
    pool.reserve()
    assert len(pool._chunks) == 3
    assert [is_kept(pool, pool.borrow(CHUNK)) for _ in range(3)] == [True, True, False]
    assert lent.base is pool._chunks[0]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(LEAST, CHUNK // 2), st.integers(0, 9)), max_size=60))
def test_nobody_writes_on_what_another_has(steps: list[tuple[int, int]]) -> None:
    pool, lent = Pool(), list[tuple[int, np.ndarray]]()
    for number, (size, place) in enumerate(steps):
        if place < len(lent):
            tag, words = lent.pop(place)
            assert words[0] == words[-1] == tag
            pool.give_back(words)
        words = pool.borrow(size)
        assert words.size == size
        words[0] = words[-1] = number
        lent.append((number, words))
    spans = sorted((words.ctypes.data, words.ctypes.data + words.nbytes) for _, words in lent)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    for _, words in lent:
        pool.give_back(words)
    pool.borrow(LEAST)
    free = sum(stop - start for _, start, stop in pool._free)
    assert free == len(pool._chunks) * CHUNK - (-(-LEAST // PAGE) * PAGE if pool._chunks else 0)


def test_an_array_gives_its_memory_back_when_the_last_one_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "_pool", Pool())
    made = spare.full((600, 500), 1.5, np.float64)
    np.testing.assert_array_equal(made, np.full((600, 500), 1.5))
    view, address = made[3:, ::2].view(), made.ctypes.data
    del made
    gc.collect()
    assert spare.full((600, 500), 2, np.float64).ctypes.data != address
    assert (view == 1.5).all()
    del view
    gc.collect()
    again = spare.full((500, 600), 0, np.float64)
    assert again.ctypes.data == address
    assert spare.full((3, 4), 7, np.uint32).base is None


def test_threads_never_share_words() -> None:
    def work(number: int) -> None:
        for _ in range(200):
            words = pool.borrow(LEAST)
            words[:] = number
            if not (words == number).all():
                wrong.append(number)
            pool.give_back(words)

    pool, wrong = Pool(), list[int]()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
