"""Cell types that were held out, on the command line: `genebert cross-cell-type`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import genebert as gb
from genebert import _keys
from genebert._cli_files import check_sequences, read

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["cross_cell_type", "parse_holdout", "register_cross"]

TABLE, CURVE, PLOT = "cross_cell_type.tsv", "few_shot.tsv", "cross_cell_type.png"
REMEDY = (
    "Give what `genebert scan` writes of cells x peaks, with sequences and accessibility: "
    "genebert scan atac.h5ad --groupby cell_type --genome hg38.fa -o atac.h5mu."
)


def register_cross(app: typer.Typer, plain_errors: Callable[..., Any]) -> None:
    """Add the command to the application."""
    app.command("cross-cell-type")(plain_errors(cross_cell_type))


def parse_holdout(text: str) -> str | list[list[str]]:
    """Read ``each``, ``split``, or groups: ``"B,CD4; Mono"`` holds out B and CD4 together, then Mono."""
    if text in ("each", "split"):
        return text
    return [[name.strip() for name in group.split(",") if name.strip()] for group in text.split(";") if group.strip()]


def cross_cell_type(
    data: Annotated[
        Path,
        typer.Argument(
            help="An .h5mu or .zarr with sequences and accessibility, as `genebert scan` writes it.", show_default=False
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the table and the plot.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Folder that `genebert pretrain` wrote; none: without an encoder.",
            show_default="shipped weights",
        ),
    ] = None,
    target: Annotated[str, typer.Option(help="accessibility, or labels: TF binding.")] = "accessibility",
    known: Annotated[
        str, typer.Option(help="What is given at the scored regions: nothing, or train_cell_types, as in an atlas.")
    ] = "nothing",
    holdout: Annotated[
        str,
        typer.Option(
            help="each, split, or names: those joined by commas are held out together, groups are joined by semicolons."
        ),
    ] = "each",
    tf_weight: Annotated[
        str, typer.Option(help="How the cell type enters: activity, expression, none; of labels accessibility or open.")
    ] = "auto",
    test_chroms: Annotated[
        str | None, typer.Option(help="Chromosomes to score, joined by commas.", show_default="the test split")
    ] = None,
    few_shot: Annotated[
        str | None,
        typer.Option(help="Numbers of regions measured in the new type, joined by commas.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")] = "auto",
) -> None:
    """Hold out cell types and chromosomes: what is known of them, beside every simple explanation.

    Example: `genebert cross-cell-type atac.h5mu --holdout "B,CD4; Mono" --test-chroms chr8,chr10 -o held_out`
    """
    if (output / TABLE).exists():
        msg = f"Expected no table in {output}; found one. Choose another folder, or remove it."
        raise ValueError(msg)
    mdata = read(data, groupby=None, replicate=None, duplicates="error")
    check_sequences(data, has_sequences=_keys.DNA_CODE.has(mdata), remedy=REMEDY)
    if test_chroms is not None:
        gb.pp.split_regions(mdata, val=0, test=_names(test_chroms))
    elif not _keys.REGION_SPLIT.has(mdata):
        gb.pp.split_regions(mdata, val=0)
    if not _keys.TF_SCORE.has(mdata):
        gb.pp.scan_motifs(mdata)
    numbers = None if few_shot is None else [_number(text) for text in _names(few_shot)]
    gb.tl.cross_cell_type(
        mdata, model, target=target, known=known, holdout=parse_holdout(holdout), tf_weight=tf_weight, few_shot=numbers,
        seed=seed, device=device,
    )  # fmt: skip
    _report(mdata, output, has_curve=numbers is not None)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _number(text: str) -> int:
    if not text.isdigit():
        msg = f"Expected --few-shot as whole numbers joined by commas; found {text!r}."
        raise ValueError(msg)
    return int(text)


def _report(mdata: MuData, folder: Path, *, has_curve: bool) -> None:
    """Write the table and the plot, and print the means over held-out types."""
    folder.mkdir(parents=True, exist_ok=True)
    table = gb.get.cross_cell_type(mdata, rows="all", stratum=None)
    table.to_csv(folder / TABLE, sep="\t", index=False)
    if has_curve:
        gb.get.cross_cell_type(mdata, rows="few_shot").to_csv(folder / CURVE, sep="\t", index=False)
    axes = gb.pl.cross_cell_type(mdata)
    axes[0].figure.savefig(folder / PLOT, dpi=150, bbox_inches="tight")
    typer.echo(f"Wrote {folder}: all measurements in {TABLE}, and {PLOT}")
    means = gb.get.cross_cell_type(mdata)
    means = means[(means["holdout"] == "all") & (means["tf"] == "all")]
    columns = ["method", "known", "metric", "value", "low", "high", "gain", "gain_low", "gain_high"]
    typer.echo(means[columns].round(3).to_string(index=False))
