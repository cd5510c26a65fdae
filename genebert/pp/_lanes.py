"""Vectors of 32 small numbers, inside numba and outside.

Numba leaves it to LLVM to find loops that vector instructions can do, and it does not find those of the motif scan. Here
the vector is a type of its own, which LLVM turns into whatever registers the machine has. Each function is plain numpy
when it runs as Python (`kernel.py_func`, ``NUMBA_DISABLE_JIT=1``) and a few instructions when it is compiled.

Places in arrays are given as offsets into flat arrays and are not checked; an index of numba's own costs a test for
negative numbers and a multiplication with the stride, which together cost as much as the sum that they serve.

Numba's cache watches the file of a kernel, not this one: after a change here, touch ``_scan_kernel.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, overload, register_model

__all__ = ["MOST", "N_LANES", "add", "first_lane", "item", "lanes_up_to", "load", "minimum", "store"]

N_LANES = 32
MOST = 255
"""Largest number that a lane holds; sums stop there."""

UINT8, INT64 = ir.IntType(8), ir.IntType(64)
VECTOR = ir.VectorType(UINT8, N_LANES)


def item(flat: np.ndarray, place: int) -> int:
    """Read one whole number."""
    return int(flat[place])


def load(flat: np.ndarray, place: int) -> np.ndarray:
    """Read a vector from a uint8 array, from `place` on."""
    return flat[place : place + N_LANES].copy()


def store(flat: np.ndarray, place: int, vector: np.ndarray) -> None:
    """Write a vector to a uint8 array, from `place` on."""
    flat[place : place + N_LANES] = vector


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Lane-wise sum, at most `MOST`."""
    return np.minimum(a.astype(np.uint16) + b, MOST).astype(np.uint8)


def minimum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Lane-wise minimum."""
    return np.minimum(a, b)


def lanes_up_to(a: np.ndarray, limits: np.ndarray) -> int:
    """Lanes in which `a` is at most the limit, as a number with one bit per lane."""
    return int(np.packbits(a <= limits, bitorder="little").view(np.uint32)[0])


def first_lane(lanes: int) -> int:
    """Lowest of the lanes in such a number; it must not be 0."""
    return (lanes & -lanes).bit_length() - 1


class Lanes(types.Type):
    """The vector, as numba's type inference sees it."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    """The vector, as LLVM sees it."""

    def __init__(self, manager, lanes) -> None:
        super().__init__(manager, lanes, VECTOR)


def _address(context, builder, array_type, array, place) -> ir.Value:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [place])


@intrinsic
def _item(_, flat, place):
    def compile_(context, builder, signature, args):
        number = builder.load(_address(context, builder, signature.args[0], *args))
        return number if number.type.width == INT64.width else builder.zext(number, INT64)

    return types.int64(flat, types.int64), compile_


@intrinsic
def _load(_, flat, place):
    def compile_(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args)
        vector = builder.load(builder.bitcast(address, VECTOR.as_pointer()))
        vector.align = 1
        return vector

    return LANES(flat, types.int64), compile_


@intrinsic
def _store(_, flat, place, vector):
    def compile_(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args[:2])
        written = builder.store(args[2], builder.bitcast(address, VECTOR.as_pointer()))
        written.align = 1
        return context.get_dummy_value()

    return types.void(flat, types.int64, vector), compile_


def _lane_wise(build: Callable[..., ir.Value], result: types.Type) -> Callable:
    """Make an intrinsic of 2 vectors from the instructions that `build` emits."""

    def compile_(context, builder, signature, args):
        return build(builder, *args)

    return intrinsic(lambda _, a, b: (result(a, b), compile_))


def _build_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    total = builder.add(a, b)
    is_over = builder.icmp_unsigned("<", total, a)  # LLVM knows this as one saturating instruction
    return builder.select(is_over, ir.Constant(VECTOR, [MOST] * N_LANES), total)


def _build_minimum(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_unsigned("<", a, b), a, b)


def _build_lanes_up_to(builder: ir.IRBuilder, a: ir.Value, limits: ir.Value) -> ir.Value:
    bits = builder.bitcast(builder.icmp_unsigned("<=", a, limits), ir.IntType(N_LANES))
    return builder.zext(bits, INT64)


_add = _lane_wise(_build_add, LANES)
_minimum = _lane_wise(_build_minimum, LANES)
_lanes_up_to = _lane_wise(_build_lanes_up_to, types.int64)


@intrinsic
def _first_lane(_, lanes):
    def compile_(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), compile_


overload(item)(lambda flat, place: lambda flat, place: _item(flat, place))
overload(load)(lambda flat, place: lambda flat, place: _load(flat, place))
overload(store)(lambda flat, place, vector: lambda flat, place, vector: _store(flat, place, vector))
overload(add)(lambda a, b: lambda a, b: _add(a, b))
overload(minimum)(lambda a, b: lambda a, b: _minimum(a, b))
overload(lanes_up_to)(lambda a, limits: lambda a, limits: _lanes_up_to(a, limits))
overload(first_lane)(lambda lanes: lambda lanes: _first_lane(lanes))
