"""A fitted task: from sequences to calibrated probabilities."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genebert._chunks import row_chunks
from genebert._validate import check_range
from genebert.model._kernel import KernelModel
from genebert.model._linear import LinearModel
from genebert.model._pretrained import fingerprint, read_weights, task_folder, write_weights
from genebert.model._settings import check_device
from genebert.model._stack import Member, Stack
from genebert.model._targets import Kind, probabilities
from genebert.model._task_inputs import Contexts, Inputs, MotifSet, check_assumed
from genebert.model._task_network import NetworkModel
from genebert.model._task_probe import ProbeModel
from genebert.model._trees import BoostedTrees

__all__ = ["Task"]

_MODELS = {model.name: model for model in (NetworkModel, ProbeModel, LinearModel, KernelModel, BoostedTrees)}


class Task:
    """A fitted task, as `genebert.tl.classify` and `genebert.tl.regress` return it.

    It carries all that it needs: networks, linear models, motifs. Sequences go in, calibrated probabilities come out.

    Parameters
    ----------
    kind
        ``"binary"``, ``"multiclass"``, ``"multilabel"`` or ``"regression"``.
    outputs
        Names of labels, or of classes.
    seq_length
        Bases per sequence.
    members
        Models, one member for each seed.
    motifs
        What is scanned for.
    contexts
        Accessibility that is read besides; None: none.
    scale
        Of a regression: mean and sd of each output.
    record
        How it was fitted, as JSON holds it.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> task = gb.tl.classify(mdata, labels="promoter", method="probe", baselines=["kmer"])
    >>> codes = mdata["seq"].obsm["dna_code"][:3]
    >>> task.predict_codes(codes).shape
    (3, 1)
    """

    def __init__(
        self,
        *,
        kind: Kind,
        outputs: Sequence[str],
        seq_length: int,
        members: Sequence[Member],
        motifs: MotifSet,
        contexts: Contexts | None = None,
        scale: tuple[np.ndarray, np.ndarray] | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind, self.outputs, self.seq_length = kind, [str(name) for name in outputs], int(seq_length)
        self.members, self.motifs, self.contexts = list(members), motifs, contexts
        self.scale = scale
        self.record = json.loads(json.dumps(dict(record or {}), default=_plain))  # numbers of numpy too

    def __repr__(self) -> str:
        names = ", ".join(self.outputs[:4]) + (", ..." if len(self.outputs) > 4 else "")
        return f"Task ({self.kind}) of {len(self.outputs)} outputs ({names}) for sequences of {self.seq_length} bp"

    @property
    def tfs(self) -> list[str] | None:
        """TFs whose motifs are scanned for."""
        return self.motifs.tfs

    @property
    def digest(self) -> str:
        """Short fingerprint of all tensors; saving does not change it."""
        return fingerprint(self._tensors())[:12]

    @property
    def device(self) -> torch.device:
        """Where the networks lie."""
        networks = [
            model.network for member in self.members for model in member.models.values() if hasattr(model, "network")
        ]
        return networks[0].device if networks else torch.device("cpu")

    # Prediction ---------------------------------------------------------------------------------------------------

    def predict_codes(
        self,
        codes: np.ndarray,
        *,
        cell_type: str | None = None,
        tf_scores: np.ndarray | None = None,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Predict sequences.

        Parameters
        ----------
        codes
            Bases A C G T N = 0..4, uint8 ``(sequences, seq_length)``.
        cell_type
            Of a task that reads accessibility: the only cell type in which the sequences are taken to be open; None: they
            are open in all.
        tf_scores
            Highest log-odds of the task's motifs, float32 ``(sequences, TFs)``; None: scanned here.
        batch_size
            Sequences per batch.

        Returns
        -------
        float32 ``(sequences, outputs)``: calibrated probabilities, or values of a regression.

        Raises
        ------
        ValueError
            When the sequences have another length, or the cell type is unknown.
        """
        options = {"cell_type": cell_type, "tf_scores": tf_scores, "batch_size": batch_size}
        return self._finished(self.logits_codes(codes, **options))

    def logits_codes(
        self,
        codes: np.ndarray,
        *,
        cell_type: str | None = None,
        tf_scores: np.ndarray | None = None,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Like `predict_codes`, before the sigmoid or softmax, behind calibration (of a regression in standard deviations).

        Parameters
        ----------
        codes, cell_type, tf_scores, batch_size
            See `predict_codes`.

        Returns
        -------
        float32 ``(sequences, outputs)``.
        """
        codes = self._checked(codes)
        check_assumed(self.contexts, cell_type)
        context = None if self.contexts is None else self.contexts.assumed(len(codes), cell_type)
        if tf_scores is not None and np.shape(tf_scores) != (len(codes), len(self.motifs.tfs)):
            msg = f"Expected `tf_scores` as ({len(codes)}, {len(self.motifs.tfs)}); found {np.shape(tf_scores)}."
            raise ValueError(msg)
        return self._logits(codes, tf_scores, context, batch_size=batch_size)

    def predict_regions(self, mdata: Any, rows: slice, codes: np.ndarray) -> np.ndarray:
        """Predict some regions of a MuData from their bases and, where the task reads it, their accessibility; NaN where that was not measured."""
        context = None if self.contexts is None else self.contexts.read(mdata, rows)
        found = self._finished(self._logits(self._checked(codes), None, context, batch_size=256))
        return found if context is None else np.where(self.contexts.is_measured(mdata, rows), found, np.float32(np.nan))

    def _logits(
        self, codes: np.ndarray, scores: np.ndarray | None, context: np.ndarray | None, *, batch_size: int
    ) -> np.ndarray:
        check_range(batch_size, name="batch_size", low=1, integer=True)
        scores = self.motifs.scan(codes) if scores is None else np.asarray(scores, dtype=np.float32)
        inputs = Inputs(codes, scores, context)
        out = np.empty((len(codes), len(self.outputs)), dtype=np.float32)
        for rows in row_chunks(len(codes), step=batch_size):
            out[rows] = np.mean([member.logits(inputs.take(rows)) for member in self.members], axis=0)
        return out

    def _finished(self, logits: np.ndarray) -> np.ndarray:
        found = probabilities(logits.astype(np.float64), self.kind)
        if self.scale is not None:
            found = found * self.scale[1] + self.scale[0]
        return found.astype(np.float32)

    def _checked(self, codes: np.ndarray) -> np.ndarray:
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.seq_length or codes.dtype.kind not in "ui":
            msg = (
                f"Expected codes as uint8 (sequences, {self.seq_length}), as the task was fitted with; found {codes.dtype} "
                f"{codes.shape}. Run gb.pp.add_sequence(mdata, genome, seq_length={self.seq_length})."
            )
            raise ValueError(msg)
        return codes.astype(np.uint8, copy=False)

    def to_device(self, device: str | torch.device) -> None:
        """Move the networks to one of torch's devices."""
        for member in self.members:
            for model in member.models.values():
                if hasattr(model, "network"):
                    model.network.to(device)

    # Files --------------------------------------------------------------------------------------------------------

    def save(self, dir_path: str | Path, *, overwrite: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder, without data or pickle.

        Parameters
        ----------
        dir_path
            The folder.
        overwrite
            Whether to replace what is there.
        """
        write_weights(dir_path, self._tensors(), self._description(), overwrite=overwrite, half=False)

    @classmethod
    def load(cls, dir_path: str | Path, *, device: str = "auto") -> Task:
        """Read a task that `save` wrote.

        Parameters
        ----------
        dir_path
            The folder, or the one that ``genebert classify`` wrote, with the task in ``task/``.
        device
            ``"auto"`` or one of torch's.

        Raises
        ------
        FileNotFoundError
            When the folder holds no task.
        ValueError
            When it holds something else, a file is damaged, or there is no such device.
        """
        check_device(device, name="device")
        tensors, description = read_weights(task_folder(dir_path), part="task")
        about = description["task"]
        members = []
        for number, known in enumerate(about["members"]):
            models = {
                name: _MODELS[model["name"]].restore(model["settings"], _below(tensors, f"{number}.{name}."))
                for name, model in known.items()
            }
            stack = _below(tensors, f"{number}.stack.")
            members.append(Member(models, Stack(stack["weight"].numpy(), stack["bias"].numpy())))
        contexts = about["contexts"]
        scale = _below(tensors, "scale.")
        task = cls(
            kind=about["kind"], outputs=about["outputs"], seq_length=about["seq_length"], members=members,
            motifs=MotifSet(about["tfs"], tensors["motifs"].numpy()),
            contexts=None if contexts is None else Contexts.restore(contexts, _below(tensors, "contexts.")),
            scale=(scale["mean"].numpy(), scale["sd"].numpy()) if scale else None,
            record=copy.deepcopy(about["record"]),
        )  # fmt: skip
        task.to_device(device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
        return task

    def _tensors(self) -> dict[str, torch.Tensor]:
        found = {"motifs": torch.from_numpy(self.motifs.matrices)}
        for number, member in enumerate(self.members):
            for name, model in member.models.items():
                found |= {f"{number}.{name}.{key}": tensor for key, tensor in model.state()[1].items()}
            found |= {f"{number}.stack.{key}": torch.from_numpy(v) for key, v in member.stack._asdict().items()}
        if self.contexts is not None:
            found |= {f"contexts.{key}": tensor for key, tensor in self.contexts.state()[1].items()}
        if self.scale is not None:
            found |= {f"scale.{key}": torch.from_numpy(v) for key, v in zip(("mean", "sd"), self.scale, strict=True)}
        return found

    def _description(self) -> dict[str, Any]:
        members = [
            {name: {"name": model.name, "settings": model.state()[0]} for name, model in member.models.items()}
            for member in self.members
        ]
        about = {
            "kind": self.kind, "outputs": self.outputs, "seq_length": self.seq_length, "tfs": self.motifs.tfs,
            "members": members, "contexts": None if self.contexts is None else self.contexts.state()[0],
            "record": self.record,
        }  # fmt: skip
        return {"task": about}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
