"""The files of a made-up multiome experiment: what a project starts from."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from genebert import _keys
from genebert._dna import decode
from genebert._motifs import default_motifs
from genebert._validate import check_range
from genebert.datasets._toy import ACTIVE, CELL_TYPES, TFS, toy

__all__ = ["toy_multiome"]

DONORS = {"donor_1": (0.6, 1.0), "donor_2": (0.25, 2.0), "donor_3": (0.15, 0.7)}  # share of the cells, depth
TAIL = 1_000  # bp of chromosome behind the last region
LINE = 60


def toy_multiome(
    folder: str | os.PathLike[str], *, n_cells: int = 360, rng: int | np.random.Generator | None = 0
) -> Path:
    """Write a small multiome experiment (RNA and ATAC of the same cells) as files, without a download.

    The peaks are the regions of :func:`toy`, on chromosomes of random DNA. A TF that is active in a cell type is
    expressed there, and hardly elsewhere. Donors differ in depth and in how many cells they gave.

    Parameters
    ----------
    folder
        Where to write; it is made if needed.
    n_cells
        Cells, shared out over six cell types.
    rng
        Seed or generator.

    Returns
    -------
    The folder, with

    - ``filtered_feature_bc_matrix.h5``: genes and peaks x cells, as Cell Ranger ARC writes it.
    - ``genome.fa``: six chromosomes.
    - ``cells.tsv``: ``barcode``, ``cell_type`` and ``donor`` of each cell.

    Examples
    --------
    >>> import tempfile
    >>> folder = gb.datasets.toy_multiome(tempfile.mkdtemp())
    >>> sorted(path.name for path in folder.iterdir())
    ['cells.tsv', 'filtered_feature_bc_matrix.h5', 'genome.fa']
    """
    check_range(n_cells, name=_keys.N_CELLS.key, low=len(CELL_TYPES), integer=True)
    rng = np.random.default_rng(rng)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mdata = toy(rng=rng)
    cells = _cells(n_cells, rng)
    _write_genome(folder / "genome.fa", mdata, rng)
    cells.to_csv(folder / "cells.tsv", sep="\t", index=False)
    genes, peaks = _genes(cells, rng), _peaks(mdata, cells, rng)
    _write_10x(folder / "filtered_feature_bc_matrix.h5", genes, peaks, cells["barcode"])
    return folder


def _cells(n_cells: int, rng: np.random.Generator) -> pd.DataFrame:
    shares = [share for share, _ in DONORS.values()]
    barcodes = ["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in range(n_cells)]
    cell_types = np.array(CELL_TYPES)[np.arange(n_cells) % len(CELL_TYPES)]
    return pd.DataFrame(
        {"barcode": barcodes, "cell_type": cell_types, "donor": rng.choice(list(DONORS), n_cells, p=shares)}
    )


def _genes(cells: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Counts of the genes of all TFs that have a motif, cells x genes."""
    symbols = [symbol for motif in default_motifs() for symbol in motif.tf.split("::")]
    names = list(dict.fromkeys([*TFS, *symbols]))
    expected = np.ones((len(cells), len(names)))
    expected[:, len(TFS) :] = rng.gamma(2.0, 0.5, len(names) - len(TFS))
    for row, cell_type in enumerate(cells["cell_type"]):
        expected[row, [names.index(tf) for tf in ACTIVE[cell_type]]] = 8.0
    return pd.DataFrame(rng.poisson(expected * _depth(cells)), columns=names)


def _peaks(mdata: MuData, cells: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Counts of peaks, cells x peaks."""
    per_cell = _keys.COUNTS.get(mdata).toarray() / _keys.N_CELLS.get(mdata).to_numpy()  # expected, (peaks, cell types)
    column = mdata[_keys.ATAC].var_names.get_indexer(cells["cell_type"])
    return pd.DataFrame(rng.poisson(per_cell[:, column].T * _depth(cells)), columns=mdata.obs_names)


def _depth(cells: pd.DataFrame) -> np.ndarray:
    return np.array([[DONORS[donor][1]] for donor in cells["donor"]])


def _write_genome(path: Path, mdata: MuData, rng: np.random.Generator) -> None:
    regions = mdata[_keys.SEQ].obs
    codes = np.asarray(_keys.DNA_CODE.get(mdata))
    with path.open("w") as handle:
        for chrom, rows in regions.reset_index(drop=True).groupby(_keys.CHROM.key, observed=True):
            bases = rng.integers(4, size=rows[_keys.END.key].max() + TAIL).astype(np.uint8)
            for row, start, end in zip(rows.index, rows[_keys.START.key], rows[_keys.END.key], strict=True):
                bases[start:end] = codes[row]
            text = decode(bases)
            handle.write(f">{chrom}\n")
            handle.writelines(f"{text[start : start + LINE]}\n" for start in range(0, len(text), LINE))


def _write_10x(path: Path, genes: pd.DataFrame, peaks: pd.DataFrame, barcodes: pd.Series) -> None:
    """Features x cells in compressed columns, which is what cells x features are in compressed rows."""
    matrix = sparse.csr_matrix(np.hstack([genes.to_numpy(), peaks.to_numpy()]), dtype=np.int32)
    names = [*genes.columns, *peaks.columns]
    kinds = ["Gene Expression"] * genes.shape[1] + ["Peaks"] * peaks.shape[1]
    ids = [*(f"ENSG{number:011d}" for number in range(genes.shape[1])), *peaks.columns]
    places = [*(f"chr1:{1000 * number}-{1000 * number + 500}" for number in range(genes.shape[1])), *peaks.columns]
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = barcodes.astype("S").to_numpy()
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = np.array(matrix.shape[::-1], dtype=np.int32)
        columns = {"id": ids, "name": names, "feature_type": kinds, "interval": places, "genome": ["toy"] * len(names)}
        for name, values in columns.items():
            group[f"features/{name}"] = np.array(values, dtype="S")
        group["features/_all_tag_keys"] = np.array(["genome", "interval"], dtype="S")
