"""Rows as arrays: alignment, strands, TF columns."""

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from genebert import _keys, _mudata
from genebert._data import RegionSource, align_left, match_tfs, turn
from genebert._dna import N, decode, encode, reverse_complement

DNA = st.text(alphabet="ACGTN", max_size=30)


@given(DNA, st.integers(0, 5), st.integers(0, 5))
def test_padding_is_stripped_on_both_sides(sequence, before, behind):
    codes = encode("N" * before + sequence + "N" * behind)[None]
    if codes.size == 0:
        return
    aligned, lengths = align_left(codes)
    bare = sequence.strip("N")
    assert lengths[0] == len(bare)
    assert decode(aligned[0, : lengths[0]]) == bare
    assert (aligned[0, lengths[0] :] == N).all()


@given(st.lists(DNA, min_size=1, max_size=5))
def test_turning_twice_is_nothing_and_once_is_the_other_strand(sequences):
    width = max(map(len, sequences)) + 1
    codes, lengths = align_left(np.stack([encode(s.ljust(width, "N")) for s in sequences]))
    everything = np.ones(len(codes), dtype=bool)
    turned = turn(codes, lengths, everything)
    np.testing.assert_array_equal(turn(turned, lengths, everything), codes)
    for row, other, length in zip(codes, turned, lengths, strict=True):
        np.testing.assert_array_equal(other[:length], reverse_complement(row[:length]))


def test_turning_some():
    codes = np.array([[0, 0, 1], [0, 0, 1]], dtype=np.uint8)
    assert turn(codes, np.array([3, 2]), np.array([False, True])).tolist() == [[0, 0, 1], [3, 3, 4]]


def test_tfs_are_matched_by_name(log):
    assert match_tfs(["B", "X", "A"], ["A", "B"]).tolist() == [2, 0]
    assert match_tfs(["B"], ["A", "B"]).tolist() == [-1, 0]
    assert "1 of 2 TFs of the model are missing" in log.text


def test_mostly_other_tfs_are_refused():
    with pytest.raises(ValueError, match=r"at least half of the 3 TFs.*found 1.*missing: B, C.*scan_motifs"):
        match_tfs(["A"], ["A", "B", "C"])


@pytest.mark.parametrize("as_csr", [False, True])
def test_scores_in_the_order_of_the_model(as_csr):
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    tf = AnnData(sparse.csr_matrix(matrix) if as_csr else matrix)
    tf.var_names = ["A", "B"]
    mdata = _mudata.build({_keys.TF: tf})
    source = RegionSource(mdata, tfs=["B", "C", "A"], fill=np.array([7.0, 8.0, 9.0]))
    assert source.scores(np.array([2, 0])).tolist() == [[5, 8, 4], [1, 8, 0]]
    assert source.scores(np.array([1])).dtype == np.float32
    assert not source.has_codes


def test_neither_sequences_nor_matrix():
    with pytest.raises(KeyError, match="add_sequence"):
        RegionSource(_mudata.build({"other": AnnData(np.ones((2, 1)))}), tfs=["A"], fill=np.zeros(1))


@pytest.fixture
def sources(toy):
    """In memory, as dask arrays of dense rows, and with scores as sparse blocks."""
    import dask.array as da

    codes, scores = _keys.DNA_CODE.get(toy), np.asarray(_keys.TF_SCORE.get(toy))
    tfs = list(toy[_keys.TF].var_names)
    versions = {"memory": (codes, scores), "store": tuple(da.from_array(x, chunks=(100, -1)) for x in (codes, scores))}
    blocks = da.from_array(scores, chunks=(100, -1)).map_blocks(sparse.csr_matrix)
    versions["sparse"] = (versions["store"][0], blocks)
    found = {}
    for name, (dna, matrix) in versions.items():
        mdata = toy.copy()
        _keys.DNA_CODE.set(mdata, dna)
        _keys.TF_SCORE.set(mdata, matrix)
        found[name] = RegionSource(mdata, tfs=tfs, fill=np.zeros(len(tfs)))
    return found


@pytest.mark.parametrize("kind", ["store", "sparse"])
@pytest.mark.parametrize("rows", [np.arange(40, 330), np.arange(0, 600, 7), np.array([3]), np.array([0, 1, 599])])
def test_taking_rows_reads_the_same_from_anywhere(sources, kind, rows, monkeypatch):
    monkeypatch.setattr("genebert._data._source.ROWS", 128)
    here, there = sources["memory"].take(rows), sources[kind].take(rows)
    every = np.arange(len(rows))
    np.testing.assert_array_equal(here.codes(every)[0], there.codes(every)[0])
    np.testing.assert_array_equal(here.scores(every), there.scores(every))
    assert there.in_memory
    assert not sources[kind].in_memory


def test_a_sample_comes_from_what_is_allowed(sources):
    allowed = np.random.default_rng(0).random(600) < 0.5
    for source in sources.values():
        rows = source.sample(allowed, 120, seed=1)
        assert len(rows) == 120
        assert len(set(rows)) == 120
        assert allowed[rows].all()
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(source.sample(allowed, 120, seed=1), rows)
        assert len(source.sample(allowed, 10_000, seed=1)) == allowed.sum()


def test_lengths_without_padding(toy):
    codes = _keys.DNA_CODE.get(toy).copy()
    codes[3, 150:] = N
    codes[4, :20] = N
    tfs = list(toy[_keys.TF].var_names)
    assert RegionSource(toy, tfs=tfs, fill=np.zeros(len(tfs))).lengths() is None
    _keys.DNA_CODE.set(toy, codes)
    lengths = RegionSource(toy, tfs=tfs, fill=np.zeros(len(tfs))).lengths()
    assert lengths[[2, 3, 4]].tolist() == [200, 150, 180]
