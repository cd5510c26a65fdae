"""Messages of the checks of arguments."""

from __future__ import annotations

import numpy as np
import pytest

from genebert._validate import check_literal, check_range


@pytest.mark.parametrize(
    ("options", "good", "bad", "message"),
    [
        ({"low": 1, "integer": True}, 1, 0, "to be an integer, 1 or more; found 0."),
        ({"above": 0, "high": 1}, 1, 0, "to be a number above 0, at most 1; found 0."),
        ({"above": 0}, 5e-324, -1, "to be a number above 0; found -1."),
        ({"low": 0, "high": 1}, 0, np.nan, "to be a number in [0, 1]; found nan."),
        ({"high": 3}, -5, 4, "to be a number, 3 or less; found 4."),
        ({}, 2.5, "x", "to be a number; found 'x'."),
    ],
)
def test_ranges(options, good, bad, message):
    check_range(good, name="k", **options)
    with pytest.raises(ValueError) as error:
        check_range(bad, name="k", **options)
    assert str(error.value) == f"Expected `k` {message}"


def test_choices():
    check_literal("a", ("a", "b"), name="k")
    with pytest.raises(ValueError) as error:
        check_literal("c", ("a", "b"), name="k", also=("None", "a number"))
    assert str(error.value) == "Expected `k` to be one of 'a', 'b', None, a number; found 'c'."
