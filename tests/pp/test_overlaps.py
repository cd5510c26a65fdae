"""Overlaps between splits against sets of strings, and what they must not depend on."""

from __future__ import annotations

import time

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebert._dna import N, decode, reverse_complement
from genebert.pp import _shared_kmers
from genebert.pp._overlaps import overlaps, sequence_numbers

CODES = np.random.default_rng(0).integers(0, 4, size=(6, 80), dtype=np.uint8)
SPLITS = ("train", "val", "test")


def found_in(codes, split):
    return {(found.first, found.second, found.what): found.regions.tolist() for found in overlaps(codes, split)}


def pieces(codes, region):
    """32-mers of both strands, as text."""
    texts = [decode(codes[region]), decode(reverse_complement(codes[region]))]
    return {text[i : i + 32] for text in texts for i in range(len(text) - 31) if "N" not in text[i : i + 32]}


def reference(codes, split):
    """The same by comparing all texts with all."""
    texts = [decode(row).strip("N") for row in codes]
    reverse = [decode(row).strip("N") for row in reverse_complement(codes)]
    kmers = [pieces(codes, region) for region in range(len(codes))]
    names = [name for name in SPLITS if name in split]
    expected = {}
    for i, first in enumerate(names):
        ours = [region for region in range(len(codes)) if split[region] == first]
        for second in names[i + 1 :]:
            theirs = [region for region in range(len(codes)) if split[region] == second]
            known = {texts[region] for region in ours} - {""}
            held = set().union(*(kmers[region] for region in ours))
            expected[first, second, "sequence"] = [region for region in theirs if texts[region] in known]
            expected[first, second, "reverse complement"] = [region for region in theirs if reverse[region] in known]
            expected[first, second, "32-mer"] = [region for region in theirs if kmers[region] & held]
    return expected


@st.composite
def cases(draw):
    """Random sequences that share pieces of 30 to 40 bases, some N, and a split with missing values."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_regions, length = draw(st.integers(2, 25)), draw(st.sampled_from([20, 31, 32, 50, 90]))
    codes = rng.integers(0, 4, (n_regions, length), dtype=np.uint8)
    for _ in range(draw(st.integers(0, 12))):
        giver, taker = rng.integers(0, n_regions, 2)
        size = min(length, draw(st.sampled_from([30, 31, 32, 33, 40, 90])))
        a, b = rng.integers(0, length - size + 1, 2)
        piece = codes[giver, a : a + size].copy()
        codes[taker, b : b + size] = piece if rng.random() < 0.5 else reverse_complement(piece)
    for _ in range(draw(st.integers(0, 5))):
        codes[rng.integers(n_regions), rng.integers(length) :][: rng.integers(1, 4)] = N
    split = rng.choice(np.array([*SPLITS, None], dtype=object), n_regions)
    return codes, split


@given(cases())
@settings(max_examples=60, deadline=None)
def test_equal_to_sets_of_strings(case):
    codes, split = case
    assert found_in(codes, split) == reference(codes, split)


@given(cases(), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_order_of_regions_does_not_matter(case, seed):
    codes, split = case
    order = np.random.default_rng(seed).permutation(len(codes))
    shuffled = {pair: sorted(order[regions]) for pair, regions in found_in(codes[order], split[order]).items()}
    assert shuffled == found_in(codes, split)


@given(cases())
@settings(max_examples=20, deadline=None)
def test_strand_of_regions_does_not_matter(case):
    codes, split = case
    turned = found_in(reverse_complement(codes), split)
    assert turned == found_in(codes, split)


@given(cases())
@settings(max_examples=20, deadline=None)
def test_examples_share_what_they_are_examples_of(case):
    codes, split = case
    for found in overlaps(codes, split):
        assert set(dict(found.examples)) <= set(found.regions.tolist())
        assert len(dict(found.examples)) == len(found.examples) == min(3, len(found.regions))
        for region, partner in found.examples:
            assert (split[region], split[partner]) == (found.second, found.first)
            known = decode(codes[partner]).strip("N")
            if found.what == "32-mer":
                assert pieces(codes, region) & pieces(codes, partner)
            else:
                ours = codes[region] if found.what == "sequence" else reverse_complement(codes[region])
                assert decode(ours).strip("N") == known


def test_strand_and_padding_do_not_hide_a_copy():
    codes = np.full((6, 90), N, dtype=np.uint8)
    codes[:, :80] = CODES
    codes[3] = np.roll(codes[0], 10)  # padded on the other side
    codes[4, :80] = reverse_complement(CODES[1])
    codes[5, :31] = CODES[2, :31]  # one base short of a 32-mer
    found = {found.what: found for found in overlaps(codes, np.array(["train"] * 3 + ["test"] * 3))}
    assert {what: row.regions.tolist() for what, row in found.items()} == {
        "sequence": [3], "reverse complement": [4], "32-mer": [3, 4],
    }  # fmt: skip
    assert [row.examples for row in found.values()] == [[(3, 0)], [(4, 1)], [(3, 0), (4, 1)]]


def test_n_matches_nothing():
    codes = np.full((4, 80), N, dtype=np.uint8)
    codes[2:, ::31] = 0  # never 32 bases in a row; the same letters
    found = found_in(codes, np.array(["train", "test"] * 2))
    assert found == {("train", "test", "sequence"): [3], ("train", "test", "reverse complement"): [], ("train", "test", "32-mer"): []}  # fmt: skip


@pytest.mark.parametrize("lazy", [True, False], ids=["dask", "numpy"])
@pytest.mark.parametrize(
    "limits",
    [{"MAX_COLLECTED": 500}, {"MAX_NOTED": 100}, {"MAX_FILTER": 4}, {"MAX_NOTED": 300, "MAX_COLLECTED": 700, "BLOCK_BASES": 200}],
    ids=["several passes", "several parts", "saturated filter", "all"],
)  # fmt: skip
def test_limits_of_memory_do_not_change_the_result(monkeypatch, limits, lazy):
    rng = np.random.default_rng(1)
    codes, split = rng.integers(0, 4, (200, 90), dtype=np.uint8), rng.choice(SPLITS, 200)
    for giver, taker in rng.integers(0, 200, (40, 2)):
        codes[taker, 20:60] = codes[giver, 10:50]
    expected = found_in(codes, split)
    assert expected == reference(codes, split)
    assert sum(map(len, expected.values())) > 10
    for name, value in limits.items():
        monkeypatch.setattr(_shared_kmers, name, value)
    assert found_in(dask.array.from_array(codes, chunks=(30, -1)) if lazy else codes, split) == expected


class Rows:
    """A matrix that remembers how much of it was asked for at once."""

    def __init__(self, matrix):
        self.matrix, self.shape, self.most = matrix, matrix.shape, 0

    def __getitem__(self, rows):
        part = self.matrix[rows]
        self.most = max(self.most, len(part))
        return part


def test_few_rows_are_read_at_once(monkeypatch):
    monkeypatch.setattr("genebert._chunks.row_chunks.__kwdefaults__", {"step": 10})
    monkeypatch.setattr(_shared_kmers, "MAX_COLLECTED", 100)
    rows = Rows(np.random.default_rng(0).integers(0, 4, (95, 40), dtype=np.uint8))
    list(overlaps(rows, np.array(["train", "test"] * 47 + ["val"])))
    assert rows.most == 10


def test_regions_in_no_split_are_left_out():
    codes = CODES[[0, 0, 0, 1, 1]]
    split = np.array(["train", None, "test", None, "val"], dtype=object)
    assert {pair: regions for pair, regions in found_in(codes, split).items() if regions} == {
        ("train", "test", "sequence"): [2],
        ("train", "test", "32-mer"): [2],
    }
    assert list(overlaps(codes, np.array([None, None, "test", None, None], dtype=object))) == []


def test_other_splits_come_last():
    found = overlaps(CODES, np.array(["fold2", "fold1", "test", "fold1", "train", "test"]))
    assert list(dict.fromkeys((row.first, row.second) for row in found)) == [
        ("train", "test"), ("train", "fold1"), ("train", "fold2"), ("test", "fold1"), ("test", "fold2"), ("fold1", "fold2"),
    ]  # fmt: skip


def test_too_many_splits():
    codes = np.zeros((14, 40), dtype=np.uint8)
    names = np.array([f"fold{number}" for number in range(14)])
    with pytest.raises(ValueError, match="at most 13 splits; found 14"):
        list(overlaps(codes, names))
    found = list(overlaps(codes[:13], names[:13]))
    assert len(found) == 3 * 13 * 12 / 2
    assert all(len(row.regions) == 1 for row in found if row.what != "reverse complement")


def test_sequence_numbers():
    codes = np.full((4, 82), N, dtype=np.uint8)
    codes[0, :80], codes[1, 2:], codes[2, 1:81] = CODES[0], CODES[0], reverse_complement(CODES[0])
    forward, reverse = sequence_numbers(codes)
    assert forward[0] == forward[1] == reverse[2] != forward[2] == reverse[0]
    assert forward[3] == reverse[3] == -1


def test_twenty_thousand_regions_take_seconds():
    codes = np.random.default_rng(0).integers(0, 4, size=(20_000, 500), dtype=np.uint8)
    started = time.perf_counter()
    assert sum(len(found.regions) for found in overlaps(codes, np.repeat(["train", "test"], 10_000))) == 0
    assert time.perf_counter() - started < 30
