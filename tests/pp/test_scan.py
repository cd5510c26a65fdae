"""The engine: scores and hits of sequences against the plain way, window by window."""

from __future__ import annotations

import tracemalloc
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genebert._dna import N, encode, reverse_complement
from genebert._motifs import Motif, default_motifs, log_odds
from genebert._pvalues import loss_distribution
from genebert.pp import _scan
from genebert.pp._scan import Scanner

UNIFORM = np.full(4, 0.25)
SKEWED = np.array([0.3, 0.2, 0.2, 0.3])
MATRICES = [log_odds(motif, background=UNIFORM) for motif in default_motifs()[::60]]  # 15 of them, 5 to 33 bp
STEPS_PER_BIT = 1024


def random_codes(n_regions, seq_length, *, seed=0, share_unknown=0.02):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, size=(n_regions, seq_length), dtype=np.uint8)
    codes[rng.random(codes.shape) < share_unknown] = N
    return codes


def scan(codes, matrices=MATRICES, *, background=UNIFORM, **options):
    return Scanner(matrices, background=background, **options)(codes)


def strands_of(matrix):
    matrix = np.asarray(matrix, dtype=np.float64)
    return matrix, matrix[::-1, ::-1]


def window_scores(row, matrix):
    """float64 log-odds of every window, NaN with an N: one row per strand."""
    if len(row) < len(matrix):
        return np.zeros((2, 0))
    windows = np.lib.stride_tricks.sliding_window_view(row, len(matrix))
    padded = [np.column_stack([strand, np.full(len(strand), np.nan)]) for strand in strands_of(matrix)]
    return np.stack([strand[np.arange(len(matrix)), windows].sum(axis=1) for strand in padded])


def reference_max(codes, matrices, *, n_strands=2):
    def one(row, matrix):
        scores = window_scores(row, matrix)[:n_strands]
        known = scores[~np.isnan(scores)]
        return known.max() if len(known) else matrix.min(axis=1).sum()

    return np.array([[one(row, matrix) for matrix in matrices] for row in codes])


def reference_threshold(steps, *, pvalue, background):
    return _reference_threshold(tuple(map(tuple, steps.tolist())), pvalue, tuple(background.tolist()))


@cache
def _reference_threshold(steps, pvalue, background):
    """Lowest score that a random sequence reaches with at most that probability, by all scores that there are."""
    scores, probabilities = np.zeros(1, dtype=np.int64), np.ones(1)
    for column in np.array(steps):
        longer = (scores[:, None] + column).ravel()
        scores, place = np.unique(longer, return_inverse=True)
        probabilities = np.bincount(place, weights=np.outer(probabilities, background).ravel())
    tail = np.cumsum(probabilities[::-1])[::-1]
    reached = scores[tail <= pvalue * (1 + 1e-9)]
    return reached[0] if len(reached) else np.inf


def reference_hits(codes, matrices, *, pvalue, background=UNIFORM):
    """Row, window, motif, strand and score in steps of all hits."""
    hits = []
    for place, matrix in enumerate(matrices):
        steps = np.rint(np.asarray(matrix, dtype=np.float64) * STEPS_PER_BIT).astype(np.int64)
        threshold = reference_threshold(steps, pvalue=pvalue, background=background)
        for row, sequence in enumerate(codes):
            scores = window_scores(sequence, steps)
            for strand, position in zip(*np.nonzero(scores >= threshold), strict=True):
                hits.append((row, position, place, strand, scores[strand, position]))
    return sorted(hits)


def totals(hits, shape):
    """Counts and sums of scores per sequence and motif."""
    counts, sums = np.zeros((2, *shape))
    for row, _, motif, _, steps in hits:
        counts[row, motif] += 1
        sums[row, motif] += steps / STEPS_PER_BIT
    return counts, sums


@pytest.mark.parametrize("share_unknown", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("seq_length", [0, 3, 8, 40, 151])
def test_max_is_that_of_the_plain_way(seq_length, share_unknown):
    codes = random_codes(12, seq_length, share_unknown=share_unknown)
    scores = scan(codes)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, reference_max(codes, MATRICES), atol=1e-5)


def test_max_of_all_shipped_motifs():
    codes = random_codes(3, 120)
    matrices = [log_odds(motif, background=UNIFORM) for motif in default_motifs()]
    np.testing.assert_allclose(scan(codes, matrices), reference_max(codes, matrices), atol=1e-5)


@pytest.mark.parametrize(
    "codes",
    [np.zeros((1, 60), dtype=np.uint8), np.tile(encode("CA" * 40), (2, 1)), np.full((2, 50), N, dtype=np.uint8)],
    ids=["A", "CA", "N"],
)
def test_repeats(codes):
    """All windows have the same bound, or none has a score."""
    np.testing.assert_allclose(scan(codes), reference_max(codes, MATRICES), atol=1e-5)
    counts, _ = totals(reference_hits(codes, MATRICES, pvalue=0.05), (len(codes), len(MATRICES)))
    np.testing.assert_array_equal(scan(codes, score="count", pvalue=0.05), counts)


@pytest.mark.parametrize("background", [UNIFORM, SKEWED], ids=["uniform", "skewed"])
@pytest.mark.parametrize("pvalue", [0.2, 1e-2, 1e-4])
def test_hits_are_those_of_the_plain_way(pvalue, background):
    codes = random_codes(8 if pvalue > 0.1 else 20, 151)
    expected = reference_hits(codes, MATRICES, pvalue=pvalue, background=background)
    counts, sums = totals(expected, (len(codes), len(MATRICES)))
    assert len(expected) > 10
    options = {"pvalue": pvalue, "background": background}
    np.testing.assert_array_equal(scan(codes, score="count", **options), counts)
    np.testing.assert_allclose(scan(codes, score="sum", **options), sums, rtol=1e-6)
    scanner = Scanner(MATRICES, score="count", **options)
    hits = scanner.hits(codes)
    score, _ = scanner.describe(hits)
    columns = (hits.region, hits.position, hits.motif, hits.is_reverse, score * STEPS_PER_BIT)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected


def test_pvalues_of_hits_are_tails():
    codes = random_codes(30, 151)
    scanner = Scanner(MATRICES, background=SKEWED, score="count", pvalue=1e-2)
    hits = scanner.hits(codes)
    _, pvalues = scanner.describe(hits)
    assert 0 < pvalues.min() < pvalues.max() <= 1e-2
    shortest = min(range(len(MATRICES)), key=lambda place: len(MATRICES[place]))
    steps = np.rint(MATRICES[shortest].astype(np.float64) * STEPS_PER_BIT).astype(np.int64)
    words = np.stack(np.meshgrid(*[np.arange(4)] * len(steps), indexing="ij"), axis=-1).reshape(-1, len(steps))
    scores, probabilities = steps[np.arange(len(steps)), words].sum(axis=1), SKEWED[words].prod(axis=1)
    found = hits.motif == shortest
    assert found.any()
    for loss, pvalue in zip(hits.loss[found], pvalues[found], strict=True):
        np.testing.assert_allclose(pvalue, probabilities[scores >= scores.max() - loss].sum(), rtol=1e-9)


def test_more_hits_than_expected(monkeypatch):
    codes = random_codes(4, 150)
    scanner = Scanner(MATRICES, background=UNIFORM, score="count", pvalue=0.02)
    expected = scanner.hits(codes)
    assert len(expected.loss) > 100
    monkeypatch.setattr(_scan, "MIN_BUFFER", 3)
    monkeypatch.setattr(_scan, "MAX_BUFFER", 0)
    np.testing.assert_array_equal(scanner.hits(codes), expected)


def test_long_sequences_are_scanned_in_parts():
    codes = random_codes(2, 2000, share_unknown=0)
    counts, sums = totals(reference_hits(codes, MATRICES, pvalue=1e-2), (2, len(MATRICES)))
    np.testing.assert_array_equal(scan(codes, score="count", pvalue=1e-2), counts)
    np.testing.assert_allclose(scan(codes, score="sum", pvalue=1e-2), sums, rtol=1e-6)
    np.testing.assert_allclose(scan(codes), reference_max(codes, MATRICES), atol=1e-5)


def test_forward_strand_only():
    codes = random_codes(5, 80)
    scores = scan(codes, both_strands=False)
    np.testing.assert_allclose(scores, reference_max(codes, MATRICES, n_strands=1), atol=1e-5)
    hits = [hit for hit in reference_hits(codes, MATRICES, pvalue=1e-2) if hit[3] == 0]
    counts, _ = totals(hits, scores.shape)
    np.testing.assert_array_equal(scan(codes, both_strands=False, score="count", pvalue=1e-2), counts)


@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["max", "count", "sum"]), n_threads=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_a_region_depends_on_nothing_else(seed, score, n_threads):
    """Order, subset, strand, chunk, thread: always the same numbers, to the last bit."""
    codes = random_codes(9, 60, seed=seed)
    scanner = Scanner(MATRICES, background=UNIFORM, score=score, pvalue=1e-3, n_threads=n_threads)
    whole = scanner(codes)
    order = np.random.default_rng(seed).permutation(len(codes))
    np.testing.assert_array_equal(scanner(codes[order]), whole[order])
    np.testing.assert_array_equal(scanner(codes[4:5]), whole[4:5])
    np.testing.assert_array_equal(scanner(np.pad(codes, ((0, 0), (0, 7)), constant_values=N)), whole)
    np.testing.assert_array_equal(scanner(reverse_complement(codes)), whole)


@given(seed=st.integers(0, 2**32 - 1), pvalue=st.sampled_from([1e-2, 1e-3]))
@settings(max_examples=15, deadline=None)
def test_hits_on_the_other_strand(seed, pvalue):
    """Hits of the reverse complement are those of the sequence, read from the other end."""
    codes = random_codes(4, 70, seed=seed)
    scanner = Scanner(MATRICES, background=SKEWED, score="count", pvalue=pvalue)
    lengths = np.array([len(matrix) for matrix in MATRICES])

    def listed(hits, *, turned):
        position = 70 - hits.position - lengths[hits.motif] if turned else hits.position
        columns = (hits.region, position, hits.motif, hits.is_reverse != turned, hits.loss)
        return sorted(zip(*(column.tolist() for column in columns), strict=True))

    assert listed(scanner.hits(reverse_complement(codes)), turned=True) == listed(scanner.hits(codes), turned=False)


@given(text=st.text(alphabet="ACGTN", max_size=30))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_sequence(text):
    codes = encode(text)[None]
    np.testing.assert_allclose(scan(codes, MATRICES[:4]), reference_max(codes, MATRICES[:4]), atol=1e-5)
    counts, _ = totals(reference_hits(codes, MATRICES[:4], pvalue=0.03), (1, 4))
    np.testing.assert_array_equal(scan(codes, MATRICES[:4], score="count", pvalue=0.03), counts)


def test_motif_too_short_for_the_pvalue_has_no_hit():
    """A motif of 4 bp occurs by chance once in 256 windows: nothing about it is as rare as 1e-4."""
    matrix = log_odds(Motif("X", "X1", np.eye(4) * 100), background=UNIFORM)
    codes = np.tile(encode("ACGT" * 20), (2, 1))
    scanner = Scanner([matrix], background=UNIFORM, score="count", pvalue=1e-4)
    assert scanner(codes).sum() == 0
    assert len(scanner.hits(codes).loss) == 0
    at_limit = scan(codes, [matrix], score="count", pvalue=4.0**-4, both_strands=False)
    assert at_limit.tolist() == [[20], [20]]


def test_extreme_log_odds():
    """A pseudocount next to 0 makes losses of hundreds of bits, beside which the others are small."""
    motif = default_motifs()[0]
    matrix = log_odds(motif, background=UNIFORM, pseudocount=1e-200)
    codes = random_codes(20, 100)
    np.testing.assert_allclose(scan(codes, [matrix]), reference_max(codes, [matrix]), rtol=1e-6)


def test_no_regions():
    scanner = Scanner(MATRICES, background=UNIFORM, score="count", pvalue=1e-4)
    assert scanner(random_codes(0, 10)).shape == (0, 15)
    assert len(scanner.hits(random_codes(0, 10)).loss) == 0


def test_memory_is_that_of_the_scores():
    codes = random_codes(20_000, 20)
    scanner = Scanner(MATRICES * 20, background=UNIFORM, n_threads=1)
    scanner(codes[:10])  # compiles
    tracemalloc.start()
    scores = scanner(codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * scores.nbytes


def test_hits_of_the_distribution():
    """Of many random windows as many are hits as the p-value says."""
    codes = random_codes(200, 500, share_unknown=0, seed=3)
    matrix = MATRICES[0]
    scanner = Scanner([matrix], background=UNIFORM, score="count", pvalue=1e-2)
    group = scanner.groups[0]
    losses = group.losses[0, : len(matrix), :4]
    expected = loss_distribution(losses, background=UNIFORM, max_loss=int(group.max_losses[0])).sum()
    n_windows = 2 * codes.shape[0] * (codes.shape[1] - len(matrix) + 1)
    assert abs(scanner(codes).sum() / n_windows - expected) < 5 * np.sqrt(expected / n_windows) * 2
