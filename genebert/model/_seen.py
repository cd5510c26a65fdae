"""What pre-trained weights have seen: on those chromosomes they know more than the sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys
from genebert._chromosomes import canonical

__all__ = ["Seen", "seen_regions"]


class Seen(NamedTuple):
    """Chromosomes and cell types whose openness, or labels, weights were trained on."""

    chromosomes: frozenset[str]
    """In the style that all share: ``1``, ``X``."""
    cell_types: tuple[str, ...]
    """Empty where they were trained on labels alone."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Seen:
        """Read the record of a training run, and of those before it; without accessibility or labels nothing was seen."""
        chromosomes, cell_types = set(), dict.fromkeys(record.get("cell_types") or ())
        if cell_types or "labels" in record:
            chromosomes |= {canonical(str(name)) for name in record.get("chromosomes") or ()}
        for before in (cls.of(record[name]) for name in ("earlier", "finetune") if record.get(name)):
            chromosomes |= before.chromosomes
            cell_types |= dict.fromkeys(before.cell_types)
        return cls(frozenset(chromosomes), tuple(cell_types))


def seen_regions(mdata: MuData, seen: Seen) -> np.ndarray:
    """Tell which regions lie on chromosomes that were seen, bool ``(regions,)``; of bare sequences none is known to."""
    if not (_keys.CHROM.has(mdata) and seen.chromosomes):
        return np.zeros(mdata.n_obs, dtype=bool)
    chroms = pd.Categorical(_keys.CHROM.get(mdata))
    known = np.array([canonical(str(name)) in seen.chromosomes for name in chroms.categories] + [False])
    return known[chroms.codes]
