"""Plots of results that exist; each function returns the matplotlib `Axes`."""

from __future__ import annotations

from genebert.pl._cross_cell_type import cross_cell_type
from genebert.pl._embedding import embedding
from genebert.pl._evaluation import evaluation
from genebert.pl._history import history
from genebert.pl._saturation import saturation
from genebert.pl._tf_activity import tf_activity
from genebert.pl._tf_matrix import tf_matrix
from genebert.pl._variant_effect import variant_effect

__all__ = [
    "cross_cell_type",
    "embedding",
    "evaluation",
    "history",
    "saturation",
    "tf_activity",
    "tf_matrix",
    "variant_effect",
]
