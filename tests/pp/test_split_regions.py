from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genebert as gb
from genebert import _keys

WRITTEN = {f"seq.obs.{_keys.REGION_SPLIT.key}", f"uns.split_regions.{_keys.REGION_SPLIT.key}"}


def splits(mdata):
    return _keys.REGION_SPLIT.get(mdata).astype(str).to_numpy()


def chromosomes(mdata, split):
    return set(_keys.CHROM.get(mdata)[splits(mdata) == split])


def test_named_chromosomes_in_either_style(toy, changed):
    call = {"val": ["1"], "test": ["chr2", "3"]}
    assert changed(toy, lambda mdata: gb.pp.split_regions(mdata, **call)) == WRITTEN
    assert chromosomes(toy, "val") == {"chr1"}
    assert chromosomes(toy, "test") == {"chr2", "chr3"}
    assert _keys.REGION_SPLIT.get(toy).cat.categories.tolist() == ["train", "val", "test"]


@pytest.fixture(scope="module")
def small():
    return gb.datasets.toy(n_regions=60)


@given(val=st.floats(0.05, 0.3), test=st.floats(0.05, 0.4), rng=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_shares_take_whole_chromosomes(small, val, test, rng):
    found, again = (gb.pp.split_regions(small, val=val, test=test, rng=rng, copy=True) for _ in range(2))
    np.testing.assert_array_equal(splits(found), splits(again))
    parts = [chromosomes(found, name) for name in ("train", "val", "test")]
    assert sum(map(len, parts)) == 6
    assert set.union(*parts) == set(_keys.CHROM.get(small))
    for name, share in (("val", val), ("test", test)):
        assert abs((splits(found) == name).mean() - share) <= 1 / 6


def test_share_beside_named_chromosomes(toy):
    gb.pp.split_regions(toy, val=["chr4"], test=0.3)
    assert chromosomes(toy, "val") == {"chr4"}
    assert 1 <= len(chromosomes(toy, "test")) <= 2
    assert "chr4" not in chromosomes(toy, "test")


def test_shares_of_any_number_type(toy):
    gb.pp.split_regions(toy, val=np.float32(0.125), test=np.float64(0.25), copy=True)
    gb.pp.split_regions(toy, val=0, test=["chr1"])
    assert set(splits(toy)) == {"train", "test"}


def test_no_validation_set(toy):
    gb.pp.split_regions(toy, val=0.0, test=["chr1"])
    assert set(splits(toy)) == {"train", "test"}


def test_order_of_regions_does_not_matter(toy):
    shuffled = toy[np.random.default_rng(0).permutation(600)].copy()
    gb.pp.split_regions(shuffled, rng=3)
    gb.pp.split_regions(toy, rng=3)
    assert chromosomes(shuffled, "test") == chromosomes(toy, "test")


def test_bare_sequences_are_drawn_one_by_one():
    rng = np.random.default_rng(0)
    mdata = gb.io.assemble(sequences=["".join(rng.choice(list("ACGT"), 20)) for _ in range(100)])
    gb.pp.split_regions(mdata, val=0.1, test=0.3)
    assert [(splits(mdata) == name).sum() for name in ("train", "val", "test")] == [60, 10, 30]
    with pytest.raises(ValueError, match="`test` to be a share, since 100 of 100 regions have no chromosome"):
        gb.pp.split_regions(mdata, test=["chr1"])


def test_regions_with_and_without_chromosomes(toy, log, expect_refusal):
    is_bare = np.arange(600) % 6 == 0
    _keys.CHROM.set(toy, _keys.CHROM.get(toy).mask(is_bare))
    with expect_refusal(
        toy, ValueError, "`val` to be a share, since 100 of 600 regions have no chromosome; found .*'chr1'"
    ):
        gb.pp.split_regions(toy, val=["chr1"])
    gb.pp.split_regions(toy, val=0.1, test=0.2)
    by_chromosome = _keys.CHROM.get(toy)[~is_bare].groupby(splits(toy)[~is_bare]).unique()
    assert sum(map(len, by_chromosome)) == 6  # each in one split
    assert [(splits(toy)[is_bare] == name).sum() for name in ("train", "val", "test")] == [70, 10, 20]
    assert "100 of 600 regions have no chromosome: drawn one by one." in log.messages


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"val": ["chr9"]}, "`val` to name chromosomes with regions .* found none on chr9"),
        ({"val": ["chr1"], "test": ["1"]}, "each chromosome in one split; found chr1"),
        ({"val": "chr1"}, r"Write \['chr1'\]"),
        ({"val": 1.5}, "`val` to be a number"),
        ({"val": ["chr1", "chr2", "chr3"], "test": ["chr4", "chr5", "chr6"]}, "none is left for train"),
        ({"val": [], "test": ["chr1"]}, "none is left for val"),
    ],
)
def test_wrong_arguments(toy, expect_refusal, arguments, message):
    with expect_refusal(toy, ValueError, message):
        gb.pp.split_regions(toy, **arguments)


def test_copy_and_round_trip(toy, changed, round_trip):
    results = []
    assert changed(toy, lambda mdata: results.append(gb.pp.split_regions(mdata, rng=5, copy=True))) == set()
    np.testing.assert_array_equal(splits(round_trip(results[0])), splits(results[0]))
