"""The conditions that a selection is made of: ranges, values, boxes, polygons and cones.

A clause says itself in two texts: `sentence` for a reader, and the expression that `Selection.parse` reads back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galviz.errors import SelectionError
from galviz.kernels import inside_polygon

Mask = NDArray[np.bool_]
Labels = Callable[[str], str]
Value = str | int | float | bool


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
        x, y = self.sides
        return x.mask(frame) & y.mask(frame)

    @property
    def sides(self) -> tuple[Range, Range]:
        """The ranges of x and y that make up the box."""
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
        ras, decs = _values(frame, self.ra), _values(frame, self.dec)
        low, high = self.bounds()[self.dec]
        mask = (decs >= low) & (decs <= high)
        near = np.flatnonzero(mask)  # the trigonometry is for those in the band of declination only
        ra, dec = np.radians(ras[near].astype(float)), np.radians(decs[near].astype(float))
        ra0, dec0 = math.radians(self.centre_ra), math.radians(self.centre_dec)
        with np.errstate(invalid="ignore"):
            haversine = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * math.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
        mask[near] = haversine <= math.sin(math.radians(self.radius) / 2) ** 2
        return mask

    def bounds(self) -> dict[str, tuple[float, float]]:
        reach = self.radius + 1e-6  # wider than any rounding
        return {self.dec: (self.centre_dec - reach, self.centre_dec + reach)}

    def sentence(self, label: Labels = str) -> str:
        return f"within {self.radius:g}° of ({self.centre_ra:.5f}°, {self.centre_dec:+.5f}°)"

    def __str__(self) -> str:
        numbers = ", ".join(_number(n) for n in (self.centre_ra, self.centre_dec, self.radius))
        return f"cone({self.ra}, {self.dec}, {numbers})"


def intersect(a: Range, b: Range) -> Range:
    """The rows that lie in both ranges of one column."""
    low, include_low = a.low, a.include_low
    if b.low is not None and (low is None or (b.low, not b.include_low) > (low, not include_low)):
        low, include_low = b.low, b.include_low
    high, include_high = a.high, a.include_high
    if b.high is not None and (high is None or (b.high, b.include_high) < (high, include_high)):
        high, include_high = b.high, b.include_high
    return Range(a.column, low, high, include_low, include_high)
