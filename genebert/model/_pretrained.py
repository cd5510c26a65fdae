"""Weights on disk: one safetensors file that carries its own description, and a copy of that for people; never pickle."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from genebert._files import TASK_FOLDER

__all__ = ["FORMAT_VERSION", "fingerprint", "load_state", "read_weights", "task_folder", "write_weights"]

FORMAT_VERSION = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"


def task_folder(directory: str | Path) -> Path:
    """Return the folder of a task: this one, or the one in it that `genebert classify` writes."""
    directory = _folder(directory)
    inner = directory / TASK_FOLDER
    return inner if not (directory / WEIGHTS).exists() and (inner / WEIGHTS).is_file() else directory


def write_weights(
    directory: str | Path, state: dict[str, torch.Tensor], description: dict[str, Any], *, overwrite: bool, half: bool
) -> None:
    """Write ``model.safetensors`` and ``config.json``, each under a temporary name until it is complete.

    Parameters
    ----------
    directory
        Where to. Other files that lie there, such as a model card, stay.
    state
        Tensors by name.
    description
        Config, TFs and training record, as JSON holds them. It goes into the weights file too, which is the one that
        is read, so that a crash between the two files leaves a model that is either the old or the new one.
    overwrite
        Whether a model that is there may be replaced.
    half
        Store floats in 16 bits: half the size, a relative error of 5e-4.
    """
    directory = _folder(directory)
    if (directory / WEIGHTS).exists() and not overwrite:
        msg = f"Expected no model in {directory}; found one. Pass `overwrite=True` or another folder."
        raise FileExistsError(msg)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    description = {"format_version": FORMAT_VERSION, "sha256": fingerprint(state), **description}
    text = json.dumps(description, indent=1)
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / WEIGHTS, save(state, metadata={"genebert": text}))
    _replace(directory / CONFIG, f"{text}\n".encode())


def read_weights(
    directory: str | Path, *, part: Literal["config", "task"] = "config"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_weights` wrote, as float32.

    Parameters
    ----------
    directory
        Where it lies.
    part
        What the description must hold: the config of a model, or a task.

    Raises
    ------
    TypeError
        When it is no path.
    FileNotFoundError
        When the folder holds no model or task.
    ValueError
        When the file is no genebert model or task, is the other of the two, is damaged, or has a newer format than this genebert knows.
    """
    directory = _folder(directory)
    path = directory / WEIGHTS
    if not path.is_file():
        what, writer = ("genebert model", "model.save") if part == "config" else ("fitted task", "task.save")
        msg = f"Expected a {what} in {directory}; {WEIGHTS} is missing. Write one with `{writer}(folder)`."
        raise FileNotFoundError(msg)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a safe_open is no mapping)
    except SafetensorError as error:
        msg = f"Expected a safetensors file; {path} cannot be read ({error}). Copy it again."
        raise ValueError(msg) from error
    if "genebert" not in metadata:
        msg = f"Expected weights that genebert wrote; {path} carries no description. Write them with `model.save(folder)`."
        raise ValueError(msg)
    description = json.loads(metadata["genebert"])
    version = description.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        msg = f"Expected weights of format {FORMAT_VERSION} or older; found {version!r} in {path}. Upgrade genebert."
        raise ValueError(msg)
    if part not in description:
        expected, other, reader = (
            ("model", "task", "gb.model.Task.load") if part == "config" else ("task", "model", "gb.tl.load")
        )
        msg = f"Expected a {expected} in {directory}; found a {other}. Read it with {reader}(folder)."
        raise ValueError(msg)
    found = fingerprint(state)
    if found != description["sha256"]:
        msg = f"Expected tensors with sha256 {description['sha256'][:12]}...; found {found[:12]}... in {path}. Copy it again."
        raise ValueError(msg)
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()
    }, description


def load_state(module: torch.nn.Module, state: dict[str, torch.Tensor], *, directory: Path) -> None:
    """Put tensors into a network.

    Raises
    ------
    ValueError
        When names or shapes are not those that this genebert builds from the config.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        first = wrong[0]
        msg = (
            f"Expected tensors as this genebert builds them; {len(wrong)} in {directory} differ, the first is {first}: "
            f"expected {wanted.get(first)}, found {found.get(first)}. Use the genebert version that wrote the model."
        )
        raise ValueError(msg)
    module.load_state_dict(state)


def fingerprint(state: dict[str, torch.Tensor]) -> str:
    """Sha256 over names, types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}".encode())
        digest.update(state[name].cpu().numpy().tobytes())
    return digest.hexdigest()


def _folder(directory: str | Path) -> Path:
    if not isinstance(directory, (str, os.PathLike)):
        msg = f"Expected the path of a folder; found {type(directory).__name__}. Give text or a pathlib.Path."
        raise TypeError(msg)
    return Path(directory)


def _replace(path: Path, content: bytes) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
