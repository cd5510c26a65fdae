"""The convolution against the tables: the same numbers, to the last bit."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebert._dna import N, reverse_complement
from genebert._motifs import default_motifs, log_odds
from genebert.nn import MotifConvolution, _motif_scan
from genebert.pp._scan import Scanner

UNIFORM = np.full(4, 0.25)
MATRICES = [log_odds(motif, background=UNIFORM) for motif in default_motifs()[::20]]  # 5 to 33 bp


def random_codes(n_regions, seq_length, *, seed=0, share_unknown=0.02):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, size=(n_regions, seq_length), dtype=np.uint8)
    codes[rng.random(codes.shape) < share_unknown] = N
    return codes


def engine(groups, *, is_for_hits, device):
    return MotifConvolution([group.losses for group in groups], [group.max_losses for group in groups], device=device)


def scan(codes, matrices=MATRICES, *, device=None, **options):
    if device is not None:
        options["engine"] = partial(engine, device=device)
    return Scanner(matrices, background=UNIFORM, **options)(codes)


@pytest.mark.parametrize("both_strands", [True, False])
@pytest.mark.parametrize("score", ["max", "count", "sum"])
@pytest.mark.parametrize("seq_length", [0, 4, 40, 151])
def test_same_as_tables(device, seq_length, score, both_strands):
    codes = random_codes(9, seq_length)
    codes[3] = N
    options = {"score": score, "pvalue": 1e-3, "both_strands": both_strands}
    found = scan(codes, device=device, **options)
    np.testing.assert_array_equal(found, scan(codes, **options))
    assert found.dtype == np.float32
    assert seq_length < 150 or found.any()


def test_all_shipped_motifs(device):
    codes = random_codes(2, 60)
    matrices = [log_odds(motif, background=UNIFORM) for motif in default_motifs()]
    np.testing.assert_array_equal(scan(codes, matrices, device=device), scan(codes, matrices))


@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["max", "count", "sum"]))
@settings(max_examples=8, deadline=None)
def test_a_region_depends_on_nothing_else(seed, score):
    codes = random_codes(5, 50, seed=seed)
    again = partial(scan, device="cpu", score=score, pvalue=1e-2)
    whole = again(codes)
    order = np.random.default_rng(seed).permutation(len(codes))
    np.testing.assert_array_equal(again(codes[order]), whole[order])
    np.testing.assert_array_equal(again(codes[2:3]), whole[2:3])
    np.testing.assert_array_equal(again(reverse_complement(codes)), whole)


def test_parts_make_no_difference(device, monkeypatch):
    codes = random_codes(7, 80)
    whole = scan(codes, device=device)
    monkeypatch.setattr(_motif_scan, "SIZE", 1)
    monkeypatch.setattr(_motif_scan, "LANES", 1)
    np.testing.assert_array_equal(scan(codes, device=device), whole)


def test_read_only_codes(device, recwarn):
    codes = random_codes(2, 30)
    codes.flags.writeable = False
    scan(codes, device=device)
    assert len(recwarn) == 0


@pytest.mark.parametrize("name", ["abacus", "cuda:99", 3.5])
def test_no_such_device(name):
    with pytest.raises(ValueError, match="a device of torch with 64-bit floats; found"):
        MotifConvolution([], [], device=name)
