"""Checkpoints of a training run: one file, written whole or not at all, of tensors and plain values."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from genebert._validate import listed

__all__ = ["CHECKPOINT", "check_same", "read_checkpoint", "write_checkpoint"]

CHECKPOINT = "checkpoint.pt"
FORMAT_VERSION = 1
_OF_DATA = ("n_steps", "network n_tfs")
"""What follows from the data, not only from what is passed."""


def write_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write ``checkpoint.pt`` under a temporary name, force it to disk, and then put it in the place of the earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    for scratch in folder.glob(f".{CHECKPOINT}.*"):
        scratch.unlink(missing_ok=True)  # of a run that was killed while it wrote
    scratch = folder / f".{CHECKPOINT}.{os.getpid()}"
    with scratch.open("wb") as file:
        torch.save({"format_version": FORMAT_VERSION, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, folder / CHECKPOINT)
    _force(folder)


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read what `write_checkpoint` wrote; None where nothing is there.

    Raises
    ------
    ValueError
        When it is damaged, or a newer genebert wrote it.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first_line = str(error).partition("\n")[0]
        msg = f"Expected a checkpoint; {path} cannot be read ({first_line}). Remove it to begin anew."
        raise ValueError(msg) from error
    version = state.pop("format_version", None)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        msg = (
            f"Expected a checkpoint of format {FORMAT_VERSION} or older; found {version!r} in {path}. Upgrade genebert."
        )
        raise ValueError(msg)
    return state


def check_same(state: Mapping[str, Any], *, settings: Mapping[str, Any], data: str, folder: Path) -> None:
    """Raise where a checkpoint belongs to another run.

    Raises
    ------
    ValueError
        When settings or data differ from those that it was written with.
    """
    there, here = _flat(state["settings"]), _flat(settings)
    is_other_data = state["data"] != data
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if is_other_data:
        names = [name for name in names if name not in _OF_DATA]
    if names:
        found = listed((f"{name}={here.get(name)!r} (there {there.get(name)!r})" for name in names), most=8)
        msg = (
            f"Expected the settings that the checkpoint in {folder} was written with; found {found}. Pass those, or name "
            "another `checkpoint_dir` for another run."
        )
        raise ValueError(msg)
    if is_other_data:
        msg = (
            f"Expected the data that the checkpoint in {folder} was written with; found other regions, open calls, "
            "sequences or scores, or the same in memory instead of a store. Give the same data in the same way, or name "
            "another `checkpoint_dir` for another run."
        )
        raise ValueError(msg)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of the network one by one, so that only what differs is told."""
    network = {f"network {name}": value for name, value in settings.get("network", {}).items()}
    return {**{name: value for name, value in settings.items() if name != "network"}, **network}


def _force(folder: Path) -> None:
    """Bring a change of names to disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
