"""Motifs from files."""

from __future__ import annotations

import os

from genebert._motifs import Motif, default_motifs, read_motif_file

__all__ = ["read_motifs"]


def read_motifs(path: str | os.PathLike[str] | None = None) -> list[Motif]:
    r"""Read motifs from a file in MEME or JASPAR format, plain or gzipped.

    Parameters
    ----------
    path
        The file; its format is recognised by its first line. None = the motifs that ship with genebert (human, JASPAR 2026 CORE),
        with which its weights were trained.

    Returns
    -------
    The motifs in the order of the file. Each has a TF, an identifier, counts ``(length, 4)`` and, where the source names
    one, a family.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is no motif file, holds no motif, or a matrix is malformed; the message names the line.

    Examples
    --------
    >>> import tempfile, genebert as gb
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "motifs.jaspar"
    >>> _ = path.write_text(">MA1.1 GATA1\nA [0 9 0 9]\nC [0 0 0 0]\nG [9 0 0 0]\nT [0 0 9 0]\n")
    >>> gb.io.read_motifs(path)[0].tf
    'GATA1'
    >>> len(gb.io.read_motifs()) > 600
    True
    """
    return list(default_motifs()) if path is None else read_motif_file(path)
