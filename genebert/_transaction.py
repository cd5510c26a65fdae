"""Changes of a zarr store that happen whole or not at all.

New elements are first put beside the store. A list of moves then says what goes where; once that list is complete the
moves are made, and a run that is killed between two of them is finished by whoever opens the store next, on any machine.
"""

from __future__ import annotations

import glob
import itertools
import json
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genebert._chunks import ROWS

__all__ = ["MOVES", "ROOT_FILES", "WHOLE", "Transaction", "chunks_of", "decide", "folder_beside", "recover"]

MOVES = "moves.json"
WHOLE = ""  # place of the store itself
PATIENCE = 5.0  # seconds that a process which may be alive has for its moves; they take milliseconds
MAX_CHUNK = 2**24  # bytes
ATTRIBUTES = {2: ".zattrs", 3: "zarr.json"}  # file with the attributes of a group, by zarr format
CONSOLIDATED = {2: ".zmetadata", 3: "consolidated_metadata"}  # a file beside the root's, and a key in it
ROOT_FILES = (ATTRIBUTES[3], ATTRIBUTES[2], ".zgroup")
CHANGE = "genebert-change"
"""Attribute of the root that is another one after each change."""

_OURS: set[tuple[int, str]] = set()
"""Process and name of the folders made here: the number of a process may have been that of an earlier one."""


def folder_beside(path: Path) -> Path:
    """Make a folder beside a store for what is not yet part of it; its name tells whose it is."""
    prefix = f".{path.name}.{socket.gethostname()}-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix))
    _OURS.add((os.getpid(), folder.name))
    return folder


def recover(path: Path) -> None:
    """Finish what a process had decided on that was killed or failed, and remove what one that is gone had not."""
    for folder in path.parent.glob(f"{glob.escape(f'.{path.name}.')}*-*-*"):
        host, pid, _ = folder.name.removeprefix(f".{path.name}.").rsplit("-", 2)
        is_ours = (os.getpid(), folder.name) in _OURS
        is_gone = not is_ours and host == socket.gethostname() and not _is_other_alive(pid)
        if (folder / MOVES).exists():
            if not (is_ours or is_gone):
                _wait_for(folder)
            _make_moves(folder, path)
        elif not is_gone:
            continue  # what another machine has not decided on may yet be
        shutil.rmtree(folder, ignore_errors=True)


def decide(folder: Path, moves: Mapping[str, str]) -> None:
    """Write down which path in the folder goes to which place in the store: from now on it will happen."""
    (folder / f"{MOVES}.part").write_text(json.dumps(moves))
    os.replace(folder / f"{MOVES}.part", folder / MOVES)


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

        recover(path)  # else what failed here before would later be put over this
        self._path = path
        self._root = zarr.open_group(path, mode="r", use_consolidated=False)
        self._folder = folder_beside(path)
        self._new = zarr.open_group(self._folder / "new", mode="w", zarr_format=self._root.metadata.zarr_format)
        self._moves: dict[str, str] = {}
        """Path in the folder by place in the store."""
        self._attributes: dict[str, dict[str, Any]] = {}
        self._names = map(str, itertools.count())

    def write(self, place: str, value: Any) -> None:
        """Stage an element: whatever anndata can write."""
        from anndata.io import write_elem

        name = next(self._names)
        chunked = {"chunks": chunks_of(value.shape, value.dtype)} if _is_matrix(value) else {}
        write_elem(self._new, name, value, dataset_kwargs=chunked)
        self._moves[place] = f"new/{name}"

    def move(self, place: str, folder: Path) -> None:
        """Stage an element that was written elsewhere on the same disk."""
        name = f"moved-{next(self._names)}"
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
        self.set_attributes("", **{CHANGE: uuid.uuid4().hex})
        for place, attributes in self._attributes.items():
            self._write_attributes(place, attributes)
        # Metadata of all elements in one place would go on telling of what was there before.
        (self._path / CONSOLIDATED[2]).unlink(missing_ok=True)
        decide(self._folder, self._moves)

    def _write_attributes(self, place: str, attributes: Mapping[str, Any]) -> None:
        file = Path(place) / ATTRIBUTES[self._root.metadata.zarr_format]
        there = self._path / file
        content = json.loads(there.read_text()) if there.exists() else {}
        (content.setdefault("attributes", {}) if self._root.metadata.zarr_format == 3 else content).update(attributes)
        content.pop(CONSOLIDATED[3], None)
        name = f"attributes-{next(self._names)}"
        (self._folder / name).write_text(json.dumps(content))
        self._moves[str(file)] = name


def _make_moves(folder: Path, target: Path) -> None:
    """Put staged elements into their places; those that are there already step aside. Can be repeated."""
    if not (folder / MOVES).exists():
        return
    moves = json.loads((folder / MOVES).read_text())
    if not (target.exists() or WHOLE in moves):
        return  # the store was removed since
    (folder / "old").mkdir(exist_ok=True)
    for place, name in moves.items():
        source, destination = folder / name, target / place
        if not source.exists():
            continue  # moved before the process was killed
        if destination.exists():
            os.replace(destination, Path(tempfile.mkdtemp(dir=folder / "old")) / "value")
        os.replace(source, destination)


def _wait_for(folder: Path) -> None:
    """Let a process that may be alive, here or on another machine, make its moves by itself."""
    start = time.monotonic()
    while (folder / MOVES).exists() and time.monotonic() - start < PATIENCE:
        time.sleep(0.05)


def _is_other_alive(pid: str) -> bool:
    """Whether a process of this machine lives that is not this one."""
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
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
