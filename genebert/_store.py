"""The zarr store that a MuData lives in: matrices are read chunk by chunk, results are written there as they come."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from genebert._chunks import ROWS
from genebert._transaction import ROOT_FILES, Transaction, chunks_of, folder_beside

__all__ = ["HANDLE", "Scratch", "ScratchCSR", "Store", "empty", "empty_csr", "store_of"]

HANDLE = "_genebert_store"
"""Attribute of a MuData that lives in a store; its copies and views have none."""

_MATRICES = ("X", "obsm", "layers")
_TABLES = ("obs", "var")
_DESCRIPTIONS = ("zarr.json", ".zarray", ".zattrs")
"""Files that tell the shape of a matrix: of zarr format 3; of 2 if it is dense; if it is sparse."""
_ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}


def store_of(mdata: Any) -> Store | None:
    """Return the store that `mdata` was opened from; None for one in memory."""
    return vars(mdata).get(HANDLE)


def empty(mdata: Any, shape: tuple[int, int], dtype: Any, *, copy: bool = False) -> np.ndarray | Scratch:
    """Make a matrix of regions, to fill by ``matrix[rows] = values``: in memory, or on disk where `mdata` lives there.

    With `copy` it is for a copy of `mdata`, which lives in memory.
    """
    store = None if copy else store_of(mdata)
    if store is not None:
        store.check(mdata)
    return np.empty(shape, dtype=dtype) if store is None else Scratch(store, shape, dtype)


def empty_csr(mdata: Any, n_columns: int, *, copy: bool = False) -> ScratchCSR | MemoryCSR:
    """Make a CSR of float32, to fill by ``matrix.append(rows)``; ``matrix.finished()`` is what a slot takes."""
    store = None if copy else store_of(mdata)
    if store is not None:
        store.check(mdata)
    return MemoryCSR(n_columns) if store is None else ScratchCSR(store, n_columns)


class Store:
    """A ``.zarr`` folder on this machine, and what a verb is about to write there.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.pending: list[tuple[Any, Any]] = []
        """Slots (`genebert._keys.Slot`) and their new values, until `flush`."""
        self._later: tuple[Any, tuple[str, ...]] | None = None
        self._attach()

    def _attach(self) -> None:
        import zarr

        self.root = zarr.open_group(self.path, mode="r", use_consolidated=False)
        self.zarr_format = self.root.metadata.zarr_format
        self._stamp = self._read_stamp()

    def reread(self, mdata: Any) -> None:
        """Let matrices of `mdata` be read from what was just written over the store, in other chunks maybe."""
        self._attach()
        for prefix, owner in {"": mdata, **{f"mod/{name}/": modality for name, modality in mdata.mod.items()}}.items():
            if prefix and _is_lazy(owner.X):
                owner.X = self.lazy(f"{prefix}X")
            for attr in ("obsm", "obsp", "varm", "varp", "layers"):
                for key, value in dict(getattr(owner, attr, None) or {}).items():
                    if _is_lazy(value):
                        getattr(owner, attr)[key] = self.lazy(f"{prefix}{attr}/{key}")

    def check(self, mdata: Any) -> None:
        """Raise where what a verb computes for `mdata` could not be written, or would be written beside other data.

        Raises
        ------
        FileNotFoundError
            When the store is no longer where it was.
        PermissionError
            When it is read-only.
        ValueError
            When it was changed through another MuData, or lacks a modality.
        """
        if not self.path.exists():
            msg = f"Expected the store that was opened, at {self.path}; found nothing. Open it where it is now: gb.io.open."
            raise FileNotFoundError(msg)
        if self._read_stamp() != self._stamp:
            msg = (
                f"Expected {self.path} as it was when it was opened; it was written anew since, or changed through another "
                "MuData. Open it again: gb.io.open."
            )
            raise ValueError(msg)
        if not all(os.access(folder, os.W_OK) for folder in (self.path, self.path.parent)):
            msg = f"Expected a store that can be written to; {self.path}, or its folder, is read-only. Pass copy=True, or copy the store."
            raise PermissionError(msg)
        if absent := [name for name in mdata.mod if f"mod/{name}" not in self.root]:
            msg = (
                f"Expected modalities that are in the store; found {absent} in memory only. Write all of it first: "
                "gb.io.write(mdata, path), then gb.io.open(path)."
            )
            raise ValueError(msg)

    def _read_stamp(self) -> tuple[int, bytes] | None:
        """Each `Transaction` and each `genebert.io.write` leaves another one."""
        return _stamp(next((self.path / name for name in ROOT_FILES if (self.path / name).exists()), self.path))

    def lazy(self, place: str) -> Any:
        """Return a matrix as a dask array, or whatever else lies there as it is."""
        from anndata.experimental import read_elem_lazy
        from anndata.io import read_elem

        element = self.root[place]
        kind = element.attrs.get("encoding-type")
        if kind in ("csr_matrix", "csc_matrix"):
            n_rows, n_columns = element.attrs["shape"]
            chunks = (min(ROWS, n_rows), n_columns) if kind == "csr_matrix" else None
            return self._guarded(read_elem_lazy(element, chunks=chunks), place)
        if kind == "array" and element.ndim > 1:
            return self._guarded(read_elem_lazy(element), place)
        return read_elem(element)

    def _guarded(self, matrix: Any, place: str) -> Any:
        """Zarr takes a file that is gone for a block of zeros, so a store that was moved would read as all A."""
        import dask
        from dask.graph_manipulation import bind

        folder = self.path / place
        file = next(file for name in _DESCRIPTIONS if (file := folder / name).exists())
        return bind(matrix, dask.delayed(_check_unchanged, pure=False)(file, _stamp(file)))

    def replace(self, later: Any, *, changed: tuple[str, ...]) -> None:
        """Note the MuData as it will be once the modalities `changed` are new."""
        self._later = (later, changed)

    def forget(self) -> None:
        """Drop what an earlier verb that failed had noted."""
        self.pending.clear()
        self._later = None

    def flush(self, mdata: Any, *, records: Mapping[str, Any]) -> None:
        """Write all that was noted and the records of `genebert._keys.record`, then show it in `mdata`."""
        with Transaction(self.path) as change:
            if self._later is not None:
                _stage_modalities(change, *self._later)
            for slot, value in self.pending:
                _stage(change, slot, value)
            change.write("uns/genebert", dict(records))
        self._stamp = self._read_stamp()
        if self._later is not None:
            vars(mdata).clear()
            vars(mdata).update({**vars(self._later[0]), HANDLE: self})
        for slot, value in self.pending:
            slot.assign(mdata, self.lazy(slot.place) if slot.attr in _MATRICES else value)
        self.forget()


def _is_lazy(matrix: Any) -> bool:
    return hasattr(matrix, "compute")


def _stamp(file: Path) -> tuple[int, bytes] | None:
    """What differs once a file was written anew; None where there is none."""
    return (file.stat().st_mtime_ns, file.read_bytes()) if file.is_file() else None


def _check_unchanged(file: Path, stamp: tuple[int, bytes]) -> None:
    """Raise, before a matrix is read, unless it is still the one that was opened."""
    if _stamp(file) != stamp:
        msg = f"Expected the matrix that was opened, in {file.parent}; it was moved, removed or written anew. Open the store again: gb.io.open."
        raise FileNotFoundError(msg)


def _stage_modalities(change: Transaction, mdata: Any, changed: tuple[str, ...]) -> None:
    for name in changed:
        change.write(f"mod/{name}", mdata.mod[name])
        change.write(f"obsmap/{name}", mdata.obsmap[name])
        change.write(f"obsm/{name}", mdata.obsm[name])
    change.set_attributes("mod", **{"mod-order": list(mdata.mod)})
    change.write("var", mdata.var)
    change.write("varm", dict(mdata.varm))
    change.write("varp", dict(mdata.varp))
    change.write("varmap", dict(mdata.varmap))


def _stage(change: Transaction, slot: Any, value: Any) -> None:
    if isinstance(value, (Scratch, ScratchCSR)):
        change.move(slot.place, value.path)
        return
    change.write(slot.place, getattr(value, "array", value) if slot.attr in _TABLES else value)
    if slot.attr in _TABLES:
        table = slot.place.rsplit("/", 1)[0]
        columns = change.attributes(table)["column-order"]
        change.set_attributes(table, **{"column-order": [*(name for name in columns if name != slot.key), slot.key]})


class Scratch:
    """Matrix on disk that is filled chunk by chunk and then handed to a slot; else it goes with its last reference.

    Parameters
    ----------
    store
        Where it may end.
    shape, dtype
        Of the matrix.
    """

    def __init__(self, store: Store, shape: tuple[int, int], dtype: Any) -> None:
        import zarr

        self.shape, self.dtype = shape, np.dtype(dtype)
        self.path = _scratch_folder(self, store)
        self._array = zarr.create_array(
            self.path, shape=shape, chunks=chunks_of(shape, self.dtype), dtype=self.dtype, attributes=_ARRAY,
            zarr_format=store.zarr_format,
        )  # fmt: skip

    def __setitem__(self, rows: slice | np.ndarray, values: np.ndarray) -> None:
        if isinstance(rows, slice):
            self._array[rows] = values
            return
        order = np.argsort(rows, kind="stable")
        self._array.oindex[rows[order], :] = values[order]


class ScratchCSR:
    """CSR of float32 on disk, in anndata's encoding, that grows by rows; else like `Scratch`."""

    def __init__(self, store: Store, n_columns: int) -> None:
        import zarr

        self.path = _scratch_folder(self, store)
        self._group = zarr.open_group(self.path, mode="w", zarr_format=store.zarr_format)
        self._n_columns = n_columns
        self._indptr = [np.zeros(1, dtype=np.int64)]
        for name, dtype in (("data", np.float32), ("indices", np.int32)):
            self._group.create_array(name, shape=(0,), chunks=(2**20,), dtype=dtype, attributes=_ARRAY)

    def append(self, rows: sparse.csr_matrix) -> None:
        """Add rows behind those that are there."""
        self._group["data"].append(rows.data.astype(np.float32, copy=False))
        self._group["indices"].append(rows.indices.astype(np.int32, copy=False))
        self._indptr.append(self._indptr[-1][-1] + rows.indptr[1:].astype(np.int64))

    def finished(self) -> ScratchCSR:
        """Close it: what a slot takes."""
        from anndata.io import write_elem

        indptr = np.concatenate(self._indptr)
        write_elem(self._group, "indptr", indptr)
        shape = [len(indptr) - 1, self._n_columns]
        self._group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
        return self


class MemoryCSR:
    """`ScratchCSR` in memory."""

    def __init__(self, n_columns: int) -> None:
        self._parts = [sparse.csr_matrix((0, n_columns), dtype=np.float32)]

    def append(self, rows: sparse.csr_matrix) -> None:
        """Add rows behind those that are there."""
        self._parts.append(rows)

    def finished(self) -> sparse.csr_matrix:
        """Join the parts."""
        return sparse.vstack(self._parts, format="csr", dtype=np.float32)


def _scratch_folder(owner: Scratch | ScratchCSR, store: Store) -> Path:
    folder = folder_beside(store.path)
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder / "value"
