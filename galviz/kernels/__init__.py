"""The numba loops, and nothing else.

All of them run without the global interpreter lock, on one thread, and are compiled once and kept on disk. The
mapping of a point onto a pixel repeats the arithmetic of `datashader.Canvas.points`, so that the arrays are equal
to Datashader's, edge cases included.
"""

from galviz.kernels.loops import loop
from galviz.kernels.points import (
    count_codes,
    count_points,
    count_points_by,
    count_values_by,
    extremes_of_points,
    moments_of_points,
)
from galviz.kernels.polygons import exact_product, inside_polygon, turning

__all__ = [
    "count_codes",
    "count_points",
    "count_points_by",
    "count_values_by",
    "exact_product",
    "extremes_of_points",
    "inside_polygon",
    "loop",
    "moments_of_points",
    "turning",
]
