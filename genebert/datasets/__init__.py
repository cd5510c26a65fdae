"""Data to try things on."""

from __future__ import annotations

from genebert.datasets._toy import toy

__all__ = ["toy"]
