"""GeneBERT for scverse: multi-modal pre-training on accessible regions, in MuData."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from genebert._genome import Genome

if TYPE_CHECKING:
    from genebert import datasets, get, io, model, pl, pp, tl

__all__ = ["Genome", "__version__", "datasets", "get", "io", "model", "pl", "pp", "tl"]

__version__ = version("genebert")

_NAMESPACES = frozenset({"datasets", "get", "io", "model", "pl", "pp", "tl"})


def __getattr__(name: str) -> Any:
    """Load a namespace on first use: ``import genebert`` itself loads neither torch nor scanpy."""
    if name in _NAMESPACES:
        return importlib.import_module(f"{__name__}.{name}")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
