"""What cross-cell-type verbs read of a MuData: features of regions from DNA alone, accessibility, activity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys
from genebert._chunks import load, load_columns, load_dense, row_chunks
from genebert._validate import listed
from genebert.model import GeneBERT
from genebert.model._cell_types import Features
from genebert.model._surroundings import Surroundings
from genebert.model._task_inputs import Inputs, MotifSet, read_codes
from genebert.model._task_probe import ProbeModel
from genebert.pp._comparable import motif_scores
from genebert.pp._tf_activity import region_activity
from genebert.tl._cell_type_scores import TargetKind
from genebert.tl._leak_guard import GIVEN, UNKNOWN, CrossWeight, check_activity, check_vectors
from genebert.tl._load import load as load_model

__all__ = [
    "LEAST_REGIONS",
    "NO_ENCODER",
    "Reader",
    "activity_on",
    "cell_type_weights",
    "chromosomes_of",
    "codes_of_rows",
    "is_comparable",
    "n_measured",
    "open_calls",
    "region_rows",
    "resolve_model",
    "surroundings",
    "target_values",
]

NO_ENCODER = "none"
LEAST_TFS = 0.5  # of an encoder, that must be among those of the data
LEAST_REGIONS = 20


def resolve_model(model: GeneBERT | str | Path | None, device: str) -> GeneBERT | None:
    """Give the model: the shipped weights for None, nothing for ``"none"``."""
    if isinstance(model, str) and model == NO_ENCODER:
        return None
    return model if isinstance(model, GeneBERT) else load_model("mini" if model is None else model, device=device)


def region_rows(mdata: MuData, names: tuple[str, ...], *, max_train: int, seed: int) -> dict[str, np.ndarray]:
    """Rows of each split named, as positions; of train at most so many, drawn at random.

    Raises
    ------
    ValueError
        When a split has too few regions.
    """
    split = np.asarray(_keys.REGION_SPLIT.get(mdata)).astype(str)
    rows = {name: np.flatnonzero(split == name) for name in names}
    few = [f"{name} ({len(found)})" for name, found in rows.items() if len(found) < LEAST_REGIONS]
    if few:
        msg = f"Expected at least {LEAST_REGIONS} regions in each of the splits {listed(names)}; found {listed(few)}. Run gb.pp.split_regions."
        raise ValueError(msg)
    if len(rows["train"]) > max_train:
        rows["train"] = np.sort(np.random.default_rng(seed).permutation(rows["train"])[:max_train])
    return rows


class Reader(NamedTuple):
    """Turns rows of a MuData into features: motif scores and vectors of their DNA, whatever lies in ``tf.X``.

    A matrix in ``tf.X`` may have been weighted by accessibility, so it is read only where there are no sequences.
    """

    mdata: MuData
    motifs: MotifSet | None
    """None: without sequences."""
    probe: ProbeModel | None
    use_rep: str | None

    @classmethod
    def of(cls, mdata: MuData, model: GeneBERT | None, *, use_rep: str | None, target: str) -> tuple[Reader, list[str]]:
        """Check what is there; return marks, too."""
        marks = []
        if use_rep is not None:
            if use_rep not in mdata.obsm:
                msg = f"Expected `use_rep` to be a key of mdata.obsm ({listed(mdata.obsm) or 'none'}); found {use_rep!r}. Run gb.tl.embed."
                raise ValueError(msg)
            record = mdata.uns.get(_keys.UNS, {}).get("embed", {}).get(use_rep)
            marks = check_vectors(record, target=target, key=use_rep)
            if not marks and (model is None or record["model"] != model.digest):
                marks = [UNKNOWN]  # nobody can tell what other weights saw
        if not _keys.DNA_CODE.has(mdata):
            motif_scores(mdata)
            return cls(mdata, None, None, use_rep), [*marks, GIVEN]
        motifs = MotifSet.of(mdata)
        probe = None
        if model is not None and use_rep is None:
            probe = _probe(model, motifs.tfs)
        return cls(mdata, motifs, probe, use_rep), marks

    @property
    def tfs(self) -> list[str]:
        """Columns of the motif scores."""
        return [str(tf) for tf in self.mdata[_keys.TF].var_names] if self.motifs is None else self.motifs.tfs

    def read(self, rows: np.ndarray | slice) -> Features:
        """Read regions."""
        rows = np.arange(self.mdata.n_obs)[rows] if isinstance(rows, slice) else rows
        vectors = None if self.use_rep is None else self._vectors(rows)
        if self.motifs is None:
            return Features(load_dense(_keys.TF_SCORE.get(self.mdata), rows).astype(np.float32), vectors, None)
        codes = read_codes(self.mdata, rows)
        scores = self.motifs.scan(codes)
        if self.probe is not None:
            vectors = self.probe.embed(Inputs(codes, scores, None))
        return Features(scores, vectors, codes, _keys.CHROM.has(self.mdata))

    def _vectors(self, rows: np.ndarray) -> np.ndarray:
        matrix = self.mdata.obsm[self.use_rep]
        return load_dense(matrix.to_numpy() if hasattr(matrix, "to_numpy") else matrix, rows).astype(np.float32)


def _probe(model: GeneBERT, tfs: list[str]) -> ProbeModel:
    from genebert._data import match_tfs

    columns = match_tfs(tfs, model.tfs)
    if (columns >= 0).mean() < LEAST_TFS:
        msg = (
            f"Expected at least half of the model's TFs among those of mdata; found {int((columns >= 0).sum())} of {len(columns)}. "
            "Scan for the motifs of the model, gb.pp.scan_motifs(mdata), or pass model='none'."
        )
        raise ValueError(msg)
    return ProbeModel(model.module, columns, both_strands=True)


def target_values(mdata: MuData, rows: np.ndarray, columns: list[int], *, kind: TargetKind) -> np.ndarray:
    """Read accessibility, float32 ``(regions, cell types)``; NaN where it was not measured."""
    values = load_dense(_keys.ACCESSIBILITY.get(mdata), rows)[:, columns].astype(np.float32)
    if kind == "value":
        return values
    return np.where(np.isnan(values), np.nan, open_calls(mdata, rows, columns)).astype(np.float32)


def open_calls(mdata: MuData, rows: np.ndarray, columns: list[int]) -> np.ndarray:
    """Read where regions are open, bool ``(regions, cell types)``.

    Raises
    ------
    KeyError
        When there are no calls, and accessibility is not 0 or 1.
    """
    if _keys.OPEN.has(mdata):
        return load_dense(_keys.OPEN.get(mdata), rows)[:, columns] > 0
    values = load_dense(_keys.ACCESSIBILITY.get(mdata), rows)[:, columns]
    if not np.isin(values[~np.isnan(values)], (0, 1)).all():
        _keys.OPEN.get(mdata)  # says who fills it
    return values > 0


def surroundings(mdata: MuData, rows: np.ndarray, columns: list[int], *, kind: TargetKind) -> Surroundings | None:
    """Read what was measured in cell types at all of these regions, for what is around each; None for bare sequences."""
    if not all(slot.has(mdata) for slot in (_keys.CHROM, _keys.START, _keys.END)):
        return None
    chrom = pd.Categorical(_keys.CHROM.get(mdata)).codes.astype(np.int64)
    start, end = (pd.Series(slot.get(mdata)).to_numpy(np.float64, na_value=np.nan) for slot in (_keys.START, _keys.END))
    is_bare = (chrom < 0) | np.isnan(start + end)
    chrom[is_bare] = chrom.max(initial=-1) + 1 + np.arange(is_bare.sum())  # each is alone
    centre = np.where(is_bare, 0, (start + end) // 2).astype(np.int64)
    found = Surroundings(chrom, centre, n_cell_types=len(columns))
    for part in row_chunks(len(rows)):
        found.add(rows[part], target_values(mdata, rows[part], columns, kind=kind))
    return found.smooth()


def cell_type_weights(
    mdata: MuData, reader: Reader, motifs: np.ndarray, *, tf_weight: CrossWeight, train: np.ndarray, scored: np.ndarray
) -> np.ndarray:
    """Find what the cell types put on the motifs, float32 ``(cell types of atac, TFs)``.

    Parameters
    ----------
    motifs
        Scores of the train regions.
    tf_weight
        ``"activity"``: that of `genebert.pp.tf_activity` where it is there, else computed here; ``"expression"``; ``"none"``.
    train, scored
        Rows.
    """
    names = mdata[_keys.ATAC].var_names
    if tf_weight == "none":
        return np.zeros((len(names), len(reader.tfs)), dtype=np.float32)
    if tf_weight == "expression":
        table = _keys.TF_EXPRESSION.get(mdata)
    elif _keys.TF_ACTIVITY.has(mdata):
        used, asked = np.asarray(_keys.IN_TF_ACTIVITY.get(mdata)).astype(bool), np.zeros(mdata.n_obs, dtype=bool)
        asked[scored] = True
        check_activity(used, asked, names=mdata.obs_names)
        _check_score(mdata)
        table = _keys.TF_ACTIVITY.get(mdata)
    else:
        accessibility = load_dense(_keys.ACCESSIBILITY.get(mdata), train)
        return activity_on(mdata, train, motifs, accessibility)
    found = table.reindex(columns=reader.tfs)
    if found.isna().all(axis=0).mean() > LEAST_TFS:
        msg = f"Expected the TFs of the motifs in {tf_weight}; most are missing, such as {listed(reader.tfs[:3])}. Compute it again behind gb.pp.scan_motifs."
        raise ValueError(msg)
    if tf_weight == "expression":
        found = (found - found.mean()) / max(float(np.nanstd(found.to_numpy() - found.mean().to_numpy())), 1e-6)
    return found.to_numpy(dtype=np.float32)


def n_measured(mdata: MuData, rows: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """In how many regions cell types were measured: of `rows`, or of those that a stored activity was computed on."""
    if _keys.TF_ACTIVITY.has(mdata):
        rows = np.flatnonzero(np.asarray(_keys.IN_TF_ACTIVITY.get(mdata)).astype(bool))
    found = np.zeros(len(columns), dtype=np.int64)
    for part in row_chunks(len(rows)):
        found += (~np.isnan(load_columns(_keys.ACCESSIBILITY.get(mdata), columns, rows[part]))).sum(axis=0)
    return found


def _check_score(mdata: MuData) -> None:
    """Raise where the stored activity is no correlation: its size tells signal from noise."""
    name = _keys.TF_ACTIVITY.key  # that of the verb, too
    record = mdata.uns.get(_keys.UNS, {}).get(name, {}).get(name, {})
    score = str(record.get("params", {}).get("score", "correlation"))
    if score != "correlation":
        msg = (
            f"Expected a TF activity with score='correlation'; found {score!r}, whose size grows with the number of regions. "
            "Run gb.pp.tf_activity(mdata) again."
        )
        raise ValueError(msg)


def activity_on(mdata: MuData, rows: np.ndarray, motifs: np.ndarray, accessibility: Any) -> np.ndarray:
    """Compute the activity of all cell types on some regions, as `genebert.pp.tf_activity` does.

    Parameters
    ----------
    rows
        The regions.
    motifs, accessibility
        Of these regions.
    """
    gc, mask = _comparable(mdata, rows, accessibility)
    return region_activity(motifs, accessibility, mask, gc=gc)[0]


def is_comparable(mdata: MuData, rows: np.ndarray, accessibility: np.ndarray, column: int) -> bool:
    """Tell whether `activity_on` can compare a cell type with another one: both are accessible somewhere."""
    is_open = (accessibility[_comparable(mdata, rows, accessibility)[1]] > 0).any(axis=0)
    return bool(is_open[column] and is_open.sum() > 1)


def _comparable(mdata: MuData, rows: np.ndarray, accessibility: Any) -> tuple[np.ndarray, np.ndarray]:
    """GC of regions, and which of them have one and were measured, bool ``(regions,)``."""
    gc = np.asarray(_keys.GC.get(mdata), dtype=np.float64)[rows]
    return gc, np.isfinite(gc) & ~np.isnan(accessibility).all(axis=1)


def chromosomes_of(mdata: MuData, rows: np.ndarray) -> np.ndarray:
    """Chromosome of each region as text; ``"nan"`` for bare sequences."""
    if not _keys.CHROM.has(mdata):
        return np.full(len(rows), "nan")
    return np.asarray(_keys.CHROM.get(mdata))[rows].astype(str)


def codes_of_rows(mdata: MuData, rows: np.ndarray) -> np.ndarray | None:
    """Bases of regions; None where there are none."""
    return np.asarray(load(_keys.DNA_CODE.get(mdata), rows), dtype=np.uint8) if _keys.DNA_CODE.has(mdata) else None
