"""Memory is used again, by who needs as much or nearly as much, and not too much of it is kept."""

from __future__ import annotations

import threading

import pytest

from galviz import spare
from galviz.spare import LEAST, STEP, borrow, give_back, reserve


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "_kept", [])


@pytest.mark.parametrize(("first", "second", "same"), [
    (STEP, STEP, True), (STEP + 2, STEP + 700, True), (2 * STEP, STEP + 1, True), (STEP, STEP + 1, False),
    (LEAST, LEAST + 1, True), (LEAST - 1, LEAST - 1, False),
])  # fmt: skip
def test_words_are_used_again(first: int, second: int, same: bool) -> None:
    words = borrow(first)
    give_back(words)
    again = borrow(second)
    assert (words.size, again.size) == (first, second)
    assert (again.base is words.base) == same


def test_what_is_lent_is_lent_once() -> None:
    give_back(borrow(LEAST))
    assert borrow(LEAST).base is not borrow(LEAST).base


def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "MOST_BYTES", 40 * STEP)
    lent = [borrow(STEP - number) for number in range(9)]
    for words in lent:
        give_back(words)
    assert [kept is words.base for kept, words in zip(spare._kept, lent[4:], strict=True)] == [True] * 5


def test_memory_is_reserved_as_far_as_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "MOST_BYTES", 40 * STEP)
    reserve(STEP, 3)
    assert len(spare._kept) == 3
    reserve(STEP, 100)
    assert len(spare._kept) == 5
    reserve(LEAST - 1, 3)
    assert len(spare._kept) == 5


def test_threads_never_share_words() -> None:
    def work(number: int) -> None:
        for _ in range(200):
            words = borrow(LEAST)
            words[:] = number
            if not (words == number).all():
                wrong.append(number)
            give_back(words)

    wrong: list[int] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
