"""What a model knows about cell types that it never saw, beside every simple explanation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata
from genebert._logging import info
from genebert._validate import check_literal, check_range
from genebert.model import GeneBERT
from genebert.tl._binding_fit import BINDING_SETTINGS, binding_blocks
from genebert.tl._cell_type_call import check_call, named_types
from genebert.tl._cell_type_data import Reader, region_rows, resolve_model
from genebert.tl._cell_type_few_shot import few_shot_table
from genebert.tl._cell_type_fit import SETTINGS, Known
from genebert.tl._cell_type_folds import Holdout, make_folds
from genebert.tl._cell_type_parts import scored_regions
from genebert.tl._cell_type_scores import TargetKind
from genebert.tl._cell_type_table import ALL, GENEBERT, cross_table
from genebert.tl._cross_accessibility import FewShot, accessibility_blocks, read_accessibility
from genebert.tl._cross_binding import experiment_types, read_binding
from genebert.tl._leak_guard import CrossTarget, CrossWeight

__all__ = ["cross_cell_type"]

Quarters = Literal["all", "headline"]


def cross_cell_type(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    target: CrossTarget = "accessibility",
    known: Known = "nothing",
    holdout: Holdout = "each",
    tf_weight: CrossWeight = "auto",
    kind: TargetKind = "binary",
    cell_types: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    promoters: str | None = None,
    use_rep: str | None = None,
    quarters: Quarters = "all",
    few_shot: int | Sequence[int] | None = None,
    few_shot_cells: int | Sequence[int] | None = None,
    max_regions: int = 50_000,
    n_draws: int = 300,
    seed: int = 0,
    device: str = "auto",
    key_added: str = "cross_cell_type",
    copy: bool = False,
) -> MuData | None:
    """Hold out cell types and chromosomes, and measure what is known of them, beside every simple explanation.

    The design has four quarters: cell types {train, holdout} x regions {train, test}. All is learnt from training types at train
    regions; the headline is held-out types at test regions. A held-out type is a *new cell type with ATAC elsewhere*: its TF
    activity comes from its accessibility at train regions.

    Parameters
    ----------
    mdata
        With sequences, accessibility, and a split of the regions; for ``target="labels"`` labels with ``tf`` and ``cell_type``.
    model
        The encoder: a model, the folder of one, None for the weights that ship with genebert, or ``"none"``: motifs and k-mers
        alone. It is not trained here; rows on chromosomes or cell types that it saw are marked. Binding is predicted without it.
    target
        ``"accessibility"``, or ``"labels"``: TF binding, for each TF in each held-out cell type.
    known
        What is given at the scored regions: ``"nothing"`` measured in any cell type, or ``"train_cell_types"``: the training
        types were measured there, as in an atlas.
    holdout
        ``"each"``: one cell type at a time; names: held out together; lists of names: each list together, such as lineages, whose
        siblings in training flatter every method; ``"split"``: those of :func:`genebert.pp.split_cell_types`.
    tf_weight
        How the cell type enters, by multiplication. Of accessibility: ``"activity"`` (the default), ``"expression"`` or ``"none"``; its
        own accessibility would be the answer, and is refused. Of labels: ``"accessibility"`` or ``"open"``.
    kind
        Accessibility as calls (``"binary"``) or as the numbers in ``atac.X`` (``"value"``).
    cell_types
        Those that take part; default: all.
    labels
        Columns of ``mdata["labels"]``; default: all that name a TF and a cell type.
    promoters
        Column of ``seq.obs``, or of the labels, that is 1 at promoters; default: the label ``promoter``, where there is one.
    use_rep
        Vectors in ``mdata.obsm``, of :func:`genebert.tl.embed` with the same `model` and without a cell type, to take instead of
        computing them.
    quarters
        ``"all"``, or ``"headline"``: held-out types at test regions alone, which takes less time.
    few_shot
        Numbers of train regions, such as ``[50, 500, 5000]``: how good is the activity that so many of them give? All, where there
        are fewer; the curve names the number that was used. NaN where they are too few for an activity.
    few_shot_cells
        Numbers of cells, likewise: the counts of so many are drawn.
    max_regions
        Most train regions that are learnt from, drawn at random where there are more.
    n_draws
        Of the bootstrap: over chromosomes where five or more are scored, else over regions. So many that draws times scored regions
        are 30 million at most (300 draws of 100,000 regions), but 200 where so many are asked for.
    seed, device
        Of everything that is drawn; where the encoder runs.
    key_added
        Name of the results.
    copy
        Return a changed copy instead of writing into `mdata`.

    Returns
    -------
    None, or the copy. Writes ``mdata.uns["genebert"]["cross_cell_type"][key_added]`` with ``params``, ``model``, the digest of the
    encoder, ``table``, which :func:`genebert.get.cross_cell_type` explains, and ``few_shot``, where it was asked for.

    Raises
    ------
    KeyError
        When accessibility, the split, sequences or labels are missing.
    ValueError
        When the answer would be among the inputs, a cell type is unknown, or nothing is left to learn from.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.tl.cross_cell_type(mdata, "none", holdout=["Monocyte", "Progenitor"])
    >>> table = gb.get.cross_cell_type(mdata, metric="auroc")
    >>> table["method"].iloc[0]
    'genebert'
    """
    options = {"known": known, "tf_weight": tf_weight, "seed": seed}
    check_call(mdata, target=target, kind=kind, max_regions=max_regions, key_added=key_added, **options)
    check_literal(quarters, Quarters, name="quarters")
    if target == "labels" and kind != "binary":
        msg = f"Expected kind='binary' with target='labels', which are 0 or 1; found {kind!r}. Leave `kind` out."
        raise ValueError(msg)
    check_range(n_draws, name="n_draws", low=50, integer=True)
    experiments, names = (
        experiment_types(mdata, labels, cell_types)
        if target == "labels"
        else ([], named_types(mdata, cell_types, name="cell_types"))
    )
    folds = make_folds(mdata, holdout, cell_types=names)
    few = FewShot.of(mdata, few_shot, few_shot_cells, tf_weight=tf_weight, target=target)
    rows = region_rows(mdata, ("train", "test"), max_train=max_regions, seed=seed)
    encoder = resolve_model(model, device) if target == "accessibility" else None
    reader, marks = Reader.of(mdata, encoder, use_rep=use_rep, target=target)
    drawn = {"marks": marks, "promoters": promoters, "n_draws": n_draws, "seed": seed}
    regions = scored_regions(mdata, rows, encoder, cell_types=names, **drawn)
    is_full, curve = quarters == "all", []
    if target == "labels":
        binding = read_binding(mdata, reader, regions, experiments, cell_types=names, **options)
        blocks, settings = binding_blocks(binding, folds, is_full=is_full), BINDING_SETTINGS
    else:
        data, settings = read_accessibility(mdata, reader, regions, names, folds=folds, kind=kind, **options), SETTINGS
        blocks, curve = accessibility_blocks(mdata, data, folds, train=rows["train"], is_full=is_full, few=few)
    settings = {method: setting or known for method, setting in settings.items()}
    table = cross_table(blocks, kind=kind, settings=settings, target=target, known=known)
    _tell(table, n_regions=len(rows["train"]))
    mdata = _mudata.writable(mdata, copy=copy)
    params = {
        **options, "target": target, "holdout": [fold.name for fold in folds], "kind": kind, "cell_types": names,
        "labels": experiments, "use_rep": use_rep, "promoters": promoters, "max_regions": max_regions,
        "n_regions": len(rows["train"]), "n_draws": len(regions["test"].weights) - 1, "drawn": regions["test"].drawn,
    }  # fmt: skip
    results = {"table": table, **({"few_shot": few_shot_table(curve)} if curve else {})}
    digest = None if encoder is None else encoder.digest
    _keys.record(mdata, "cross_cell_type", key_added, params=params, model=digest, **results)
    return mdata if copy else None


def _tell(table: pd.DataFrame, *, n_regions: int) -> None:
    """Say in one line from how many train regions was learnt, and how genebert and the best baseline did."""
    main = table[table["metric"].isin(["auroc", "pearson"]) & (table["stratum"] == ALL) & (table["regions"] == "test")]
    main = main[(main["types"] == "holdout") & (main["holdout"] == ALL) & (main["tf"] == ALL)]
    ours, best = main[main["method"] == GENEBERT], main[main["is_best"]]
    if len(ours) and len(best):
        ours, best = ours.iloc[0], best.iloc[0]
        info(
            f"held-out cell types, test regions (learnt from {n_regions:,} train regions): {ours['metric']} {ours['value']:.3f}; "
            f"best baseline {best['method']} {best['value']:.3f}, gain {best['gain']:+.3f} [{best['gain_low']:+.3f}, {best['gain_high']:+.3f}]"
        )
