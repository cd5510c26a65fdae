"""The kernels as Python, which is how they count for coverage, against the compiled ones and against strings.

`test_scan_kernel.py` runs these tests once more without a compiler.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from genebert._dna import N, decode, reverse_complement
from genebert.pp import _kmer_kernel as kernel

LENGTH = 70
WHOLE = np.array([[0, 1], [0, 1]], dtype=np.uint64)


WITHOUT_COMPILER = os.environ.get("NUMBA_DISABLE_JIT") == "1"


@pytest.fixture(params=["interpreted"] if WITHOUT_COMPILER else ["compiled", "interpreted"])
def kernels(request, monkeypatch):
    """The module, once as it is and once with each function as Python."""
    if request.param == "interpreted":
        for name, value in vars(kernel).items():
            if hasattr(value, "py_func"):
                monkeypatch.setattr(kernel, name, value.py_func)
    with np.errstate(over="ignore"):
        yield kernel


def make_codes(n_regions=8, *, rng=0):
    """Random, with the same 40 bases in regions 0, 1 and (reverse complement) 2, and an N in region 3."""
    codes = np.random.default_rng(rng).integers(0, 4, (n_regions, LENGTH), dtype=np.uint8)
    codes[1, 20:60] = codes[0, 5:45]
    codes[2, 10:50] = reverse_complement(codes[0, 5:45])
    codes[3, 30] = N
    return codes


def found_kmers(kernels, codes, sides, *, parts=WHOLE, filter_size=2**12):
    """32-mers that the kernels let through, as (number, region)."""
    sides = np.asarray(sides, dtype=np.uint8)
    seen = np.zeros(filter_size, dtype=np.uint8)
    kernels.note(codes, sides, parts[0], seen)
    kmers, regions = np.empty(codes.size, dtype=np.uint64), np.empty(codes.size, dtype=np.int32)
    n_found = kernels.collect(codes, sides, parts, seen, kmers, regions)
    return list(zip(kmers[:n_found].tolist(), regions[:n_found].tolist(), strict=True))


def strings(codes, region):
    """32-mers of a region without N, as numbers of the smaller strand."""
    found = []
    for start in range(codes.shape[1] - 31):
        piece = codes[region, start : start + 32]
        if (piece < N).all():
            found.append(min(int("".join(map(str, bases)), 4) for bases in (piece, reverse_complement(piece))))
    return found


def test_saturated_filter_lets_all_32mers_through(kernels):
    codes = make_codes()
    found = found_kmers(kernels, codes, [kernel.ANY] * 8, filter_size=2)  # so small that every place is reached
    assert found == [(number, region) for region in range(8) for number in strings(codes, region)]
    assert len(strings(codes, 3)) == 8 < len(strings(codes, 4)) == 39  # 39 bases behind the N, too few before it


def test_only_shared_32mers_come_through(kernels):
    codes = make_codes()
    found = found_kmers(kernels, codes, [kernel.ANY] * 8)
    shared = set(strings(codes, 0)) & set(strings(codes, 1))
    assert len(shared) == 9  # 40 bases
    assert {number for number, _ in found} >= shared == set(strings(codes, 2)) & set(strings(codes, 1))
    assert {region for _, region in found} == {0, 1, 2}


def test_sides(kernels):
    codes = make_codes()
    assert {region for _, region in found_kmers(kernels, codes, [1, 1, 2, 2, 1, 1, 1, 1])} == {0, 1, 2}
    assert found_kmers(kernels, codes, [1, 1, 1, 2, 2, 2, 2, 2]) == []
    assert found_kmers(kernels, codes, [1, kernel.NO_SIDE, kernel.NO_SIDE, 2, 2, 2, 2, 2]) == []
    assert {region for _, region in found_kmers(kernels, codes, [1, kernel.NO_SIDE, 13, 1, 1, 1, 1, 1])} == {0, 2}


@pytest.mark.parametrize("row", [0, 1], ids=["of the minimizers", "of the 32-mers"])
def test_parts_make_the_whole(kernels, row):
    codes = make_codes()
    whole = found_kmers(kernels, codes, [kernel.ANY] * 8, filter_size=2)
    parts = []
    for number in range(3):
        part = WHOLE.copy()
        part[row] = number, 3
        parts.append(found_kmers(kernels, codes, [kernel.ANY] * 8, parts=part, filter_size=2))
    assert all(0 < len(part) < len(whole) for part in parts)
    assert sorted(entry for part in parts for entry in part) == sorted(whole)


def test_short_sequences_hold_no_32mer(kernels):
    codes = np.zeros((2, 31), dtype=np.uint8)
    assert found_kmers(kernels, codes, [1, 2], filter_size=2) == []


def test_hashes_of_both_strands(kernels):
    codes = np.full((6, 40), N, dtype=np.uint8)
    codes[0, :33] = np.random.default_rng(0).integers(0, 4, 33)
    codes[0, 10] = N
    codes[1, 4:37] = codes[0, :33]  # padded elsewhere
    codes[2, :33] = reverse_complement(codes[0, :33])
    codes[3, :33] = codes[0, :33]
    codes[3, 10] = 0  # a base for the N
    codes[4, :32] = codes[0, :32]
    hashes = np.empty((6, 2, 2), dtype=np.uint64)
    kernels.hash_sequences(codes, hashes)
    as_tuples = [[tuple(strand) for strand in region.tolist()] for region in hashes]
    for region in range(6):
        for other in range(6):
            texts = [decode(reverse_complement(codes[region])), decode(codes[other])]
            is_same = texts[0].strip("N") == texts[1].strip("N")
            assert (as_tuples[region][1] == as_tuples[other][0]) == is_same
    assert as_tuples[0] == as_tuples[1] == as_tuples[2][::-1]
    assert as_tuples[5] == [(0, 0), (0, 0)]
    assert len({half for region in as_tuples[:5] for strand in region for half in strand}) == 2 * 2 * 3
