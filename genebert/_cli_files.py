"""What the command line reads and writes, told by the ends of names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import genebert as gb

if TYPE_CHECKING:
    from mudata import MuData

__all__ = ["CELLS", "FASTA", "TABLES", "check_output", "check_sequences", "ends_in", "read"]

CONTAINERS = (".h5mu", ".zarr")
FASTA = (".fa", ".fasta", ".fna")
TABLES = (".tsv", ".csv")
SEQUENCES = (*FASTA, *TABLES)
REGIONS = (".bed", ".narrowpeak", ".broadpeak")
CELLS = (".h5ad",)
TENX = (".h5",)
GIVE_GENOME = "Give the FASTA: --genome hg38.fa."


def ends_in(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a name ends in one of `suffixes`, compressed or not."""
    return path.name.lower().removesuffix(".gz").endswith(suffixes)


def check_sequences(path: Path, *, has_sequences: bool, remedy: str = GIVE_GENOME) -> None:
    """Raise where regions come without their DNA; a command without ``--genome`` has another `remedy`."""
    if has_sequences:
        return
    wanted = "--genome for" if remedy == GIVE_GENOME else "the DNA of"
    msg = f"Expected {wanted} the regions of {path.name!r}, which come without their DNA; found none. {remedy}"
    raise ValueError(msg)


def read(
    path: Path,
    *,
    groupby: str | None,
    replicate: str | None,
    duplicates: str,
    labels: Path | None = None,
    label_columns: Sequence[str] | None = None,
) -> MuData:
    """Read regions, sequences, cells x peaks or a MuData, by the end of the name; `labels` are those of a FASTA.

    `label_columns` are those of a table of sequences, which must be there.
    """
    if labels is not None and not ends_in(path, FASTA):
        msg = f"Expected --label-table only beside a FASTA ({', '.join(FASTA)}); found {path.name!r}. Leave it out."
        raise ValueError(msg)
    if duplicates != "error" and not ends_in(path, REGIONS):
        msg = f"Expected --duplicates only for regions ({', '.join(REGIONS)}); found {path.name!r}. Leave it out."
        raise ValueError(msg)
    if ends_in(path, CELLS):
        return _read_cells(path, groupby=groupby, replicate=replicate)
    if ends_in(path, TENX):
        msg = (
            f"Expected cells x peaks as .h5ad; found {path.name!r}, a file of 10x. Convert it with scanpy, and add the column of "
            "cell types: adata = scanpy.read_10x_h5(path, gex_only=False), then adata.write_h5ad('atac.h5ad')."
        )
        raise ValueError(msg)
    if groupby is not None or replicate is not None:
        msg = f"Expected --groupby and --replicate only for cells x peaks ({CELLS[0]}); found {path.name!r}. Leave them out."
        raise ValueError(msg)
    if ends_in(path, CONTAINERS):
        return gb.io.read(path)
    if ends_in(path, SEQUENCES):
        return gb.io.read_sequences(path, labels=labels, label_columns=label_columns)
    if ends_in(path, REGIONS):
        return gb.io.read_regions(path, duplicates=duplicates)
    known = ", ".join((*REGIONS, *SEQUENCES, *CELLS, *CONTAINERS))
    msg = f"Expected a name that ends in one of {known} (.gz is fine for text); found {path.name!r}."
    raise ValueError(msg)


def _read_cells(path: Path, *, groupby: str | None, replicate: str | None) -> MuData:
    """Pool cells from the file, without reading the matrix into memory as a whole."""
    import anndata

    adata = anndata.read_h5ad(path, backed="r")
    try:
        return gb.io.from_anndata(adata, groupby=groupby, replicate=replicate)
    finally:
        adata.file.close()


def check_output(path: Path) -> None:
    """Refuse a name that nothing could be written to before anything is computed."""
    if path.suffix not in CONTAINERS:
        msg = f"Expected --output to end in {' or '.join(CONTAINERS)}; found {path.name!r}."
        raise ValueError(msg)
