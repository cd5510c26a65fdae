"""Expression of each TF in each cell type, from single-cell RNA."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from genebert import _keys, _mudata
from genebert._coordinates import FEATURE_COLUMN, check_anndata
from genebert._logging import info
from genebert._pool import column_name, group_cells, mean_log_cpm, pool
from genebert._validate import check_layer, listed
from genebert.pp._comparable import motif_scores

__all__ = ["tf_expression"]

SYMBOL_COLUMNS = ("gene_symbols", "gene_symbol", "gene_name", "gene_names", "symbol", "feature_name")
GENE_FEATURE = "gene expression"
MIN_MATCHED = 0.05  # share of the TFs; names of another kind match none, a panel of some hundred genes matches more
HETERODIMER = "::"
_VERSION = re.compile(r"\(var\.\d+\)$")  # of a motif, in JASPAR up to 2020


def tf_expression(
    mdata: MuData,
    rna: AnnData,
    *,
    groupby: str | pd.Series,
    replicate: str | pd.Series | None = None,
    layer: str | None = None,
    copy: bool = False,
) -> MuData | None:
    """Read how much each cell type expresses each TF, from cells x genes.

    Counts are summed over the cells of each cell type, scaled to counts per million of all genes, and ``log1p`` is taken.
    A TF is matched to the gene of that symbol, upper or lower case; columns of `rna` with the same symbol are summed. A second motif of a TF has the expression of that TF, an
    archetype that of the TF it is named after, and a heterodimer (``FOS::JUN``) that of the partner with less.

    Parameters
    ----------
    mdata
        Regions with motif scores and accessibility.
    rna
        Cells x genes with raw counts, such as ``mod["rna"]`` of a 10x multiome read with muon; also in backed mode. Other
        features beside the genes do not count. It is not changed.
    groupby
        Column of ``rna.obs`` with the cell type of each cell, named as in ``mdata["atac"].var_names``; or a Series by the
        cells' names.
    replicate
        Column with the replicate (donor) of each cell, or a Series. Each replicate then weighs the same, however many
        cells it has.
    layer
        Layer of `rna` with the counts; None for ``rna.X``.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes

    - ``mdata["atac"].varm["tf_expression"]``: float32 DataFrame (cell types, TFs), NaN for a TF without a gene.
    - ``mdata.uns["genebert"]["tf_expression"]["tf_expression"]``: parameters, where symbols were found, how many TFs have no
      gene.

    Raises
    ------
    KeyError
        When motif scores or accessibility are missing.
    TypeError
        When `rna` is no AnnData, or `groupby` or `replicate` is neither one column nor a Series.
    ValueError
        When a column or the layer is missing, a cell type has no cells in `rna`, almost no TF has a gene, or a count is
        negative or infinite.

    Examples
    --------
    >>> import anndata as ad, pandas as pd
    >>> mdata = gb.datasets.toy()
    >>> cells = pd.DataFrame({"cell_type": mdata["atac"].var_names}, index=[f"cell{i}" for i in range(6)])
    >>> genes = [tf.upper() for tf in mdata["tf"].var_names if "::" not in tf]
    >>> rna = ad.AnnData(np.ones((6, len(genes))), obs=cells, var=pd.DataFrame(index=genes))
    >>> gb.pp.tf_expression(mdata, rna, groupby="cell_type")
    >>> mdata["atac"].varm["tf_expression"].shape
    (6, 857)
    """
    motif_scores(mdata), _keys.ACCESSIBILITY.get(mdata)
    check_anndata(rna, name="rna", modality="rna")
    params = {"groupby": column_name(groupby, name="groupby")}
    params["replicate"] = column_name(replicate, name="replicate", optional=True)
    matrix = _counts(rna, layer)
    groups = group_cells(rna.obs, groupby=groupby, replicate=replicate)
    cell_types, tfs = mdata[_keys.ATAC].var_names, mdata[_keys.TF].var_names
    rows = _matched_cell_types(groups.cell_types, cell_types, groupby=params["groupby"])
    keep = _is_gene(rna.var)
    partners = [_partners(tf, motif_id) for tf, motif_id in zip(tfs, _motif_ids(mdata), strict=True)]
    found_in, symbols = _symbols(rna.var[keep], {gene for genes in partners for gene in genes})
    _check_matched(partners, symbols, tfs)

    sums = pool(matrix, groups.of_cell, n_groups=len(groups.cell_type), keep=keep, what="expression")
    log_cpm, _ = mean_log_cpm(sums, groups.cell_type, n_cell_types=len(groups.cell_types))
    by_symbol = pd.DataFrame(np.expm1(log_cpm[:, rows])).groupby(symbols).sum()
    expression = np.log1p(_of_tfs(by_symbol, partners)).astype(np.float32)
    missing = tfs[np.isnan(expression).any(axis=0)]
    if len(missing):
        info(f"{len(missing)} of {len(tfs)} TFs have no gene in `rna` and get NaN: {listed(missing)}")

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.TF_EXPRESSION.set(mdata, pd.DataFrame(expression, index=cell_types, columns=tfs))
    found = {"layer": layer, "symbols": found_in, "n_without_gene": len(missing)}
    _keys.record(mdata, "tf_expression", _keys.TF_EXPRESSION.key, params=params | found)
    return mdata if copy else None


def _counts(rna: AnnData, layer: str | None) -> Any:
    check_layer(layer, rna.layers)
    matrix = rna.X if layer is None else rna.layers[layer]
    if matrix is None or 0 in rna.shape:
        found = "none" if matrix is None else f"{rna.n_obs} x {rna.n_vars}"
        msg = f"Expected counts of cells x genes in `rna`; found {found}. Name a layer: {listed(rna.layers, most=20)}."
        raise ValueError(msg)
    return matrix


def _matched_cell_types(found: pd.Index, expected: pd.Index, *, groupby: str) -> np.ndarray:
    """Position of each cell type of the accessibility among those of the RNA."""
    names = pd.Index([str(name) for name in found], dtype=object)
    rows = names.get_indexer(expected)
    if (rows < 0).any():
        msg = (
            f"Expected cells of each cell type in column {groupby!r} of `rna`; none of {listed(expected[rows < 0])}. Found: "
            f"{listed(names, most=20)}. Use the names of mdata['{_keys.ATAC}'].var_names."
        )
        raise ValueError(msg)
    others = names.difference(expected, sort=False)
    if len(others):
        info(f"{len(others)} cell types of `rna` have no accessibility and are left out: {listed(others)}")
    return rows


def _is_gene(features: pd.DataFrame) -> np.ndarray:
    """Tell genes from peaks and proteins where a 10x column does. bool ``(features,)``."""
    if FEATURE_COLUMN not in features:
        return np.ones(len(features), dtype=bool)
    is_gene = features[FEATURE_COLUMN].astype(str).str.lower().to_numpy() == GENE_FEATURE
    return is_gene if is_gene.any() else np.ones(len(features), dtype=bool)


def _motif_ids(mdata: MuData) -> Sequence[str]:
    n_tfs = mdata[_keys.TF].n_vars
    return [str(motif_id) for motif_id in _keys.MOTIF_ID.get(mdata)] if _keys.MOTIF_ID.has(mdata) else [""] * n_tfs


def _partners(tf: str, motif_id: str) -> list[str]:
    """Symbols of the genes of a column, upper case: ``FOS::JUN_MA0099.3`` gives FOS and JUN."""
    name = re.sub(rf"_{re.escape(motif_id)}(_\d+)?$", "", tf) if motif_id else tf
    return [_VERSION.sub("", gene).upper() for gene in name.split(HETERODIMER)]


def _symbols(genes: pd.DataFrame, wanted: set[str]) -> tuple[str, np.ndarray]:
    """Choose names or a column of the genes, whichever holds most of what is wanted; its name, and symbols in upper case."""
    columns = {"var_names": genes.index} | {name: genes[name] for name in SYMBOL_COLUMNS if name in genes}
    symbols = {name: np.array([str(symbol).upper() for symbol in column]) for name, column in columns.items()}
    best = max(symbols, key=lambda name: len(wanted.intersection(symbols[name])))
    return best, symbols[best]


def _check_matched(partners: list[list[str]], symbols: np.ndarray, tfs: pd.Index) -> None:
    known = set(symbols)
    n_matched = sum(known.issuperset(genes) for genes in partners)
    if n_matched < MIN_MATCHED * len(tfs) or not n_matched:
        columns = ", ".join(SYMBOL_COLUMNS[:3])
        msg = (
            f"Expected genes named by symbols, such as {listed(tfs, most=3)}; {n_matched} of {len(tfs)} TFs are among the "
            f"{len(symbols)} genes of `rna`, such as {listed(symbols, most=3)}. Put symbols into rna.var_names, or into a column "
            f"{columns}."
        )
        raise ValueError(msg)


def _of_tfs(by_symbol: pd.DataFrame, partners: list[list[str]]) -> np.ndarray:
    """Counts per million of the partner with less; NaN where one has no gene. ``(cell types, TFs)``."""
    longest = max(map(len, partners))
    place = np.full((len(partners), longest), -1)
    for row, genes in zip(place, partners, strict=True):
        row[:] = by_symbol.index.get_indexer([*genes, *genes[:1] * (longest - len(genes))])
    values = by_symbol.to_numpy()[place]  # (TFs, partners, cell types)
    return np.where((place < 0)[..., None], np.nan, values).min(axis=1).T
