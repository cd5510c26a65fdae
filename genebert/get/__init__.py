"""Stored results as tidy DataFrames."""

from __future__ import annotations

from genebert.get._cross_cell_type import cross_cell_type
from genebert.get._evaluation import evaluation
from genebert.get._history import history

__all__ = ["cross_cell_type", "evaluation", "history"]
