"""The command line: files in, files out, each command a few calls of the API."""

from __future__ import annotations

import functools
import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import genebert as gb
from genebert import _keys, _mudata
from genebert._cli_cross import register_cross
from genebert._cli_files import CELLS, check_output, check_sequences, ends_in, read
from genebert._cli_tasks import register_tasks
from genebert._cli_variants import register_variants

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["app"]

app = typer.Typer(
    name="genebert",
    help="Embed accessible regions of the genome from their DNA and the transcription factors around them.\n\n"
    "Start with `genebert demo`. On your own files: `scan`, then `embed`; `pretrain` if you want weights of your own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

CHATTY = ("lightning.pytorch.utilities.rank_zero", "scvi.data")
"""Loggers that speak to developers."""

Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write: a name that ends in .h5mu or .zarr.")]
Data = Annotated[Path, typer.Argument(help="An .h5mu or .zarr file, as `genebert scan` writes it.", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")]


def _plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """What the user can put right is one line on stderr and status 1; anything else is a bug and keeps its traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except FileNotFoundError as error:
            name = error.filename if error.filename is not None else error
            _fail(f"Expected a file that exists; found none at {name}." if error.filename is not None else str(name))
        except (KeyError, ValueError, ImportError, OSError) as error:
            _fail(str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error))

    return run


def _fail(message: str) -> None:
    message = re.sub(r'\b(duplicates|missing|mismatch)="(\w+)"', r"--\1 \2", message)  # as an option is given here
    message = message.replace("resume=True", "--resume").replace(
        "another `checkpoint_dir` for another run", "another folder with --output"
    )
    typer.echo(f"Error: {' '.join(message.split())}", err=True)
    raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    for name in CHATTY:
        logging.getLogger(name).setLevel("WARNING")
    warnings.filterwarnings("ignore", module="lightning")
    if version:
        typer.echo(gb.__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
@_plain_errors
def demo(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")] = Path("demo_output"),
    n_regions: Annotated[int, typer.Option(min=200, help="Regions of toy data.")] = 2000,
    max_epochs: Annotated[int, typer.Option(min=1, help="Epochs of the short pre-training.")] = 8,
    device: Device = "auto",
) -> None:
    """Go from toy data to an embedding, clusters and plots. Needs no file and no network.

    Example: `genebert demo --output demo_output`
    """
    import scanpy as sc

    output.mkdir(parents=True, exist_ok=True)
    typer.echo(f"1/5  toy data: {n_regions} regions with planted motifs")
    mdata = gb.datasets.toy(n_regions=n_regions)
    typer.echo("2/5  motif scan")
    gb.pp.scan_motifs(mdata)
    typer.echo("3/5  embedding, with the weights that ship with the package")
    gb.tl.embed(mdata, gb.tl.load(device=device))
    typer.echo("4/5  a short pre-training of a tiny network, to show its loss curves")
    gb.tl.pretrain(mdata, preset="tiny", max_epochs=max_epochs, batch_size=64, accelerator=device)
    typer.echo("5/5  neighbours, UMAP, clusters, plots")
    sc.pp.neighbors(mdata, use_rep=_keys.EMBEDDING.key)
    sc.tl.umap(mdata)
    sc.tl.leiden(mdata, flavor="igraph", n_iterations=2)
    gb.io.write(mdata, output / "demo.h5mu")
    written = [output / "demo.h5mu", *_draw(mdata, output)]
    typer.echo("Wrote " + "\n      ".join(map(str, written)))


def _draw(mdata: MuData, folder: Path) -> list[Path]:
    """Save the plots of the demo; return their paths."""
    axes = {
        "umap": gb.pl.embedding(mdata, color="leiden"),
        "tf_matrix": gb.pl.tf_matrix(mdata),
        "history": gb.pl.history(mdata),
    }
    paths = []
    for name, ax in axes.items():
        paths.append(folder / f"{name}.png")
        figure = ax.figure if hasattr(ax, "figure") else ax[0].figure
        figure.savefig(paths[-1], dpi=150, bbox_inches="tight")
    return paths


@app.command()
@_plain_errors
def scan(
    regions: Annotated[
        Path,
        typer.Argument(
            help="Regions (.bed, .narrowPeak), sequences (.fa, .tsv with a column `sequence`), cells x peaks (.h5ad) or an .h5mu.",
            show_default=False,
        ),
    ],
    *,
    output: Output,
    genome: Annotated[
        Path | None,
        typer.Option("--genome", "-g", help="FASTA of the genome; needed for regions and for cells x peaks."),
    ] = None,
    groupby: Annotated[
        str | None, typer.Option(help="Column with the cell type of each cell; for cells x peaks.")
    ] = None,
    replicate: Annotated[str | None, typer.Option(help="Column with the donor of each cell, beside --groupby.")] = None,
    motifs: Annotated[
        Path | None, typer.Option("--motifs", "-m", help="MEME or JASPAR file. Without: those of the shipped weights.")
    ] = None,
    seq_length: Annotated[int | None, typer.Option(help="Bases read around each region's centre.")] = None,
    edge: Annotated[str, typer.Option(help="Regions past the end of a chromosome: pad, shift, drop or error.")] = "pad",
    missing: Annotated[
        str, typer.Option(help="Regions on chromosomes that the genome does not have: error or drop.")
    ] = "error",
    duplicates: Annotated[
        str, typer.Option(help="Regions that occur more than once in a .bed or .narrowPeak: error or drop.")
    ] = "error",
) -> None:
    """Read regions, fetch their DNA and score every motif in every region.

    Examples:

    `genebert scan peaks.bed --genome hg38.fa -o peaks.h5mu`

    `genebert scan promoters.fa --motifs my_motifs.meme -o promoters.h5mu`

    `genebert scan atac.h5ad --groupby cell_type --genome hg38.fa -o atac.h5mu`
    """
    check_output(output)
    if ends_in(regions, CELLS):  # pooling them takes long
        check_sequences(regions, has_sequences=genome is not None)
    mdata = read(regions, groupby=groupby, replicate=replicate, duplicates=duplicates)
    if genome is not None:
        gb.pp.add_sequence(mdata, gb.Genome(genome), seq_length=seq_length, edge=edge, missing=missing)
    check_sequences(regions, has_sequences=_keys.DNA_CODE.has(mdata))
    gb.pp.scan_motifs(mdata, None if motifs is None else gb.io.read_motifs(motifs))
    _write(mdata, output)


@app.command()
@_plain_errors
def pretrain(
    data: Data,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model and its checkpoints.")],
    preset: Annotated[str, typer.Option(help="Size of the network: mini, base, paper, or tiny for a trial.")] = "mini",
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the regions.", show_default="20")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="Regions per step, on all devices together.", show_default="256")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.", show_default="0.001")] = None,
    precision: Annotated[str, typer.Option(help="bf16, 32, or auto: bf16 on a GPU that has it.")] = "auto",
    device: Device = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many of them, on each node.")] = 1,
    num_nodes: Annotated[int, typer.Option(min=1, help="Nodes of a cluster, each with as many devices.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint, if there is one.")] = False,
) -> None:
    """Learn from your own regions, without labels.

    A .zarr is read block by block, whatever its size. Every ten minutes the run is saved, and `--resume` takes it up.

    Examples:

    `genebert pretrain peaks.h5mu -o my_model`

    `genebert pretrain peaks.zarr --preset base --devices 8 --resume -o my_model`
    """
    from genebert.model._pretrained import WEIGHTS

    if (output / WEIGHTS).exists() and not resume:  # hours later it would be refused, and the model lost
        msg = f"Expected no model in {output}; found one. Choose another folder, or remove it."
        raise ValueError(msg)
    given = {"max_epochs": max_epochs, "batch_size": batch_size, "lr": lr}
    options = {name: value for name, value in given.items() if value is not None}
    with _mudata.quiet():  # a copy: the store stays as it is
        mdata = gb.io.open(data).copy() if data.suffix == ".zarr" else gb.io.read(data)
    model = gb.tl.pretrain(
        mdata, preset=preset, precision=precision, accelerator=device, devices=devices, num_nodes=num_nodes,
        checkpoint_dir=output / "checkpoint", resume=resume, **options,
    )  # fmt: skip
    if not model.is_first_process:
        return
    model.save(output, overwrite=resume)
    gb.get.history(mdata).to_csv(output / "history.tsv", sep="\t", index=False)
    typer.echo(f"Wrote {output}: the model, its losses in history.tsv, and its last checkpoint")


@app.command()
@_plain_errors
def embed(
    data: Data,
    *,
    output: Output,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Folder that `genebert pretrain` wrote.", show_default="shipped weights"),
    ] = None,
    cell_type: Annotated[
        str | None,
        typer.Option(help="See each region among those that are open in this cell type.", show_default="alone"),
    ] = None,
    device: Device = "auto",
) -> None:
    """Put one vector per region into the file, ready for scanpy.

    Examples:

    `genebert embed peaks.h5mu -o embedded.h5mu`

    `genebert embed peaks.h5mu --model my_model --cell-type Monocytes -o embedded.h5mu`
    """
    check_output(output)
    mdata = gb.io.read(data)
    gb.tl.embed(mdata, gb.tl.load("mini" if model is None else model, device=device), cell_type=cell_type)
    _write(mdata, output)


register_tasks(app, _plain_errors)
register_variants(app, _plain_errors)
register_cross(app, _plain_errors)


def _write(mdata: MuData, path: Path) -> None:
    gb.io.write(mdata, path)
    typer.echo(f"Wrote {path}: {mdata.n_obs} regions")
