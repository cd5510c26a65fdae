"""Codes, strands and k-mers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genebert._dna import N, decode, encode, gc_content, kmer_ids, reverse_complement

dna = st.text(alphabet="ACGTN", max_size=40)
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


@given(dna)
def test_letters_survive_a_round_trip(sequence):
    assert decode(encode(sequence)) == sequence
    assert decode(encode(sequence.lower())) == sequence
    assert encode(sequence).dtype == np.uint8


def test_other_letters_are_n():
    assert decode(encode("aRYKM-é*U")) == "ANNNNNNNT"
    assert decode(encode(b"ACGT")) == "ACGT"


@given(dna)
def test_reverse_complement(sequence):
    codes = encode(sequence)
    assert decode(reverse_complement(codes)) == sequence[::-1].translate(COMPLEMENT)
    assert np.array_equal(reverse_complement(reverse_complement(codes)), codes)


def test_gc_counts_known_bases_only():
    codes = np.stack([encode("GCNN"), encode("GATN"), encode("NNNN")])
    np.testing.assert_allclose(gc_content(codes), [1, 1 / 3, np.nan], rtol=1e-6)


@given(dna, st.integers(1, 6), st.integers(1, 9))
@settings(deadline=None)  # the first call compiles
def test_kmers_are_numbers_in_base_four(sequence, k, stride):
    ids = kmer_ids(encode(sequence), k, stride=stride)
    kmers = [sequence[i : i + k] for i in range(0, len(sequence) - k + 1, stride)]
    expected = [4**k if "N" in kmer else int("".join(str("ACGT".index(base)) for base in kmer), 4) for kmer in kmers]
    assert ids.tolist() == expected


def test_kmers_of_a_batch():
    codes = np.array([[0, 1, 2, 3], [3, 3, N, 0]], dtype=np.uint8)
    assert kmer_ids(codes, 2).tolist() == [[1, 6, 11], [15, 16, 16]]
