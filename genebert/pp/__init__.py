"""Preprocessing: sequences, motif scores, accessibility, splits and checks."""

from __future__ import annotations

from genebert.pp._add_sequence import add_sequence
from genebert.pp._binarize import binarize
from genebert.pp._check import check
from genebert.pp._normalize_accessibility import normalize_accessibility
from genebert.pp._scan_motifs import scan_motifs
from genebert.pp._split_cell_types import split_cell_types
from genebert.pp._split_regions import split_regions

__all__ = [
    "add_sequence",
    "binarize",
    "check",
    "normalize_accessibility",
    "scan_motifs",
    "split_cell_types",
    "split_regions",
]
