"""Bases as uint8 codes (A C G T N = 0..4), strands and k-mers."""

from __future__ import annotations

import numpy as np

__all__ = ["BASES", "N_BASES", "N", "decode", "encode", "gc_content", "kmer_ids", "reverse_complement"]

BASES = "ACGTN"
N_BASES = 4
N = 4

_ENCODE = np.full(256, N, dtype=np.uint8)
for _code, _letters in enumerate(("Aa", "Cc", "Gg", "TtUu")):  # RNA is read as the DNA that it was copied from
    _ENCODE[[ord(letter) for letter in _letters]] = _code
_DECODE = np.frombuffer(BASES.encode(), dtype=np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.uint8)


def encode(sequence: str | bytes | np.ndarray) -> np.ndarray:
    """Turn letters into codes. Lower case (soft-masked) counts, U is read as T; any other letter becomes N."""
    if isinstance(sequence, str):
        sequence = sequence.encode("ascii", errors="replace")
    letters = np.frombuffer(sequence, dtype=np.uint8) if isinstance(sequence, bytes) else sequence
    return _ENCODE[letters]


def decode(codes: np.ndarray) -> str:
    """Turn one row of codes back into upper-case letters."""
    return _DECODE[codes].tobytes().decode()


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Reverse complement along the last axis."""
    return _COMPLEMENT[codes[..., ::-1]]


def gc_content(codes: np.ndarray) -> np.ndarray:
    """Share of G and C among the bases that are known, per row; NaN where none is. float32 ``(regions,)``."""
    known = (codes < N).sum(axis=-1)
    gc = ((codes == 1) | (codes == 2)).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known > 0, gc / known, np.nan).astype(np.float32)


def kmer_ids(codes: np.ndarray, k: int, *, stride: int = 1) -> np.ndarray:
    """Read the k-mer at every `stride`-th position as a number in base 4; ``4**k`` where it holds an N.

    Parameters
    ----------
    codes
        uint8 ``(..., seq_length)``.
    k
        Length of a k-mer in bases.
    stride
        Step between k-mers in bases.

    Returns
    -------
    int32 ``(..., (seq_length - k) // stride + 1)``.
    """
    n_tokens = (codes.shape[-1] - k) // stride + 1
    if n_tokens < 1:
        return np.zeros((*codes.shape[:-1], 0), dtype=np.int32)
    ids = np.zeros((*codes.shape[:-1], n_tokens), dtype=np.int32)
    unknown = np.zeros(ids.shape, dtype=bool)
    for offset in range(k):
        bases = codes[..., offset : offset + (n_tokens - 1) * stride + 1 : stride]
        ids = ids * N_BASES + bases
        unknown |= bases >= N
    ids[unknown] = N_BASES**k
    return ids
