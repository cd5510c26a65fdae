"""What scores the two alleles of a variant: a task, or a model that embeds."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from scipy.special import logsumexp

from genebert import model as models
from genebert._data import align_left, match_tfs, turn
from genebert._dna import reverse_complement
from genebert._motifs import PSEUDOCOUNT, Motif, tf_names
from genebert._validate import check_literal, check_range, listed
from genebert.model import GeneBERT
from genebert.model._pretrained import CONFIG, task_folder
from genebert.model._settings import check_device
from genebert.model._task_inputs import check_assumed
from genebert.nn import read_sequences
from genebert.pp._scan import Scanner
from genebert.pp._scan_inputs import MotifSource, load_motifs, plan_scan
from genebert.tl._load import load

__all__ = ["DISTANCE", "EFFECT", "MOTIF", "MOTIF_EFFECT", "Scorer", "Strands", "as_scorer"]

Strands = Literal["auto", "both", "forward"]

EFFECT = "effect_"
"""Before the name of an output: columns with a sign."""
IN = "@"
"""Before a cell type that the region is taken to be open in; an output that names one of its own has ``|`` there."""
DISTANCE = "distance"
MOTIF_EFFECT, MOTIF = f"{EFFECT}motif", "motif"
SEQ_LENGTH = 256
"""Of a model that was trained on no one length."""


class Scorer(Protocol):
    """Reads sequences, and compares what it read of two alleles."""

    columns: list[str]
    """Numbers that `compare` gives, those with a sign before those without."""
    texts: list[str]
    """Columns of text that it gives besides."""
    n_signed: int
    seq_length: int
    device: str
    digest: str
    motif_digest: str
    """Of the motifs that are scanned for beside the model; empty where it brings its own."""

    def read(self, codes: np.ndarray) -> np.ndarray:
        """Read uint8 ``(sequences, seq_length)`` into float32 ``(sequences, ...)``."""

    def compare(self, ref: np.ndarray, alt: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Compare what was read, row by row: float32 ``(rows, columns)``, and the columns of text by name."""


def as_scorer(
    model: Any,
    *,
    strands: Strands,
    cell_type: str | Sequence[str] | None,
    seq_length: int | None,
    batch_size: int,
    motifs: MotifSource,
    device: str,
    longest: int = 0,
) -> Scorer:
    """Wrap a task, a model, the folder of either, or None for the weights that ship.

    `longest` is the length of sequences that are given, which a model reads in full where no `seq_length` is.

    Raises
    ------
    TypeError
        When it is none of these.
    ValueError
        When an option does not go with it.
    """
    check_literal(strands, Strands, name="strands")
    check_range(batch_size, name="batch_size", low=1, integer=True)
    check_device(device, name="device")
    if seq_length is not None:
        check_range(seq_length, name="seq_length", low=1, integer=True)
    if model is None or isinstance(model, (str, Path)):
        model = _load(model, device=device)
    if isinstance(model, GeneBERT):
        if cell_type is not None:
            msg = f"Expected a task with `cell_type`; found a GeneBERT and {cell_type!r}, which it does not read here. Leave it out."
            raise ValueError(msg)
        length = seq_length or longest or None
        return EmbeddingScorer(model, strands=strands, seq_length=length, motifs=motifs, device=device)
    if not all(hasattr(model, name) for name in ("logits_codes", "outputs", "seq_length")):
        msg = f"Expected `model` to be a task, a GeneBERT, or a folder of one; found {type(model).__name__}."
        raise TypeError(msg)
    if motifs is not None:
        msg = "Expected `motifs` only with a GeneBERT, since a task brings its own; found both. Leave it out."
        raise ValueError(msg)
    return TaskScorer(model, strands=strands, cell_type=cell_type, seq_length=seq_length, batch_size=batch_size)


def _load(name_or_path: str | Path | None, *, device: str) -> Any:
    """A folder holds a task where its description names outputs."""
    config = task_folder(name_or_path or "") / CONFIG
    task = getattr(models, "Task", None)
    if name_or_path is not None and task is not None and config.is_file():
        description = json.loads(config.read_text())
        if "outputs" in description or "task" in description:
            return task.load(name_or_path, device=device)
    return load("mini" if name_or_path is None else name_or_path, device=device)


class TaskScorer:
    """Difference of the logits of each output, and of each cell type."""

    def __init__(
        self,
        task: Any,
        *,
        strands: Strands,
        cell_type: str | Sequence[str] | None,
        seq_length: int | None,
        batch_size: int,
    ) -> None:
        if strands == "forward":
            msg = (
                'Expected `strands` to be "auto" or "both" with a task, which was fitted with its own; found "forward".'
            )
            raise ValueError(msg)
        if seq_length not in {None, task.seq_length}:
            msg = f"Expected `seq_length` to be the task's, {task.seq_length}; found {seq_length}. Leave it out."
            raise ValueError(msg)
        self.task, self.batch_size = task, batch_size
        self.both = strands == "both"
        self.cell_types = [cell_type] if cell_type is None or isinstance(cell_type, str) else list(cell_type)
        if not self.cell_types:
            raise ValueError("Expected at least one `cell_type`, or None; found an empty list.")
        for name in self.cell_types if hasattr(task, "contexts") else ():  # before a file is begun
            check_assumed(task.contexts, name)
        suffixes = ["" if len(self.cell_types) == 1 else f"{IN}{name}" for name in self.cell_types]
        self.columns = [f"{EFFECT}{output}{suffix}" for suffix in suffixes for output in task.outputs]
        if repeated := [name for name in self.columns if self.columns.count(name) > 1]:
            msg = f"Expected outputs and `cell_type` that name each column once; found {listed(dict.fromkeys(repeated))} twice."
            raise ValueError(msg)
        self.n_signed, self.texts = len(self.columns), []
        self.seq_length = int(task.seq_length)
        self.device, self.digest = str(getattr(task, "device", "cpu")), str(getattr(task, "digest", ""))
        self.motif_digest = ""

    def read(self, codes: np.ndarray) -> np.ndarray:
        """Log-odds ``(sequences, outputs x cell types)``; of a regression, values."""
        return np.hstack([self._logits(codes, cell_type) for cell_type in self.cell_types]).astype(np.float32)

    def _logits(self, codes: np.ndarray, cell_type: str | None) -> np.ndarray:
        options = {"batch_size": self.batch_size} | ({} if cell_type is None else {"cell_type": cell_type})
        sides = [codes, reverse_complement(codes)] if self.both else [codes]
        found = np.mean([self.task.logits_codes(side, **options) for side in sides], axis=0)
        return _against_the_rest(found) if getattr(self.task, "kind", None) == "multiclass" else found

    def compare(self, ref: np.ndarray, alt: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """ALT minus REF."""
        return alt - ref, {}


def _against_the_rest(logits: np.ndarray) -> np.ndarray:
    """Log-odds of each class against all others: what is added to the logits of all classes changes nothing."""
    others = [logsumexp(np.delete(logits, column, axis=1), axis=1) for column in range(logits.shape[1])]
    return logits - np.stack(others, axis=1)


class EmbeddingScorer:
    """Distance of embeddings, the motif that changes most, and the logits of a head where the model has one."""

    def __init__(
        self, model: GeneBERT, *, strands: Strands, seq_length: int | None, motifs: MotifSource, device: str
    ) -> None:
        self.network = model.module
        if (
            device != "auto" and torch.device(device) != self.network.device
        ):  # the model that is given stays where it is
            self.network = copy.deepcopy(model.module).to(device)
        self.device, self.digest = str(self.network.device), model.digest
        self.both = strands != "forward"
        self.seq_length = int(seq_length or model.training_record.get("seq_length") or SEQ_LENGTH)
        self.head, outputs = model.head, list(model.head_labels)
        motifs = load_motifs(motifs)
        self.scanner, self.tfs, self._columns = _scanner(model, motifs)
        self.motif_digest = _digest(motifs)
        self.columns = [*(EFFECT + name for name in outputs), MOTIF_EFFECT, DISTANCE]
        if repeated := [name for name in self.columns if self.columns.count(name) > 1]:
            msg = f"Expected outputs of different names, none of them 'motif'; found {listed(dict.fromkeys(repeated))}."
            raise ValueError(msg)
        self.n_signed, self._n_outputs = len(self.columns) - 1, len(outputs)
        self._fill = self.network.tf_mean.cpu().numpy()
        self.texts = [MOTIF]

    @torch.inference_mode()
    def read(self, codes: np.ndarray) -> np.ndarray:
        """Logits of the head, motif scores and embedding, side by side."""
        network = self.network.eval()
        scores = self.scanner(codes)
        ordered = np.where(self._columns >= 0, scores[:, self._columns], self._fill).astype(np.float32)
        joint = network.fuse(self._sequence(codes), self._region(ordered)).cpu()
        logits = joint[:, :0] if self.head is None else self.head(joint)
        return np.hstack([logits.numpy(), scores, joint.numpy()])

    def _sequence(self, codes: np.ndarray) -> torch.Tensor:
        codes, lengths = align_left(codes)
        sides = [codes, turn(codes, lengths, np.ones(len(codes), dtype=bool))] if self.both else [codes]
        device, encoder = self.network.device, self.network.sequence_encoder
        lengths = torch.from_numpy(lengths).to(device)
        most = None
        if encoder.config.positions != "rotary":  # as many k-mers as there are positions, beside [CLS] and [SEP]
            most = encoder.config.max_tokens - 2
        vectors = [read_sequences(encoder, torch.from_numpy(side).to(device), lengths, most=most) for side in sides]
        return torch.stack(vectors).mean(0)

    def _region(self, scores: np.ndarray) -> torch.Tensor:
        matrix = self.network.standardise(torch.from_numpy(scores).to(self.network.device)[:, None])
        alone = torch.ones((len(scores), 1), dtype=torch.bool, device=self.network.device)
        return self.network.region_encoder(matrix, alone)[:, 0]

    def compare(self, ref: np.ndarray, alt: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Differences of logits, largest change of a motif score in bits and its TF, Euclidean distance of embeddings."""
        first, last = self._n_outputs, self._n_outputs + len(self.tfs)
        change = alt - ref
        which = np.abs(change[:, first:last]).argmax(axis=1)
        largest = np.take_along_axis(change[:, first:last], which[:, None], axis=1)
        distance = np.sqrt((change[:, last:].astype(np.float64) ** 2).sum(axis=1, keepdims=True))
        motif = np.where(largest[:, 0] != 0, self.tfs[which], "").astype(object)
        return np.hstack([change[:, :first], largest, distance]).astype(np.float32), {MOTIF: motif}


def _digest(motifs: Sequence[Motif]) -> str:
    """Sha256 over names and matrices."""
    digest = hashlib.sha256()
    for motif in motifs:
        digest.update(f"{motif.motif_id}\t{motif.tf}\t{motif.counts.shape}\n".encode())
        digest.update(np.ascontiguousarray(motif.counts, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]


def _scanner(model: GeneBERT, motifs: Sequence[Motif]) -> tuple[Scanner, np.ndarray, np.ndarray]:
    """What scans as the training data were scanned; names of its columns; where the model's TFs are among them."""
    options = {"score": "max", "background": None, "strands": "both", "pseudocount": PSEUDOCOUNT}
    options |= model.training_record.get("scan") or {}
    names = tf_names(motifs)
    columns = match_tfs(list(names), model.tfs)
    score = options.pop("score")
    plan = plan_scan(motifs, None, **options)
    scanner = Scanner(
        plan.matrices, background=plan.background, score=score, pvalue=1e-4, both_strands=plan.both_strands
    )
    return scanner, np.array(names, dtype=object), columns
