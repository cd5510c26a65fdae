"""Fine-tuning of a network on labels of regions: the head alone, adapters, or all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from mudata import MuData
from torch import Tensor, nn

from genebert import _keys
from genebert._data import RegionSource, turn
from genebert._logging import info
from genebert._validate import listed
from genebert.model._head import HeadOptions, fit_head, masked_bce
from genebert.model._lora import adapt, merge
from genebert.model._split import RegionSplit, inner_part
from genebert.nn import GeneBERTNetwork

__all__ = ["EPOCHS", "RATES", "Mode", "finetune_network", "label_matrix", "labelled_split", "own_randomness"]

Mode = Literal["full", "lora", "head"]
RATES = {"full": 1e-4, "lora": 5e-4, "head": 1e-2}
"""Highest learning rate of each mode."""
EPOCHS = {"full": 20, "lora": 20, "head": 100}
"""Most epochs of each mode; those of a head are cheap, since the embeddings are at hand."""


def label_matrix(mdata: MuData, labels: str | Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Names of label columns and their values, float32 ``(regions, labels)``: 0, 1, or NaN where not labelled."""
    matrix = _keys.LABELS.get(mdata)
    known = mdata[_keys.LABEL].var_names
    names = list(known) if labels is None else [labels] if isinstance(labels, str) else [str(name) for name in labels]
    missing = [name for name in names if name not in known]
    if missing or not names:
        found = listed(missing) if missing else "none"
        msg = (
            f'Expected `labels` among the columns of mdata["{_keys.LABEL}"] ({listed(known, most=10)}); found {found}.'
        )
        raise ValueError(msg)
    values = np.asarray(matrix[:, known.get_indexer(names)], dtype=np.float32)
    if not np.isin(values[~np.isnan(values)], (0, 1)).all():
        msg = "Expected labels of 0, 1 or NaN (not labelled); found other values. Binarise them, or regress instead."
        raise ValueError(msg)
    return names, values


def labelled_split(mdata: MuData, labels: np.ndarray, *, seed: int) -> RegionSplit:
    """Labelled training regions, and an inner part of them to stop by: whole chromosomes where there are coordinates."""
    is_train = np.asarray(_keys.REGION_SPLIT.get(mdata)) == "train" if _keys.REGION_SPLIT.has(mdata) else True
    usable = ~np.isnan(labels).all(1) & is_train
    if usable.sum() < 2:
        msg = f"Expected labelled regions in the train split; found {usable.sum()}. Check gb.pp.split_regions and `labels`."
        raise ValueError(msg)
    return inner_part(mdata, usable, seed=seed)


@contextmanager
def own_randomness(device: torch.device, *, seed: int) -> Iterator[None]:
    """Let a seed decide what dropout hides, and leave the user's random state as it is."""
    is_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if is_cuda else []):
        (torch.cuda if is_cuda else torch.default_generator).manual_seed(seed)
        yield


def finetune_network(
    network: GeneBERTNetwork,
    mdata: MuData,
    labels: np.ndarray,
    *,
    tfs: list[str],
    split: RegionSplit,
    mode: Mode,
    rank: int,
    options: HeadOptions,
) -> tuple[nn.Linear, list[dict[str, Any]]]:
    """Fit a head on embeddings, then, unless `mode` is ``"head"``, go on with the network or with adapters in it.

    The head comes first, so that the network is not pulled about by one that knows nothing yet (Kumar et al. 2022).

    Returns
    -------
    The head, and the rows of history, as `genebert.get.history` has them.
    """
    train, val = np.flatnonzero(split.train), np.flatnonzero(split.val)
    rows = np.sort(np.concatenate([train, val]))
    source = RegionSource(mdata, tfs=tfs, fill=network.tf_mean.cpu().numpy()).take(rows)
    encoder = _Encoder(network, source, seed=options.seed)
    data = {
        "labels": labels[rows],
        "train": np.searchsorted(rows, train),
        "val": np.searchsorted(rows, val),
    }
    features = torch.cat(
        [encoder(part, False).detach() for part in np.array_split(np.arange(len(rows)), -(-len(rows) // 256))]
    )
    first = options if mode == "head" else replace(options, lr=RATES["head"], max_epochs=EPOCHS["head"])
    head, history = fit_head(lambda part, training: features[part], **data, options=first)
    if mode != "head":
        encoders = (network.sequence_encoder, network.region_encoder)
        network.requires_grad_(False)
        if mode == "lora":
            parameters = adapt(*encoders, rank=rank, seed=options.seed)
        else:
            parameters = [weight.requires_grad_() for module in encoders for weight in module.parameters()]
        try:
            head, history = fit_head(encoder, **data, head=head, parameters=parameters, options=options)
        finally:
            merge(*encoders)
            network.requires_grad_(True)
    network.eval()
    head.cpu()  # where embeddings come out
    info(f"fine-tuned ({mode}) on {len(train):,} regions, stopped by {len(val):,}: {_told(history)}")
    return head, _rows(history, labels[train])


class _Encoder:
    """Embeddings of single regions, with gradients: on a random strand in training, else as `tl.embed` makes them."""

    def __init__(self, network: GeneBERTNetwork, source: RegionSource, *, seed: int) -> None:
        self.network, self.source = network, source
        self._rng = np.random.default_rng(seed)

    def __call__(self, rows: np.ndarray, training: bool) -> Tensor:
        network = self.network.train(training)
        device = network.device
        sequence = region = None
        is_cuda = device.type == "cuda"
        with (
            torch.set_grad_enabled(training),
            torch.autocast(
                device.type, dtype=torch.bfloat16, enabled=training and is_cuda and torch.cuda.is_bf16_supported()
            ),
        ):
            if self.source.has_codes:
                sequence = torch.stack([self._vectors(*side) for side in self._sides(rows, training)]).mean(0)
            if self.source.has_scores:
                scores = torch.from_numpy(self.source.scores(rows)).to(device)[:, None]
                alone = torch.ones((len(rows), 1), dtype=torch.bool, device=device)
                region = network.region_encoder(network.standardise(scores), alone)[:, 0]
            return network.fuse(sequence, region)

    def _sides(self, rows: np.ndarray, training: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        codes, lengths = self.source.codes(rows)
        if training:
            return [(turn(codes, lengths, self._rng.random(len(rows)) < 0.5), lengths)]
        return [(codes, lengths), (turn(codes, lengths, np.ones(len(rows), dtype=bool)), lengths)]

    def _vectors(self, codes: np.ndarray, lengths: np.ndarray) -> Tensor:
        codes, lengths = (torch.from_numpy(value).to(self.network.device)[:, None] for value in (codes, lengths))
        return self.network.sequence_encoder(codes, lengths).vector[:, 0]


def _rows(history: list[dict[str, Any]], labels: np.ndarray) -> list[dict[str, Any]]:
    """Rows of history, with what guessing the frequencies of the labels would give."""
    frequency = np.nanmean(labels, axis=0).clip(1e-6, 1 - 1e-6)
    guess = torch.from_numpy(np.log(frequency / (1 - frequency))).float().expand(len(labels), -1)
    chance = {"loss": float(masked_bce(guess, torch.from_numpy(labels))), "auroc": 0.5}
    return [
        {
            "epoch": row["epoch"], "step": row["epoch"] + 1, "split": row["split"], "objective": _keys.LABEL,
            "metric": metric, "value": row[metric], "chance": chance[metric],
        }
        for row in history
        for metric in chance
    ]  # fmt: skip


def _told(history: list[dict[str, Any]]) -> str:
    best = min((row for row in history if row["split"] == "val"), key=lambda row: row["loss"])
    return f"held-out loss {best['loss']:.3f}, AUROC {best['auroc']:.3f}"
