"""Write region embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from mudata import MuData

from genebert import _keys, _mudata, _store
from genebert._data import TFWeight
from genebert._validate import check_key
from genebert.model import GeneBERT
from genebert.model._settings import check_device
from genebert.tl._load import load

__all__ = ["embed"]


def embed(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    cell_type: str | None = None,
    tf_weight: TFWeight = "none",
    strands: str = "both",
    pooling: str = "mean",
    layer: int = -1,
    max_seq_length: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    key_added: str = _keys.EMBEDDING.key,
    copy: bool = False,
) -> MuData | None:
    """Embed regions with GeneBERT.

    Without a cell type each region stands alone: its vector depends on nothing but the region, not on the batch, the
    order or the other regions. With a cell type, neighbours that are open in it share a window of the TF x regions
    matrix; a region that is closed in it stands alone.

    Parameters
    ----------
    mdata
        With sequences (:func:`genebert.pp.add_sequence`), a TF matrix (:func:`genebert.pp.scan_motifs`) or both. The
        half of the embedding of a modality that is absent is zero.
    model
        A model, the folder of one, or None for the weights that ship with genebert.
    cell_type
        Whose open regions form windows.
    tf_weight
        What the cell type puts on the matrix: ``"none"``, ``"accessibility"``, ``"open"``, ``"activity"`` or
        ``"expression"``.
    strands
        ``"both"``: average over the region and its reverse complement, so that the strand changes nothing;
        ``"forward"``: as it lies on the reference.
    pooling
        How the states of a region's k-mers become its sequence half: ``"mean"`` or ``"max"`` over the k-mers, or the
        state of the token ``"cls"`` in front of them. Shipped weights were trained with the mean.
    layer
        Block of the sequence encoder behind which the states are taken: 0 the first, -1 the last.
    max_seq_length
        Bases that are read at once. A longer region is read in pieces that overlap by half; a k-mer in several pieces
        counts once in the mean. Default: no limit with rotary positions, else as many as there are positions for.
    batch_size
        Regions per batch; changes the speed only.
    device
        ``"cpu"``, ``"cuda"``, ...; ``"auto"``: where a model that is given lies, else a GPU if there is one.
    key_added
        Name in ``mdata.obsm``.
    copy
        Return a changed copy instead of writing into `mdata`.

    Returns
    -------
    None, or the copy. Writes

    ``mdata.obsm[key_added]``
        float32 ``(regions, n_latent)``: sequence half, then region half.
    ``mdata.uns["genebert"]["embed"][key_added]``
        ``params`` and ``model``, the digest of the weights.

    Raises
    ------
    ValueError
        When fewer than half of the model's TFs are among those of `mdata`, or `key_added` is taken by a modality.
    KeyError
        When neither sequences nor a TF matrix are there.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=120)
    >>> gb.tl.embed(mdata)
    >>> mdata.obsm["X_genebert"].shape[0] == mdata.n_obs
    True
    """
    _keys.DNA_CODE.has(mdata)  # raises where it is no MuData
    check_key(key_added, reserved=mdata.mod)
    check_device(device, name="device")
    if not isinstance(model, GeneBERT):
        model = load("mini" if model is None else model, device=device)
    params = {
        "cell_type": cell_type, "tf_weight": tf_weight, "strands": strands, "pooling": pooling, "layer": layer,
        "max_seq_length": max_seq_length, "batch_size": batch_size,
    }  # fmt: skip
    home = model.device
    model.to_device(home if device == "auto" else device)
    try:
        out = _store.empty(mdata, (mdata.n_obs, model.module.config.n_latent), np.float32, copy=copy)
        model.get_latent_representation(mdata, **params, out=out)
    finally:
        model.to_device(home)
    mdata = _mudata.writable(mdata, copy=copy)
    replace(_keys.EMBEDDING, key=key_added).set(mdata, out)
    _keys.record(mdata, "embed", key_added, params=params, model=model.digest)
    return mdata if copy else None
