"""Sums of those of 64 values that a word chooses, many at once as processors can.

In single precision, a value is taken apart into whole units of 1/narrow and a rest of REST_BITS more bits, which add up
in 32 bits each, as long as `narrow` times a value stays within 2^26. `long_sum` takes any values, in double precision.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from galviz.kernels.vectors import LANES, everywhere, intrinsic_of, loaded, vector

_WIDE = 8  # how many sums are left when they become long
_INT, _LONG, _SINGLE, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
FINE_BITS = 32  # of the fraction that the second half of a sum in two halves counts
FINE = 2.0**FINE_BITS
REST_BITS = 24  # of what a value in single precision has less than 1/narrow


def _reals(builder: Any, numbers: Any, dtype: Any, real: Any) -> Any:
    """Values in single or double precision; those in double precision are rounded to single."""
    kind, width = vector(real, numbers.type.count), 32 if real is _SINGLE else 64
    if not isinstance(dtype, types.Float):
        return (builder.sitofp if dtype.signed else builder.uitofp)(numbers, kind)
    if dtype.bitwidth == width:
        return numbers
    return (builder.fptrunc if dtype.bitwidth > width else builder.fpext)(numbers, kind)


def _chosen(builder: Any, numbers: Any, word: Any) -> Any:
    """Those of 64 whole numbers that a word chooses, else 0."""
    mask = builder.bitcast(word, vector(ir.IntType(1)))
    return builder.select(mask, numbers, ir.Constant(numbers.type, [0] * LANES))


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


def _scaled(context: Any, builder: Any, kind: Any, values: Any, place: Any, narrow: Any) -> Any:
    numbers = _reals(builder, loaded(context, builder, kind, values, place), kind.dtype, _SINGLE)
    return builder.fmul(numbers, everywhere(builder, narrow))


def _coarse(context: Any, builder: Any, kind: Any, values: Any, place: Any, word: Any, narrow: Any) -> Any:
    """The sum in units of 1/narrow; rests are lost."""
    scaled = _scaled(context, builder, kind, values, place, narrow)
    return _total(builder, _chosen(builder, builder.fptosi(scaled, vector(_INT)), word))


def _split(context: Any, builder: Any, kind: Any, values: Any, place: Any, word: Any, narrow: Any) -> tuple[Any, ...]:
    """The sum of the whole units of 1/narrow, that of the rests, and which values have bits beyond these."""
    scaled = _scaled(context, builder, kind, values, place, narrow)
    singles, wholes = scaled.type, vector(_INT)
    whole = builder.fptosi(scaled, wholes)
    left = builder.fsub(scaled, builder.sitofp(whole, singles))
    left = builder.fmul(left, ir.Constant(singles, [2.0**REST_BITS] * LANES))
    rest = builder.fptosi(left, wholes)
    lost = builder.bitcast(builder.fcmp_unordered("!=", left, builder.sitofp(rest, singles)), _LONG)
    first, second = (_total(builder, _chosen(builder, some, word)) for some in (whole, rest))
    return first, second, builder.and_(lost, word)


def _long(context: Any, builder: Any, kind: Any, values: Any, place: Any, word: Any, scale: Any) -> tuple[Any, Any]:
    """The sum of the whole units of 1/scale of each value, and that of the rests in units of 1/FINE of that."""
    longs, doubles = vector(_LONG, _WIDE), vector(_DOUBLE, _WIDE)
    nothing = ir.Constant(longs, [0] * _WIDE)
    scales, fine = everywhere(builder, scale, _WIDE), ir.Constant(doubles, [FINE] * _WIDE)
    wholes = rests = nothing
    for at in (ir.Constant(_LONG, number) for number in range(0, LANES, _WIDE)):
        numbers = loaded(context, builder, kind, values, builder.add(place, at), _WIDE)
        scaled = builder.fmul(_reals(builder, numbers, kind.dtype, _DOUBLE), scales)
        whole = builder.fptosi(scaled, longs)
        rest = builder.fptosi(builder.fmul(builder.fsub(scaled, builder.sitofp(whole, doubles)), fine), longs)
        mask = builder.bitcast(builder.trunc(builder.lshr(word, at), ir.IntType(_WIDE)), vector(ir.IntType(1), _WIDE))
        wholes = builder.add(wholes, builder.select(mask, whole, nothing))
        rests = builder.add(rests, builder.select(mask, rest, nothing))
    return _total(builder, wholes), _total(builder, rests)


def _can(context: Any, feature: str) -> bool:
    """Whether the processor has a feature that the compiler knows by this name."""
    return f"+{feature}" in context.codegen().magic_tuple()[2].split(",")


def _in_eights(context: Any, builder: Any, numbers: Any) -> Any:
    """The sums of eight of 64 bytes each."""
    if _can(context, "avx512bw"):
        kind = ir.FunctionType(vector(_LONG, _WIDE), [numbers.type] * 2)
        differences = intrinsic_of(builder, "llvm.x86.avx512.psad.bw.512", kind)
        return builder.call(differences, [numbers, ir.Constant(numbers.type, [0] * LANES)])
    bits = 8
    while bits < 64:
        kind = vector(ir.IntType(2 * bits), LANES * 8 // (2 * bits))
        low, shift = (ir.Constant(kind, [number] * kind.count) for number in ((1 << bits) - 1, bits))
        numbers, bits = builder.bitcast(numbers, kind), 2 * bits
        numbers = builder.add(builder.and_(numbers, low), builder.lshr(numbers, shift))
    return numbers


def _looked_up(context: Any, builder: Any, kind: Any, table: Any, codes: Any) -> Any:
    """The byte of each of 64 codes in a table of 256: by exchanging bytes of registers, where the processor can."""
    if not _can(context, "avx512vbmi"):
        found, start = ir.Constant(codes.type, ir.Undefined), context.make_array(kind)(context, builder, table).data
        for lane in (ir.Constant(_INT, number) for number in range(LANES)):
            place = builder.zext(builder.extract_element(codes, lane), _LONG)
            found = builder.insert_element(found, builder.load(builder.gep(start, [place])), lane)
        return found
    name = "llvm.x86.avx512.vpermi2var.qi.512"
    exchange = intrinsic_of(builder, name, ir.FunctionType(codes.type, [codes.type] * 3))
    a, b, c, d = (loaded(context, builder, kind, table, ir.Constant(_LONG, at)) for at in range(0, 256, LANES))
    lower, upper = builder.call(exchange, [a, codes, b]), builder.call(exchange, [c, codes, d])
    return builder.select(builder.icmp_signed("<", codes, ir.Constant(codes.type, [0] * LANES)), upper, lower)


_tuple: Any = types.UniTuple
_mixed: Any = types.Tuple
_TWO = _tuple(types.int64, 2)
_THREE = _mixed([types.int64, types.int64, types.uint64])
_PLACE = (types.intp, types.uint64)


def _coarse_sum(typingctx: Any, values: Any, place: Any, word: Any, narrow: Any) -> Any:
    """The sum of those of the 64 values from `place` on that are in `word`, in units of 1/narrow; rests are lost."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _coarse(context, builder, signature.args[0], *args)

    return types.int64(values, *_PLACE, types.float32), codegen


def _split_sum(typingctx: Any, values: Any, place: Any, word: Any, narrow: Any) -> Any:
    """The sums of the same values in units of 1/narrow, and of their rests in units of 2^-REST_BITS of that, and a word
    of those values that have bits beyond these: of them both sums have too little."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, _THREE, _split(context, builder, signature.args[0], *args))

    return _THREE(values, *_PLACE, types.float32), codegen


def _long_sum(typingctx: Any, values: Any, place: Any, word: Any, scale: Any) -> Any:
    """The sums of the same values, of any type, in units of 1/scale, and of their rests in units of 1/FINE of that."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, _TWO, _long(context, builder, signature.args[0], *args))

    return _TWO(values, *_PLACE, types.float64), codegen


def _sum_of_codes(typingctx: Any, codes: Any, place: Any, word: Any, slope: Any, rests: Any) -> Any:
    """The sum of slope * code + rests[code] of those of the 64 codes from `place` on that are in `word`; they are
    bytes, and `rests` 256 of them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (kind, *_, table_kind), (values, place, word, slope, table) = signature.args, args
        numbers = loaded(context, builder, kind, values, place)
        others = _looked_up(context, builder, table_kind, table, numbers)
        steps, more = (_in_eights(context, builder, _chosen(builder, some, word)) for some in (numbers, others))
        return _total(builder, builder.add(builder.mul(steps, everywhere(builder, slope, _WIDE)), more))

    return types.int64(codes, *_PLACE, types.int64, rests), codegen


coarse_sum: Any = intrinsic(_coarse_sum)
split_sum: Any = intrinsic(_split_sum)
long_sum: Any = intrinsic(_long_sum)
sum_of_codes: Any = intrinsic(_sum_of_codes)
