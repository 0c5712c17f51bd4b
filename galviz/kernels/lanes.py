"""Sums of those of 64 values that a word chooses and of 64 that another one does, many at once as processors can.

A value is taken apart into whole units of 1/narrow and a rest in finer units, which add up in 32 bits each. What is
added is exact where `narrow` times a value stays within 2^26, and the rest within 2^24 finer units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_LANES, _WIDE = 64, 8  # values, and how many sums are left when they become long
_INT, _LONG, _SINGLE, _BYTE = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.IntType(8)


def _vector(kind: Any, lanes: int = _LANES) -> Any:
    return ir.VectorType(kind, lanes)


def _spread(builder: Any, value: Any) -> Any:
    """A vector of 64 times the same."""
    nothing, zeros = ir.Constant(_vector(value.type), ir.Undefined), ir.Constant(_vector(_INT), [0] * _LANES)
    return builder.shuffle_vector(builder.insert_element(nothing, value, ir.Constant(_INT, 0)), nothing, zeros)


def _loaded(context: Any, builder: Any, kind: Any, values: Any, place: Any) -> Any:
    array, vector = context.make_array(kind)(context, builder, values), _vector(context.get_data_type(kind.dtype))
    start = builder.bitcast(builder.gep(array.data, [place]), vector.as_pointer())
    return builder.load(start, align=1)


def _singles(builder: Any, loaded: Any, dtype: Any) -> Any:
    """64 values in single precision, which is exact for those in single precision only."""
    if isinstance(dtype, types.Float):
        return loaded if dtype.bitwidth == 32 else builder.fptrunc(loaded, _vector(_SINGLE))
    return (builder.sitofp if dtype.signed else builder.uitofp)(loaded, _vector(_SINGLE))


def _shares(builder: Any, codes: Any, least: Any, of: Any) -> Any:
    """(least + code) / of for 64 codes, rounded as a division is (Markstein 1990), which takes longer."""
    number = builder.add(builder.zext(codes, _vector(_INT)), _spread(builder, least))
    number = builder.sitofp(number, _vector(_SINGLE))
    back = _spread(builder, builder.fdiv(ir.Constant(_SINGLE, 1.0), of))
    of = _spread(builder, of)
    name = f"llvm.fma.v{_LANES}f32"
    kind = ir.FunctionType(_vector(_SINGLE), [_vector(_SINGLE)] * 3)
    fused = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    share = builder.fmul(number, back)
    left = builder.call(fused, [builder.fneg(share), of, number])
    return builder.call(fused, [left, back, share])


def _chosen(builder: Any, numbers: Any, word: Any) -> Any:
    """Those of 64 whole numbers that a word chooses, else 0."""
    mask = builder.bitcast(word, _vector(ir.IntType(1)))
    return builder.select(mask, numbers, ir.Constant(_vector(_INT), [0] * _LANES))


def _total(builder: Any, numbers: Any) -> Any:
    total, lanes = numbers, _LANES
    while lanes > 1:
        lanes //= 2
        halves = [ir.Constant(_vector(_INT, lanes), list(range(at, at + lanes))) for at in (0, lanes)]
        nothing = ir.Constant(total.type, ir.Undefined)
        total = builder.add(*(builder.shuffle_vector(total, nothing, half) for half in halves))
        if lanes == _WIDE:
            total = builder.sext(total, _vector(_LONG, lanes))
    return builder.extract_element(total, ir.Constant(_INT, 0))


def _coarse(builder: Any, pairs: Any, narrow: Any) -> Any:
    """The sum in units of 1/narrow; rests are lost."""
    scale = _spread(builder, narrow)
    units = [(builder.fptosi(builder.fmul(values, scale), _vector(_INT)), word) for values, word in pairs]
    return _total(builder, builder.add(*(_chosen(builder, *unit) for unit in units)))


def _fine(builder: Any, pairs: Any, narrow: Any, finer: Any) -> Any:
    """The sum in units of 1/(narrow * finer)."""
    scale, finer_scale = _spread(builder, narrow), _spread(builder, finer)
    units, rests = [], []
    for values, word in pairs:
        scaled = builder.fmul(values, scale)
        whole = builder.fptosi(scaled, _vector(_INT))
        rest = builder.fmul(builder.fsub(scaled, builder.sitofp(whole, _vector(_SINGLE))), finer_scale)
        units.append(_chosen(builder, whole, word))
        rests.append(_chosen(builder, builder.fptosi(rest, _vector(_INT)), word))
    coarse = builder.mul(_total(builder, builder.add(*units)), builder.fptosi(finer, _LONG))
    return builder.add(coarse, _total(builder, builder.add(*rests)))


def _sum(of_pairs: Callable[..., Any], shares: bool) -> Callable[..., Any]:
    """What compiles (array, place, word, place, word, ...), where least and of of shares come before the scales."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, pairs = signature.args[0], []
        for place, word in (args[1:3], args[3:5]):
            loaded = _loaded(context, builder, kind, args[0], place)
            values = _shares(builder, loaded, *args[5:7]) if shares else _singles(builder, loaded, kind.dtype)
            pairs.append((values, word))
        return of_pairs(builder, pairs, *args[7 if shares else 5 :])

    return codegen


_PLACES = (types.intp, types.uint64, types.intp, types.uint64)


def _coarse_sum(typingctx: Any, values: Any, a: Any, first: Any, b: Any, second: Any, narrow: Any) -> Any:
    """The sum of those of the 64 values from place a on that are in `first`, and of those from b on in `second`, in
    units of 1/narrow; rests are lost."""
    return types.int64(values, *_PLACES, types.float32), _sum(_coarse, shares=False)


def _fine_sum(typingctx: Any, values: Any, a: Any, first: Any, b: Any, second: Any, narrow: Any, finer: Any) -> Any:
    """As `coarse_sum` in units of 1/(narrow * finer)."""
    return types.int64(values, *_PLACES, types.float32, types.float32), _sum(_fine, shares=False)


def _coarse_sum_of_shares(
    typingctx: Any, codes: Any, a: Any, first: Any, b: Any, second: Any, least: Any, of: Any, narrow: Any
) -> Any:
    """As `coarse_sum` of (least + code) / of in single precision for each code."""
    return types.int64(codes, *_PLACES, types.int32, types.float32, types.float32), _sum(_coarse, shares=True)


def _fine_sum_of_shares(
    typingctx: Any, codes: Any, a: Any, first: Any, b: Any, second: Any, least: Any, of: Any, narrow: Any, finer: Any
) -> Any:
    """As `coarse_sum_of_shares` in units of 1/(narrow * finer)."""
    arguments = types.int32, types.float32, types.float32, types.float32
    return types.int64(codes, *_PLACES, *arguments), _sum(_fine, shares=True)


coarse_sum: Any = intrinsic(_coarse_sum)
fine_sum: Any = intrinsic(_fine_sum)
coarse_sum_of_shares: Any = intrinsic(_coarse_sum_of_shares)
fine_sum_of_shares: Any = intrinsic(_fine_sum_of_shares)
