"""What a variant changes: both alleles through a task or a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genebert._chunks import Progress, row_chunks
from genebert._genome import Genome, check_genome
from genebert._logging import info
from genebert._validate import check_literal
from genebert._variants import (
    DUPLICATE,
    REF_SEQUENCE,
    SCORABLE,
    STATUS,
    AlleleCodes,
    alleles_as_sequences,
    alleles_in_genome,
)
from genebert.io._read_variants import Mismatch
from genebert.pp._scan_inputs import MotifSource
from genebert.tl._variant_models import Scorer, Strands, as_scorer
from genebert.tl._variant_output import EffectFile, fingerprint_of
from genebert.tl._variant_tables import (
    SEQUENCES,
    genome_table,
    has_sequences,
    longest_alleles,
    mark_window,
    sequence_table,
)

__all__ = ["variant_effect"]


def variant_effect(
    variants: pd.DataFrame | str | os.PathLike[str],
    model: Any = None,
    *,
    genome: Genome | str | os.PathLike[str] | None = None,
    seq_length: int | None = None,
    strands: Strands = "auto",
    cell_type: str | Sequence[str] | None = None,
    motifs: MotifSource = None,
    mismatch: Mismatch = "error",
    batch_size: int = 256,
    device: str = "auto",
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> pd.DataFrame:
    """Score what variants change: SNVs, MNVs and indels, each allele in a window of the genome.

    Each allele is placed in the middle of a window by the one rule: the first base of an allele of ``n`` bases stands at
    ``(seq_length - n) // 2``, and the bases that flank the variant in the genome fill the rest. So an indel is scored as
    the two sequences that one would write by hand. Exchanging REF and ALT, where the sequences are given or the genome holds
    the one or the other, flips the sign of each effect exactly.

    Parameters
    ----------
    variants
        Table as :func:`genebert.io.read_variants` returns it, or a path that it reads. Rows with another status than ``ok``,
        ``multi-allelic`` or ``alleles swapped`` are kept and not scored; what an earlier call said about its genome or its
        window is found anew. A table with the columns ``ref_sequence`` and ``alt_sequence`` needs no genome and no
        coordinates; shorter sequences are padded with N on the right, as in fitting, longer ones are cut alike on both sides.
    model
        A task (:class:`genebert.model.Task`), a :class:`genebert.model.GeneBERT`, the folder of either, or None for the
        weights that ship.
    genome
        Genome, or path of its FASTA; not for given sequences.
    seq_length
        Bases per window. Default: the task's, the length that the model was trained on, or that of the longest sequence given.
    strands
        ``"auto"``: as a task was fitted, both for a model. ``"both"``: average over the window and its reverse complement.
        ``"forward"``: as it lies on the reference, for a model only.
    cell_type
        One or several, for a task that reads one; several give a column each.
    motifs
        Motifs of a model that was not trained with the shipped ones.
    mismatch
        As in :func:`genebert.io.read_variants`: when REF differs from the genome in most rows, ``"error"``, or ``"mark"`` them.
    batch_size
        Variants per batch; memory does not grow with their number beyond the table itself.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...; for a model. A task stays where it is.
    output
        Where to write, ``.tsv`` or ``.parquet``: batch by batch into ``<output>.partial``, then under this name, with the options in
        ``<output>.json``.
    resume
        Go on with what a stopped run left at `output`.

    Returns
    -------
    The table without its sequences, with float32 columns behind it, NaN where the status says why:

    - with a task: ``effect_<output>``, ALT minus REF of its log-odds (of several classes, each against the others; of a regression,
      in standard deviations), and ``effect_<output>@<cell type>`` for several cell types: with the region open in that one.
    - with a GeneBERT: ``effect_<label>`` of the head of :func:`genebert.tl.finetune` where it has one; ``effect_motif``, the
      change of the motif score that changes most, in bits, be it a site or not, and ``motif`` (str), its TF; ``distance``, Euclidean, of the
      embeddings, which has no sign.

    ``status`` gains ``allele too long``, for alleles that do not fit into the window, and ``change cut off``, for given sequences
    that are longer than the window and differ outside of it.

    Raises
    ------
    FileExistsError
        When there is something at `output` and `resume` is False.
    TypeError
        When `model` is neither task nor model.
    ValueError
        When there is neither genome nor sequences, most REF alleles differ from the genome, or an option does not fit.

    Examples
    --------
    >>> cohort = gb.datasets.toy_cohort(n_individuals=20, n_variants=48)
    >>> effects = gb.tl.variant_effect(cohort.var.head(8))
    >>> effects["status"].unique().tolist()
    ['ok']
    """
    if resume and output is None:
        raise ValueError("Expected `output` with `resume`; found None. Name the file that the stopped run wrote.")
    check_literal(mismatch, Mismatch, name="mismatch")
    is_given = has_sequences(variants)
    if not is_given and genome is None:
        msg = f"Expected `genome`, or variants with columns {' and '.join(SEQUENCES)}; found neither. Give gb.Genome(path)."
        raise ValueError(msg)
    if genome is not None:
        check_genome(genome, or_path=True)
        genome = genome if isinstance(genome, Genome) else Genome(genome)
    table = sequence_table(variants) if is_given else genome_table(variants, genome, mismatch=mismatch)
    scorer = as_scorer(
        model, strands=strands, cell_type=cell_type, seq_length=seq_length, batch_size=batch_size, motifs=motifs,
        device=device, longest=int(longest_alleles(table).max(initial=0)) if is_given else 0,
    )  # fmt: skip
    mark_window(table, seq_length=scorer.seq_length)
    description = {
        "variants": fingerprint_of(table), "model": scorer.digest, "genome": None if genome is None else str(genome.path),
        "seq_length": scorer.seq_length, "strands": strands, "columns": scorer.columns, "batch_size": batch_size,
        "cell_type": cell_type if cell_type is None or isinstance(cell_type, str) else list(cell_type),
        "motifs": scorer.motif_digest,
    }  # fmt: skip
    return _run(table, scorer, genome, batch_size=batch_size, output=output, resume=resume, description=description)


def _run(
    table: pd.DataFrame,
    scorer: Scorer,
    genome: Genome | None,
    *,
    batch_size: int,
    output: str | os.PathLike[str] | None,
    resume: bool,
    description: dict[str, Any],
) -> pd.DataFrame:
    """Score batch by batch, into memory or into a file."""
    texts = scorer.texts
    columns = [*scorer.columns, *texts]
    shown = table.drop(columns=[name for name in SEQUENCES if name in table])
    if taken := [name for name in columns if name in shown]:
        shown = shown.drop(columns=taken)  # of an earlier run
    path = None if output is None else Path(output)
    file = None if path is None else EffectFile(path, columns=columns, description=description, resume=resume)
    parts, n_before = [], 0 if file is None else len(table) if file.is_complete else file.n_done
    progress = Progress("variant effects", len(table) - n_before, unit="variants", device=scorer.device)
    for rows in row_chunks(len(table), step=batch_size):
        if rows.stop <= n_before:
            continue
        part = _score(table.iloc[rows], scorer, genome).iloc[max(n_before - rows.start, 0) :]
        parts.append(part) if file is None else file.append(part)
        progress.update(len(part))
    if file is not None:
        effects = file.read()
    else:
        empty = pd.DataFrame(columns=columns)
        effects = pd.concat(parts, ignore_index=True) if parts else empty
    for name in columns:
        is_text = name in texts
        values = effects[name].astype(object) if is_text else _numbers(effects[name])
        shown[name] = values.fillna("").to_numpy() if is_text else values.to_numpy()
    if file is not None and not file.is_complete:
        file.finish(shown)
    _tell(shown, progress)
    return shown


def _numbers(column: pd.Series) -> pd.Series:
    """Numbers, which a file holds as text."""
    is_text = not pd.api.types.is_numeric_dtype(column)
    return (pd.to_numeric(column.astype(object)) if is_text else column).astype(np.float32)


def _score(table: pd.DataFrame, scorer: Scorer, genome: Genome | None) -> pd.DataFrame:
    """Effects of some rows; NaN and empty where there is nothing to score."""
    status = table[STATUS].to_numpy()
    scored = np.isin(status, SCORABLE)
    values = np.full((len(table), len(scorer.columns)), np.nan, dtype=np.float32)
    labels = {name: np.full(len(table), "", dtype=object) for name in scorer.texts}
    if scored.any():
        chosen = table[scored]
        if REF_SEQUENCE in table:
            pair = alleles_as_sequences(chosen, seq_length=scorer.seq_length)
        else:
            pair = alleles_in_genome(chosen, status[scored], genome, seq_length=scorer.seq_length)
        values[scored], found = compare_alleles(scorer, pair)
        for name in scorer.texts:
            labels[name][scored] = found[name]
    return pd.DataFrame(values, columns=scorer.columns).assign(**labels)


def compare_alleles(scorer: Scorer, pair: AlleleCodes) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Effects of pairs of sequences, the same to the last bit, but for the sign, when they are exchanged.

    Of each pair the one that comes first in the alphabet is read first: matrix products round by the place of a row.
    """
    difference = pair.ref.astype(np.int16) - pair.alt
    place = (difference != 0).argmax(axis=1)
    turned = difference[np.arange(len(place)), place] > 0
    first = np.where(turned[:, None], pair.alt, pair.ref)
    second = np.where(turned[:, None], pair.ref, pair.alt)
    read = scorer.read(np.concatenate([first, second]))
    values, labels = scorer.compare(read[: len(first)], read[len(first) :])
    values[turned, : scorer.n_signed] *= -1
    return values, labels


def _tell(table: pd.DataFrame, progress: Progress) -> None:
    scored = int(table[STATUS].isin(SCORABLE).sum())
    left_out = table[STATUS][~table[STATUS].isin((*SCORABLE, DUPLICATE))].value_counts()
    reasons = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items())
    info(
        f"variant effects: {scored:,} of {len(table):,} scored"
        + (f" (left out: {reasons})" if reasons else "")
        + f" | {progress.speed:,.0f} variants/s"
    )
