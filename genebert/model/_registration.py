"""What scvi-tools keeps of the data of a model."""

from __future__ import annotations

from typing import Any

from mudata import MuData
from scvi.data import AnnDataManager, fields

from genebert import _keys

__all__ = ["manager"]


def manager(mdata: MuData, *, setup_method_args: dict[str, Any]) -> AnnDataManager:
    """Prepare to register codes and TF matrix.

    Raises
    ------
    KeyError
        When one of them is missing; the message says what to run.
    """
    for slot in (_keys.DNA_CODE, _keys.TF_SCORE):
        slot.get(mdata)
    anndata_fields = [
        fields.MuDataLayerField("X", None, mod_key=_keys.TF, is_count_data=False, mod_required=True),
        fields.MuDataObsmField(_keys.DNA_CODE.key, _keys.DNA_CODE.key, mod_key=_keys.SEQ, mod_required=True),
    ]
    return AnnDataManager(fields=anndata_fields, setup_method_args=setup_method_args)
