"""Variants on the command line: `genebert variant-effect`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import genebert as gb
from genebert.io._read_variants import check_readable

__all__ = ["RESULTS", "register_variants", "variant_effect"]

RESULTS = (".tsv", ".parquet")


def register_variants(app: typer.Typer, plain_errors: Callable[..., Any]) -> None:
    """Add the command to the application."""
    app.command("variant-effect")(plain_errors(variant_effect))


def variant_effect(
    variants: Annotated[
        Path, typer.Argument(help="A VCF (.gz too) or a table with chrom, pos, ref, alt.", show_default=False)
    ],
    *,
    genome: Annotated[Path, typer.Option("--genome", "-g", help="FASTA of the genome.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: .tsv or .parquet.")],
    model: Annotated[
        Path | None, typer.Option("--model", help="Folder of a task or a model.", show_default="shipped weights")
    ] = None,
    seq_length: Annotated[
        int | None, typer.Option(min=1, help="Bases around each variant.", show_default="those of the model")
    ] = None,
    cell_type: Annotated[
        list[str] | None,
        typer.Option(help="Of a task that reads one; may be repeated.", show_default=False),
    ] = None,
    strands: Annotated[
        str, typer.Option(help="auto: as a task was fitted, both for a model; or both, or forward (a model only).")
    ] = "auto",
    motifs: Annotated[
        Path | None,
        typer.Option(
            help="File of the motifs of a model that was not trained with the shipped ones.", show_default=False
        ),
    ] = None,
    mismatch: Annotated[
        str, typer.Option(help="REF differs from the genome in most rows: error, or mark the rows and go on.")
    ] = "error",
    batch_size: Annotated[int, typer.Option(min=1, help="Variants per batch.")] = 256,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Score what variants change. Every row keeps its place and gets a status.

    Example: `genebert variant-effect variants.vcf.gz --genome hg38.fa --model my_task -o effects.tsv`
    """
    if output.suffix.lower() not in RESULTS:  # before the variants are read
        msg = f"Expected --output to end in {' or '.join(RESULTS)}; found {output.name!r}."
        raise ValueError(msg)
    if not resume and output.exists():
        msg = f"Expected no file at {output}; found one. Go on with it by --resume, or choose another name."
        raise ValueError(msg)
    check_readable(variants)
    chosen = cell_type or [None]
    found = gb.tl.variant_effect(
        variants, model, genome=genome, seq_length=seq_length, cell_type=chosen if len(chosen) > 1 else chosen[0],
        strands=strands, motifs=motifs, mismatch=mismatch, batch_size=batch_size, device=device, output=output, resume=resume,
    )  # fmt: skip
    counts = ", ".join(f"{count} {status}" for status, count in found["status"].value_counts().items())
    typer.echo(f"Wrote {output}: {len(found)} variants" + (f" ({counts})" if counts else ""))
