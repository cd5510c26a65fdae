from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import genebert as gb
from genebert import _chunks, _keys, _mudata
from genebert._dna import N, reverse_complement
from genebert._motifs import Motif, default_motifs
from genebert.pp import _scan_inputs

MOTIFS = default_motifs()[::60]  # 15 of them, 5 to 33 bp


def scores_of(mdata):
    scores = _keys.TF_SCORE.get(mdata)
    return scores.toarray() if sparse.issparse(scores) else np.asarray(scores)


def params_of(mdata):
    return _keys.load_record(mdata, "scan_motifs", _keys.TF, filled_by="")["params"]


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 100 regions, as if there were many."""
    for module in (_scan_inputs, gb.pp._scan_motifs):
        monkeypatch.setattr(module, "row_chunks", lambda n: _chunks.row_chunks(n, step=100))


def test_writes_what_it_promises(toy, changed, round_trip):
    columns = {f"tf.var.{_keys.MOTIF_ID.key}", f"tf.var.{_keys.FAMILY.key}", f"tf.varm.{_keys.MOTIF.key}"}
    promised = {"tf.X", *columns, "uns.scan_motifs.tf"}
    assert changed(toy, lambda mdata: gb.pp.scan_motifs(mdata, MOTIFS)) == promised
    assert toy[_keys.TF].var_names.tolist()[:2] == [MOTIFS[0].tf, MOTIFS[1].tf]
    scores = _keys.TF_SCORE.get(toy)
    assert scores.shape == (600, len(MOTIFS))
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(_keys.TF_SCORE.get(round_trip(toy)), scores)


def test_subset_and_order(toy):
    before = np.asarray(_keys.TF_SCORE.get(toy))
    chosen = np.random.default_rng(0).permutation(600)[:50]
    part = toy[chosen].copy()
    gb.pp.scan_motifs(part)
    np.testing.assert_array_equal(_keys.TF_SCORE.get(part), before[chosen])


@pytest.fixture(scope="module")
def small():
    return gb.datasets.toy(n_regions=60)


@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["max", "count", "sum"]))
@settings(max_examples=8, deadline=None)
def test_order_subset_and_strand(small, seed, score):
    """With a fixed background a region's numbers depend on its own sequence only, N included."""
    rng = np.random.default_rng(seed)
    mdata = small.copy()
    codes = np.asarray(_keys.DNA_CODE.get(mdata)).copy()
    codes[rng.random(codes.shape) < 0.01] = N
    _keys.DNA_CODE.set(mdata, codes)
    gb.pp.scan_motifs(mdata, MOTIFS, score=score, pvalue=1e-3)
    whole = scores_of(mdata)
    part = mdata[rng.permutation(60)[:20]].copy()
    names = part.obs_names
    _keys.DNA_CODE.set(part, reverse_complement(np.asarray(_keys.DNA_CODE.get(part))))
    gb.pp.scan_motifs(part, MOTIFS, score=score, pvalue=1e-3)
    np.testing.assert_array_equal(scores_of(part), whole[mdata.obs_names.get_indexer(names)])


@pytest.mark.parametrize("score", ["max", "count"])
def test_codes_in_a_store_are_read_in_chunks(toy, score, small_chunks):
    gb.pp.scan_motifs(toy, MOTIFS, score=score, background="regions")
    expected, background = scores_of(toy), params_of(toy)["background"]
    read = []

    def block(part):
        read.append(len(part))
        return part

    codes = np.asarray(_keys.DNA_CODE.get(toy))
    lazy = da.from_array(codes, chunks=(100, -1)).map_blocks(
        block, dtype=codes.dtype, meta=np.empty((0, 0), codes.dtype)
    )
    toy[_keys.SEQ].obsm[_keys.DNA_CODE.key] = lazy
    gb.pp.scan_motifs(toy, MOTIFS, score=score, background="regions")
    np.testing.assert_array_equal(scores_of(toy), expected)
    np.testing.assert_array_equal(params_of(toy)["background"], background)
    assert read == [100] * 12  # once for the background, once for the scan


@pytest.mark.parametrize("score", ["max", "count"])
def test_result_lies_in_the_store(toy, tmp_path, score):
    path = tmp_path / "toy.zarr"
    gb.io.write(_mudata.build({_keys.SEQ: toy[_keys.SEQ]}), path)
    mdata = gb.io.open(path)
    copy = gb.pp.scan_motifs(mdata, MOTIFS, score=score, copy=True)
    assert not _keys.TF_SCORE.has(mdata)
    gb.pp.scan_motifs(mdata, MOTIFS, score=score)
    for found in (mdata, gb.io.open(path)):
        scores = _chunks.load(_keys.TF_SCORE.get(found))
        assert sparse.issparse(scores) == (score != "max")
        np.testing.assert_array_equal(scores.toarray() if sparse.issparse(scores) else scores, scores_of(copy))


def test_copy_leaves_the_input_alone(toy, changed):
    results = []
    assert changed(toy, lambda mdata: results.append(gb.pp.scan_motifs(mdata, MOTIFS, copy=True))) == set()
    assert results[0][_keys.TF].n_vars == len(MOTIFS)
    assert gb.pp.scan_motifs(toy, MOTIFS) is None


@pytest.mark.parametrize(("score", "as_sparse"), [("max", False), ("count", True), ("sum", True)])
def test_sparse_by_default_where_most_is_zero(toy, score, as_sparse, small_chunks):
    gb.pp.scan_motifs(toy, MOTIFS, score=score)
    scores = _keys.TF_SCORE.get(toy)
    assert sparse.issparse(scores) == as_sparse
    assert scores.dtype == np.float32
    before = scores_of(toy)
    gb.pp.scan_motifs(toy, MOTIFS, score=score, sparse=not as_sparse)
    assert sparse.issparse(_keys.TF_SCORE.get(toy)) != as_sparse
    np.testing.assert_array_equal(scores_of(toy), before)


def test_similar_motifs_side_by_side(toy):
    gb.pp.scan_motifs(toy, MOTIFS)
    given_order = dict(zip(toy[_keys.TF].var[_keys.MOTIF_ID.key], scores_of(toy).T, strict=True))
    gb.pp.scan_motifs(toy, MOTIFS, order="similarity")
    ids = toy[_keys.TF].var[_keys.MOTIF_ID.key].tolist()
    assert sorted(ids) == sorted(given_order)
    assert ids != list(given_order)
    np.testing.assert_array_equal(scores_of(toy), np.stack([given_order[motif_id] for motif_id in ids], axis=1))
    gb.pp.scan_motifs(toy, MOTIFS[::-1], order="similarity")
    assert toy[_keys.TF].var[_keys.MOTIF_ID.key].tolist() == ids
    assert params_of(toy)["order"] == "similarity"


def test_archetypes(toy, round_trip, log):
    motifs = default_motifs()[:100]
    gb.pp.scan_motifs(toy, motifs)
    alone = dict(zip(toy[_keys.TF].var[_keys.MOTIF_ID.key], scores_of(toy).T, strict=True))
    gb.pp.scan_motifs(toy, motifs, archetypes=0.8)
    var = toy[_keys.TF].var
    members = [ids.split(",") for ids in _keys.MEMBERS.get(toy)]
    assert sorted(motif_id for group in members for motif_id in group) == sorted(alone)
    assert 20 < len(var) < 90
    assert max(map(len, members)) > 2
    for motif_id, group, scores in zip(var[_keys.MOTIF_ID.key], members, scores_of(toy).T, strict=True):
        assert motif_id in group
        np.testing.assert_array_equal(scores, alone[motif_id])
    assert f"100 motifs make {len(var)} archetypes" in log.text
    assert _keys.MEMBERS.get(round_trip(toy)).tolist() == _keys.MEMBERS.get(toy).tolist()
    gb.pp.scan_motifs(toy, motifs)
    assert not _keys.MEMBERS.has(toy)


@pytest.mark.parametrize("score", ["max", "count", "sum"])
def test_devices_agree(toy, score, device):
    gb.pp.scan_motifs(toy, MOTIFS, score=score, pvalue=1e-3)
    tables = scores_of(toy)
    gb.pp.scan_motifs(toy, MOTIFS, score=score, pvalue=1e-3, device=f"{device}:0")  # "cpu" alone is the tables again
    np.testing.assert_array_equal(scores_of(toy), tables)
    assert sparse.issparse(_keys.TF_SCORE.get(toy)) == (score != "max")


def test_motifs_from_a_file(toy, tmp_path):
    path = tmp_path / "own.jaspar"
    path.write_text(">X1 Own\nA [ 9 0 0 0 ]\nC [ 0 9 0 0 ]\nG [ 0 0 9 0 ]\nT [ 0 0 0 9 ]\n")
    gb.pp.scan_motifs(toy, path)
    assert toy[_keys.TF].var_names.tolist() == ["Own"]


def test_background_of_the_regions(toy, log):
    gb.pp.scan_motifs(toy, MOTIFS, background="regions")
    bases = np.bincount(_keys.DNA_CODE.get(toy).ravel(), minlength=4) / _keys.DNA_CODE.get(toy).size
    np.testing.assert_allclose(params_of(toy)["background"], (bases + bases[::-1]) / 2, atol=1e-4)
    assert "Background of the regions" in log.text


def test_given_background_is_the_same_on_both_strands(toy):
    gb.pp.scan_motifs(toy, MOTIFS, background=[0.4, 0.1, 0.3, 0.2])
    np.testing.assert_allclose(params_of(toy)["background"], [0.3, 0.2, 0.2, 0.3])


def test_speed_is_reported(toy, log, monkeypatch):
    monkeypatch.setattr(gb.pp._scan_motifs, "QUIET_PAIRS", 600)
    gb.pp.scan_motifs(toy, MOTIFS)
    assert "Scanned 600 regions for 15 motifs" in log.text
    assert "regions/s" in log.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "best"}, "`score` to be one of 'max', 'count', 'sum'; found 'best'"),
        ({"strands": "reverse"}, "`strands` to be one of"),
        ({"order": "name"}, "`order` to be one of 'given', 'similarity'"),
        ({"archetypes": 0}, "`archetypes` to be a number above 0, at most 1; found 0"),
        ({"archetypes": 1.5}, "`archetypes` to be a number above 0"),
        ({"pvalue": 2}, "`pvalue` to be a number"),
        ({"pvalue": 0}, "`pvalue` to be a number above 0, at most 1; found 0"),
        ({"n_threads": 0}, "`n_threads` to be an integer"),
        ({"background": [0.5, 0.5]}, "4 probabilities above 0"),
        ({"background": [0.5, 0.5, 0, 0]}, "4 probabilities above 0"),
        ({"background": "genome"}, "`background` to be one of 'regions', None, 4 probabilities of A, C, G and T"),
        ({"device": "abacus"}, "`device` to be a device of torch with 64-bit floats; found 'abacus'"),
        ({"motifs": []}, "an empty list"),
        ({"motifs": ["GATA1"]}, "a list that holds str"),
        ({"motifs": [Motif("X", "X1", np.eye(4))], "pseudocount": 0}, "Choose a `pseudocount` above 0"),
    ],
)
def test_wrong_arguments(toy, expect_refusal, arguments, message):
    with expect_refusal(toy, ValueError, message):
        gb.pp.scan_motifs(toy, **arguments)


def test_without_sequences(toy):
    del toy[_keys.SEQ].obsm[_keys.DNA_CODE.key]
    with pytest.raises(KeyError, match=r"gb\.pp\.add_sequence"):
        gb.pp.scan_motifs(toy)


def test_a_tf_has_the_same_name_and_scores_in_any_order(toy):
    motifs = default_motifs()
    given, sorted_ = gb.pp.scan_motifs(toy, copy=True), gb.pp.scan_motifs(toy, order="similarity", copy=True)
    assert set(sorted_["tf"].var_names) == set(given["tf"].var_names)
    assert list(sorted_["tf"].var_names) != list(given["tf"].var_names)
    place = given["tf"].var_names.get_indexer(sorted_["tf"].var_names)
    np.testing.assert_array_equal(_keys.TF_SCORE.get(sorted_), _keys.TF_SCORE.get(given)[:, place])
    assert list(_keys.MOTIF_ID.get(sorted_)) == [motifs[i].motif_id for i in place]


@pytest.mark.parametrize(
    ("motifs", "message"),
    [(gb.io.read_motifs()[0], r"found one Motif\. Write \[motif\]\."), (3, r"found one int\. Read some with")],
)
def test_motifs_are_a_list(toy, expect_refusal, motifs, message):
    with expect_refusal(toy, TypeError, f"`motifs` to be a path or a list of motifs; {message}"):
        gb.pp.scan_motifs(toy, motifs)
