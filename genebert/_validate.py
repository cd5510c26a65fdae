"""Checks of arguments. Every message says what was expected, what came and, where it helps, what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import numpy as np

__all__ = [
    "check_amounts",
    "check_cell_type",
    "check_columns",
    "check_key",
    "check_layer",
    "check_literal",
    "check_names",
    "check_path",
    "check_range",
    "check_rng",
    "check_seed",
    "listed",
]

MOST_SEED = 2**31 - 1  # small numbers are added to a seed, and scikit-learn takes up to 2**32 - 1


def listed(items: Iterable[Any], *, most: int = 5) -> str:
    """Join the first few items for a message: ``a, b, c and 7 more``."""
    items = [str(item) for item in items]
    text = ", ".join(items[:most])
    return text if len(items) <= most else f"{text} and {len(items) - most} more"


def check_literal(value: Any, choices: Any, *, name: str, also: Sequence[str] = ()) -> None:
    """Raise unless `value` is one of `choices` (a `typing.Literal` or a sequence).

    `also` tells in words what else the argument takes, which the caller has seen to before.
    """
    allowed = get_args(choices) or tuple(choices)
    if value not in allowed:
        msg = f"Expected `{name}` to be one of {listed([*map(repr, allowed), *also], most=20)}; found {value!r}."
        raise ValueError(msg)


def check_names(names: Any, *, name: str) -> None:
    """Raise unless `names`, which the argument `name` holds, is None, a name or a collection of names."""
    if names is not None and not isinstance(names, Iterable):
        msg = f"Expected `{name}` to be a name or a list of names; found {names!r}. Write names, as in {name}=['...']."
        raise TypeError(msg)


def check_range(
    value: float,
    *,
    name: str,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    integer: bool = False,
) -> None:
    """Raise unless `value` is a number (an integer, where asked) in [`low`, `high`] and greater than `above`."""
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    low_end, high_end = -np.inf if low is None else low, np.inf if high is None else high
    if (
        not is_number or not low_end <= value <= high_end or (above is not None and value <= above)
    ):  # NaN is in no range
        kind = "an integer" if integer else "a number"
        msg = f"Expected `{name}` to be {kind}{_bounds(low=low, high=high, above=above)}; found {value!r}."
        raise ValueError(msg)


def check_seed(value: Any, *, name: str = "seed") -> None:
    """Raise unless it is a whole number from 0 to `MOST_SEED`."""
    check_range(value, name=name, low=0, high=MOST_SEED, integer=True)


def check_rng(value: Any, *, name: str) -> None:
    """Raise unless `value` seeds a generator of numpy: a whole number, 0 or more, a generator, or None."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0
    if not is_whole and not isinstance(value, (np.random.Generator, type(None))):
        msg = f"Expected `{name}` to be an integer, 0 or more, a numpy Generator, or None; found {value!r}."
        raise ValueError(msg)


def check_path(path: Any, *, name: str, remedy: str) -> None:
    """Raise unless `path` is text or a path."""
    if not isinstance(path, (str, os.PathLike)):
        msg = f"Expected `{name}` to be the path of a file; found {type(path).__name__}. {remedy}"
        raise TypeError(msg)


def _bounds(*, low: float | None, high: float | None, above: float | None) -> str:
    """Say what a number may be: `` in [0, 1]``, ``, 1 or more``, `` above 0, at most 1``."""
    if above is not None:
        return f" above {above}" + ("" if high is None else f", at most {high}")
    if low is not None and high is not None:
        return f" in [{low}, {high}]"
    return f", {low} or more" if low is not None else f", {high} or less" if high is not None else ""


def check_columns(columns: Iterable[str], required: Sequence[str], *, what: str) -> None:
    """Raise unless every required column is there."""
    columns = list(columns)
    missing = [column for column in required if column not in columns]
    if missing:
        msg = f"Expected {what} with column(s) {listed(required, most=20)}; {listed(missing)} missing. Found: {listed(columns, most=20)}."
        raise ValueError(msg)


def check_layer(layer: str | None, layers: Iterable[str]) -> None:
    """Raise unless `layer` is None, for ``X``, or one of `layers`."""
    layers = list(layers)
    if layer is not None and layer not in layers:
        msg = f"Expected `layer` to be one of {listed(layers, most=20) or 'none'} (None = X); found {layer!r}."
        raise ValueError(msg)


def check_key(key: str, *, name: str = "key_added", reserved: Iterable[str] = ()) -> None:
    """Raise unless `key` can name a slot: a non-empty string without ``/`` that is no modality's name."""
    if not isinstance(key, str) or not key:
        msg = f"Expected `{name}` to be a non-empty string; found {key!r}."
        raise ValueError(msg)
    if "/" in key:
        msg = f"Expected `{name}` without '/', which HDF5 and zarr read as a path; found {key!r}."
        raise ValueError(msg)
    reserved = list(reserved)
    if key in reserved:
        msg = f"Expected `{name}` to differ from the names {listed(reserved, most=20)}, which are taken; found {key!r}. Choose another key."
        raise ValueError(msg)


def check_cell_type(cell_type: str, cell_types: Sequence[str], *, name: str = "cell_type") -> None:
    """Raise unless `cell_type`, which the argument `name` holds, is a column of the accessibility matrix."""
    cell_types = list(cell_types)
    if cell_type not in cell_types:
        msg = f"Expected `{name}` to be one of {listed(cell_types, most=20)}; found {cell_type!r}."
        raise ValueError(msg)


def check_amounts(values: np.ndarray, *, what: str, remedy: str = "Pass raw counts (`layer=`).") -> None:
    """Raise when a value of `what` is negative or infinite; NaN is allowed and means not measured."""
    bad = (values < 0) | np.isinf(values)
    if bad.any():
        msg = (
            f"Expected {what} that is finite and not negative (NaN = not measured); {int(bad.sum())} values are not, "
            f"such as {listed(values[bad][:3])}. {remedy}"
        )
        raise ValueError(msg)
