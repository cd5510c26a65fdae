"""The registry of slots: what lies where in a genebert MuData, and who puts it there.

This is the only place where a slot is named. `Slot.get` tells which function fills a slot that is missing;
``docs/data_contract.md`` is generated from `SLOTS` by ``docs/_contract.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genebert._storable import storable
from genebert._store import store_of

__all__ = [
    "ACCESSIBILITY", "CALL", "CELL_TF_ACTIVITY", "CELL_TYPE_SPLIT", "CHECK_COLUMNS", "CHROM", "COUNTS", "CROSS_COLUMNS", "DNA_CODE",
    "EMBEDDING", "END", "EVALUATION_COLUMNS", "FAMILY", "FEW_SHOT_COLUMNS", "GC", "HISTORY_COLUMNS", "HIT_COLUMNS", "IN_TF_ACTIVITY", "LABELS",
    "LABEL_CELL_TYPE", "LABEL_TASK", "LABEL_TF", "MEMBERS", "MODALITIES", "MOTIF", "MOTIF_ID", "N_CELLS",
    "N_REPLICATES", "OPEN", "PREDICTED", "PREDICTED_SD", "PROBABILITY", "REGION_SPLIT", "RISK_COLUMNS", "SCHEMA_KEY", "SCHEMA_VERSION", "SEQ_START", "SLOTS",
    "START", "TF_ACTIVITY", "TF_EXPRESSION", "TF_SCORE", "UNS", "VARIANT_COLUMNS", "WIDTH", "MissingSlotError", "Slot", "load_record",
    "record",
]  # fmt: skip

SCHEMA_VERSION = 1
SCHEMA_KEY = "schema_version"
UNS = "genebert"

SEQ, TF, ATAC, LABEL = MODALITIES = ("seq", "tf", "atac", "labels")


class MissingSlotError(KeyError):
    """A slot is not filled. Unlike a plain `KeyError` it shows its message without quotes."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Slot:
    """One place in the MuData."""

    modality: str | None
    """None: the MuData itself."""
    attr: Literal["X", "obs", "obsm", "var", "varm", "layers"]
    key: str | None
    content: str
    dtype: str
    shape: str
    filled_by: tuple[str, ...]

    @property
    def path(self) -> str:
        """How a user writes it: ``mdata["seq"].obsm["dna_code"]``."""
        owner = "mdata" if self.modality is None else f'mdata["{self.modality}"]'
        return f"{owner}.{self.attr}" + ("" if self.key is None else f'["{self.key}"]')

    def has(self, mdata: Any) -> bool:
        """Whether it is filled.

        Raises
        ------
        TypeError
            When `mdata` is no MuData.
        """
        if not hasattr(mdata, "mod"):
            msg = f"Expected a MuData; found {type(mdata).__name__}. Make one with gb.io.from_anndata, or read one with gb.io.read."
            raise TypeError(msg)
        if self.modality is not None and self.modality not in mdata.mod:
            return False
        store = getattr(self._owner(mdata), self.attr)
        return store is not None if self.key is None else self.key in store

    def get(self, mdata: Any) -> Any:
        """Return what it holds.

        Raises
        ------
        KeyError
            When it is missing; the message names the functions that fill it.
        """
        if not self.has(mdata):
            remedy = f"Run {' or '.join(self.filled_by)} first."
            raise MissingSlotError(f"Expected {self.path} ({self.content}), which is missing. {remedy}")
        store = getattr(self._owner(mdata), self.attr)
        return store if self.key is None else store[self.key]

    @property
    def place(self) -> str:
        """Path in a zarr store: ``mod/seq/obsm/dna_code``."""
        return "/".join(filter(None, ("" if self.modality is None else f"mod/{self.modality}", self.attr, self.key)))

    def set(self, mdata: Any, value: Any) -> None:
        """Fill it; the modality must exist. In a MuData that lives in a store this waits for `record`."""
        store = store_of(mdata)
        if store is not None:
            store.pending.append((self, value))
            return
        self.assign(mdata, value)

    def assign(self, mdata: Any, value: Any) -> None:
        """Fill it in memory."""
        owner = self._owner(mdata)
        if self.key is None:
            setattr(owner, self.attr, value)
        else:
            getattr(owner, self.attr)[self.key] = value

    def _owner(self, mdata: Any) -> Any:
        return mdata if self.modality is None else mdata[self.modality]


_IO = (
    "gb.io.from_anndata", "gb.io.read_regions", "gb.io.consensus_regions", "gb.io.tile_genome",
    "gb.io.matched_negatives", "gb.io.assemble",
)  # fmt: skip

CHROM = Slot(SEQ, "obs", "chrom", "chromosome; missing for bare sequences", "category", "(regions,)", _IO)
START = Slot(SEQ, "obs", "start", "start, 0-based; missing for bare sequences", "int64", "(regions,)", _IO)
END = Slot(SEQ, "obs", "end", "end, half-open; missing for bare sequences", "int64", "(regions,)", _IO)
REGION_SPLIT = Slot(
    SEQ, "obs", "region_split", "train / val / test", "category", "(regions,)",
    ("gb.pp.split_regions", "gb.io.from_anndata"),
)  # fmt: skip
DNA_CODE = Slot(
    SEQ, "obsm", "dna_code", "bases A C G T N = 0..4, window centred on the region", "uint8",
    "(regions, seq_length)", ("gb.pp.add_sequence", "gb.io.read_sequences"),
)  # fmt: skip
GC = Slot(
    SEQ, "obs", "gc", "share of G and C among known bases", "float32", "(regions,)",
    ("gb.pp.add_sequence", "gb.io.read_sequences"),
)  # fmt: skip
WIDTH = Slot(
    SEQ, "obs", "width", "width of the region (length of a bare sequence) in bp", "int32", "(regions,)",
    ("gb.pp.add_sequence", "gb.io.read_sequences"),
)  # fmt: skip
SEQ_START = Slot(
    SEQ, "obs", "seq_start", "where the window of `dna_code` starts, 0-based; missing for bare sequences", "int64",
    "(regions,)", ("gb.pp.add_sequence",),
)  # fmt: skip
TF_SCORE = Slot(
    TF, "X", None, "motif scores; var_names are TFs", "float32, CSR or dense", "(regions, TFs)",
    ("gb.pp.scan_motifs", "gb.io.assemble"),
)  # fmt: skip
MOTIF_ID = Slot(TF, "var", "motif_id", "motif that each column comes from", "str", "(TFs,)", TF_SCORE.filled_by)
FAMILY = Slot(
    TF, "var", "family", "TF family, where the motif source names one", "category", "(TFs,)", TF_SCORE.filled_by
)
MEMBERS = Slot(
    TF, "var", "members", "motifs that an archetype stands for, joined by commas", "str", "(TFs,)", ("gb.pp.scan_motifs",)
)  # fmt: skip
MOTIF = Slot(
    TF, "varm", "motif", "log-odds of each motif in bits, 0 behind its end", "float32", "(TFs, longest motif, 4)",
    ("gb.pp.scan_motifs",),
)  # fmt: skip
ACCESSIBILITY = Slot(
    ATAC, "X", None, "log1p counts per million, or 0/1 where only calls are known; NaN = not measured", "float32",
    "(regions, cell types)",
    ("gb.io.from_anndata", "gb.io.consensus_regions", "gb.io.assemble", "gb.pp.normalize_accessibility"),
)  # fmt: skip
COUNTS = Slot(
    ATAC, "layers", "counts", "pooled raw counts", "float32 CSR", "(regions, cell types)", ("gb.io.from_anndata",)
)
OPEN = Slot(
    ATAC, "layers", "open", "1 where the region is open in the cell type", "float32 CSR", "(regions, cell types)",
    ("gb.pp.binarize", "gb.io.assemble"),
)  # fmt: skip
CELL_TYPE_SPLIT = Slot(
    ATAC, "var", "cell_type_split", "train / holdout", "category", "(cell types,)", ("gb.pp.split_cell_types",)
)
N_CELLS = Slot(ATAC, "var", "n_cells", "cells pooled per cell type", "int64", "(cell types,)", ("gb.io.from_anndata",))
N_REPLICATES = Slot(
    ATAC, "var", "n_replicates", "replicates (donors) averaged per cell type, where `replicate` was given", "int64",
    "(cell types,)", ("gb.io.from_anndata",),
)  # fmt: skip
TF_ACTIVITY = Slot(
    ATAC, "varm", "tf_activity", "TF activity, from the accessibility of train regions", "float32 DataFrame",
    "(cell types, TFs)", ("gb.pp.tf_activity",),
)  # fmt: skip
IN_TF_ACTIVITY = Slot(
    SEQ, "obs", "in_tf_activity", "whether TF activity was computed on the region", "bool", "(regions,)",
    ("gb.pp.tf_activity",),
)  # fmt: skip
TF_EXPRESSION = Slot(
    ATAC, "varm", "tf_expression", "log1p of the expression of each TF; NaN = no such gene", "float32 DataFrame",
    "(cell types, TFs)", ("gb.pp.tf_expression",),
)  # fmt: skip
CELL_TF_ACTIVITY = "tf_activity"
"""Key in `.obsm` of a cells x peaks AnnData: TF activity per cell, float32 DataFrame (cells, TFs)."""
LABELS = Slot(
    LABEL, "X", None, "one column per experiment; NaN = not labelled", "float32", "(regions, experiments)",
    ("gb.io.assemble", "gb.io.read_sequences", "gb.io.matched_negatives"),
)  # fmt: skip
LABEL_TASK = Slot(LABEL, "var", "task", "task of each experiment", "category", "(experiments,)", LABELS.filled_by)
LABEL_TF = Slot(
    LABEL, "var", "tf", "TF of each experiment, empty where none", "str", "(experiments,)", LABELS.filled_by
)
LABEL_CELL_TYPE = Slot(
    LABEL, "var", "cell_type", "cell type of each experiment, empty where none", "str", "(experiments,)", LABELS.filled_by
)  # fmt: skip
EMBEDDING = Slot(
    None, "obsm", "X_genebert", "joint region embedding (`key_added`)", "float32", "(regions, n_latent)", ("gb.tl.embed",)
)  # fmt: skip
PREDICTED = Slot(
    ATAC, "layers", "predicted", "transferred accessibility; NaN in cell types that were not asked for", "float32",
    "(regions, cell types)", ("gb.tl.transfer",),
)  # fmt: skip
PREDICTED_SD = Slot(
    ATAC, "layers", "predicted_sd", "its spread over models", "float32", "(regions, cell types)", PREDICTED.filled_by
)
_TASKS = ("gb.tl.classify", "gb.tl.predict")
PROBABILITY = Slot(
    None, "obsm", "task_proba",
    "calibrated probabilities, or values of `tl.regress` (`key_added` + `_proba`); columns as in `params[\"outputs\"]`",
    "float32 DataFrame; in an opened store a matrix", "(regions, outputs)", (*_TASKS, "gb.tl.regress"),
)  # fmt: skip
CALL = Slot(
    SEQ, "obs", "called", "the called class (`key_added`), where there is one", "category", "(regions,)", _TASKS
)

SLOTS = (
    CHROM, START, END, WIDTH, GC, REGION_SPLIT, DNA_CODE, SEQ_START, TF_SCORE, MOTIF_ID, FAMILY, MEMBERS, MOTIF, ACCESSIBILITY, COUNTS, OPEN,
    CELL_TYPE_SPLIT, N_CELLS, N_REPLICATES, TF_ACTIVITY, IN_TF_ACTIVITY, TF_EXPRESSION, LABELS, LABEL_TASK, LABEL_TF, LABEL_CELL_TYPE,
    PREDICTED, PREDICTED_SD, EMBEDDING, PROBABILITY, CALL,
)  # fmt: skip

CHECK_COLUMNS = ("check", "status", "count", "detail")
"""Columns of the table of `pp.check`: one row per check."""

HIT_COLUMNS = ("region", "chrom", "start", "end", "strand", "tf", "motif_id", "score", "pvalue")
"""Columns of the table of `pp.motif_hits`: one row per hit."""

EVALUATION_COLUMNS = (
    "method", "split", "output", "metric", "value", "low", "high", "gain", "gain_low", "gain_high", "n_regions", "n_positive",
    "n_seen",
)  # fmt: skip
"""Columns of ``table`` of `tl.classify`: one row per measurement; `gain` is what the task has over the method; `n_seen` counts
the regions on chromosomes whose openness, or labels, the pre-trained weights saw."""

CROSS_COLUMNS = (
    "target", "known", "holdout", "cell_type", "tf", "types", "regions", "stratum", "method", "metric", "value", "low", "high",
    "gain", "gain_low", "gain_high", "control", "control_low", "control_high", "is_best", "n_regions", "n_positive", "n_near", "marks",
)  # fmt: skip
"""Columns of ``table`` of `tl.cross_cell_type`: one row per measurement; `gain` is what genebert has over the method, `control`
what genebert has over it when the activity is shuffled."""

FEW_SHOT_COLUMNS = ("holdout", "cell_type", "unit", "n", "method", "metric", "value", "low", "high")
"""Columns of ``few_shot`` of `tl.cross_cell_type`: `n` regions or cells of the new cell type were measured;
of a mean over types the most that one had."""

VARIANT_COLUMNS = ("chrom", "pos", "ref", "alt", "id", "status")
"""First columns of tables of variants, as `io.read_variants` returns them: one row per ALT allele."""

RISK_COLUMNS = ("method", "metric", "value", "low", "high", "pvalue", "n", "n_positive")
"""Columns of the table of `tl.disease_risk`: one row per method."""

HISTORY_COLUMNS = ("epoch", "step", "split", "objective", "metric", "value", "chance")
"""Columns of ``history`` of `tl.pretrain`: one row per measurement."""


def record(mdata: Any, verb: str, key_added: str, *, params: Mapping[str, Any], **results: Any) -> None:
    """Write ``mdata.uns["genebert"][verb][key_added]``: the parameters of a call and its tables.

    Tuples become lists and text columns categories, empty where missing, since neither an h5mu nor a zarr file holds them
    otherwise. Where `mdata` lives in a store, all that the verb has set is written now, at once.
    """
    entry = {"params": storable(dict(params)), **{name: storable(value) for name, value in results.items()}}
    known = mdata.uns.get(UNS, {})
    records = {**known, verb: {**known.get(verb, {}), key_added: entry}}
    store = store_of(mdata)
    if store is not None:
        store.flush(mdata, records=records)
    mdata.uns[UNS] = records


def load_record(mdata: Any, verb: str, key_added: str, *, filled_by: str) -> dict[str, Any]:
    """Read what `record` wrote.

    Raises
    ------
    KeyError
        When nothing was written under that key; the message names what is there and who writes it.
    """
    entries = mdata.uns.get(UNS, {}).get(verb, {})
    if key_added not in entries:
        there = f" Found: {', '.join(map(repr, entries))}." if entries else ""
        msg = f'Expected mdata.uns["{UNS}"]["{verb}"]["{key_added}"], which is missing.{there} Run {filled_by} first.'
        raise MissingSlotError(msg)
    return entries[key_added]
