"""The grammar is its own inverse, a mask is what the words say, and hostile text ends in one sentence."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from galviz.errors import SelectionError
from galviz.grammar import MAX_CLAUSES, RESERVED, parse_clauses
from galviz.selection import Box, Clause, Cone, OneOf, Polygon, Range, Selection

names = st.one_of(
    st.sampled_from(["class", "lambda", "match", "psf_r", "box", "_keyword_class", "E"]),
    st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=12).filter(
        lambda name: not name[0].isdigit() and name not in RESERVED
    ),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(-(2**64) + 1, 2**64 - 1)
sides = st.booleans()
clauses: st.SearchStrategy[Clause] = st.one_of(
    st.builds(Range, names, numbers, numbers, sides, sides),
    st.builds(Range, names, st.one_of(numbers, ids), st.none(), sides, sides),
    st.builds(Range, names, st.none(), numbers, sides, sides),
    st.builds(OneOf, names, st.lists(st.one_of(st.text(max_size=8), numbers, ids, sides), max_size=4).map(tuple)),
    st.builds(Box, names, names, numbers, numbers, numbers, numbers),
    st.builds(Polygon, names, names, st.lists(st.tuples(numbers, numbers), min_size=3, max_size=6).map(tuple)),
    st.builds(Cone, names, names, st.floats(-720, 720), st.floats(-90, 90), st.floats(1e-9, 180)),
)


@settings(max_examples=400)
@given(clauses)
@example(OneOf("class", ('it\'s "quoted" \\ \n\x00 \ud800 ß', "")))
@example(Range("objid", 2**60 + 1))
@example(Range("x", -0.0, 5e-324))
def test_parse_inverts_print(clause: Clause) -> None:
    assert parse_clauses(str(clause)) == [clause]


@given(st.lists(clauses, max_size=5))
def test_a_printed_selection_reads_back_with_the_same_conditions(several: list[Clause]) -> None:
    selection = Selection(tuple((f"view {i}", clause) for i, clause in enumerate(several)))
    assert parse_clauses(str(selection)) == several
    again = Selection.parse(str(selection))
    assert Selection.parse(str(again)).columns == again.columns


def frame(**columns: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in columns.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17 <= r < 21", [1, 1, 0, 0]),
        ("21 > r >= 17", [1, 1, 0, 0]),
        ("r > 17 and r <= 21", [0, 1, 1, 0]),
        ("r == 19", [0, 1, 0, 0]),
        ("r in [17, 21.0]", [1, 0, 1, 0]),
        ("r in (17,)", [1, 0, 0, 0]),
        ("r in []", [0, 0, 0, 0]),
        ("r >= -1e300", [1, 1, 1, 0]),
        ("r < 1e300", [1, 1, 1, 0]),
        ("(r) < +18", [1, 0, 0, 0]),
        ("box(r, w, 17, 19, 1, 1)", [1, 1, 0, 0]),
        ("polygon(r, w, 16, 0, 20, 0, 20, 2, 16, 2)", [1, 1, 0, 0]),
        ("", [1, 1, 1, 1]),
        (" \n", [1, 1, 1, 1]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mask_is_what_the_words_say(text: str, expected: list[int], dtype: Any) -> None:
    rows = frame(r=np.array([17, 19, 21, np.nan], dtype), w=np.ones(4, dtype))
    assert Selection.parse(text).mask(rows).tolist() == [bool(n) for n in expected]
    assert Selection.parse(text).mask(pd.DataFrame(rows)).tolist() == [bool(n) for n in expected]


def test_classes_are_chosen_by_name_and_an_unknown_row_belongs_to_none() -> None:
    table = pd.DataFrame({"class": pd.Categorical.from_codes([0, 1, 2, -1], ["GALAXY", "QSO", "STAR"])})
    for rows in (table, {"class": table["class"].array}):
        assert Selection.parse("class == 'QSO'").mask(rows).tolist() == [False, True, False, False]
        assert Selection.parse("class in ['QSO', 'STAR']").mask(rows).tolist() == [False, True, True, False]
    with pytest.raises(SelectionError, match=r"class has no value 'WIZARD'; it knows GALAXY, QSO, STAR\."):
        Selection.parse("class == 'WIZARD'").mask(table)
    with pytest.raises(SelectionError, match="holds names, not numbers"):
        Selection.parse("class < 3").mask(table)


def test_object_ids_keep_every_digit() -> None:
    ids = frame(objid=2**60 + np.arange(3))
    assert Selection.parse(f"objid == {2**60 + 1}").mask(ids).tolist() == [False, True, False]
    assert Selection.parse(f"objid in [{2**60 + 1}, 1.5, 2, {2**63}]").mask(ids).tolist() == [False, True, False]
    assert Selection.parse(f"objid > {2**60 + 1}").mask(ids).tolist() == [False, False, True]
    assert Selection.parse(f"objid <= {2**64 - 1}").mask(ids).all()


def test_flags_and_texts_are_compared_as_what_they_are() -> None:
    rows = frame(limit=[True, False], field=np.array(["N", "1"], object))
    assert Selection.parse("limit == True").mask(rows).tolist() == [True, False]
    assert Selection.parse("limit == 0").mask(rows).tolist() == [False, True]
    assert Selection.parse("field in ['N', 'S']").mask(rows).tolist() == [True, False]
    assert Selection.parse("field == 1").mask(rows).tolist() == [False, True]
    with pytest.raises(SelectionError, match="holds no numbers"):
        Selection.parse("field > 1").mask(rows)
    with pytest.raises(SelectionError, match="holds numbers, not names"):
        Selection.parse("limit == 'N'").mask(rows)
    with pytest.raises(SelectionError, match="no column 'absent'"):
        Selection.parse("absent == 'N'").mask(rows)


def test_a_strict_threshold_leaves_out_what_a_float32_column_stores_for_it() -> None:
    # As float32, 0.8 is stored a little above and 0.9 a little below.
    rows = frame(p=np.array([0.8, 0.9], np.float32))
    assert Selection.parse("p > 0.8").mask(rows).tolist() == [False, True]
    assert Selection.parse("p <= 0.8").mask(rows).tolist() == [True, False]
    assert Selection.parse("p >= 0.9").mask(rows).tolist() == [False, True]
    assert Selection.parse("p in [0.8, 0.9]").mask(rows).all()


points = st.lists(st.tuples(st.floats(0, 360), st.floats(-90, 90)), min_size=1, max_size=20)


@given(points, st.floats(0, 360), st.floats(-90, 90), st.floats(1e-4, 180))
def test_a_cone_equals_the_angle_between_vectors(
    places: list[tuple[float, float]], ra: float, dec: float, radius: float
) -> None:
    def vector(lon: Any, lat: Any) -> np.ndarray:
        lon, lat = np.radians(lon), np.radians(lat)
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    lon, lat = np.array(places).T
    a, b = vector(lon, lat), vector(ra, dec)[:, None]
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b, axis=0), axis=0), (a * b).sum(axis=0)))
    mask = Cone("ra", "dec", ra, dec, radius).mask({"ra": lon, "dec": lat})
    sure = np.abs(angle - radius) > 1e-6
    np.testing.assert_array_equal(mask[sure], angle[sure] <= radius)


def test_a_cone_has_no_seam_and_no_pole() -> None:
    rows = frame(ra=[359.9, 0.1, 180.0, np.nan, np.inf], dec=[0.0, 0.0, 89.95, 0.0, 0.0])
    assert Cone("ra", "dec", 0, 0, 0.2).mask(rows).tolist() == [True, True, False, False, False]
    assert Cone("ra", "dec", 0, 89.96, 0.1).mask(rows).tolist() == [False, False, True, False, False]


@given(points, st.floats(0, 360), st.floats(-90, 90), st.floats(1e-4, 180), st.sampled_from(["f4", "f8"]))
@example([(10.0, 0.5), (10.0, 0.50001)], 10.0, 0.0, 0.5, "f8")
def test_a_cone_equals_the_haversine_of_every_row(
    places: list[tuple[float, float]], ra: float, dec: float, radius: float, kind: str
) -> None:
    """The band of declination that is looked at first loses nothing, single precision or not."""
    table = frame(ra=np.array(places, kind)[:, 0], dec=np.array(places, kind)[:, 1])
    lon, lat, lon0, lat0 = (np.radians(np.asarray(n, float)) for n in (table["ra"], table["dec"], ra, dec))
    haversine = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * np.cos(lat0) * np.sin((lon - lon0) / 2) ** 2
    limit = np.sin(np.radians(radius) / 2) ** 2
    sure = np.abs(haversine - limit) > 1e-15
    np.testing.assert_array_equal(Cone("ra", "dec", ra, dec, radius).mask(table)[sure], (haversine <= limit)[sure])


def test_a_cone_leaves_its_columns_as_they_are() -> None:
    table = frame(ra=[10.0, np.nan, 11.0], dec=[0.0, 0.0, np.nan])
    for values in table.values():
        values.flags.writeable = False
    assert Cone("ra", "dec", 10, 0, 1).mask(table).tolist() == [True, False, False]
    assert Cone("ra", "dec", 10, 80, 1).mask(table).tolist() == [False, False, False]
    assert Cone("ra", "dec", 10, 0, 180).mask(table).tolist() == [True, False, False]


@given(numbers, numbers, numbers, numbers, st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
def test_a_box_is_its_two_sides(a: float, b: float, c: float, d: float, rows: list[tuple[float, float]]) -> None:
    box = Box("x", "y", a, b, c, d)
    assert box.sides == (Range("x", a, b), Range("y", c, d))
    table = dict(zip("xy", np.array([*rows, (a, c), (b, d)]).T, strict=True))
    mask = (table["x"] >= a) & (table["x"] <= b) & (table["y"] >= c) & (table["y"] <= d)
    np.testing.assert_array_equal(box.mask(table), mask)
    np.testing.assert_array_equal(Selection((("x", box.sides[0]), ("y", box.sides[1]))).mask(table), mask)


@given(clauses, st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20), st.sampled_from(["f4", "f8"]))
@example(Range("x", 0.9), [(0.9, 0.9)], "f4")
@example(Box("x", "y", 0.1, 0.9, 0.1, 0.9), [(0.9, 0.1)], "f4")
def test_no_selected_row_lies_outside_the_bounds(clause: Clause, rows: list[tuple[float, float]], kind: str) -> None:
    # Some rows at the very limits of the clause.
    limits = [edge for pair in clause.bounds().values() for edge in pair if math.isfinite(edge)]
    with np.errstate(over="ignore"):
        values = np.array([*rows, *((edge, edge) for edge in limits)]).astype(kind)
    if isinstance(clause, Cone):
        values = np.clip(values, -90, 90)  # declinations end at the poles
    table = {name: values[:, i % 2] for i, name in enumerate(dict.fromkeys(clause.columns))}
    if isinstance(clause, OneOf) and any(isinstance(value, str) for value in clause.values):
        assert clause.bounds() == {}
        return
    mask = clause.mask(table)
    for column, (low, high) in clause.bounds().items():
        inside = table[column][mask]
        assert ((low <= inside.astype(float)) & (inside.astype(float) <= high)).all()


def test_bounds_of_a_selection_are_intersected() -> None:
    bounds = Selection.parse("r > 1 and polygon(r, w, 0, 0, 5, 0, 5, 5) and w in [1, 2]").bounds()
    assert bounds["r"] == pytest.approx((1, 5))
    assert bounds["w"] == pytest.approx((1, 2))


@given(clauses, clauses)
def test_a_selection_is_the_conjunction_of_its_clauses_and_can_leave_one_out(a: Clause, b: Clause) -> None:
    selection = Selection().choose("umap", a).choose("sky", b)
    assert selection.without("umap") == Selection((("sky", b),))
    assert selection.choose("sky", None).get("umap") == a
    assert selection.get("cmd") is None
    assert selection == Selection().choose("sky", b).choose("umap", a)
    assert hash(selection) == hash(Selection().choose("sky", b).choose("umap", a))
    assert bool(selection)
    assert not selection.without("sky", "umap")


def test_two_ranges_of_a_column_become_their_intersection() -> None:
    assert str(Selection.parse("r > 1 and r >= 1 and r < 5 and r <= 5")) == "1 < r < 5"
    assert str(Selection.parse("class == 'QSO' and class == 'STAR'")) == "class == 'QSO' and class == 'STAR'"


def test_the_empty_selection_is_every_row() -> None:
    assert Selection().mask({"x": np.zeros(3)}).tolist() == [True] * 3
    assert Selection().mask(pd.DataFrame({"x": np.zeros(3)})).tolist() == [True] * 3
    assert Selection().mask({}, rows=2).tolist() == [True] * 2
    assert Selection().sentence() == "every source"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("17 <= r < 21", "17 ≤ R < 21"),
        ("r > 17", "R > 17"),
        ("r <= 17.5", "R ≤ 17.5"),
        ("c in ['A', 'B']", "C is A or B"),
        ("c in []", "no C at all"),
        ("box(x, y, 0, 1, 0, 1)", "a box in X and Y"),
        ("polygon(x, y, 0, 0, 1, 0, 1, 1)", "a lasso in X and Y"),
        ("cone(ra, dec, 10, -5, 0.5)", "within 0.5° of (10.00000°, -5.00000°)"),
    ],
)
def test_a_clause_says_itself_to_a_reader(text: str, sentence: str) -> None:
    assert Selection.parse(text).sentence(str.upper) == sentence


HOSTILE = [
    "__import__('os').system('touch pwned')",
    "().__class__.__bases__[0].__subclasses__()",
    "open('pwned', 'w')",
    "x == __import__('os').system('touch pwned')",
    "x < (lambda: 1)()",
    "x == f'{open(1)}'",
    "[x for x in (1,)]",
    "x == b'1'",
    "x == 1j",
    "x == None",
    "x == ...",
    "x is 1",
    "x != 1",
    "x not in [1]",
    "x < 1 or x > 2",
    "not x < 1",
    "x",
    "1 < 2",
    "x < y",
    "x < 1 < y",
    "1 < x > 0",
    "1 < x < 2 < 3",
    "1 < x == 2",
    "x < 'a'",
    "x == -'a'",
    "x == -True",
    "x == --1",
    "x < 1e999",
    "x == " + "9" * 30,
    "x == " + "9" * 5000,
    "box(x, y, 1)",
    "box(x, y, 1, 2, 3, 'a')",
    "box(x, y, 1, 2, 3, True)",
    "box(x, y, 1, 2, 3, y_high=4)",
    "box(1, y, 1, 2, 3, 4)",
    "box(*x)",
    "polygon(x, y, 1, 2, 3, 4)",
    "polygon(x, y, 1, 2, 3, 4, 5)",
    "cone(ra, dec, 0, 91, 1)",
    "cone(ra, dec, 0, 0, 0)",
    "cone(ra, dec, 0, 0, 181)",
    "sphere(ra, dec, 0, 0, 1)",
    "x < 1; import os",
    "x < 1\nimport os",
    "x < (",
    "x == 'open",
    "x == '''open",
    "\x00",
    "x < 1 \x00",
    "\ud800 < 1",
    "ª < 1",
    "ßclass < 1",
    "class.name < 1",
    "x := 1",
    "(" * 300 + "x < 1" + ")" * 300,
    "x < 1" + " and x < 1" * MAX_CLAUSES,
    "x in " + "[" * 50 + "]" * 50,
    "-" * 100_000 + "1 < x",
    " " * 300_000,
    "x" * 300_000,
    "\\",
    "yield",
    "await x",
    "None < 1",
    "True == 1",
]


def refuses(work: Callable[[], Any]) -> None:
    with pytest.raises(SelectionError) as caught:
        work()
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_ends_in_one_sentence_and_nothing_runs(
    text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refuses(lambda: Selection.parse(text))
    assert list(tmp_path.iterdir()) == []


FRAGMENTS = "x class r < <= == > >= in and or not ( ) [ ] , . : ' 1 -1 1e9 1e400 box( polygon( cone( lambda # { } f' ="
fragments = st.sampled_from([*FRAGMENTS.split(" "), "\n", "\t", "\\", '"'])


@settings(max_examples=500)
@given(st.one_of(st.text(), st.lists(fragments, max_size=12).map(" ".join)))
def test_any_text_is_a_selection_or_a_selection_error(text: str) -> None:
    try:
        selection = Selection.parse(text)
    except SelectionError as error:
        assert "\n" not in str(error)
    else:
        assert parse_clauses(str(selection)) == [clause for _, clause in selection]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Range("x"),
        lambda: Range("x", math.nan),
        lambda: Range("x", None, math.inf),
        lambda: OneOf("x", (math.nan,)),
        lambda: Box("x", "y", 0, math.inf, 0, 1),
        lambda: Polygon("x", "y", ((0, 0), (1, 1))),
        lambda: Polygon("x", "y", ((0, 0), (1, 1), (math.nan, 0))),
        lambda: Cone("ra", "dec", math.inf, 0, 1),
        lambda: Cone("ra", "dec", 0, 0, math.nan),
        lambda: Selection((("a", Range("x", 1)), ("a", Range("y", 1)))),
    ],
)
def test_a_clause_that_means_nothing_is_refused(make: Callable[[], Any]) -> None:
    refuses(make)


def test_values_from_numpy_are_plain_values() -> None:
    assert str(OneOf("x", (np.float32(0.5), np.int64(3), np.str_("a")))) == "x in [0.5, 3, 'a']"
