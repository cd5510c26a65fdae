"""What `genebert variant-effect` does."""

from __future__ import annotations

from pathlib import Path

import typer

import genebert as gb

__all__ = ["RESULTS", "score_variants"]

RESULTS = (".tsv", ".parquet")


def score_variants(
    variants: Path,
    *,
    genome: Path,
    output: Path,
    model: Path | None,
    seq_length: int | None,
    cell_types: list[str],
    batch_size: int,
    device: str,
    resume: bool,
) -> None:
    """Read variants, score them batch by batch into `output`, and tell how many there are of each status."""
    if output.suffix.lower() not in RESULTS:  # before the variants are read
        msg = f"Expected --output to end in {' or '.join(RESULTS)}; found {output.name!r}."
        raise ValueError(msg)
    if not resume and output.exists():
        msg = f"Expected no file at {output}; found one. Go on with it by --resume, or choose another name."
        raise ValueError(msg)
    table = gb.io.read_variants(variants, genome=gb.Genome(genome))
    cell_type = None if not cell_types else cell_types[0] if len(cell_types) == 1 else cell_types
    found = gb.tl.variant_effect(
        table, model, genome=gb.Genome(genome), seq_length=seq_length, cell_type=cell_type, batch_size=batch_size,
        device=device, output=output, resume=resume,
    )  # fmt: skip
    counts = ", ".join(f"{count} {status}" for status, count in found["status"].value_counts().items())
    typer.echo(f"Wrote {output}: {len(found)} variants" + (f" ({counts})" if counts else ""))
