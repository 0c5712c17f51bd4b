"""How the loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Floats = NDArray[np.floating[Any]]


def loop(function: F) -> F:
    """Compile `function` without the interpreter lock and keep the machine code on disk."""
    return cast(F, numba.njit(nogil=True, cache=True)(function))


def lean(function: F) -> F:
    """As `loop` for a function that makes no arrays, nor copies any: without counting who holds which.

    That takes longer than a small group of places.
    """
    return cast(F, cast(Any, numba.njit)(nogil=True, cache=True, _nrt=False)(function))


def woven(function: F) -> F:
    """As `lean` for what becomes part of the loop that it is called in."""
    return cast(F, cast(Any, numba.njit)(nogil=True, cache=True, _nrt=False, inline="always")(function))
