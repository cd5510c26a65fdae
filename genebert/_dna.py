"""Bases as uint8 codes (A C G T N = 0..4), strands and k-mers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

__all__ = [
    "BASES",
    "N_BASES",
    "N",
    "decode",
    "encode",
    "foreign_letter",
    "gc_content",
    "kmer_ids",
    "reverse_complement",
]

BASES = "ACGTN"
N_BASES = 4
N = 4

_ENCODE = np.full(256, N, dtype=np.uint8)
for _code, _letters in enumerate(("Aa", "Cc", "Gg", "TtUu")):  # RNA is read as the DNA that it was copied from
    _ENCODE[[ord(letter) for letter in _letters]] = _code
_IUPAC = np.zeros(256, dtype=bool)
_IUPAC[np.frombuffer(b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv", dtype=np.uint8)] = True
_DECODE = np.frombuffer(BASES.encode(), dtype=np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.uint8)


def encode(sequence: str | bytes | np.ndarray) -> np.ndarray:
    """Turn letters into codes. Lower case (soft-masked) counts, U is read as T; any other letter becomes N."""
    if isinstance(sequence, str):
        sequence = sequence.encode("ascii", errors="replace")
    letters = np.frombuffer(sequence, dtype=np.uint8) if isinstance(sequence, bytes) else sequence
    return _ENCODE[letters]


def foreign_letter(sequence: str) -> int | None:
    """Place of the first letter that is no IUPAC code of a base; None where all are."""
    is_foreign = ~_IUPAC[np.frombuffer(sequence.encode("ascii", errors="replace"), dtype=np.uint8)]
    return int(is_foreign.argmax()) if is_foreign.any() else None


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
    n_tokens = max((codes.shape[-1] - k) // stride + 1, 0)
    ids = np.empty((*codes.shape[:-1], n_tokens), dtype=np.int32)
    if ids.size > 0:
        rows = np.ascontiguousarray(codes, dtype=np.uint8).reshape(-1, codes.shape[-1])
        _compiled()(rows, k, stride, ids.reshape(len(rows), n_tokens))
    return ids


@cache
def _compiled() -> Callable[[np.ndarray, int, int, np.ndarray], None]:
    import numba  # takes its time, and this module is imported always

    return numba.njit(cache=True, nogil=True)(_roll)


def _roll(codes: np.ndarray, k: int, stride: int, ids: np.ndarray) -> None:
    """Shift the bases of each row one by one into a number, 2 bits each, and write it down where a k-mer ends."""
    unknown = 1 << 2 * k
    for row in range(len(codes)):
        number, n_known, token, end = 0, 0, 0, k - 1
        for position in range((ids.shape[1] - 1) * stride + k):
            base = int(codes[row, position])
            number = ((number << 2) | base) & (unknown - 1)
            n_known = n_known + 1 if base < N else 0
            if position == end:
                ids[row, token] = number if n_known >= k else unknown
                token += 1
                end += stride
