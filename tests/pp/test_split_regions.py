from __future__ import annotations

import dask.array
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genebert as gb
from genebert import _keys
from genebert._dna import decode, reverse_complement
from genebert.pp._groups import similar_regions

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
@settings(max_examples=15, deadline=None)
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


@pytest.mark.parametrize("empty", [[], (), np.array([], dtype=str)])
def test_an_empty_list_is_no_share(toy, empty):
    gb.pp.split_regions(toy, val=empty, test=["chr1"])
    assert set(splits(toy)) == {"train", "test"}
    assert toy.uns[_keys.UNS]["split_regions"][_keys.REGION_SPLIT.key]["params"]["val"] == 0
    other = gb.pp.split_regions(toy, by="similarity", val=empty, test=0.2, copy=True)
    assert set(splits(other)) == {"train", "test"}
    gb.pp.split_regions(toy, val=0.2, test=empty)
    assert set(splits(toy)) == {"train", "val"}


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
        ({"val": None}, "`val` to be a share or a list of chromosomes; found None. Write 0"),
        ({"by": "similarity", "test": None}, "`test` to be a share with by=.*; found None"),
        ({"val": ["chr1", "chr2", "chr3"], "test": ["chr4", "chr5", "chr6"]}, "none is left for train"),
        ({"by": "sequence"}, "`by` to be one of 'chromosome', 'similarity'; found 'sequence'"),
        ({"by": "similarity", "val": ["chr8"]}, "`val` to be a share with by=.*; found .*'chr8'.*by=\"chromosome\""),
        ({"by": "similarity", "test": "chr8"}, "`test` to be a share with by=.*; found 'chr8'"),
        ({"by": "similarity", "test": -0.1}, "`test` to be a number"),
    ],
)
def test_wrong_arguments(toy, expect_refusal, arguments, message):
    with expect_refusal(toy, ValueError, message):
        gb.pp.split_regions(toy, **arguments)


def test_copy_and_round_trip(toy, changed, round_trip):
    results = []
    assert changed(toy, lambda mdata: results.append(gb.pp.split_regions(mdata, rng=5, copy=True))) == set()
    np.testing.assert_array_equal(splits(round_trip(results[0])), splits(results[0]))


def test_too_few_chromosomes(toy, expect_refusal):
    one = toy[np.asarray(_keys.CHROM.get(toy) == "chr2")].copy()
    with expect_refusal(one, ValueError, r'none is left for train, val. .*only chr2.*; use by="similarity"'):
        gb.pp.split_regions(one)
    gb.pp.split_regions(one, by="similarity")
    assert [(splits(one) == name).sum() for name in ("train", "val", "test")] == [70, 10, 20]
    two = toy[np.asarray(_keys.CHROM.get(toy).isin(["chr2", "chr3"]))].copy()
    with expect_refusal(two, ValueError, r'only chr2, chr3.*; use by="similarity"'):
        gb.pp.split_regions(two)


def test_tf_activity_of_what_is_set_aside_now_is_told(toy, recwarn):
    gb.pp.tf_activity(toy)
    gb.pp.split_regions(toy, val=0, test=["chr6"])  # chr1 to chr4 were train, and still are
    assert not [warning for warning in recwarn if "had a part" in str(warning.message)]
    with pytest.warns(UserWarning, match=r"200 regions of val and test had a part in .*Run gb\.pp\.tf_activity again"):
        gb.pp.split_regions(toy, val=["chr1"], test=["chr2"])


def text_of(codes):
    return [decode(row).rstrip("N") for row in codes]


@st.composite
def related(draw):
    """Bare sequences, some of which share 32 bases or more, with names that tell nothing about their order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_regions = draw(st.integers(40, 80))
    codes = rng.integers(0, 4, (n_regions, 60), dtype=np.uint8)
    for giver, taker in rng.integers(0, n_regions, (draw(st.integers(0, 30)), 2)):
        size = rng.choice([20, 32, 45, 60])
        a, b = rng.integers(0, 60 - size + 1, 2)
        piece = codes[giver, a : a + size].copy()
        codes[taker, b : b + size] = piece if rng.random() < 0.5 else reverse_complement(piece)
    names = rng.permutation([f"region{number}" for number in range(n_regions)])
    return pd.Series(text_of(codes), index=names)


def split_by_name(sequences, **arguments):
    mdata = gb.io.assemble(sequences=sequences)
    gb.pp.split_regions(mdata, by="similarity", **arguments)
    return mdata, dict(zip(mdata.obs_names, splits(mdata), strict=True))


@given(related(), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_by_similarity_nothing_is_shared(sequences, rng):
    mdata, split = split_by_name(sequences, val=0.2, test=0.2, rng=rng)
    assert set(split.values()) == {"train", "val", "test"}
    table = gb.pp.check(mdata).set_index("check")
    shared = table[table.index.str.contains(" / ")]
    assert len(shared) == 9
    assert not shared["count"].any()


@given(related(), st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_by_similarity_the_order_of_regions_does_not_matter(sequences, rng):
    shuffled = sequences.sample(frac=1, random_state=rng)
    assert split_by_name(sequences, rng=rng)[1] == split_by_name(shuffled, rng=rng)[1]


@given(st.floats(0.02, 0.4), st.floats(0.02, 0.4), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_by_similarity_shares_are_as_asked(small, val, test, rng):
    found = gb.pp.split_regions(small, by="similarity", val=val, test=test, rng=rng, copy=True)
    for name, share in (("val", val), ("test", test)):
        assert abs((splits(found) == name).sum() - share * 60) <= 0.5 + 1e-9 or (splits(found) == name).sum() == 1


def test_by_similarity_records_groups(toy, changed, log):
    codes = _keys.DNA_CODE.get(toy)
    codes[[5, 70, 300, 599], :50] = codes[5, :50]
    codes[450, 100:150], codes[451, 20:60] = codes[70, 100:150], codes[8, 20:60]  # linked to 70 and so to 5; and to 8
    call = {"by": "similarity", "rng": 4}
    assert changed(toy, lambda mdata: gb.pp.split_regions(mdata, **call)) == WRITTEN
    assert len(set(splits(toy)[[5, 70, 300, 450, 599]])) == len(set(splits(toy)[[8, 451]])) == 1
    entry = _keys.load_record(toy, "split_regions", _keys.REGION_SPLIT.key, filled_by="gb.pp.split_regions")
    assert entry["params"] == {"by": "similarity", "test": 0.2, "val": 0.1, "rng": 4}
    assert (entry["n_groups"], entry["largest_group"]) == (595, 5)
    assert "595 groups of linked regions; the largest holds 5 of 600 regions." in log.messages


def test_by_similarity_short_copies_stay_together():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (40, 20), dtype=np.uint8)
    codes[20:30], codes[30:] = codes[:10], reverse_complement(codes[:10])
    mdata, _ = split_by_name(pd.Series(text_of(codes)).rename("s{}".format), val=0.2)
    found = splits(mdata)
    np.testing.assert_array_equal(found[:10], found[20:30])
    np.testing.assert_array_equal(found[:10], found[30:])
    table = gb.pp.check(mdata).set_index("check")["count"]
    assert not table[table.index.str.contains(" / ")].any()


def test_by_similarity_regions_that_overlap_or_touch_stay_together(toy):
    start, end = _keys.START.get(toy).copy(), _keys.END.get(toy).copy()
    start.iloc[:8] = start.iloc[0] + np.array([0, 199, 399, 700, 650, 940, 961, 1261])
    end.iloc[:8] = start.iloc[0] + np.array([200, 399, 499, 900, 950, 960, 1261, 1300])
    _keys.START.set(toy, start)
    _keys.END.set(toy, end)
    groups = similar_regions(toy)
    # 1 overlaps 0 and touches 2; 3 lies in 4, which 5 overlaps; 6 begins a base behind the end of 5, and touches 7.
    assert pd.factorize(groups[:8])[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert groups.max() + 1 == 600 - 5


def test_by_similarity_with_bare_sequences(toy):
    _keys.CHROM.set(toy, _keys.CHROM.get(toy).mask(np.arange(600) % 2 == 0))
    _keys.DNA_CODE.get(toy)[4] = _keys.DNA_CODE.get(toy)[5]
    gb.pp.split_regions(toy, by="similarity")
    assert splits(toy)[4] == splits(toy)[5]


def test_by_similarity_needs_sequences():
    mdata = gb.io.read_regions(pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [9]}))
    with pytest.raises(KeyError, match=r"gb\.pp\.add_sequence"):
        gb.pp.split_regions(mdata, by="similarity")


def test_large_group_is_told(toy):
    codes = _keys.DNA_CODE.get(toy)
    codes[:420, 50:100] = codes[0, 50:100]
    with pytest.warns(UserWarning, match=r"holds 70% of all: train 420, val 60, test 120\. .*drop_shared"):
        gb.pp.split_regions(toy, by="similarity")
    codes[:540, 50:100] = codes[0, 50:100]
    with pytest.warns(UserWarning, match="holds 90% of all: train 540, val 20, test 40"):
        gb.pp.split_regions(toy, by="similarity")


def test_one_group_cannot_be_split(toy, expect_refusal):
    _keys.DNA_CODE.get(toy)[:, 50:100] = _keys.DNA_CODE.get(toy)[0, 50:100]
    with expect_refusal(
        toy, ValueError, 'none is left for train, val. Linked regions form too few groups; use by="chrom'
    ):
        gb.pp.split_regions(toy, by="similarity")


def test_by_similarity_in_chunks_and_on_disk(toy, tmp_path, monkeypatch):
    codes = _keys.DNA_CODE.get(toy)
    codes[::50] = codes[7]
    mdata = gb.io.assemble(sequences=pd.Series(text_of(codes), index=toy.obs_names))
    expected = splits(gb.pp.split_regions(mdata, by="similarity", copy=True))
    gb.io.write(mdata, tmp_path / "toy.zarr")
    monkeypatch.setattr("genebert._chunks.row_chunks.__kwdefaults__", {"step": 70})
    opened = gb.io.open(tmp_path / "toy.zarr")
    gb.pp.split_regions(opened, by="similarity")
    _keys.DNA_CODE.set(mdata, dask.array.from_array(codes, chunks=(100, -1)))
    gb.pp.split_regions(mdata, by="similarity")
    for found in (mdata, opened, gb.io.read(tmp_path / "toy.zarr")):
        np.testing.assert_array_equal(splits(found), expected)
