from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

import genebert as gb
from genebert import _keys
from genebert._dna import N, encode, reverse_complement
from genebert._motifs import Motif, default_motifs, log_odds
from genebert._pvalues import NO_HIT, score_threshold
from genebert.pp._scan import scan_sequences

UNIFORM = np.full(4, 0.25)
MOTIFS = default_motifs()[::60]  # 15 of them, 5 to 33 bp
MATRICES = [log_odds(motif, background=UNIFORM) for motif in MOTIFS]
STEPS_PER_BIT = 1024


def random_codes(n_regions, seq_length, *, seed=0, share_unknown=0.02):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, size=(n_regions, seq_length), dtype=np.uint8)
    codes[rng.random(codes.shape) < share_unknown] = N
    return codes


def window_scores(row, matrix):
    """float64 log-odds of every window without N, one row per strand: the plain way."""
    if len(row) < len(matrix):
        return np.zeros((2, 0))
    windows = np.lib.stride_tricks.sliding_window_view(row, len(matrix))
    windows = windows[(windows < N).all(axis=1)]
    columns = np.arange(len(matrix))
    matrix = np.asarray(matrix, dtype=np.float64)
    return np.stack([strand[columns, windows].sum(axis=1) for strand in (matrix, matrix[::-1, ::-1])])


def reference_max(codes, matrices, *, n_strands=2):
    def one(row, matrix):
        scores = window_scores(row, matrix)[:n_strands]
        return scores.max() if scores.size else matrix.min(axis=1).sum()

    return np.array([[one(row, matrix) for matrix in matrices] for row in codes])


def reference_hits(codes, matrices, *, pvalue):
    """Counts and sums of hits by looking at every window."""
    counts, sums = np.zeros((2, len(codes), len(matrices)))
    for j, matrix in enumerate(matrices):
        whole = np.rint(np.asarray(matrix, dtype=np.float64) * STEPS_PER_BIT).astype(np.int64)
        threshold = score_threshold(whole, pvalue=pvalue, background=UNIFORM)
        for i, row in enumerate(codes):
            scores = window_scores(row, whole)
            hits = scores[scores >= threshold]
            counts[i, j], sums[i, j] = len(hits), hits.sum() / STEPS_PER_BIT
    return counts, sums


@pytest.mark.parametrize("share_unknown", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("seq_length", [3, 8, 40, 151])
def test_max_is_that_of_the_plain_way(seq_length, share_unknown):
    codes = random_codes(12, seq_length, share_unknown=share_unknown)
    scores = scan_sequences(codes, MATRICES, background=UNIFORM)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, reference_max(codes, MATRICES), atol=1e-5)


def test_all_shipped_motifs_are_exact():
    codes = random_codes(3, 120)
    matrices = [log_odds(motif, background=UNIFORM) for motif in default_motifs()]
    scores = scan_sequences(codes, matrices, background=UNIFORM)
    np.testing.assert_allclose(scores, reference_max(codes, matrices), atol=1e-5)


@pytest.mark.parametrize("pvalue", [1e-2, 1e-4])
def test_hits_are_those_of_the_plain_way(pvalue):
    codes = random_codes(20, 151)
    counts, sums = reference_hits(codes, MATRICES, pvalue=pvalue)
    assert counts.sum() > 0
    found = scan_sequences(codes, MATRICES, background=UNIFORM, score="count", pvalue=pvalue)
    np.testing.assert_array_equal(found, counts)
    found = scan_sequences(codes, MATRICES, background=UNIFORM, score="sum", pvalue=pvalue)
    np.testing.assert_allclose(found, sums, rtol=1e-6)


def test_long_sequences_are_counted_in_parts():
    codes = random_codes(2, 2**14 + 500, share_unknown=0)
    counts, sums = reference_hits(codes, MATRICES[:3], pvalue=1e-2)
    found = scan_sequences(codes, MATRICES[:3], background=UNIFORM, score="count", pvalue=1e-2)
    np.testing.assert_array_equal(found, counts)
    found = scan_sequences(codes, MATRICES[:3], background=UNIFORM, score="sum", pvalue=1e-2)
    np.testing.assert_allclose(found, sums, rtol=1e-6)


def test_forward_strand_only():
    codes = random_codes(5, 80)
    scores = scan_sequences(codes, MATRICES, background=UNIFORM, both_strands=False)
    np.testing.assert_allclose(scores, reference_max(codes, MATRICES, n_strands=1), atol=1e-5)


@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["max", "count", "sum"]), n_threads=st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_a_region_depends_on_nothing_else(seed, score, n_threads):
    """Order, subset, strand, chunk, thread: always the same numbers, to the last bit."""
    codes = random_codes(9, 60, seed=seed)

    def scan(chosen):
        return scan_sequences(chosen, MATRICES, background=UNIFORM, score=score, pvalue=1e-3, n_threads=n_threads)

    whole = scan(codes)
    order = np.random.default_rng(seed).permutation(len(codes))
    np.testing.assert_array_equal(scan(codes[order]), whole[order])
    np.testing.assert_array_equal(scan(codes[4:5]), whole[4:5])
    np.testing.assert_array_equal(scan(np.pad(codes, ((0, 0), (0, 7)), constant_values=N)), whole)
    np.testing.assert_array_equal(scan(reverse_complement(codes)), whole)


def test_motif_too_short_for_the_pvalue_has_no_hit():
    """A motif of 4 bp occurs by chance once in 256 windows: nothing about it is as rare as 1e-4."""
    motif = Motif("X", "X1", np.eye(4) * 100)
    matrix = log_odds(motif, background=UNIFORM)
    codes = np.tile(encode("ACGT" * 20), (2, 1))
    assert scan_sequences(codes, [matrix], background=UNIFORM, score="count", pvalue=1e-4).sum() == 0
    at_limit = scan_sequences(codes, [matrix], background=UNIFORM, score="count", pvalue=4.0**-4, both_strands=False)
    assert at_limit.tolist() == [[20], [20]]
    whole = np.rint(matrix * STEPS_PER_BIT).astype(np.int64)
    assert score_threshold(whole, pvalue=1e-4, background=UNIFORM) == NO_HIT


@pytest.mark.parametrize("background", [UNIFORM, np.array([0.3, 0.2, 0.2, 0.3]), np.array([0.1, 0.2, 0.3, 0.4])])
@pytest.mark.parametrize("pvalue", [0.5, 1e-1, 1e-2, 1e-3, 1e-6])
def test_threshold_is_exact(background, pvalue):
    """Against all 4,096 sequences of 6 bp."""
    matrix = np.random.default_rng(0).integers(-50, 20, size=(6, 4))
    words = np.stack(np.meshgrid(*[np.arange(4)] * 6, indexing="ij"), axis=-1).reshape(-1, 6)
    scores, probabilities = matrix[np.arange(6), words].sum(axis=1), background[words].prod(axis=1)
    reached = [score for score in np.unique(scores) if probabilities[scores >= score].sum() <= pvalue]
    assert score_threshold(matrix, pvalue=pvalue, background=background) == (min(reached) if reached else NO_HIT)


def test_writes_what_it_promises(toy, changed, round_trip):
    columns = {f"tf.var.{_keys.MOTIF_ID.key}", f"tf.var.{_keys.FAMILY.key}", f"tf.varm.{_keys.MOTIF.key}"}
    promised = {"tf.X", *columns, "uns.scan_motifs.tf"}
    assert changed(toy, lambda mdata: gb.pp.scan_motifs(mdata, MOTIFS)) == promised
    assert toy[_keys.TF].var_names.tolist()[:2] == [MOTIFS[0].tf, MOTIFS[1].tf]
    scores = _keys.TF_SCORE.get(toy)
    assert scores.shape == (600, len(MOTIFS))
    np.testing.assert_array_equal(_keys.TF_SCORE.get(round_trip(toy)), scores)


def test_subset_and_order(toy):
    before = np.asarray(_keys.TF_SCORE.get(toy))
    chosen = np.random.default_rng(0).permutation(600)[:50]
    part = toy[chosen].copy()
    gb.pp.scan_motifs(part)
    np.testing.assert_array_equal(_keys.TF_SCORE.get(part), before[chosen])


def test_copy_leaves_the_input_alone(toy, changed):
    results = []
    assert changed(toy, lambda mdata: results.append(gb.pp.scan_motifs(mdata, MOTIFS, copy=True))) == set()
    assert results[0][_keys.TF].n_vars == len(MOTIFS)
    assert gb.pp.scan_motifs(toy, MOTIFS) is None


@pytest.mark.parametrize(("score", "as_sparse"), [("max", False), ("count", True), ("sum", True)])
def test_sparse_by_default_where_most_is_zero(toy, score, as_sparse):
    gb.pp.scan_motifs(toy, MOTIFS, score=score)
    scores = _keys.TF_SCORE.get(toy)
    assert sparse.issparse(scores) == as_sparse
    assert scores.dtype == np.float32
    gb.pp.scan_motifs(toy, MOTIFS, score=score, sparse=not as_sparse)
    other = _keys.TF_SCORE.get(toy)
    assert sparse.issparse(other) != as_sparse
    np.testing.assert_array_equal(*(x.toarray() if sparse.issparse(x) else x for x in (scores, other)))


def test_motifs_from_a_file(toy, tmp_path):
    path = tmp_path / "own.jaspar"
    path.write_text(">X1 Own\nA [ 9 0 0 0 ]\nC [ 0 9 0 0 ]\nG [ 0 0 9 0 ]\nT [ 0 0 0 9 ]\n")
    gb.pp.scan_motifs(toy, path)
    assert toy[_keys.TF].var_names.tolist() == ["Own"]


def test_background_of_the_regions(toy, log):
    gb.pp.scan_motifs(toy, MOTIFS, background="regions")
    params = _keys.load_record(toy, "scan_motifs", _keys.TF, filled_by="")["params"]
    bases = np.bincount(_keys.DNA_CODE.get(toy).ravel(), minlength=4) / _keys.DNA_CODE.get(toy).size
    np.testing.assert_allclose(params["background"], (bases + bases[::-1]) / 2, atol=1e-4)
    assert "Background of the regions" in log.text


def test_given_background_is_the_same_on_both_strands(toy):
    gb.pp.scan_motifs(toy, MOTIFS, background=[0.4, 0.1, 0.3, 0.2])
    params = _keys.load_record(toy, "scan_motifs", _keys.TF, filled_by="")["params"]
    np.testing.assert_allclose(params["background"], [0.3, 0.2, 0.2, 0.3])


def test_speed_is_reported(log):
    scan_sequences(random_codes(6000, 10), MATRICES * 60, background=UNIFORM)
    assert "regions/s" in log.text


def test_no_regions():
    assert scan_sequences(random_codes(0, 10), MATRICES, background=UNIFORM).shape == (0, 15)
    assert scan_sequences(random_codes(0, 10), MATRICES, background=UNIFORM, as_sparse=True).shape == (0, 15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "best"}, "`score` to be one of 'max', 'count', 'sum'; found 'best'"),
        ({"strands": "reverse"}, "`strands` to be one of"),
        ({"pvalue": 2}, "`pvalue` to be a number"),
        ({"n_threads": 0}, "`n_threads` to be an integer"),
        ({"background": [0.5, 0.5]}, "4 probabilities above 0"),
        ({"background": [0.5, 0.5, 0, 0]}, "4 probabilities above 0"),
        ({"background": "genome"}, "`background` to be one of 'regions'"),
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


@given(text=st.text(alphabet="ACGTN", max_size=30))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_sequence(text):
    codes = encode(text)[None]
    scores = scan_sequences(codes, MATRICES[:4], background=UNIFORM)
    np.testing.assert_allclose(scores, reference_max(codes, MATRICES[:4]), atol=1e-5)


def test_the_matrix_is_held_once():
    codes = random_codes(20_000, 20)
    scan_sequences(codes[:10], MATRICES, background=UNIFORM)  # compiles
    tracemalloc.start()
    scores = scan_sequences(codes, MATRICES * 20, background=UNIFORM, n_threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * scores.nbytes
