"""Results that are written batch by batch, so that a run that was stopped can go on."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from genebert._chunks import row_chunks
from genebert._validate import listed

__all__ = ["EffectFile", "fingerprint_of"]

SUFFIXES = (".tsv", ".parquet")


def fingerprint_of(table: pd.DataFrame) -> str:
    """Sha256 over the values of a table."""
    digest = hashlib.sha256("\t".join(map(str, table.columns)).encode())
    for column in table.columns:
        for rows in row_chunks(len(table)):
            digest.update("".join(f"{value}\n" for value in table[column].iloc[rows]).encode())
    return digest.hexdigest()[:16]


class EffectFile:
    """A table that grows by rows in ``<name>.partial`` and gets its name when it is complete.

    Parameters
    ----------
    path
        Ends in ``.tsv`` or ``.parquet``.
    columns
        Of the rows.
    description
        What the rows depend on; it stands in the first line of the partial file and in ``<name>.json``, and a run goes
        on only where it is the same.
    resume
        Go on with what is there.

    Raises
    ------
    FileExistsError
        When there is a file and `resume` is False.
    ValueError
        When the name has another end, or what is there was computed from something else.
    ImportError
        When a parquet file cannot be written here.
    """

    def __init__(self, path: Path, *, columns: list[str], description: Mapping[str, Any], resume: bool) -> None:
        if path.suffix.lower() not in SUFFIXES:
            msg = f"Expected `output` to end in {' or '.join(SUFFIXES)}; found {path.name!r}."
            raise ValueError(msg)
        if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
            msg = "Expected pyarrow, which writes .parquet; it is not installed. Run: pip install pyarrow, or write a .tsv."
            raise ImportError(msg)
        self.path, self.columns = path, columns
        self.partial, self.note = (path.with_name(path.name + suffix) for suffix in (".partial", ".json"))
        self.text = json.dumps(dict(description), sort_keys=True)
        there = [file for file in (path, self.partial) if file.exists()]
        if there and not resume:
            msg = f"Expected no file at {there[0]}; found one. Pass `resume=True` to go on with it, or remove it."
            raise FileExistsError(msg)
        self.is_complete = path.exists()
        self.n_done = 0
        if self.is_complete:
            self._check(self.note.read_text().strip() if self.note.is_file() else "")
        elif self.partial.exists():
            self._take_up()
        if not self.is_complete and not self.partial.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.partial.write_text(f"{self.text}\n" + "\t".join(columns) + "\n")

    def _take_up(self) -> None:
        """Count the whole lines; one that a kill cut short goes."""
        content = self.partial.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.decode().splitlines()
        if len(lines) < 2:  # stopped before the first batch
            self.partial.unlink()
            return
        self._check(lines[0])
        if len(whole) < len(content):
            os.truncate(self.partial, len(whole))
        self.n_done = len(lines) - 2

    def _check(self, found: str) -> None:
        if found == self.text:
            return
        before, now = (json.loads(text) if text else {} for text in (found, self.text))
        wrong = [name for name in now if before.get(name) != now[name]]
        msg = (
            f"Expected {self.path} to have been begun with the same variants, model and options; {listed(wrong)} differ. "
            "Remove it, or choose another `output`."
        )
        raise ValueError(msg)

    def append(self, rows: pd.DataFrame) -> None:
        """Add rows."""
        buffer = StringIO()
        rows[self.columns].to_csv(buffer, sep="\t", header=False, index=False, lineterminator="\n")
        with self.partial.open("a", newline="") as handle:
            handle.write(buffer.getvalue())

    def read(self) -> pd.DataFrame:
        """All rows so far."""
        if self.is_complete and self.path.suffix.lower() == ".parquet":
            return pd.read_parquet(self.path)
        source, skip = (self.path, 0) if self.is_complete else (self.partial, 1)
        return pd.read_csv(
            source, sep="\t", skiprows=skip, keep_default_na=False, float_precision="round_trip", dtype=str
        )

    def finish(self, table: pd.DataFrame) -> None:
        """Write the complete table under its name, at once."""
        self.note.write_text(f"{self.text}\n")
        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            if self.path.suffix.lower() == ".parquet":
                table.to_parquet(scratch, index=False)
            else:
                table.to_csv(scratch, sep="\t", index=False, lineterminator="\n")
            os.replace(scratch, self.path)
        finally:
            scratch.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)
        self.is_complete = True
