"""Tasks on the command line: `genebert classify`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import genebert as gb
from genebert import _keys
from genebert._cli_files import FASTA, TABLES, check_output, check_sequences, ends_in, read
from genebert._files import TASK_FOLDER
from genebert._validate import check_literal
from genebert.io._read_sequences import LABEL_COLUMN

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["classify", "register_tasks"]

TASKS = ("classify", "promoter", "tf_binding", "splice_site")
REMEDY = "Give sequences with labels, or put labels to what `genebert scan` writes: genebert scan peaks.bed --genome hg38.fa -o peaks.h5mu."
TABLE, PLOT, FOLDER = "evaluation.tsv", "evaluation.png", TASK_FOLDER


def register_tasks(app: typer.Typer, plain_errors: Callable[..., Any]) -> None:
    """Add the command to the application."""
    app.command()(plain_errors(classify))


def classify(
    data: Annotated[
        Path,
        typer.Argument(
            help="Sequences with labels (.tsv, .csv: columns `sequence`, `label` or those of --labels; or .fa with "
            "--label-table), or an .h5mu or .zarr with labels.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the task, its table and its plot.")],
    labels: Annotated[
        str | None,
        typer.Option("--labels", "-l", help="Columns with labels, joined by commas.", show_default="those of the task"),
    ] = None,
    label_table: Annotated[
        Path | None,
        typer.Option("--label-table", help="Labels of a FASTA (.tsv, .csv): a column `name`, the others are labels."),
    ] = None,
    task: Annotated[str, typer.Option(help=f"What is told apart: {', '.join(TASKS)}.")] = "classify",
    method: Annotated[str, typer.Option(help="finetune, or probe: a linear model on the embedding.")] = "finetune",
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Folder that `genebert pretrain` wrote.", show_default="shipped weights"),
    ] = None,
    n_models: Annotated[int, typer.Option(min=1, help="Models to average.")] = 1,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Write regions with probabilities: .h5mu or .zarr.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")] = "auto",
) -> None:
    """Learn labels of regions or sequences, beside baselines.

    Without a split in the file, sequences that share 32 bases are kept together, and a fifth is held out as test.

    Examples
    --------
    `genebert classify promoters.tsv --task promoter -o my_promoters`

    `genebert classify promoters.fa --label-table labels.tsv --task promoter -o my_promoters`

    `genebert classify peaks.h5mu --labels "CTCF|K562,CTCF|HepG2" --task tf_binding -o my_ctcf`
    """
    from genebert.model._pretrained import WEIGHTS

    check_literal(task, TASKS, name="--task")
    if predictions is not None:
        check_output(predictions)
    if (output / FOLDER / WEIGHTS).exists():
        msg = f"Expected no task in {output}; found one. Choose another folder, or remove it."
        raise ValueError(msg)
    named = None if labels is None else [name.strip() for name in labels.split(",")]
    columns = (named or [LABEL_COLUMN]) if ends_in(data, TABLES) else None
    mdata = read(data, groupby=None, replicate=None, duplicates="error", labels=label_table, label_columns=columns)
    check_sequences(data, has_sequences=_keys.DNA_CODE.has(mdata), remedy=REMEDY)
    if ends_in(data, FASTA) and label_table is None:
        msg = f"Expected labels beside the FASTA {data.name!r}; found none. Give them: --label-table labels.tsv."
        raise ValueError(msg)
    _keys.LABELS.get(mdata)
    if not _keys.REGION_SPLIT.has(mdata):
        gb.pp.split_regions(mdata, by="similarity", val=0)
    columns = list(mdata[_keys.LABEL].var_names) if named is None else named
    chosen = None if labels is None and task != "classify" else columns if len(columns) > 1 else columns[0]
    fitted = getattr(gb.tl, task)(
        mdata, model, labels=chosen, method=method, n_models=n_models, seed=seed, device=device, key_added=FOLDER
    )
    _report(mdata, fitted, output)
    if predictions is not None:
        gb.io.write(mdata, predictions)
        typer.echo(f"Wrote {predictions}: {mdata.n_obs} regions with probabilities")


def _report(mdata: MuData, task: Any, folder: Path) -> None:
    """Write the task, its table and its plot, and print how it did."""
    folder.mkdir(parents=True, exist_ok=True)
    task.save(folder / FOLDER)
    table = gb.get.evaluation(mdata, key=FOLDER)
    table.to_csv(folder / TABLE, sep="\t", index=False)
    typer.echo(f"Wrote {folder}: the task in {FOLDER}/, and its measurements in {TABLE}")
    if not len(table):
        return
    axes = gb.pl.evaluation(mdata, key=FOLDER)
    figure = axes.figure if hasattr(axes, "figure") else axes[0].figure
    figure.savefig(folder / PLOT, dpi=150, bbox_inches="tight")
    first = table[table["output"] == table["output"].iloc[0]]
    first = first[first["metric"].isin(["auroc", "mcc"] if "auroc" in set(first["metric"]) else ["accuracy"])]
    typer.echo(first[["method", "split", "metric", "value", "low", "high"]].round(3).to_string(index=False))
