"""Preprocessing: sequences, motif scores, accessibility, splits and checks."""

from __future__ import annotations

from genebert.pp._add_sequence import add_sequence
from genebert.pp._binarize import binarize
from genebert.pp._cell_tf_activity import cell_tf_activity
from genebert.pp._check import check
from genebert.pp._motif_hits import motif_hits
from genebert.pp._normalize_accessibility import normalize_accessibility
from genebert.pp._scan_motifs import scan_motifs
from genebert.pp._split_cell_types import split_cell_types
from genebert.pp._split_regions import split_regions
from genebert.pp._tf_activity import tf_activity
from genebert.pp._tf_expression import tf_expression

__all__ = [
    "add_sequence",
    "binarize",
    "cell_tf_activity",
    "check",
    "motif_hits",
    "normalize_accessibility",
    "scan_motifs",
    "split_cell_types",
    "split_regions",
    "tf_activity",
    "tf_expression",
]
