"""Stored results as tidy DataFrames."""

from __future__ import annotations

from genebert.get._evaluation import evaluation
from genebert.get._history import history

__all__ = ["evaluation", "history"]
