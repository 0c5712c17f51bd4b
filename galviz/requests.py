"""What is to be drawn: a viewport of a plane, the sources in it, and what a pixel holds."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.catalogue import Catalogue
from galviz.errors import SelectionError
from galviz.selection import Selection


@dataclass(frozen=True)
class Viewport:
    """A rectangle of the plane (x, y) and the pixels that it is drawn on; both edges are inside."""

    x: str
    y: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: int = 600
    height: int = 500

    def __post_init__(self) -> None:
        for low, high in (self.x_range, self.y_range):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise SelectionError(f"A viewport needs a finite range that grows, not {low} to {high}.")
            # Closer than the numbers around it can tell pixels apart, or wider than any number.
            if not 1e-12 * max(abs(low), abs(high), 1e-288) < high - low < 1e300:
                raise SelectionError(f"A viewport cannot be zoomed to {low} to {high}; zoom out.")
        if not (1 <= self.width <= 20_000 and 1 <= self.height <= 20_000):
            raise SelectionError(f"A viewport has 1 to 20000 pixels a side, not {self.width} x {self.height}.")

    @property
    def window(self) -> NDArray[np.float64]:
        """(xmin, xmax, ymin, ymax)."""
        return np.array([*self.x_range, *self.y_range], float)

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


@dataclass(frozen=True)
class Request:
    """One picture: counts; or counts of each class of the column `by`; or the mean, the standard deviation (of the
    population), the minimum or the maximum of a column. At most one of them is named."""

    view: Viewport
    selection: Selection = field(default_factory=Selection)
    by: str | None = None
    mean: str | None = None
    std: str | None = None
    min: str | None = None
    max: str | None = None

    def __post_init__(self) -> None:
        if sum(option is not None for option in (self.by, self.mean, self.std, self.min, self.max)) > 1:
            raise SelectionError("A picture shows one of by, mean, std, min and max, not several.")

    @property
    def statistic(self) -> str:
        """What a pixel holds: count, by, mean, std, min or max."""
        names = (name for name in ("by", "mean", "std", "min", "max") if getattr(self, name) is not None)
        return next(names, "count")

    @property
    def column(self) -> str | None:
        """The column that the statistic is taken of."""
        return None if self.statistic == "count" else str(getattr(self, self.statistic))

    def named(self, catalogue: Catalogue) -> Request:
        """The same request with the names that the catalogue stores its columns under.

        Raises SelectionError for a column that there is not, or one of classes or of numbers in the other's place.
        """
        manifest = catalogue.manifest
        view = dataclasses.replace(self.view, x=manifest.column(self.view.x).name, y=manifest.column(self.view.y).name)
        for name in self.selection.columns:
            manifest.column(name)
        if self.column is None:
            return dataclasses.replace(self, view=view)
        known = manifest.column(self.column)
        if self.by is not None and known.kind != "class":
            raise SelectionError(f"The column {self.by!r} holds no classes; count by a class column.")
        if self.by is None and known.kind == "class":
            raise SelectionError(f"The column {self.column!r} holds classes, not numbers; count by it instead.")
        names: dict[str, Any] = {self.statistic: known.name}
        return dataclasses.replace(self, view=view, **names)
