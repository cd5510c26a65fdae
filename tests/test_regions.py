"""Names, order and windows of regions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebert._keys import CHROM, END, START
from genebert._regions import check_unique, format_names, genomic_order, parse_names, region_table, windows

coordinates = st.tuples(
    st.sampled_from(["chr1", "chr2", "X", "chr1_KI270706v1_random", "NC_000001.11", "HLA-A"]),
    st.integers(0, 10**9),
    st.integers(1, 10**6),
)


@given(st.lists(coordinates, min_size=1, max_size=10, unique=True), st.sampled_from([":-", "--", "__"]))
def test_names_survive_a_round_trip(regions, separators):
    first, second = separators
    names = [f"{chrom}{first}{start}{second}{start + width}" for chrom, start, width in regions]
    table = parse_names(names)
    assert list(table[CHROM.key]) == [chrom for chrom, _, _ in regions]
    assert list(table[START.key]) == [start for _, start, _ in regions]
    assert table.index.equals(format_names(table[CHROM.key], table[START.key], table[END.key]))
    assert parse_names(table.index).equals(table)


def test_types_of_the_table():
    table = parse_names(["chr1-5-9"])
    assert table.index[0] == "chr1:5-9"
    assert isinstance(table[CHROM.key].dtype, pd.CategoricalDtype)
    assert (table[START.key].dtype, table[END.key].dtype) == (np.int64, np.int64)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["peak1", "chr1:1-2"], "1 of 2 have another form: peak1. Rename"),
        (["chr1:5-5"], "0 <= start < end .*1 of 1 have not: chr1:5-5"),
        (["chr1:1-2", "chr1-1-2"], "each region once; 1 occur more often: chr1:1-2. Keep one"),
        (["chr1:-5-10"], "1 of 1 have another form: chr1:-5-10"),
        ([], "at least one region; found none"),
    ],
)
def test_refuses_bad_names(names, message):
    with pytest.raises(ValueError, match=message):
        parse_names(names)


def test_refuses_a_negative_start():
    with pytest.raises(ValueError, match="0 <= start < end"):
        region_table(["chr1"], [-1], [5])


def test_refuses_a_missing_chromosome():
    with pytest.raises(ValueError, match="a chromosome for each region; 1 of 2 have none"):
        region_table(["chr1", np.nan], [1, 5], [4, 9])


def test_check_unique_lists_each_name_once():
    with pytest.raises(ValueError, match=r"1 occur more often: a\. "):
        check_unique(pd.Index(["a", "a", "a", "b"]))


@given(st.lists(coordinates, min_size=1, max_size=30), st.integers(1, 5), st.randoms())
def test_windows_do_not_depend_on_the_order_of_the_input(regions, size, random):
    def contents(rows):
        chrom, start, width = (np.array(part, dtype=object) for part in zip(*rows, strict=True))
        table = windows(chrom, start.astype(int), (start + width).astype(int), window_size=size)
        assert sorted(table[table >= 0]) == list(range(len(rows)))
        return [[rows[place] for place in window if place >= 0] for window in table]

    shuffled = random.sample(regions, len(regions))
    assert contents(regions) == contents(shuffled)
    for window in contents(regions):
        assert len({chrom for chrom, _, _ in window}) == 1
        assert window == sorted(window)


def test_windows_end_with_the_chromosome():
    table = windows(np.array(["b", "a", "a", "a"]), np.array([0, 9, 0, 5]), np.array([1, 10, 1, 6]), window_size=2)
    assert table.tolist() == [[2, 3], [1, -1], [0, -1]]
    assert windows(np.array([]), np.array([]), np.array([]), window_size=3).shape == (0, 3)


def test_order():
    assert genomic_order(["b", "a", "a"], np.array([1, 5, 5]), np.array([2, 9, 8])).tolist() == [2, 1, 0]


def test_a_name_with_a_line_break_is_none():
    for name in ("chr1:1-2\n", "chr1:1-2\nchr1:3-4", "\nchr1:1-2"):
        with pytest.raises(ValueError, match="1 of 2 have another form"):
            parse_names(["chr2:1-2", name])
