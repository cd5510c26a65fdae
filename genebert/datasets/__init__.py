"""Data to try things on."""

from __future__ import annotations

from genebert.datasets._toy import toy
from genebert.datasets._toy_cohort import toy_cohort
from genebert.datasets._toy_multiome import toy_multiome

__all__ = ["toy", "toy_cohort", "toy_multiome"]
