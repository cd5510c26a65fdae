"""What a task is compared with: models of minutes that often do as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from genebert._validate import listed
from genebert.model import GeneBERT
from genebert.model._finetuning import own_randomness
from genebert.model._kernel import fit_kernel
from genebert.model._kmers import Block, kmers_anywhere, kmers_by_place
from genebert.model._linear import LinearModel, fit_linear, solve
from genebert.model._targets import Targets
from genebert.model._task_inputs import Contexts, Inputs, MotifSet
from genebert.model._task_network import FitOptions, NetworkModel, fit_network
from genebert.model._task_probe import Half, ProbeModel, fit_probe
from genebert.model._trees import BoostedTrees, fit_trees
from genebert.nn import GeneBERTNetwork, PlainCNN, TaskConfig, TaskNetwork

__all__ = [
    "BASELINES",
    "PARTS",
    "FitData",
    "accessibility_alone",
    "baseline",
    "chosen_baselines",
    "kmers",
    "network",
    "probe",
]

PARTS = ("network", "kmers", "kernel", "trees")
"""Models that a fine-tuned task joins, each alone: the kernel only where the strand does not count, and boosted trees, which are the
baseline `motif_boosting` where no share of an atlas is read."""
BASELINES = (
    "kmer", "position_1mer", "position_2mer", "motif_boosting", "cnn", "untrained", "sequence_only", "matrix_only",
    "accessibility", *PARTS,
)  # fmt: skip
_BLOCKS = {"kmer": [Block(6, 0)], "position_1mer": [Block(1, 1)], "position_2mer": [Block(2, 1)]}
_STRENGTHS = (0.003, 0.03, 0.3)  # of k-mers of several lengths
_FEW_STEPS = 8  # outputs from which on they are counted at one length only, since time grows with both


def chosen_baselines(
    names: Sequence[str] | None, *, method: str, contexts: Contexts | None, both_strands: bool
) -> list[str]:
    """Names of what a task is compared with; None: all that there is for it.

    Raises
    ------
    ValueError
        When one is a part that such a task does not have.
    """
    parts = {"network", "kmers", *(["kernel"] if both_strands else []), *(["trees"] if _has_trees(contexts) else [])}
    parts = parts if method == "finetune" else set()
    there = [name for name in BASELINES if name not in PARTS or name in parts]
    if missing := [name for name in names or () if name not in there]:
        shown = [name for name in there if name != "accessibility" or contexts is not None]
        msg = (
            f"Expected `baselines` among those of such a task with method={method!r}: {listed(shown, most=20)}; found {listed(missing)}, "
            "a part of other tasks (see `method`, `strands` and `tf_weight`). Name one of those, or leave `baselines` out."
        )
        raise ValueError(msg)
    return [name for name in (there if names is None else names) if name != "accessibility" or contexts is not None]


def _has_trees(contexts: Contexts | None) -> bool:
    return contexts is not None and bool(contexts.atlas)


class FitData(NamedTuple):
    """All that a fit reads; rows are those of `inputs`."""

    inputs: Inputs
    targets: Targets
    train: np.ndarray
    inner: np.ndarray
    motifs: MotifSet
    contexts: Contexts | None
    is_centred: bool
    """Whether the sequences are those of regions, around their middle."""
    options: FitOptions
    model: GeneBERT
    device: torch.device

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """The two parts of train."""
        return {"train": self.train, "inner": self.inner}

    @property
    def has_trees(self) -> bool:
        """Whether a fine-tuned task has boosted trees of its own, which read the share of an atlas."""
        return _has_trees(self.contexts)


class ContextModel:
    """Logits that are linear in accessibility."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        self.weight, self.bias = weight, bias

    def logits(self, inputs: Inputs) -> np.ndarray:
        """Logits, float64 ``(regions, outputs)``."""
        return inputs.context @ self.weight + self.bias


def accessibility_alone(data: FitData) -> ContextModel:
    """Fit logits of accessibility, without any sequence."""
    matrix = data.inputs.context[data.train].astype(np.float64)
    return ContextModel(*solve(matrix, data.targets.take(data.train), penalty=1 / len(matrix)))


def motif_boosting(data: FitData) -> BoostedTrees:
    """Fit boosted trees on motif scores and on accessibility of the own cell types, without the share of the atlas."""
    inputs = data.inputs
    if data.contexts is not None:  # the last columns are never asked for, so predictions may be given them
        inputs = inputs._replace(context=inputs.context[:, : len(data.contexts.cell_types)])
    return fit_trees(inputs, data.targets, **data.rows, seed=data.options.seed)


def linear(data: FitData, name: str) -> LinearModel:
    """Fit one of the linear baselines."""
    return fit_linear(
        data.inputs, data.targets, blocks=_BLOCKS[name], both_strands=data.options.both_strands, **data.rows
    )


def kmers(data: FitData) -> LinearModel:
    """Fit k-mers of several lengths, by place where the strand matters, times accessibility where that is read."""
    is_wide = data.targets.n_outputs >= _FEW_STEPS
    if data.options.both_strands:
        blocks = _BLOCKS["kmer"] if is_wide else kmers_anywhere()
    else:
        blocks = kmers_by_place(data.inputs.codes.shape[1])
    return fit_linear(
        data.inputs, data.targets, blocks=blocks, both_strands=data.options.both_strands, contexts=data.contexts,
        strengths=_STRENGTHS, **data.rows,
    )  # fmt: skip


def network(
    data: FitData, *, pretrained: bool = True, has_sequence: bool = True, has_matrix: bool = True
) -> tuple[NetworkModel, list[dict[str, Any]]]:
    """Train the network of the task, or a part of it."""
    contexts = data.contexts if has_matrix else None
    config = TaskConfig(
        encoder=data.model.module.config, n_outputs=data.targets.n_outputs, seq_length=data.inputs.codes.shape[1],
        n_tfs=len(data.motifs.tfs) if has_matrix else 0, has_sequence=has_sequence,
        contexts=() if contexts is None else contexts.own, n_contexts=0 if contexts is None else contexts.width,
    )  # fmt: skip
    options = data.options if pretrained else _one_rate(data.options)
    with own_randomness(data.device, seed=options.seed):
        with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU, on any machine alike
            torch.manual_seed(options.seed)
            net = TaskNetwork(config)
        if pretrained and has_sequence:
            net.reader.encoder.load_state_dict(data.model.module.sequence_encoder.state_dict())
        if has_matrix:
            scores = data.inputs.scores[data.train]
            net.set_scale(torch.from_numpy(scores.mean(0)), torch.from_numpy(scores.std(0)))
        return fit_network(net.to(data.device), data.inputs, data.targets, **data.rows, options=options)


def _one_rate(options: FitOptions) -> FitOptions:
    """Without pre-training there is nothing to be careful with."""
    return FitOptions(**{**vars(options), "encoder_lr": options.lr})


def probe(data: FitData, *, pretrained: bool = True, half: Half = "joint") -> ProbeModel:
    """Fit a linear model on the frozen embedding."""
    trained = data.model.module
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(data.options.seed)
        net = GeneBERTNetwork(trained.config)
    if pretrained:
        net.load_state_dict(trained.state_dict())
    else:
        net.set_tf_scale(trained.tf_mean.cpu(), trained.tf_sd.cpu())
    return fit_probe(
        net.to(data.device), data.inputs, data.targets, tfs=(data.motifs.tfs, data.model.tfs), **data.rows,
        both_strands=data.options.both_strands, half=half, contexts=None if half == "sequence" else data.contexts,
    )  # fmt: skip


def _cnn(data: FitData) -> NetworkModel:
    with own_randomness(data.device, seed=data.options.seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(data.options.seed)
            net = PlainCNN(data.targets.n_outputs)
        options = FitOptions(**{**vars(data.options), "lr": 2e-3})
        return fit_network(net.to(data.device), data.inputs, data.targets, **data.rows, options=options)[0]


def baseline(name: str, data: FitData, *, method: str) -> Any:
    """Fit one of `BASELINES`; the last ones are parts of the task's own method."""
    part: dict[str, dict[str, Any]] = {
        "untrained": {"pretrained": False},
        "sequence_only": {"has_matrix": False} if method == "finetune" else {"half": "sequence"},
        "matrix_only": {"has_sequence": False} if method == "finetune" else {"half": "region"},
    }
    if name in part:
        return network(data, **part[name])[0] if method == "finetune" else probe(data, **part[name])
    fits: dict[str, Callable[[], Any]] = {
        **{single: partial(linear, data, single) for single in _BLOCKS},
        "kmers": lambda: kmers(data),
        "kernel": lambda: fit_kernel(
            data.inputs,
            data.targets,
            train=data.train,
            contexts=data.contexts,
            is_centred=data.is_centred,
            seed=data.options.seed,
        ),
        "trees": lambda: fit_trees(data.inputs, data.targets, **data.rows, seed=data.options.seed),
        "motif_boosting": lambda: motif_boosting(data),
        "cnn": lambda: _cnn(data),
        "accessibility": lambda: accessibility_alone(data),
    }
    return fits[name]()
