"""The kernels as Python, which is how they count for coverage, against the compiled ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genebert._dna import N
from genebert._motifs import default_motifs, log_odds
from genebert.pp import _scan_kernel
from genebert.pp._lanes import N_LANES
from genebert.pp._scan_kernel import count_hits, max_scores, sum_hits
from genebert.pp._scan_tables import group_motifs, kmer_numbers

UNIFORM = np.full(4, 0.25)


def inputs(pvalue):
    codes = np.random.default_rng(0).integers(0, 4, size=(3, 25), dtype=np.uint8)
    codes[1, 12] = N
    matrices = [log_odds(motif, background=UNIFORM) for motif in default_motifs()[:8]]
    (group,) = group_motifs(matrices, background=UNIFORM, both_strands=True, pvalue=pvalue)
    return kmer_numbers(codes, n_padding=4 * len(group.tables)), group


@pytest.fixture
def interpret(monkeypatch):
    """Run a kernel, and the helper that it calls, as Python."""

    def run(kernel, *args):
        helper = _scan_kernel._score_window
        with monkeypatch.context() as patch:
            patch.setattr(_scan_kernel, "_score_window", getattr(helper, "py_func", helper))
            getattr(kernel, "py_func", kernel)(*args)

    return run


def test_max_scores(interpret):
    kmers, group = inputs(None)
    start = np.full((len(kmers), N_LANES), np.iinfo(np.int32).min, dtype=np.int32)
    compiled, interpreted = start.copy(), start.copy()
    max_scores(kmers, group.tables, 20, compiled)
    interpret(max_scores, kmers, group.tables, 20, interpreted)
    np.testing.assert_array_equal(interpreted, compiled)
    assert (compiled[:, :16] > start[:, :16]).all()


@pytest.mark.parametrize("kernel", [count_hits, sum_hits], ids=["count_hits", "sum_hits"])
def test_hits(interpret, kernel):
    kmers, group = inputs(0.05)
    compiled, interpreted = np.zeros((2, len(kmers), N_LANES), dtype=np.int32)
    kernel(kmers, group.tables, 20, group.thresholds, compiled)
    interpret(kernel, kmers, group.tables, 20, group.thresholds, interpreted)
    np.testing.assert_array_equal(interpreted, compiled)
    assert compiled.any()


def test_without_compiler():
    """The tests above hold with ``NUMBA_DISABLE_JIT=1``, too."""
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
    ]
    done = subprocess.run(
        run, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
