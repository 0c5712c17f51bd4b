"""Sums of those of 64 values that a word chooses and of 64 that another one does, many at once as processors can.

In single precision, a value is taken apart into whole units of 1/narrow and a rest in finer units, which add up in 32
bits each. What is added is exact where `narrow` times a value stays within 2^26, and the rest within 2^24 finer units.
`long_sum` takes any values, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from galviz.kernels.vectors import LANES, everywhere, intrinsic_of, loaded, vector

_WIDE = 8  # how many sums are left when they become long
_INT, _LONG, _SINGLE, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
_held: Any = cgutils.alloca_once_value  # memory on the stack, which becomes a register
FINE = 2.0**32  # of which the second half of a sum in two halves counts fractions


def _reals(builder: Any, numbers: Any, dtype: Any, real: Any) -> Any:
    """Values in single or double precision; those in double precision are rounded to single."""
    kind, width = vector(real, numbers.type.count), 32 if real is _SINGLE else 64
    if not isinstance(dtype, types.Float):
        return (builder.sitofp if dtype.signed else builder.uitofp)(numbers, kind)
    if dtype.bitwidth == width:
        return numbers
    return (builder.fptrunc if dtype.bitwidth > width else builder.fpext)(numbers, kind)


def _shares(builder: Any, codes: Any, least: Any, of: Any) -> Any:
    """(least + code) / of for 64 codes, rounded as a division is (Markstein 1990), which takes longer."""
    number = builder.add(builder.zext(codes, vector(_INT)), everywhere(builder, least))
    number = builder.sitofp(number, vector(_SINGLE))
    back = everywhere(builder, builder.fdiv(ir.Constant(_SINGLE, 1.0), of))
    of = everywhere(builder, of)
    name = f"llvm.fma.v{LANES}f32"
    kind = ir.FunctionType(vector(_SINGLE), [vector(_SINGLE)] * 3)
    fused = intrinsic_of(builder, name, kind)
    share = builder.fmul(number, back)
    left = builder.call(fused, [builder.fneg(share), of, number])
    return builder.call(fused, [left, back, share])


def _chosen(builder: Any, numbers: Any, word: Any) -> Any:
    """Those of 64 whole numbers that a word chooses, else 0."""
    mask = builder.bitcast(word, vector(ir.IntType(1)))
    return builder.select(mask, numbers, ir.Constant(vector(_INT), [0] * LANES))


def _total(builder: Any, numbers: Any) -> Any:
    total, lanes = numbers, numbers.type.count
    while lanes > 1:
        lanes //= 2
        halves = [ir.Constant(vector(_INT, lanes), list(range(at, at + lanes))) for at in (0, lanes)]
        nothing = ir.Constant(total.type, ir.Undefined)
        total = builder.add(*(builder.shuffle_vector(total, nothing, half) for half in halves))
        if lanes == _WIDE and total.type.element == _INT:
            total = builder.sext(total, vector(_LONG, lanes))
    return builder.extract_element(total, ir.Constant(_INT, 0))


def _coarse(builder: Any, pairs: Any, narrow: Any) -> Any:
    """The sum in units of 1/narrow; rests are lost."""
    scale = everywhere(builder, narrow)
    units = [(builder.fptosi(builder.fmul(values, scale), vector(_INT)), word) for values, word in pairs]
    return _total(builder, builder.add(*(_chosen(builder, *unit) for unit in units)))


def _fine(builder: Any, pairs: Any, narrow: Any, finer: Any) -> Any:
    """The sum in units of 1/(narrow * finer)."""
    scale, finer_scale = everywhere(builder, narrow), everywhere(builder, finer)
    units, rests = [], []
    for values, word in pairs:
        scaled = builder.fmul(values, scale)
        whole = builder.fptosi(scaled, vector(_INT))
        rest = builder.fmul(builder.fsub(scaled, builder.sitofp(whole, vector(_SINGLE))), finer_scale)
        units.append(_chosen(builder, whole, word))
        rests.append(_chosen(builder, builder.fptosi(rest, vector(_INT)), word))
    coarse = builder.mul(_total(builder, builder.add(*units)), builder.fptosi(finer, _LONG))
    return builder.add(coarse, _total(builder, builder.add(*rests)))


def _long(context: Any, builder: Any, kind: Any, values: Any, pairs: Any, scale: Any) -> tuple[Any, Any]:
    """The sum of the whole units of 1/scale of each value, and that of the rests in units of 1/FINE of that.

    Values before the first that is chosen and after the last one are left out, _WIDE at a time.
    """
    longs, doubles = vector(_LONG, _WIDE), vector(_DOUBLE, _WIDE)
    nothing = ir.Constant(longs, [0] * _WIDE)
    scales, fine = everywhere(builder, scale, _WIDE), ir.Constant(doubles, [FINE] * _WIDE)
    wholes, rests = (_held(builder, nothing) for _ in range(2))
    flag, wide = ir.Constant(ir.IntType(1), 0), ir.Constant(_LONG, _WIDE)
    for place, word in pairs:
        start = builder.and_(builder.cttz(word, flag), ir.Constant(_LONG, -_WIDE))
        stop = builder.sub(ir.Constant(_LONG, LANES), builder.ctlz(word, flag))
        with cgutils.for_range_slice(builder, start, stop, wide, _LONG) as (at, _):
            numbers = loaded(context, builder, kind, values, builder.add(place, at), _WIDE)
            scaled = builder.fmul(_reals(builder, numbers, kind.dtype, _DOUBLE), scales)
            whole = builder.fptosi(scaled, longs)
            rest = builder.fptosi(builder.fmul(builder.fsub(scaled, builder.sitofp(whole, doubles)), fine), longs)
            bits = builder.trunc(builder.lshr(word, at), ir.IntType(_WIDE))
            mask = builder.bitcast(bits, vector(ir.IntType(1), _WIDE))
            for total, some in ((wholes, whole), (rests, rest)):
                builder.store(builder.add(builder.load(total), builder.select(mask, some, nothing)), total)
    return _total(builder, builder.load(wholes)), _total(builder, builder.load(rests))


def _sum(of_pairs: Callable[..., Any], shares: bool) -> Callable[..., Any]:
    """What compiles (array, place, word, place, word, ...), where least and of of shares come before the scales."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, pairs = signature.args[0], []
        for place, word in (args[1:3], args[3:5]):
            numbers = loaded(context, builder, kind, args[0], place)
            values = _shares(builder, numbers, *args[5:7]) if shares else _reals(builder, numbers, kind.dtype, _SINGLE)
            pairs.append((values, word))
        return of_pairs(builder, pairs, *args[7 if shares else 5 :])

    return codegen


_tuple: Any = types.UniTuple
_TWO = _tuple(types.int64, 2)
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


def _long_sum(typingctx: Any, values: Any, a: Any, first: Any, b: Any, second: Any, scale: Any) -> Any:
    """The sums of the same values, of any type, in units of 1/scale, and of their rests in units of 1/FINE of that."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = _long(context, builder, signature.args[0], args[0], (args[1:3], args[3:5]), args[5])
        return context.make_tuple(builder, signature.return_type, sums)

    return _TWO(values, *_PLACES, types.float64), codegen


coarse_sum: Any = intrinsic(_coarse_sum)
fine_sum: Any = intrinsic(_fine_sum)
coarse_sum_of_shares: Any = intrinsic(_coarse_sum_of_shares)
fine_sum_of_shares: Any = intrinsic(_fine_sum_of_shares)
long_sum: Any = intrinsic(_long_sum)
