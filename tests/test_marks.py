"""A mask of places holds the rows that a clause admits, in every plane, whoever filled it in and however far."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from cachetools import LRUCache
from numpy.typing import NDArray

from benchmarks import law
from galviz import marks, scan, spare
from galviz.catalogue import Catalogue
from galviz.draw import Viewport, draw, never
from galviz.errors import Cancelled, SelectionError
from galviz.index import Index, Plane, build_index, layout, open_index
from galviz.selection import Box, Clause, Cone, OneOf, Polygon, Range, Selection
from tests.fresh import forget_pictures

ROWS = 4000
SQUARE = ((-2.0, -1.0), (2.5, -1.0), (2.5, 1.5), (-2.0, 1.5))
STAR = ((-4.0, -3.0), (4.0, 2.0), (-4.0, 2.0), (4.0, -3.0), (0.0, 4.0))
HERE = {  # what the plane (u, v) can tell by itself
    "open range of a coded column": Range("p_best", 0.5, None, include_low=False),
    "range of a coded column": Range("p_best", 0.1, 0.9, include_high=False),
    "range of codes that nothing is in": Range("p_best", 0.5001, 0.5002),
    "range of another column": Range("r", 17, 21.5),
    "strict range at stored values": Range("p_star", 0.25, 0.75, include_low=False, include_high=False),
    "range of the coordinate": Range("u", 0, None, include_low=False),
    "range below every number": Range("size", None, -1e300),
    "range above every number": Range("u", 1e300),
    "range of every number": Range("u", -1e300, 1e300),
    "flag": OneOf("odd", (True,)),
    "both flags": OneOf("odd", (True, False)),
    "no value": OneOf("p_best", ()),
    "one value": OneOf("p_best", (0.5,)),
    "box": Box("u", "v", -1, 1.25, -0.5, 2),
    "box of two carried columns": Box("r", "size", 15, 20, 0.5, 1.5),
    "square": Polygon("u", "v", SQUARE),
    "star": Polygon("u", "v", STAR),
    "star with swapped axes": Polygon("v", "u", STAR),
    "triangle beside everything": Polygon("u", "v", ((90, 90), (91, 90), (90, 91))),
}
AWAY = {  # what another plane, or the order of rows, has to tell
    "box on the sky": Box("ra", "dec", 10, 100, -20, 20),
    "range of another plane's coordinate": Range("ra", 90, 180),
    "lasso of another plane": Polygon("g_r", "r", ((-2, 15), (3, 16), (1, 22))),
    "range of a loose column": Range("i", 15, 20),
    "cone": Cone("ra", "dec", 350, 10, 60),
    "values apart": OneOf("p_best", (0.1, 0.5)),
    "value of a column without codes": OneOf("p_star", (0.5,)),
    "lasso across planes": Polygon("u", "r", ((-2, 15), (3, 16), (1, 22))),
    "the other class": OneOf("class", ("GALAXY", "STAR")),
    "column that is not indexed": Range("note", 0),
}


@pytest.fixture(scope="module", params=[True, False], ids=["loose columns", "none"])
def catalogue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """With and without columns in row order."""
    with law.cut_small(ROWS, loose=request.param):
        made = law.write(tmp_path_factory.mktemp("marks") / "cat", law.survey(ROWS, 2))
        assert bool(build_index(made).columns) is request.param
    return made


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> LRUCache[object, object]:
    """No mask of another test."""
    cache: LRUCache[object, object] = LRUCache(1 << 20, getsizeof=lambda entry: max(entry.nbytes, 1))
    monkeypatch.setattr(marks, "_cache", cache)
    monkeypatch.setattr(marks, "_asked", LRUCache(100))
    return cache


@pytest.fixture
def index(catalogue: Catalogue) -> Index:
    return open_index(catalogue)


def rows_of_places(index: Index, plane: Plane) -> NDArray[np.int64]:
    """The row of each place of a plane, -1 for padding."""
    row = np.where(index.row == 0xFFFFFFFF, -1, index.row.astype(np.int64))
    if plane.home is None:
        return row
    return np.where(plane.home == 0xFFFFFFFF, -1, row[np.minimum(plane.home, row.size - 1)])


def rows_in(index: Index, plane: Plane, words: NDArray[np.uint64]) -> list[int]:
    rows = rows_of_places(index, plane)
    inside = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)
    return sorted(rows[inside & (rows >= 0)].tolist())


def wanted(catalogue: Catalogue, clause: Clause) -> list[int]:
    frame = catalogue.frame().compute()
    return np.flatnonzero(clause.mask({name: frame[name] for name in clause.columns})).tolist()


@pytest.mark.parametrize("kind", [*HERE, *AWAY])
def test_a_mask_holds_the_rows_that_the_clause_admits_in_every_plane(
    catalogue: Catalogue, index: Index, kind: str
) -> None:
    clause = (HERE | AWAY)[kind]
    rows = wanted(catalogue, clause)
    for plane in index.planes:
        (mask,) = marks.prepare(catalogue, index, plane, [clause], never)
        mask.fill_whole(never)
        assert mask.is_whole
        assert rows_in(index, plane, mask.words) == rows
    assert marks.marks_of(catalogue, index, index.planes[0], [clause]).is_local is (kind in HERE)


def test_a_plane_whose_rows_all_lie_in_a_block_is_not_read(catalogue: Catalogue, index: Index) -> None:
    """Zone maps answer for columns whose limits lie beyond all values."""
    plane = index.planes[1]
    mask = marks.Marks(catalogue, index, plane, [Range("ra", -1e9, 1e9)])
    mask.fill_whole(never)
    assert (np.bitwise_count(mask.words) == 64).sum() > ROWS // 100


def test_strips_are_filled_in_when_they_are_asked_for(catalogue: Catalogue, index: Index) -> None:
    plane, clause = index.planes[0], Range("r", 17, 21)
    mask = marks.marks_of(catalogue, index, plane, [clause])
    mask.words[:] = 7
    marks.combined(plane, [mask], 3, 9)
    assert not mask.is_whole
    start, stop = marks.word_range(plane, 3, 9)
    assert (mask.words[:start] == 7).all()
    assert (mask.words[stop:] == 7).all()
    part = mask.words[start:stop].copy()
    mask.fill_whole(never)
    np.testing.assert_array_equal(mask.words[start:stop], part)
    assert rows_in(index, plane, mask.words) == wanted(catalogue, clause)


def test_words_that_nobody_looks_at_any_more_are_used_again(
    catalogue: Catalogue, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare, "LEAST", 1)
    mask = marks.Marks(catalogue, index, index.planes[0], [Range("r", 17, 21)])
    words = mask.words
    words[:] = 7
    del mask
    other = marks.Marks(catalogue, index, index.planes[0], [Range("r", 14, 15)])
    assert other.words.ctypes.data == words.ctypes.data
    other.fill_whole(never)
    assert rows_in(index, index.planes[0], words) == wanted(catalogue, Range("r", 14, 15))


def test_an_interpreter_that_ends_says_nothing_of_masks(catalogue: Catalogue) -> None:
    code = (
        "import sys; from galviz import spare; spare.LEAST = 1; import galviz as gv; "
        "view = gv.Viewport('u', 'v', (-6, 6), (-4, 4), 300, 200); cat = gv.open_catalogue(sys.argv[1]); "
        "kept = [gv.draw(cat, view, 'r > 17', by='class_pred'), gv.draw(cat, view, 'r > 17', mean='p_best')]"
    )
    done = subprocess.run([sys.executable, "-c", code, str(catalogue.path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_shared_words_of_several_masks(catalogue: Catalogue, index: Index) -> None:
    plane = index.planes[0]
    several = [Range("r", 15, 22), Polygon("u", "v", STAR), OneOf("odd", (False,)), Range("p_star", 0.1)]
    for number in range(len(several) + 1):
        every = marks.prepare(catalogue, index, plane, several[:number], never)
        words = marks.combined(plane, every, 0, plane.strips)
        if number == 0:
            assert words.size == 0
            continue
        rows = set(range(ROWS)).intersection(*(wanted(catalogue, clause) for clause in several[:number]))
        assert rows_in(index, plane, words) == sorted(rows)


def test_conditions_that_stay_share_a_mask_and_those_that_change_another(catalogue: Catalogue, index: Index) -> None:
    plane = index.planes[0]
    a, b, c, d = Range("r", 15, 22), Range("p_star", 0.1), OneOf("odd", (False,)), Range("r", 16, 21)

    def shared(*clauses: Clause) -> list[set[Clause]]:
        return [set(mask.clauses) for mask in marks.prepare(catalogue, index, plane, clauses, never)]

    assert shared(a, b, c) == [{a, b, c}]
    assert shared(d, b, c) == [{b, c}, {d}]
    assert shared(d, c, b) == [{b, c}, {d}]
    assert shared(a, b, c, d) == [{a, b, c}, {d}]
    assert shared(a) == [{a}]
    assert shared(AWAY["cone"], d) == [{AWAY["cone"]}, {d}]
    assert shared() == []


def test_of_a_mask_no_more_is_filled_in_than_what_is_shown(catalogue: Catalogue, index: Index) -> None:
    plane = index.planes[0]
    clauses = [Range("r", 15, 22), Polygon("u", "v", STAR), Range("p_best", 0.4), Range("ra", 90, 200)]
    truth = [marks.Marks(catalogue, index, plane, [clause]) for clause in clauses]
    for mask in truth:
        mask.fill_whole(never)
    for number in range(1, 5):
        every = marks.prepare(catalogue, index, plane, clauses[:number], never)
        start, stop = marks.word_range(plane, 2, 8)
        parts = np.array([[start + 1, start + 2], [start + 4, stop - 1]])
        words = marks.combined(plane, every, 2, 8, parts)
        wanted = np.bitwise_and.reduce([mask.words for mask in truth[:number]])
        for first, last in parts:
            places = rows_in_part(index, plane, words[first - start : last - start], first)
            assert places == rows_in_part(index, plane, wanted[first:last], first)
        assert not any(mask.is_local and mask.has(2, 8) for mask in every)


def test_strips_are_cut_into_pieces_that_cover_them(index: Index) -> None:
    for plane in index.planes:
        for first, last in ((0, plane.strips), (0, plane.strips - 1), (3, 7), (5, 6), (4, 4)):
            for rows in (1, 100, 1000, 1 << 22):
                pieces = marks.chunks(plane, first, last, rows)
                covered = [strip for piece in pieces for strip in range(*piece)]
                assert covered == list(range(first, last))
                assert all(a < b for a, b in pieces)
        assert len(marks.chunks(plane, rows=200)) > 5


def test_conditions_on_the_ordering_class_choose_groups(catalogue: Catalogue, index: Index) -> None:
    plane, by = index.planes[0], index.layout.by
    clauses = [OneOf("class_pred", ("GALAXY", "STAR")), Range("r", 15), OneOf("class", ("STAR",))]
    on, others = marks.groups_on(plane, clauses, catalogue, by)
    assert on.tolist() == [True, False, False, True, False]
    assert others == clauses[1:]
    assert marks.groups_on(plane, [], catalogue, by)[0].all()
    assert not marks.groups_on(plane, [OneOf("class_pred", ())], catalogue, by)[0].any()
    with pytest.raises(SelectionError, match="class_pred has no value 'WIZARD'"):
        marks.groups_on(plane, [OneOf("class_pred", ("WIZARD",))], catalogue, by)


@pytest.mark.parametrize("kind", ["star", "lasso of another plane", "cone", "range of a loose column"])
def test_a_mask_whose_filling_was_stopped_is_filled_in_the_next_time(
    catalogue: Catalogue, index: Index, kind: str
) -> None:
    clause = (HERE | AWAY)[kind]
    for asked in range(12):
        answers = iter([False] * asked)
        mask = marks.marks_of(catalogue, index, index.planes[2], [clause])
        try:
            mask.fill_whole(lambda answers=answers: next(answers, True))
        except Cancelled:
            continue
        break
    mask.fill_whole(never)
    assert rows_in(index, index.planes[2], mask.words) == wanted(catalogue, clause)


def test_threads_that_fill_one_mask_at_once_agree(catalogue: Catalogue, index: Index) -> None:
    """Whoever reads a strip sees it whole, while another thread fills in the same."""
    plane = index.planes[0]
    clauses = [Polygon("u", "v", STAR), Range("p_star", 0.3), Box("u", "v", -1, 2, -1, 2), Range("ra", 90, 200)]
    truth = [marks.Marks(catalogue, index, plane, [clause]) for clause in clauses]
    for mask in truth:
        mask.fill_whole(never)
    barrier = threading.Barrier(8)

    def read(seed: int) -> int:
        rng = np.random.default_rng(seed)
        wrong = 0
        for number in range(40):
            if number % 10 == 0:
                barrier.wait()
                marks._cache.clear()
            which = rng.permutation(len(clauses))[:2]
            first, last = sorted(rng.choice(plane.strips + 1, 2, replace=False).tolist())
            every = marks.prepare(catalogue, index, plane, [clauses[k] for k in which], never)
            start, stop = marks.word_range(plane, first, last)
            words = marks.combined(plane, every, first, last)
            both = truth[which[0]].words[start:stop] & truth[which[1]].words[start:stop]
            wrong += rows_in_part(index, plane, words, start) != rows_in_part(index, plane, both, start)
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(read, range(8))) == 0


def rows_in_part(index: Index, plane: Plane, words: NDArray[np.uint64], start: int) -> list[int]:
    whole = np.zeros(plane.size // 64, np.uint64)
    whole[start : start + words.size] = words
    return rows_in(index, plane, whole)


def test_masks_are_kept_and_shared_within_a_cap_of_bytes(
    catalogue: Catalogue, index: Index, fresh: LRUCache[object, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    plane, clause = index.planes[0], Range("r", 17, 21)
    known = marks.marks_of(catalogue, index, plane, [clause])
    assert marks.marks_of(catalogue, index, plane, [clause]) is known
    assert marks.marks_of(catalogue, index, index.planes[1], [clause]) is not known
    room = 3 * plane.size // 8
    for cap in (room, 0):
        cache: LRUCache[object, object] = LRUCache(cap, getsizeof=lambda entry: max(entry.nbytes, 1))
        monkeypatch.setattr(marks, "_cache", cache)
        for kind, other in (HERE | AWAY).items():
            for number in (0, 2):
                (mask,) = marks.prepare(catalogue, index, index.planes[number], [other], never)
                mask.fill_whole(never)
                assert rows_in(index, index.planes[number], mask.words) == wanted(catalogue, other), kind
            assert cache.currsize <= cap


def test_a_row_mask_and_words_of_rows_agree(catalogue: Catalogue) -> None:
    clause = Range("i", 15, 20)
    assert np.flatnonzero(scan.row_mask(catalogue, clause, never)).tolist() == wanted(catalogue, clause)
    with pytest.raises(Cancelled):
        scan.row_mask(catalogue, clause, lambda: True)


def test_an_index_built_anew_is_not_answered_from_masks_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is the same, the places are not."""
    catalogue = law.write(tmp_path / "cat", law.survey(ROWS, 3))
    view, chosen = Viewport("u", "v", (-6, 6), (-50, 50), 6, 5), Selection.parse("r > 17 and 90 < ra < 200 and i > 15")
    law_of = law.Peer(catalogue)
    for strips, rows in ((64, 10**6), (64, 40), (16, 10**6), (16, 30)):
        monkeypatch.setattr(layout, "STRIP_ROWS", ROWS // strips)
        monkeypatch.setattr(layout, "RANGE_ROWS", rows)
        before = build_index(catalogue)
        for column in ("r", "p_star"):
            wanted_mean = law_of.picture(law.Request(view, chosen, mean=column))
            forget_pictures()
            np.testing.assert_array_equal(draw(catalogue, view, chosen, mean=column), wanted_mean)
        assert before.planes[0].strips == strips + 1
