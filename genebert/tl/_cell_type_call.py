"""What verbs on unseen cell types check of a call before they read anything."""

from __future__ import annotations

from collections.abc import Sequence

from mudata import MuData

from genebert import _keys, _mudata
from genebert._validate import check_cell_type, check_key, check_literal, check_range, check_seed
from genebert.tl._cell_type_data import LEAST_REGIONS
from genebert.tl._cell_type_fit import Known
from genebert.tl._cell_type_scores import TargetKind
from genebert.tl._leak_guard import check_tf_weight

__all__ = ["check_call", "named_types"]


def check_call(
    mdata: MuData, *, target: str, known: str, tf_weight: str, kind: str, max_regions: int, seed: int, key_added: str
) -> None:
    """Raise unless `mdata` is a MuData and each of these is what it may be."""
    _mudata.check_mudata(mdata)
    check_tf_weight(tf_weight, target)
    check_literal(known, Known, name="known")
    check_literal(kind, TargetKind, name="kind")
    check_range(max_regions, name="max_regions", low=LEAST_REGIONS, integer=True)
    check_seed(seed)
    check_key(key_added, reserved=mdata.mod)


def named_types(mdata: MuData, names: str | Sequence[str] | None, *, name: str) -> list[str]:
    """Check that cell types have accessibility, and take each once; None: all that have.

    Parameters
    ----------
    names
        What the argument `name` holds.
    """
    _keys.ACCESSIBILITY.get(mdata)
    there = [str(cell_type) for cell_type in mdata[_keys.ATAC].var_names]
    asked = there if names is None else [names] if isinstance(names, str) else list(dict.fromkeys(map(str, names)))
    for cell_type in asked:
        check_cell_type(cell_type, there, name=name)
    return asked
