"""A scatter plot of regions, through scanpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from anndata import AnnData

from genebert._validate import listed
from genebert.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["embedding"]

PREFIX = "X_"


def embedding(
    mdata: MuData,
    *,
    basis: str = "umap",
    color: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes | list[Axes]:
    """Scatter regions in two dimensions, coloured by anything that the MuData holds.

    Parameters
    ----------
    mdata
        Regions with coordinates in ``mdata.obsm``, as ``sc.tl.umap(mdata)`` writes them.
    basis
        ``"umap"`` or ``"X_umap"`` for ``mdata.obsm["X_umap"]``, and so on.
    color
        One or several of: a column of ``mdata.obs`` (``"leiden"``); ``"seq:gc"``, a column of ``mdata["seq"].obs``;
        ``"tf:GATA1"``, a motif score; ``"atac:B cell"``, the accessibility in a cell type; ``"labels:..."``, an
        experiment. By default no colour.
    ax
        Where to draw; for one colour only.
    **kwargs
        Passed on to `scanpy.pl.embedding`, such as ``size`` or ``legend_loc``.

    Returns
    -------
    The `Axes`, or a list of them when several colours are given.

    Examples
    --------
    >>> import scanpy as sc
    >>> mdata = gb.datasets.toy()
    >>> mdata.obsm["X_pca"] = sc.pp.pca(np.asarray(mdata["atac"].X), n_comps=2)
    >>> ax = gb.pl.embedding(mdata, basis="pca", color="seq:gc")
    """
    import scanpy as sc

    names = [] if color is None else [color] if isinstance(color, str) else list(color)
    view = AnnData(
        obs=pd.DataFrame({name: _resolve(mdata, name) for name in names}, index=mdata.obs_names),
        obsm={PREFIX + basis.removeprefix(PREFIX): _coordinates(mdata, basis)},
    )
    options = {"color_map": _style.CONTINUOUS, "na_color": _style.MISSING, "frameon": False, **kwargs}
    if "palette" not in options:
        for name in names:
            _colour(view, name, mdata)
    drawn = sc.pl.embedding(view, basis=basis.removeprefix(PREFIX), color=names or None, ax=ax, show=False, **options)
    return drawn


def _coordinates(mdata: MuData, basis: str) -> Any:
    key = basis if basis in mdata.obsm else PREFIX + basis.removeprefix(PREFIX)
    if key not in mdata.obsm:
        there = listed((name for name in mdata.obsm if name not in mdata.mod), most=20) or "nothing"
        msg = f"Expected `basis` to name coordinates in mdata.obsm; found {basis!r}. There: {there}. Run sc.tl.umap(mdata) first."
        raise KeyError(msg)
    return mdata.obsm[key]


def _resolve(mdata: MuData, name: str) -> Any:
    """Look up a colour: in ``mdata.obs``, else in the modality before the colon."""
    if name in mdata.obs:
        return mdata.obs[name].to_numpy() if mdata.obs[name].dtype != "category" else mdata.obs[name].array
    modality, _, column = name.partition(":")
    if modality in mdata.mod and column:
        owner = mdata[modality]
        if column in owner.obs:
            return owner.obs[column].array
        if column in owner.var_names:
            return owner.obs_vector(column)
    raise KeyError(_unknown(mdata, name))


def _unknown(mdata: MuData, name: str) -> str:
    prefixes = tuple(f"{modality}:" for modality in mdata.mod)
    found = [column for column in mdata.obs if not column.startswith(prefixes)]
    for modality, owner in mdata.mod.items():
        found += [f"{modality}:{listed([*owner.obs, *owner.var_names], most=8)}"] if owner.n_vars or owner.n_obs else []
    return f"Expected `color` to be a column of mdata.obs or '<modality>:<name>'; found {name!r}. There: {'; '.join(found)}."


def _colour(view: AnnData, name: str, mdata: MuData) -> None:
    """Fix the colours of groups, the user's if there are any."""
    column = view.obs[name]
    if column.dtype == object or column.dtype == bool:
        view.obs[name] = column = column.astype(str).astype("category")
    if column.dtype != "category":
        return
    key = f"{name}_colors"
    colours = mdata.uns.get(key) if key in mdata.uns else _style.palette(len(column.cat.categories))
    if colours is not None and len(colours) >= len(column.cat.categories):
        view.uns[key] = list(colours)
