"""A linear head on embeddings, fitted to labels alone or together with the network below it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genebert.model._scores import auroc

__all__ = ["HeadOptions", "fit_head", "masked_bce", "state_with_head", "take_head"]

_DECAY = 0.01
_PREFIX = "label_head."  # of its tensors among those of a model


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """How a head is fitted."""

    lr: float
    max_epochs: int
    patience: int
    batch_size: int
    seed: int


def masked_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy in nats over the labels that are known; both ``(regions, labels)``, NaN = not labelled."""
    known = ~labels.isnan()
    nats = F.binary_cross_entropy_with_logits(logits.float()[known], labels[known], reduction="none")
    return nats.sum() / max(len(nats), 1)


def fit_head(
    encode: Callable[[np.ndarray, bool], Tensor],
    labels: np.ndarray,
    *,
    train: np.ndarray,
    val: np.ndarray,
    options: HeadOptions,
    head: nn.Linear | None = None,
    parameters: Iterable[nn.Parameter] = (),
) -> tuple[nn.Linear, list[dict[str, Any]]]:
    """Fit a linear head by masked cross-entropy; what has the lowest loss on `val` wins, be it the start.

    Parameters
    ----------
    encode
        From rows of `labels`, and whether it is for training, to embeddings ``(rows, n_latent)``.
    labels
        0, 1 or NaN where it is not known, float32 ``(regions, labels)``.
    train, val
        Rows to fit on and to stop by.
    head
        To go on from; None: a new one that starts at the frequencies of the labels.
    parameters
        What is trained besides the head.

    Returns
    -------
    The head, and loss and mean AUROC on `train` and `val` epoch by epoch.
    """
    target = torch.from_numpy(np.asarray(labels, dtype=np.float32))
    if head is None:
        head = _new_head(encode(train[:1], False), target[train])
    trained = [*head.parameters(), *parameters]
    optimizer = torch.optim.AdamW(trained, lr=options.lr, weight_decay=_DECAY)
    rng = np.random.default_rng(options.seed)
    rows: list[dict[str, Any]] = []
    best, waited = (_epoch(encode, head, target, val, options.batch_size, None)["loss"], _copies(trained)), 0
    for epoch in range(options.max_epochs):
        rate = options.lr * 0.5 * (1 + np.cos(np.pi * epoch / options.max_epochs))
        for group in optimizer.param_groups:
            group["lr"] = rate
        scores = {"train": _epoch(encode, head, target, rng.permutation(train), options.batch_size, optimizer)}
        scores["val"] = _epoch(encode, head, target, val, options.batch_size, None)
        rows += [{"epoch": epoch, "split": split, **score} for split, score in scores.items()]
        loss = scores["val"]["loss"]
        if loss < best[0]:
            best, waited = (loss, _copies(trained)), 0
            continue
        waited += 1
        if waited >= options.patience:
            break
    with torch.no_grad():
        for parameter, value in zip(trained, best[1], strict=True):
            parameter.copy_(value)
    return head, rows


def _epoch(
    encode: Callable[[np.ndarray, bool], Tensor],
    head: nn.Linear,
    target: Tensor,
    rows: np.ndarray,
    batch_size: int,
    optimizer: torch.optim.Optimizer | None,
) -> dict[str, float]:
    """One pass over rows, with steps where there is an optimizer: loss and mean AUROC."""
    logits = []
    for batch in np.array_split(rows, max(1, -(-len(rows) // batch_size))):
        with torch.set_grad_enabled(optimizer is not None):
            found = head(encode(batch, optimizer is not None))
            loss = masked_bce(found, target[batch].to(found.device))
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
            optimizer.step()
        logits.append(found.detach().float().cpu())
    logits, truth = torch.cat(logits), target[rows]
    return {"loss": float(masked_bce(logits, truth)), "auroc": _mean_auroc(truth.numpy(), logits.numpy())}


def _new_head(example: Tensor, labels: Tensor) -> nn.Linear:
    head = nn.Linear(example.shape[1], labels.shape[1], device=example.device)
    known = ~labels.isnan()
    positive = (labels.nan_to_num().sum(0) + 1) / (known.sum(0) + 2)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(positive.logit())
    return head


def _mean_auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Mean over the labels that have both classes; NaN where none has."""
    known = ~np.isnan(truth)
    found = [auroc(truth[rows, i], score[rows, i]) for i, rows in enumerate(known.T)]
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def _copies(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [copy.deepcopy(parameter.detach()) for parameter in parameters]


def state_with_head(model: Any) -> dict[str, Tensor]:
    """Tensors of a model, by name, those of the head that it was fine-tuned with included."""
    head = {} if model.head is None else model.head.state_dict()
    return {**model.module.state_dict(), **{_PREFIX + name: tensor for name, tensor in head.items()}}


def take_head(model: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give a model the head that is among these tensors, where there is one; return the other tensors."""
    found = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
    if found:
        model.head = nn.Linear(*reversed(found["weight"].shape), device="meta").to_empty(device="cpu")
        model.head.load_state_dict(found)
        model.head_labels = list(model.training_record["finetune"]["labels"])
    return {name: tensor for name, tensor in state.items() if not name.startswith(_PREFIX)}
