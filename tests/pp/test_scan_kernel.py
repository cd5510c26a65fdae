"""The kernels as Python, which is how they count for coverage, against the compiled ones."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from genebert._dna import N
from genebert._motifs import default_motifs, log_odds
from genebert._pvalues import _convolve, _last_within, largest_loss, loss_distribution
from genebert.pp import _scan_kernel
from genebert.pp._lanes import MOST, N_LANES, add, first_lane, lanes_up_to, load, minimum, store
from genebert.pp._scan_kernel import BLOCK, KMERS, N_CODES, N_KMERS, fill_bounds, find_hits, lowest_losses, number_kmers
from genebert.pp._scan_tables import UNKNOWN, TableEngine, group_motifs

UNIFORM = np.full(4, 0.25)
N_WINDOWS = 20


@cache
def inputs(pvalue):
    """Read only."""
    codes = np.random.default_rng(0).integers(0, 4, size=(3, 25), dtype=np.uint8)
    codes[1, 1] = N
    matrices = [log_odds(motif, background=UNIFORM) for motif in default_motifs()[:4]]
    groups = group_motifs(matrices, background=UNIFORM, both_strands=True, pvalue=pvalue)
    engine = TableEngine(groups, is_for_hits=pvalue is not None)
    return engine._sequences(codes), engine.tables[0]


@pytest.fixture
def interpret(monkeypatch):
    """Run a kernel, and the helpers that it calls, as Python."""

    def run(kernel, *args):
        with monkeypatch.context() as patch:
            for name in ("_bound_losses", "_list_candidates", "_loss"):
                helper = getattr(_scan_kernel, name)
                patch.setattr(_scan_kernel, name, getattr(helper, "py_func", helper))
            return getattr(kernel, "py_func", kernel)(*args)

    return run


def test_number_kmers(interpret):
    sequences, _ = inputs(None)
    numbers = np.empty_like(sequences.kmers)
    interpret(number_kmers, sequences.codes, numbers)
    np.testing.assert_array_equal(numbers, sequences.kmers)
    rows, n_rest = np.divmod(numbers[:, :-3], N_LANES)
    assert not n_rest.any()
    kmers = np.lib.stride_tricks.sliding_window_view(sequences.codes, 4, axis=1)
    is_known = np.cumsum(kmers == N, axis=2) == 0
    np.testing.assert_array_equal(KMERS[rows], np.where(is_known, kmers, N))
    assert (KMERS[:256] < N).all()
    assert N_KMERS == 256 + 64 + 16 + 4 + 1


@pytest.mark.parametrize("unit", [1, 3, 7, 2**24, 2**39 - 1])
def test_bounds_are_rounded_down(interpret, unit):
    rng = np.random.default_rng(unit)
    losses = rng.integers(0, 90, size=(BLOCK, N_CODES, 2)) * unit + rng.integers(-1, 2, size=(BLOCK, N_CODES, 2))
    losses = np.maximum(losses, 0)
    found, interpreted = np.zeros((2, 1, N_KMERS, N_LANES), dtype=np.uint8)
    units = np.full(2, unit, dtype=np.float64)
    fill_bounds(losses.astype(np.float64), units, found)
    interpret(fill_bounds, losses.astype(np.float64), units, interpreted)
    sums = losses[np.arange(BLOCK), KMERS].sum(axis=1)
    np.testing.assert_array_equal(found[0, :, :2], np.minimum(sums // unit, MOST))
    np.testing.assert_array_equal(found, interpreted)
    assert not found[0, :, 2:].any()


@pytest.mark.parametrize("tile", [7, 512])
def test_lowest_losses(interpret, monkeypatch, tile):
    sequences, tables = inputs(None)
    compiled, interpreted = np.full((2, 3, len(tables.losses)), UNKNOWN, dtype=np.int64)
    lowest_losses(sequences, tables, N_WINDOWS, compiled)
    monkeypatch.setattr(_scan_kernel, "TILE", tile)
    interpret(lowest_losses, sequences, tables, N_WINDOWS, interpreted)
    np.testing.assert_array_equal(interpreted, compiled)
    assert (compiled < UNKNOWN).all()


@pytest.mark.parametrize("capacity", [0, 5, 1000])
def test_find_hits(interpret, capacity):
    sequences, tables = inputs(0.05)
    found = []
    for run in (lambda *args: find_hits(*args), lambda *args: interpret(find_hits, *args)):
        counts, lost = np.zeros((2, 3, len(tables.losses)), dtype=np.int64)
        hits = np.zeros((capacity, 4), dtype=np.int64)
        n_hits = run(sequences, tables, N_WINDOWS, counts, lost, hits)
        found.append((n_hits, counts.tolist(), lost.tolist(), hits.tolist()))
        assert n_hits == counts.sum() > 5
    assert found[0] == found[1]


def test_pvalues():
    losses = np.random.default_rng(0).integers(0, 300, size=(7, 4))
    losses -= losses.min(axis=1, keepdims=True)
    distribution = _convolve(losses, UNIFORM, 400)
    np.testing.assert_allclose(distribution, loss_distribution(losses, background=UNIFORM, max_loss=400))
    assert _last_within(distribution, 1e-2) == largest_loss(losses, pvalue=1e-2, background=UNIFORM) > 0


def test_lanes_as_python():
    a, b = np.random.default_rng(0).integers(0, 256, size=(2, N_LANES), dtype=np.uint8)
    np.testing.assert_array_equal(add(a, b), np.minimum(a.astype(int) + b, MOST))
    np.testing.assert_array_equal(minimum(a, b), np.minimum(a, b))
    lanes = lanes_up_to(a, b)
    assert [bool(lanes >> lane & 1) for lane in range(N_LANES)] == (a <= b).tolist()
    assert first_lane(0b101000) == 3
    flat = np.zeros(3 * N_LANES, dtype=np.uint8)
    store(flat, 10, a)
    np.testing.assert_array_equal(load(flat, 10), a)
    assert flat.sum() == a.sum()


def test_without_compiler():
    """The tests above, and those of the other kernels, hold with ``NUMBA_DISABLE_JIT=1``, too."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("this is the inner run")
    run = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        str(Path(__file__)),
        str(Path(__file__).with_name("test_kmer_kernel.py")),
    ]
    done = subprocess.run(
        run, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
