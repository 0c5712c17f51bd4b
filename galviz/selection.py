"""Which rows: a selection is a predicate, never a list of rows.

A `Selection` is a set of named clauses joined by AND. Each clause belongs to the widget or view that made
it, so that a view can draw `selection.without(its own name)`. A clause says itself in two texts: `sentence`
for a reader, and the expression that `Selection.parse` reads back.
"""

from __future__ import annotations

import ast
import io
import keyword
import math
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galviz.errors import SelectionError
from galviz.kernels import inside_polygon

Mask = NDArray[np.bool_]
Labels = Callable[[str], str]
Value = str | int | float | bool

MAX_TEXT = 200_000
MAX_DEPTH = 12
MAX_CLAUSES = 100
RESERVED = frozenset({"and", "or", "not", "in", "is", "True", "False", "None"})
"""Words of the grammar itself, which cannot name a column."""


class Frame(Protocol):
    """Columns by name: a data frame, or a dict of arrays."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __len__(self) -> int: ...


class Clause(Protocol):
    """One condition on a row; frozen, hashable."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the condition reads."""

    def mask(self, frame: Frame) -> Mask:
        """True for the rows that fulfil the condition; a missing value never does."""

    def bounds(self) -> dict[str, tuple[float, float]]:
        """A range for each column outside which no row can fulfil the condition, for pruning."""

    def sentence(self, label: Labels = str) -> str:
        """The condition as a reader sees it; `label` turns a column name into words."""


def _values(frame: Frame, column: str) -> NDArray[Any]:
    try:
        values = frame[column]
    except KeyError:
        raise SelectionError(f"There is no column {column!r}; see the names that `galviz info` lists.") from None
    if isinstance(values, pd.Categorical) or isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
        raise SelectionError(f"The column {column!r} holds names, not numbers; write {column} == 'NAME'.")
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise SelectionError(f"The column {column!r} holds no numbers; write {column} == 'NAME'.")
    return array


def _limit(values: NDArray[Any], limit: float) -> Any:
    """The limit as the column stores it, so that p > 0.9 leaves out a stored float32(0.9)."""
    if values.dtype.kind != "f":
        return limit
    with np.errstate(over="ignore"):
        return values.dtype.type(limit)


def _outwards(low: float, high: float) -> tuple[float, float]:
    """The range widened to what `_limit` lets a float32 or float64 column in."""
    with np.errstate(over="ignore"):
        lows = float(np.float32(low)), math.nextafter(float(low), -math.inf)
        highs = float(np.float32(high)), math.nextafter(float(high), math.inf)
    return min(lows), max(highs)


def _number(value: float) -> str:
    """The shortest text that reads back as the same number."""
    if isinstance(value, int):
        return str(int(value))
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


@dataclass(frozen=True)
class Range:
    """Rows whose `column` lies between `low` and `high`; None leaves that side open."""

    column: str
    low: float | None = None
    high: float | None = None
    include_low: bool = True
    include_high: bool = True

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise SelectionError(f"The range of {self.column} needs a lower or an upper limit.")
        for limit in (self.low, self.high):
            if limit is not None and not math.isfinite(limit):
                raise SelectionError(f"The limits of {self.column} must be finite numbers, not {limit}.")
        # An open side has no edge to include; equal conditions must be equal values.
        object.__setattr__(self, "include_low", self.include_low or self.low is None)
        object.__setattr__(self, "include_high", self.include_high or self.high is None)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def mask(self, frame: Frame) -> Mask:
        values = _values(frame, self.column)
        mask = np.ones(values.shape, bool)
        if self.low is not None:
            low = _limit(values, self.low)
            mask &= values >= low if self.include_low else values > low
        if self.high is not None:
            high = _limit(values, self.high)
            mask &= values <= high if self.include_high else values < high
        return mask

    def bounds(self) -> dict[str, tuple[float, float]]:
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return {self.column: _outwards(low, high)}

    def sentence(self, label: Labels = str) -> str:
        name = label(self.column)
        if self.high is None:
            return f"{name} {'≥' if self.include_low else '>'} {self.low:g}"
        if self.low is None:
            return f"{name} {'≤' if self.include_high else '<'} {self.high:g}"
        left, right = ("≤" if self.include_low else "<"), ("≤" if self.include_high else "<")
        return f"{self.low:g} {left} {name} {right} {self.high:g}"

    def __str__(self) -> str:
        left, right = ("<=" if self.include_low else "<"), ("<=" if self.include_high else "<")
        if self.low is None:
            return f"{self.column} {right} {_number(self.high or 0.0)}"
        if self.high is None:
            return f"{self.column} {'>=' if self.include_low else '>'} {_number(self.low)}"
        return f"{_number(self.low)} {left} {self.column} {right} {_number(self.high)}"


def _stored(dtype: np.dtype[Any], values: list[float]) -> NDArray[Any]:
    """Those of `values` that a column of numbers can hold, as it stores them; object ids keep every digit."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.array(values, float).astype(dtype)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.array([int(value) for value in values if low <= value <= high and value == int(value)], dtype)


@dataclass(frozen=True)
class OneOf:
    """Rows whose `column` is one of `values`: names of classes, numbers, or true and false."""

    column: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        plain = tuple(value.item() if isinstance(value, np.generic) else value for value in self.values)
        if not all(isinstance(value, str) or math.isfinite(value) for value in plain):
            raise SelectionError(f"The values of {self.column} must be names or finite numbers.")
        object.__setattr__(self, "values", plain)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def mask(self, frame: Frame) -> Mask:
        try:
            values = frame[self.column]
        except KeyError:
            return _values(frame, self.column)  # raises the sentence
        categorical = getattr(values, "array", values)
        if isinstance(categorical, pd.Categorical):
            return np.isin(categorical.codes, self._codes(categorical))
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            return np.asarray(pd.Series(array).isin([str(value) for value in self.values]))
        if any(isinstance(value, str) for value in self.values):
            raise SelectionError(f"The column {self.column!r} holds numbers, not names.")
        return np.isin(array, _stored(array.dtype, [value for value in self.values if not isinstance(value, str)]))

    def _codes(self, categorical: pd.Categorical) -> list[int]:
        names = [str(name) for name in categorical.categories]
        unknown = [value for value in self.values if str(value) not in names]
        if unknown:
            raise SelectionError(f"{self.column} has no value {unknown[0]!r}; it knows {', '.join(names)}.")
        return [names.index(str(value)) for value in self.values]

    def bounds(self) -> dict[str, tuple[float, float]]:
        numbers = [value for value in self.values if not isinstance(value, str)]
        if not numbers or len(numbers) < len(self.values):
            return {}
        return {self.column: _outwards(min(numbers), max(numbers))}

    def sentence(self, label: Labels = str) -> str:
        if not self.values:
            return f"no {label(self.column)} at all"
        return f"{label(self.column)} is {' or '.join(str(value) for value in self.values)}"

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.column} == {self.values[0]!r}"
        return f"{self.column} in [{', '.join(repr(value) for value in self.values)}]"


@dataclass(frozen=True)
class Box:
    """Rows inside a rectangle of the plane (x, y), edges included."""

    x: str
    y: str
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(limit) for limit in (self.x_low, self.x_high, self.y_low, self.y_high)):
            raise SelectionError("The edges of a box must be finite numbers.")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.x, self.y)

    def mask(self, frame: Frame) -> Mask:
        x, y = self._sides
        return x.mask(frame) & y.mask(frame)

    @property
    def _sides(self) -> tuple[Range, Range]:
        return Range(self.x, self.x_low, self.x_high), Range(self.y, self.y_low, self.y_high)

    def bounds(self) -> dict[str, tuple[float, float]]:
        return {self.x: _outwards(self.x_low, self.x_high), self.y: _outwards(self.y_low, self.y_high)}

    def sentence(self, label: Labels = str) -> str:
        return f"a box in {label(self.x)} and {label(self.y)}"

    def __str__(self) -> str:
        numbers = ", ".join(_number(n) for n in (self.x_low, self.x_high, self.y_low, self.y_high))
        return f"box({self.x}, {self.y}, {numbers})"


@dataclass(frozen=True)
class Polygon:
    """Rows inside a polygon of the plane (x, y) by the even-odd rule; edges and vertices are inside."""

    x: str
    y: str
    vertices: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.vertices) < 3:
            raise SelectionError(f"A polygon needs at least three corners, this one has {len(self.vertices)}.")
        if not all(math.isfinite(n) for vertex in self.vertices for n in vertex):
            raise SelectionError("The corners of a polygon must be finite numbers.")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.x, self.y)

    def mask(self, frame: Frame) -> Mask:
        xs, ys = _values(frame, self.x), _values(frame, self.y)
        px, py = np.array(self.vertices, float).T
        out = np.empty(xs.shape, bool)
        inside_polygon(xs, ys, np.ascontiguousarray(px), np.ascontiguousarray(py), out)
        return out

    def bounds(self) -> dict[str, tuple[float, float]]:
        px, py = zip(*self.vertices, strict=True)
        return {self.x: (min(px), max(px)), self.y: (min(py), max(py))}

    def sentence(self, label: Labels = str) -> str:
        return f"a lasso in {label(self.x)} and {label(self.y)}"

    def __str__(self) -> str:
        numbers = ", ".join(f"{_number(x)}, {_number(y)}" for x, y in self.vertices)
        return f"polygon({self.x}, {self.y}, {numbers})"


@dataclass(frozen=True)
class Cone:
    """Rows within `radius` degrees of a position, on the sphere; the edge is included.

    The separation is the haversine formula, exact to rounding at every distance.
    """

    ra: str
    dec: str
    centre_ra: float
    centre_dec: float
    radius: float

    def __post_init__(self) -> None:
        if not (0 < self.radius <= 180 and -90 <= self.centre_dec <= 90 and math.isfinite(self.centre_ra)):
            raise SelectionError(
                "A cone needs a right ascension, a declination from -90 to 90 and a radius from 0 to 180 degrees."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.ra, self.dec)

    def mask(self, frame: Frame) -> Mask:
        ra = np.radians(_values(frame, self.ra).astype(float))
        dec = np.radians(_values(frame, self.dec).astype(float))
        ra0, dec0 = math.radians(self.centre_ra), math.radians(self.centre_dec)
        with np.errstate(invalid="ignore"):
            haversine = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * math.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
        return np.asarray(haversine <= math.sin(math.radians(self.radius) / 2) ** 2)

    def bounds(self) -> dict[str, tuple[float, float]]:
        reach = self.radius + 1e-6  # wider than any rounding
        return {self.dec: (self.centre_dec - reach, self.centre_dec + reach)}

    def sentence(self, label: Labels = str) -> str:
        return f"within {self.radius:g}° of ({self.centre_ra:.5f}°, {self.centre_dec:+.5f}°)"

    def __str__(self) -> str:
        numbers = ", ".join(_number(n) for n in (self.centre_ra, self.centre_dec, self.radius))
        return f"cone({self.ra}, {self.dec}, {numbers})"


@dataclass(frozen=True)
class Selection:
    """Named clauses joined by AND, kept in the order of their names; the empty selection is every row."""

    clauses: tuple[tuple[str, Clause], ...] = field(default=())

    def __post_init__(self) -> None:
        names = [name for name, _ in self.clauses]
        if len(set(names)) != len(names):
            raise SelectionError("Two clauses of a selection bear the same name.")
        object.__setattr__(self, "clauses", tuple(sorted(self.clauses, key=lambda pair: pair[0])))

    def __iter__(self) -> Iterator[tuple[str, Clause]]:
        return iter(self.clauses)

    def __bool__(self) -> bool:
        return bool(self.clauses)

    def get(self, name: str) -> Clause | None:
        """The clause of that name, or None."""
        return next((clause for key, clause in self.clauses if key == name), None)

    def choose(self, name: str, clause: Clause | None) -> Selection:
        """A new selection in which `name` holds `clause`; None removes it."""
        others = self.without(name).clauses
        return Selection(others if clause is None else (*others, (name, clause)))

    def without(self, *names: str) -> Selection:
        """A new selection less the clauses of those names."""
        return Selection(tuple(pair for pair in self.clauses if pair[0] not in names))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the clauses read, each once."""
        return tuple(dict.fromkeys(column for _, clause in self.clauses for column in clause.columns))

    def mask(self, frame: Frame, rows: int | None = None) -> Mask:
        """True for selected rows; `rows` is needed when there is no clause and `frame` is an empty dict."""
        mask: Mask | None = None
        for _, clause in self.clauses:
            part = clause.mask(frame)
            mask = part if mask is None else mask & part
        if mask is not None:
            return mask
        if rows is None:
            rows = len(next(iter(frame.values()))) if isinstance(frame, dict) else len(frame)
        return np.ones(rows, bool)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """The ranges of `Clause.bounds`, intersected over the clauses."""
        result: dict[str, tuple[float, float]] = {}
        for _, clause in self.clauses:
            for column, (low, high) in clause.bounds().items():
                old_low, old_high = result.get(column, (-math.inf, math.inf))
                result[column] = (max(old_low, low), min(old_high, high))
        return result

    def sentence(self, label: Labels = str) -> str:
        """The selection in plain English, without the counts."""
        return "; ".join(clause.sentence(label) for _, clause in self.clauses) or "every source"

    def __str__(self) -> str:
        return " and ".join(str(clause) for _, clause in self.clauses)

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Read the expression that `str(selection)` prints; conditions are joined by `and`.

        A condition is `17 <= psf_r < 21`, `p_quasar > 0.9`, `class == 'QSO'`, `class in ['QSO', 'STAR']`,
        `box(x, y, x_low, x_high, y_low, y_high)`, `polygon(x, y, x1, y1, x2, y2, ...)` or
        `cone(ra, dec, centre_ra, centre_dec, radius)` in degrees. The text is never executed. Clauses are
        named after their columns; two ranges of one column become their intersection.

        Raises SelectionError for anything else.
        """
        selection = cls()
        for clause in parse_clauses(text):
            name = " ".join(clause.columns)
            other = selection.get(name)
            if isinstance(other, Range) and isinstance(clause, Range):
                selection = selection.choose(name, _intersect(other, clause))
                continue
            number, base = 2, name
            while other is not None:
                name, number = f"{base} {number}", number + 1
                other = selection.get(name)
            selection = selection.choose(name, clause)
        return selection


def _intersect(a: Range, b: Range) -> Range:
    low, include_low = a.low, a.include_low
    if b.low is not None and (low is None or (b.low, not b.include_low) > (low, not include_low)):
        low, include_low = b.low, b.include_low
    high, include_high = a.high, a.include_high
    if b.high is not None and (high is None or (b.high, b.include_high) < (high, include_high)):
        high, include_high = b.high, b.include_high
    return Range(a.column, low, high, include_low, include_high)


def parse_clauses(text: str) -> list[Clause]:
    """The conditions of an expression, unnamed and in order."""
    if len(text) > MAX_TEXT:
        raise SelectionError(f"The selection is too long: {len(text)} characters, at most {MAX_TEXT}.")
    if not text.strip():
        return []
    try:
        tree = ast.parse(_without_keywords(text.strip()), mode="eval").body
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        raise SelectionError(f"Cannot read the selection {text[:80]!r}; write it like 17 <= psf_r < 21.") from None
    if _depth(tree) > MAX_DEPTH:
        raise SelectionError(f"The selection is nested more than {MAX_DEPTH} deep.")
    nodes = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    if len(nodes) > MAX_CLAUSES:
        raise SelectionError(f"The selection has {len(nodes)} conditions, at most {MAX_CLAUSES}.")
    return [_clause(node) for node in nodes]


# Columns may bear a name that Python keeps for itself, such as `class`; a letter that no name of a column has
# marks it for the parser.
_KEYWORDS = frozenset(keyword.kwlist) - RESERVED
_MARK = "\u00df"


def _without_keywords(text: str) -> str:
    tokens = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        # The parser folds letters (\u00aa to a); a name must stand as the manifest writes it.
        if token.type == tokenize.NAME and not token.string.isascii():
            raise SelectionError(f"{token.string[:80]!r} is not the name of a column.")
        tokens.append((token.type, _MARK + token.string if token.string in _KEYWORDS else token.string))
    return tokenize.untokenize(tokens).strip()


def _text(node: ast.expr) -> str:
    return ast.unparse(node).replace(_MARK, "")[:80]


def _depth(tree: ast.AST) -> int:
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest


def _clause(node: ast.expr) -> Clause:
    if isinstance(node, ast.Compare):
        return _comparison(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _shape(node.func.id, node.args)
    raise SelectionError(
        f"Cannot use {_text(node)!r} in a selection; join comparisons, box, polygon and cone by 'and'."
    )


_MIRROR: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.Eq,
}


def _comparison(node: ast.Compare) -> Clause:
    terms = [node.left, *node.comparators]
    places = [i for i, term in enumerate(terms) if isinstance(term, ast.Name)]
    if len(places) != 1:
        raise SelectionError(f"{_text(node)!r} must compare one column with numbers or names.")
    place = places[0]
    column = _name(terms[place])
    if len(terms) == 2:
        operator, other = node.ops[0], terms[1 - place]
        if isinstance(operator, ast.In) and place == 0 and isinstance(other, ast.List | ast.Tuple | ast.Set):
            return OneOf(column, tuple(_constant(item) for item in other.elts))
        kind = type(operator) if place == 0 else _MIRROR.get(type(operator), ast.NotEq)
        return _one_sided(column, kind, other)
    if len(terms) == 3 and place == 1:
        low, high = _MIRROR.get(type(node.ops[0]), ast.NotEq), type(node.ops[1])
        first, second = _one_sided(column, low, terms[0]), _one_sided(column, high, terms[2])
        if isinstance(first, Range) and isinstance(second, Range) and (first.low is None) != (second.low is None):
            return _intersect(first, second)
    raise SelectionError(f"Cannot read {_text(node)!r}; write it like 17 <= psf_r < 21.")


def _one_sided(column: str, kind: type[ast.cmpop], other: ast.expr) -> Clause:
    value = _constant(other)
    if kind is ast.Eq:
        return OneOf(column, (value,))
    if isinstance(value, str):
        raise SelectionError(f"{column} is compared with the name {value!r}; use == for names.")
    limit = value if abs(value) > 2**53 else float(value)  # object ids keep every digit
    if kind in (ast.Gt, ast.GtE):
        return Range(column, low=limit, include_low=kind is ast.GtE)
    if kind in (ast.Lt, ast.LtE):
        return Range(column, high=limit, include_high=kind is ast.LtE)
    raise SelectionError(f"A selection of {column} knows <, <=, >, >=, == and in, nothing else.")


def _shape(name: str, args: list[ast.expr]) -> Clause:
    if len(args) >= 2:
        x, y = _name(args[0]), _name(args[1])
        numbers = [_float(arg) for arg in args[2:]]
        if name == "box" and len(numbers) == 4:
            return Box(x, y, *numbers)
        if name == "cone" and len(numbers) == 3:
            return Cone(x, y, *numbers)
        if name == "polygon" and len(numbers) % 2 == 0:
            return Polygon(x, y, tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    raise SelectionError(
        f"Cannot use {name}(...) with {len(args)} arguments; a selection knows box(x, y, x_low, x_high, y_low, "
        "y_high), polygon(x, y, x1, y1, ...) and cone(ra, dec, centre_ra, centre_dec, radius)."
    )


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id.removeprefix(_MARK)
    raise SelectionError(f"{_text(node)!r} is not the name of a column.")


def _constant(node: ast.expr) -> Value:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign = -1 if isinstance(node.op, ast.USub) else 1
        node = node.operand
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | str):
            raise SelectionError(f"{_text(node)!r} cannot have a sign.")
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        value = node.value
        if isinstance(value, str | bool):
            return value
        if (isinstance(value, int) and value.bit_length() > 64) or not math.isfinite(value):
            raise SelectionError("A number of the selection is too large.")
        return sign * value
    raise SelectionError(f"{_text(node)!r} is neither a number nor a quoted name.")


def _float(node: ast.expr) -> float:
    value = _constant(node)
    if isinstance(value, str | bool):
        raise SelectionError(f"{value!r} stands where a number is needed.")
    return float(value)
