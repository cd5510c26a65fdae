"""One logger for the package: what a verb did, how fast, on what device."""

from __future__ import annotations

import logging
import sys

__all__ = ["info", "logger", "warn"]

logger = logging.getLogger("genebert")

if not logger.handlers:
    _handler = logging.StreamHandler(sys.stdout)
    _handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(_handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def info(message: str) -> None:
    """Tell the user what was done. ``logging.getLogger("genebert").setLevel("WARNING")`` silences it."""
    logger.info(message)


def warn(message: str, *, stacklevel: int = 3) -> None:
    """Warn the caller of a public function: a `UserWarning` at their line."""
    import warnings

    warnings.warn(message, UserWarning, stacklevel=stacklevel)
