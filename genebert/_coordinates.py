"""Where the regions of somebody's table or AnnData are: in columns or in names, in `obs` or in `var`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from genebert._keys import CHROM, END, START
from genebert._regions import chromosome_names, is_region_name, region_table, split_names
from genebert._validate import listed

__all__ = ["check_anndata", "intervals_of", "peak_mask", "region_names", "regions_are_obs", "regions_of"]

CHROM_COLUMNS = (CHROM.key, "chromosome", "seqnames", "seqname", "chr", "Chromosome")
START_COLUMNS = (START.key, "chromStart", "Start")
END_COLUMNS = (END.key, "chromEnd", "End")
NAME_COLUMNS = ("interval", "Peaks")  # 10x, SnapATAC2
FEATURE_COLUMN = "feature_types"  # 10x
PEAK_FEATURES = frozenset({"peaks", "peak", "atac"})
N_NAMES_LOOKED_AT = 1000


def check_anndata(adata: AnnData, *, name: str = "adata", modality: str = "atac") -> None:
    """Raise unless it is an AnnData."""
    if not isinstance(adata, AnnData):
        remedy = "Read one: anndata.read_h5ad(path)."
        if isinstance(adata, MuData):
            remedy = f"Give one of its modalities: mdata[{modality!r}]."
        elif hasattr(adata, "to_memory"):
            remedy = "That of SnapATAC2 has its own class: give adata.to_memory()."
        msg = f"Expected `{name}` to be an AnnData; found a {type(adata).__name__}. {remedy}"
        raise TypeError(msg)


def regions_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Read regions from the coordinate columns of a table, else from its index.

    Returns
    -------
    chrom (category), start, end (int64), indexed by ``chrom:start-end``, in the order of `frame`.

    Raises
    ------
    ValueError
        When there are no regions, or they are malformed or repeated.
    """
    return region_table(*_columns_or_names(frame))


def intervals_of(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read intervals as `regions_of` does, also where some are repeated.

    Returns
    -------
    chrom (object), start, end (int64), in the order of `frame`.

    Raises
    ------
    ValueError
        When one is malformed.
    """
    chrom, start, end = map(np.asarray, _columns_or_names(frame))
    chrom, start, end = chrom.astype(object), start.astype(np.int64), end.astype(np.int64)
    if (pd.isna(chrom) | (start < 0) | (end <= start)).any():
        region_table(chrom, start, end)  # raises, and says what is wrong
    numbers, names = pd.factorize(chrom)
    return chromosome_names(names)[numbers], start, end


def peak_mask(frame: pd.DataFrame) -> np.ndarray:
    """Tell peaks from genes where a 10x column does; all are peaks where it is absent. bool ``(features,)``."""
    if FEATURE_COLUMN not in frame:
        return np.ones(len(frame), dtype=bool)
    return frame[FEATURE_COLUMN].astype(str).str.lower().isin(PEAK_FEATURES).to_numpy()


def region_names(frame: pd.DataFrame) -> pd.Index:
    """Names as genebert gives them; features that are no regions keep their own."""
    names = frame.index.astype(str).to_numpy(dtype=object)
    mask = peak_mask(frame)
    peaks = frame[mask]
    if looks_like_regions(peaks):
        names[mask] = regions_of(peaks).index.to_numpy()
    return pd.Index(names)


def looks_like_regions(frame: pd.DataFrame) -> bool:
    """Whether a table has coordinate columns, or most of its names are regions."""
    if len(frame) == 0:
        return False
    if _coordinate_columns(frame) is not None or _name_column(frame) is not None:
        return True
    names = frame.index[:N_NAMES_LOOKED_AT].astype(str)
    return 2 * sum(map(is_region_name, names)) > len(names)


def regions_are_obs(adata: AnnData, *, groupby: str | None = None) -> bool:
    """Whether the regions of an AnnData are its observations.

    Cells lie where the column `groupby` is; without it, regions lie where the names or columns look like regions.

    Raises
    ------
    ValueError
        When neither axis looks like regions, or both do.
    """
    if groupby is not None and (groupby in adata.obs) != (groupby in adata.var):
        return groupby in adata.var
    in_obs, in_var = (looks_like_regions(frame[peak_mask(frame)]) for frame in (adata.obs, adata.var))
    if in_obs != in_var:
        return in_obs
    found = "both" if in_obs else "neither"
    msg = (
        f"Expected regions on one axis, named like chr1:100-200 or with columns {CHROM.key}, {START.key} and {END.key}; "
        f"{found} of obs ({listed(adata.obs_names, most=2)}) and var ({listed(adata.var_names, most=2)}) look like "
        "regions. Rename the peaks, or add these columns to their axis."
    )
    raise ValueError(msg)


def _columns_or_names(frame: pd.DataFrame) -> tuple[Sequence[str], Sequence[int], Sequence[int]]:
    columns = _coordinate_columns(frame)
    if columns is not None:
        chrom, start, end = (frame[column] for column in columns)
        return chrom.to_numpy(), _whole(start), _whole(end)
    column = _name_column(frame)
    names = frame.index if column is None else frame[column]
    return split_names(names.astype(str).to_list())


def _name_column(frame: pd.DataFrame) -> str | None:
    return next((column for column in NAME_COLUMNS if column in frame), None)


def _coordinate_columns(frame: pd.DataFrame) -> tuple[str, str, str] | None:
    choices: tuple[Sequence[str], ...] = (CHROM_COLUMNS, START_COLUMNS, END_COLUMNS)
    found = [next((column for column in names if column in frame), None) for names in choices]
    return None if None in found else tuple(found)


def _whole(column: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(numbers) | (numbers % 1 != 0)
    if bad.any():
        examples = listed(map(repr, column[bad]))
        msg = f"Expected whole numbers in column {column.name!r}; {bad.sum()} are not: {examples}. Correct or remove them."
        raise ValueError(msg)
    return numbers.astype(np.int64)
