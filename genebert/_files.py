"""Text files, plain or gzipped, and names of folders."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TextIO

__all__ = ["GZIP_MAGIC", "TASK_FOLDER", "open_text"]

GZIP_MAGIC = b"\x1f\x8b"
TASK_FOLDER = "task"
"""Where the task lies in a folder that `genebert classify` writes."""


def open_text(path: Path) -> TextIO:
    """Open a text file for reading; its first bytes, not its name, tell whether it is gzipped.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    """
    if not path.is_file():
        msg = f"Expected a file; found none at {path}. Check the path."
        raise FileNotFoundError(msg)
    with path.open("rb") as handle:
        is_gzip = handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return (gzip.open if is_gzip else open)(path, "rt", encoding="utf-8", errors="replace")
