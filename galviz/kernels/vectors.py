"""64 values side by side, as compiled code has them: what `bits` and `lanes` are built from."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

LANES = 64
_NUMBER = ir.IntType(32)


def vector(kind: Any, lanes: int = LANES) -> Any:
    """The type of so many values of a kind."""
    return ir.VectorType(kind, lanes)


def everywhere(builder: Any, value: Any, lanes: int = LANES) -> Any:
    """So many times the same value."""
    nothing = ir.Constant(vector(value.type, lanes), ir.Undefined)
    zeros = ir.Constant(vector(_NUMBER, lanes), [0] * lanes)
    return builder.shuffle_vector(builder.insert_element(nothing, value, ir.Constant(_NUMBER, 0)), nothing, zeros)


def loaded(context: Any, builder: Any, kind: Any, values: Any, place: Any, lanes: int = LANES) -> Any:
    """So many values of an array from `place` on."""
    array = context.make_array(kind)(context, builder, values)
    start = builder.gep(array.data, [place])
    return builder.load(builder.bitcast(start, vector(context.get_data_type(kind.dtype), lanes).as_pointer()), align=1)


def intrinsic_of(builder: Any, name: str, kind: Any) -> Any:
    """A function that the compiler knows by name, declared once in a module."""
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
