"""A linear model on the frozen embedding of GeneBERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from genebert._chunks import row_chunks
from genebert._data import align_left, match_tfs, turn
from genebert.model._linear import STRENGTHS, joined, solve
from genebert.model._targets import Targets, loss_and_gradient
from genebert.model._task_inputs import Contexts, Inputs, gate
from genebert.nn import GeneBERTConfig, GeneBERTNetwork, read_sequences

__all__ = ["Half", "ProbeModel", "fit_probe"]

Half = Literal["joint", "sequence", "region"]
WEAKER = 100.0  # features of unit variance ask for a stronger penalty than rare k-mers do
CONSTANT = 300.0  # that accessibility multiplies beside the features, so that it is hardly penalised


class ProbeModel:
    """Logits that are linear in the embedding and, where accessibility multiplies, in the embedding times accessibility.

    Parameters
    ----------
    network
        Of GeneBERT.
    columns
        For each TF of the network its column among the motif scores, -1 for none.
    both_strands, half
        Whether the embedding is the mean over strands; which part of it is read.
    own
        Of each output the column of accessibility that multiplies, -1 for none; empty: none is read.
    """

    name: ClassVar[str] = "probe"

    def __init__(
        self,
        network: GeneBERTNetwork,
        columns: np.ndarray,
        *,
        both_strands: bool,
        half: Half = "joint",
        own: Sequence[int] = (),
    ) -> None:
        self.network, self.columns = network.eval(), np.asarray(columns, dtype=np.int64)
        self.both_strands, self.half, self.own = both_strands, half, tuple(own)
        self.weight = self.bias = self.mean = self.sd = np.zeros(0, dtype=np.float32)

    @torch.inference_mode()
    def embed(self, inputs: Inputs, *, batch_size: int = 256) -> np.ndarray:
        """Embed sequences, each a window of one, float32 ``(regions, features)``."""
        parts = [self._embed(inputs.take(rows)) for rows in row_chunks(len(inputs.codes), step=batch_size)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.mean)), dtype=np.float32)

    def _embed(self, inputs: Inputs) -> np.ndarray:
        network, device = self.network, self.network.device
        codes, lengths = align_left(inputs.codes)
        sides = [codes, turn(codes, lengths, np.ones(len(codes), dtype=bool))] if self.both_strands else [codes]
        lengths = torch.from_numpy(lengths).to(device)
        vectors = [
            read_sequences(network.sequence_encoder, torch.from_numpy(side).to(device), lengths) for side in sides
        ]
        fill = network.tf_mean.cpu().numpy()
        scores = np.where(self.columns >= 0, inputs.scores[:, self.columns], fill).astype(np.float32)
        matrix = network.standardise(torch.from_numpy(scores).to(device))[:, None]
        alone = torch.ones((len(codes), 1), dtype=torch.bool, device=device)
        joint = network.fuse(torch.stack(vectors).mean(0), network.region_encoder(matrix, alone)[:, 0]).cpu().numpy()
        dim = network.config.dim
        return {"joint": joint, "sequence": joint[:, :dim], "region": joint[:, dim:]}[self.half]

    def logits(self, inputs: Inputs) -> np.ndarray:
        """Logits, float64 ``(regions, outputs)``."""
        matrix, factor = self.read(self.embed(inputs), inputs)
        return joined(matrix @ self.weight.astype(np.float64), factor) + self.bias

    def read(self, embedding: np.ndarray, inputs: Inputs) -> tuple[np.ndarray, np.ndarray | None]:
        """Standardised features, and what multiplies them; then with a constant beside them."""
        matrix = ((embedding - self.mean) / self.sd).astype(np.float64)
        if not self.own:
            return matrix, None
        return np.hstack([matrix, np.full((len(matrix), 1), CONSTANT)]), gate(inputs.context, self.own)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Settings and tensors, for `restore`."""
        settings = {"config": self.network.config.to_dict(), "both_strands": self.both_strands, "half": self.half}
        settings["own"] = list(self.own)
        arrays = {name: getattr(self, name) for name in ("weight", "bias", "mean", "sd", "columns")}
        tensors = {f"probe.{name}": torch.from_numpy(array) for name, array in arrays.items()}
        return settings, {**tensors, **{f"network.{name}": t for name, t in self.network.state_dict().items()}}

    @classmethod
    def restore(cls, settings: dict[str, Any], tensors: dict[str, Tensor]) -> ProbeModel:
        """Rebuild from what `state` returned.

        Raises
        ------
        ValueError
            When an early version saved it, with accessibility as one more feature: nothing multiplied then.
        """
        network = GeneBERTNetwork(GeneBERTConfig.from_dict(settings["config"]))
        network.load_state_dict(
            {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        )
        found = {name.removeprefix("probe."): t.numpy() for name, t in tensors.items() if name.startswith("probe.")}
        if "own" not in settings and len(found["mean"]) > network.config.dim + network.config.region_out:
            msg = (
                "Expected a probe that multiplies by accessibility; found one of an early version of genebert, which added it. "
                "Fit the task again."
            )
            raise ValueError(msg)
        options = {"both_strands": settings["both_strands"], "half": settings["half"], "own": settings.get("own", ())}
        model = cls(network, found.pop("columns"), **options)
        for name, array in found.items():
            setattr(model, name, array)
        return model


def fit_probe(
    network: GeneBERTNetwork,
    inputs: Inputs,
    targets: Targets,
    *,
    tfs: tuple[list[str], list[str]],
    train: np.ndarray,
    inner: np.ndarray,
    both_strands: bool,
    half: Half = "joint",
    contexts: Contexts | None = None,
) -> ProbeModel:
    """Fit a penalised linear model on the embedding; the penalty with the lowest loss on the inner part wins.

    Parameters
    ----------
    network
        Of GeneBERT, on the device where it is to be read; the probe keeps it.
    inputs, targets
        Of all regions, with motif scores.
    tfs
        Those of the scores and those of the network.
    train, inner
        Rows.
    both_strands, half
        See `ProbeModel`.
    contexts
        Accessibility that multiplies; None: none.
    """
    own = () if contexts is None else contexts.own
    model = ProbeModel(network, match_tfs(*tfs), both_strands=both_strands, half=half, own=own)
    parts = [inputs.take(rows) for rows in (train, inner)]
    embedded = [model.embed(part) for part in parts]
    model.mean = embedded[0].mean(axis=0)
    model.sd = np.maximum(embedded[0].std(axis=0), 1e-6)
    (matrix, factor), (held_out, held_factor) = map(model.read, embedded, parts)
    wanted, truth = targets.take(train), targets.take(inner)
    best, start = np.inf, None
    for strength in STRENGTHS:
        penalty = WEAKER / (strength * len(train))
        start = solve(matrix, wanted, penalty=penalty, start=start, factor=factor)
        logits = joined(held_out @ start[0], held_factor) + start[1]
        loss, _ = loss_and_gradient(logits, truth, truth.sample_weights())
        if loss < best or not model.weight.size:
            best = loss
            model.weight, model.bias = (array.astype(np.float32) for array in start)
    return model
