"""Every single-base change of a region."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from genebert._chunks import Progress
from genebert._dna import BASES, N_BASES, N, encode
from genebert._genome import Genome, check_genome
from genebert._validate import check_literal
from genebert.pp._scan_inputs import MotifSource
from genebert.tl._variant_models import DISTANCE, Scorer, Strands, as_scorer

__all__ = ["saturation_mutagenesis"]

_REGION = re.compile(r"(?P<chrom>.+):(?P<start>\d+)-(?P<end>\d+)", re.ASCII)
_SEQUENCE = re.compile(r"[ACGTUN]+", re.IGNORECASE | re.ASCII)


def saturation_mutagenesis(
    region: str,
    model: Any = None,
    *,
    genome: Genome | str | os.PathLike[str] | None = None,
    effect: str | None = None,
    seq_length: int | None = None,
    strands: Strands = "auto",
    cell_type: str | None = None,
    motifs: MotifSource = None,
    batch_size: int = 256,
    device: str = "auto",
) -> pd.DataFrame:
    """Change each base of a region into each other base and score the change.

    All changes are seen in the one window that is centred on the region, as :func:`genebert.pp.add_sequence` cuts it; a sequence
    that is shorter than the window is padded with N on the right, as in fitting.

    Parameters
    ----------
    region
        ``chrom:start-end`` (0-based, half-open), or a sequence.
    model
        A task, a :class:`genebert.model.GeneBERT`, the folder of either, or None for the weights that ship.
    genome
        Genome, or path of its FASTA; for coordinates.
    effect
        Which column of :func:`variant_effect`; by default the only one of a task, and ``"distance"`` of a model.
    seq_length
        Bases of the window, at least those of the region. Default: the task's; of a model, what it was trained on, or for a
        sequence its own length.
    strands, cell_type, motifs
        As in :func:`variant_effect`.
    batch_size
        Sequences per batch.
    device
        As in :func:`variant_effect`.

    Returns
    -------
    float32 ``(positions, 4)``, columns A, C, G, T: the effect of changing the base there into this one, 0 where it is this
    one, NaN where it is N. The index has the levels ``position``, 1-based in the genome or the sequence, and ``base``, what is there.

    Raises
    ------
    KeyError
        When the genome has no such chromosome.
    ValueError
        When `region` is neither coordinates nor a sequence, or holds no base but N, a genome is missing, the region is longer than the window, or
        `effect` is not given where there are several, or unknown.

    Examples
    --------
    >>> effects = gb.tl.saturation_mutagenesis("ACGATAACGTCCGATTGCACCGTACGTA")
    >>> effects.shape
    (28, 4)
    """
    codes, first = _codes(region, genome)
    _check_bases(codes, region)
    is_sequence = first is None
    scorer = as_scorer(
        model, strands=strands, cell_type=cell_type, seq_length=seq_length, batch_size=batch_size, motifs=motifs,
        device=device, longest=len(codes) if is_sequence else 0,
    )  # fmt: skip
    column = _column(scorer, effect)
    if len(codes) > scorer.seq_length:
        msg = (
            f"Expected a region of at most {scorer.seq_length} bp, the window of the model; found {len(codes)} bp. Cut it, or "
            "pass a greater `seq_length` with a model."
        )
        raise ValueError(msg)
    before = 0 if is_sequence else (scorer.seq_length - len(codes)) // 2
    if is_sequence:
        window = np.full(scorer.seq_length, N, dtype=np.uint8)
        window[: len(codes)] = codes
    else:
        window = _window(region, genome, before=before, seq_length=scorer.seq_length)
    values = _mutate(scorer, window, first=before, n_positions=len(codes), column=column, batch_size=batch_size)
    index = pd.MultiIndex.from_arrays(
        [np.arange(len(codes)) + (1 if is_sequence else first + 1), [BASES[code] for code in codes]],
        names=["position", "base"],
    )
    return pd.DataFrame(values, index=index, columns=list(BASES[:N_BASES]))


def _codes(region: str, genome: Genome | str | os.PathLike[str] | None) -> tuple[np.ndarray, int | None]:
    """Bases of a region, and its start; None for a sequence."""
    found = _REGION.fullmatch(region) if isinstance(region, str) else None
    if found is None:
        if not isinstance(region, str) or not _SEQUENCE.fullmatch(region):
            shown = repr(region)[:60]
            msg = f"Expected `region` to be chrom:start-end or a sequence of A, C, G, T and N; found {shown}."
            raise ValueError(msg)
        return encode(region), None
    start, end = int(found["start"]), int(found["end"])
    if genome is None:
        msg = f"Expected `genome` with coordinates; found None for {region!r}. Give gb.Genome(path)."
        raise ValueError(msg)
    if end <= start:
        raise ValueError(f"Expected `region` with its end behind its start; found {region!r}.")
    check_genome(genome, or_path=True)
    genome = genome if isinstance(genome, Genome) else Genome(genome)
    return genome.fetch(found["chrom"], start, end), start


def _check_bases(codes: np.ndarray, region: str) -> None:
    """Raise where there is nothing to change: in a gap of the genome, or beyond its end."""
    if (codes == N).all():
        msg = (
            f"Expected `region` with A, C, G or T; found nothing but N in {region[:60]!r}, as in a gap of the genome or beyond "
            "the end of a chromosome. Choose another region, or a FASTA that holds it."
        )
        raise ValueError(msg)


def _window(region: str, genome: Genome | str | os.PathLike[str], *, before: int, seq_length: int) -> np.ndarray:
    found = _REGION.fullmatch(region)
    genome = genome if isinstance(genome, Genome) else Genome(genome)
    start = int(found["start"]) - before
    return genome.fetch(found["chrom"], start, start + seq_length)


def _column(scorer: Scorer, effect: str | None) -> int:
    """Place of the effect that is asked for among those of a model."""
    if effect is None:
        if len(scorer.columns) > 1 and DISTANCE not in scorer.columns:
            msg = f"Expected `effect`, one of {', '.join(map(repr, scorer.columns))}; found None."
            raise ValueError(msg)
        effect = DISTANCE if DISTANCE in scorer.columns else scorer.columns[0]
    check_literal(effect, scorer.columns, name="effect")
    return scorer.columns.index(effect)


def _mutate(
    scorer: Scorer, window: np.ndarray, *, first: int, n_positions: int, column: int, batch_size: int
) -> np.ndarray:
    """Score all changes of some positions of a window, float32 ``(positions, 4)``."""
    bases = window[first : first + n_positions]
    values = np.where(bases[:, None] == N, np.nan, 0.0).repeat(N_BASES, axis=1).astype(np.float32)
    reference = scorer.read(window[None])
    changes = [
        (place, base) for place in range(n_positions) for base in range(N_BASES) if bases[place] not in {base, N}
    ]
    progress = Progress("saturation mutagenesis", len(changes), unit="changes", device=scorer.device)
    for batch in _batches(changes, batch_size):
        place, base = np.array(batch).T
        mutated = np.tile(window, (len(batch), 1))
        mutated[np.arange(len(batch)), first + place] = base
        compared, _ = scorer.compare(np.repeat(reference, len(batch), axis=0), scorer.read(mutated))
        values[place, base] = compared[:, column]
        progress.update(len(batch))
    return values


def _batches(items: list[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
