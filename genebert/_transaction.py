"""Changes of a zarr store that happen whole or not at all.

New elements are first put beside the store. A list of moves then says what goes where; once that list is complete the
moves are made, and a run that is killed between two of them is finished by whoever opens the store next.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genebert._chunks import ROWS

__all__ = ["Transaction", "chunks_of", "folder_beside", "recover"]

MOVES = "moves.json"
MAX_CHUNK = 2**24  # bytes
ATTRIBUTES = {2: ".zattrs", 3: "zarr.json"}  # file with the attributes of a group, by zarr format
CONSOLIDATED = ".zmetadata"


def folder_beside(path: Path) -> Path:
    """Make a folder beside a store for what is not yet part of it; its name tells whose it is."""
    return Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{_prefix(path)}{os.getpid()}-"))


def recover(path: Path) -> None:
    """Finish what a killed process had decided on, and remove what it had not."""
    for folder in path.parent.glob(f"{_prefix(path)}*"):
        owner = folder.name.removeprefix(_prefix(path)).split("-")[0]
        if owner.isdigit() and _is_alive(int(owner)):
            continue
        _make_moves(folder, path)
        shutil.rmtree(folder, ignore_errors=True)


class Transaction:
    """Changes of a store that happen together: ``with Transaction(path) as change: change.write(...)``.

    An exception inside leaves the store as it was.

    Parameters
    ----------
    path
        The ``.zarr`` folder.
    """

    def __init__(self, path: Path) -> None:
        import zarr

        self._path = path
        self._root = zarr.open_group(path, mode="r", use_consolidated=False)
        self._folder = folder_beside(path)
        self._new = zarr.open_group(self._folder / "new", mode="w", zarr_format=self._root.metadata.zarr_format)
        self._moves: dict[str, str] = {}
        """Path in the folder by place in the store."""
        self._attributes: dict[str, dict[str, Any]] = {}

    def write(self, place: str, value: Any) -> None:
        """Stage an element: whatever anndata can write."""
        from anndata.io import write_elem

        name = str(len(self._moves))
        chunked = {"chunks": chunks_of(value.shape, value.dtype)} if _is_matrix(value) else {}
        write_elem(self._new, name, value, dataset_kwargs=chunked)
        self._moves[place] = f"new/{name}"

    def move(self, place: str, folder: Path) -> None:
        """Stage an element that was written elsewhere on the same disk."""
        name = f"moved-{len(self._moves)}"
        os.replace(folder, self._folder / name)
        self._moves[place] = name

    def set_attributes(self, place: str, **attributes: Any) -> None:
        """Stage attributes of a group that is there."""
        self._attributes.setdefault(place, {}).update(attributes)

    def attributes(self, place: str) -> dict[str, Any]:
        """Attributes of a group as they will be."""
        return {**self._root[place].attrs, **self._attributes.get(place, {})}

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: type | None, *exc: object) -> None:
        try:
            if kind is None:
                self._decide()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        _make_moves(self._folder, self._path)  # where this fails, the folder stays for `recover`
        shutil.rmtree(self._folder, ignore_errors=True)

    def _decide(self) -> None:
        for place, attributes in self._attributes.items():
            self._write_attributes(place, attributes)
        # Metadata of all elements in one file would go on telling of what was there before.
        (self._path / CONSOLIDATED).unlink(missing_ok=True)
        (self._folder / f"{MOVES}.part").write_text(json.dumps(self._moves))
        os.replace(self._folder / f"{MOVES}.part", self._folder / MOVES)

    def _write_attributes(self, place: str, attributes: Mapping[str, Any]) -> None:
        file = Path(place) / ATTRIBUTES[self._root.metadata.zarr_format]
        there = self._path / file
        content = json.loads(there.read_text()) if there.exists() else {}
        (content.setdefault("attributes", {}) if self._root.metadata.zarr_format == 3 else content).update(attributes)
        name = f"attributes-{len(self._moves)}"
        (self._folder / name).write_text(json.dumps(content))
        self._moves[str(file)] = name


def _make_moves(folder: Path, target: Path) -> None:
    """Put staged elements into their places; those that are there already step aside. Can be repeated."""
    if not (folder / MOVES).exists():
        return
    (folder / "old").mkdir(exist_ok=True)
    for number, (place, name) in enumerate(json.loads((folder / MOVES).read_text()).items()):
        source, destination = folder / name, target / place
        if not source.exists():
            continue  # moved before the process was killed
        if destination.exists():
            os.replace(destination, folder / "old" / str(number))
        os.replace(source, destination)


def _prefix(path: Path) -> str:
    return f".{path.name}.{socket.gethostname()}-"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_matrix(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "biuf" and len(value) > 0


def chunks_of(shape: tuple[int, int], dtype: np.dtype) -> tuple[int, int]:
    """Whole rows, a power of two of them, so that a slice of `ROWS` rows is made of whole chunks."""
    rows = ROWS
    while rows > 1 and rows * shape[1] * dtype.itemsize > MAX_CHUNK:
        rows //= 2
    return max(1, min(rows, shape[0])), max(1, shape[1])
