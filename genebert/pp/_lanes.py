"""Vectors of 32 whole numbers, inside numba and outside.

Numba leaves it to LLVM to find loops that vector instructions can do, and it does not find those of the motif scan. Here
the vector is a type of its own, which LLVM turns into whatever registers the machine has. Each function is plain numpy
when it runs as Python (`kernel.py_func`, ``NUMBA_DISABLE_JIT=1``) and a few instructions when it is compiled. Measured:
4 times the speed of the same loops over arrays.

Numba's cache watches the file of a kernel, not this one: after a change here, touch ``_scan_kernel.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

__all__ = ["N_LANES", "add", "add_if_reached", "count_if_reached", "load", "maximum", "store"]

N_LANES = 32
INT32 = ir.IntType(32)
VECTOR = ir.VectorType(INT32, N_LANES)


def load(row: np.ndarray) -> np.ndarray:
    """Read a vector from an int32 array ``(N_LANES,)``."""
    return row.copy()


def store(row: np.ndarray, vector: np.ndarray) -> None:
    """Write a vector to an int32 array ``(N_LANES,)``."""
    row[:] = vector


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Lane-wise sum."""
    return a + b


def maximum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Lane-wise maximum."""
    return np.maximum(a, b)


def count_if_reached(total: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Add 1 to the lanes whose score reaches the threshold."""
    return total + (scores >= thresholds)


def add_if_reached(total: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Add the score in the lanes where it reaches the threshold."""
    return total + np.where(scores >= thresholds, scores, 0).astype(np.int32)


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


def _pointer(context, builder, array_type, array) -> ir.Value:
    """Address of the first number of an array, as that of a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(data, VECTOR.as_pointer())


@intrinsic
def _load(_, row):
    def compile_(context, builder, signature, args):
        vector = builder.load(_pointer(context, builder, signature.args[0], args[0]))
        vector.align = INT32.width // 8  # numpy promises no more than the alignment of one number
        return vector

    return LANES(row), compile_


@intrinsic
def _store(_, row, vector):
    def compile_(context, builder, signature, args):
        written = builder.store(args[1], _pointer(context, builder, signature.args[0], args[0]))
        written.align = INT32.width // 8
        return context.get_dummy_value()

    return types.void(row, vector), compile_


def _lane_wise(build: Callable[..., ir.Value], n_args: int) -> Callable:
    """Make an intrinsic of 2 or 3 vectors from the instructions that `build` emits."""

    def compile_(context, builder, signature, args):
        return build(builder, *args)

    if n_args == 2:
        return intrinsic(lambda _, a, b: (LANES(a, b), compile_))
    return intrinsic(lambda _, a, b, c: (LANES(a, b, c), compile_))


def _reached(builder: ir.IRBuilder, scores: ir.Value, thresholds: ir.Value) -> ir.Value:
    return builder.icmp_signed(">=", scores, thresholds)


_add = _lane_wise(lambda builder, a, b: builder.add(a, b), 2)
_maximum = _lane_wise(lambda builder, a, b: builder.select(builder.icmp_signed(">", a, b), a, b), 2)
_count_if_reached = _lane_wise(
    lambda builder, total, scores, limits: builder.add(total, builder.zext(_reached(builder, scores, limits), VECTOR)),
    3,
)
_add_if_reached = _lane_wise(
    lambda builder, total, scores, limits: builder.add(
        total, builder.select(_reached(builder, scores, limits), scores, cgutils.get_null_value(VECTOR))
    ),
    3,
)

overload(load)(lambda row: lambda row: _load(row))
overload(store)(lambda row, vector: lambda row, vector: _store(row, vector))
overload(add)(lambda a, b: lambda a, b: _add(a, b))
overload(maximum)(lambda a, b: lambda a, b: _maximum(a, b))
overload(count_if_reached)(
    lambda total, scores, thresholds: lambda total, scores, thresholds: _count_if_reached(total, scores, thresholds)
)
overload(add_if_reached)(
    lambda total, scores, thresholds: lambda total, scores, thresholds: _add_if_reached(total, scores, thresholds)
)
