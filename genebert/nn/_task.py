"""The network of a fitted task: the pre-trained sequence encoder, and what position and motifs tell beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genebert._dna import N_BASES, N
from genebert.nn._config import GeneBERTConfig
from genebert.nn._sequence import SequenceEncoder

__all__ = ["PlainCNN", "TaskConfig", "TaskNetwork"]

_LARGEST_Z = 10.0  # standard deviations, as in pre-training
_HEADS, _HEAD_DIM = 4, 32  # of the attention that pools tokens
_PLACE_DIM, _FINE_DIM = 8, 32  # channels that are kept per token, and of the filters that see single bases
_HIDDEN, _SMALL = 128, 64
_DROPOUT = 0.4
_DIMERS = N_BASES**2 + 1  # the last one holds an N


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Everything that shapes a `TaskNetwork`."""

    encoder: GeneBERTConfig
    n_outputs: int
    seq_length: int
    n_tfs: int = 0
    """Motif scores of the sequence; 0: the network does not read them."""
    contexts: tuple[int, ...] = ()
    """For each output the column of the accessibility that it is gated by, -1 for none; empty: no accessibility is read."""
    n_contexts: int = 0
    """Columns of accessibility that are read: one of each cell type and, where it is read, the share of all that are open."""
    has_sequence: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {**asdict(self), "encoder": self.encoder.to_dict(), "contexts": list(self.contexts)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TaskConfig:
        """Rebuild from `to_dict`."""
        encoder = GeneBERTConfig.from_dict(values["encoder"])
        return cls(**{**values, "encoder": encoder, "contexts": tuple(values["contexts"])})


class TaskNetwork(nn.Module):
    """Logits of a task from bases, motif scores and accessibility.

    One recipe for all tasks. States of the encoder are pooled without regard to place (mean, max, strongest response of
    each filter) and with it (attention with a learned bias per place, a few channels of each token, and of a small
    convolution that sees single bases). A wide linear branch reads the 2-mer at each position, another one the motif
    scores (Cheng et al. 2016). Accessibility multiplies: a region that is closed in a cell type has logits of its own.
    """

    def __init__(self, config: TaskConfig) -> None:
        super().__init__()
        self.config = config
        width = 0
        if config.has_sequence:
            self.reader = SequenceReader(config)
            self.wide = nn.Parameter(torch.zeros(max(config.seq_length - 1, 1) * _DIMERS, config.n_outputs))
            width += self.reader.width
        if config.n_tfs:
            self.register_buffer("tf_mean", torch.zeros(config.n_tfs))
            self.register_buffer("tf_sd", torch.ones(config.n_tfs))
            self.matrix = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(config.n_tfs, _HIDDEN), nn.GELU())
            self.linear_matrix = _zero(nn.Linear(config.n_tfs, config.n_outputs, bias=False))
            width += _HIDDEN
        self.hidden = nn.Sequential(
            nn.LayerNorm(width), nn.Dropout(_DROPOUT), nn.Linear(width, _HIDDEN), nn.GELU(), nn.Dropout(_DROPOUT)
        )
        self.out = nn.Linear(_HIDDEN, config.n_outputs)
        if config.n_contexts:
            self.gated = nn.Linear(_HIDDEN, config.n_outputs)
            self.context = _zero(nn.Linear(config.n_contexts, config.n_outputs, bias=False))
            own = torch.tensor(config.contexts)
            self.register_buffer("own_context", own.clamp(min=0), persistent=False)
            self.register_buffer("has_context", (own >= 0).float(), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.out.weight.device

    def forward(self, codes: Tensor, scores: Tensor | None, context: Tensor | None) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        codes
            Bases 0..3, N = 4, uint8 ``(batch, seq_length)``.
        scores
            Highest log-odds of each motif ``(batch, n_tfs)``, as they are.
        context
            Accessibility ``(batch, n_contexts)``.

        Returns
        -------
        ``(batch, n_outputs)``.
        """
        parts, logits = [], 0.0
        if self.config.has_sequence:
            parts.append(self.reader(codes))
            logits = logits + F.embedding_bag(_places_of_dimers(codes), self.wide, mode="sum")
        if self.config.n_tfs:
            scores = ((scores - self.tf_mean) / self.tf_sd).clamp(-_LARGEST_Z, _LARGEST_Z)
            parts.append(self.matrix(scores))
            logits = logits + self.linear_matrix(scores)
        hidden = self.hidden(torch.cat(parts, dim=1))
        logits = logits + self.out(hidden)
        if self.config.n_contexts:
            gate = context[:, self.own_context] * self.has_context  # (batch, outputs)
            logits = logits + gate * self.gated(hidden) + self.context(context)
        return logits

    @torch.no_grad()
    def set_scale(self, mean: Tensor, sd: Tensor) -> None:
        """Keep the moments of the motif scores over the regions that are trained on."""
        self.tf_mean.copy_(mean)
        self.tf_sd.copy_(torch.where(sd < 1e-3, 1.0, sd))

    @torch.no_grad()
    def start_at(self, bias: Tensor) -> None:
        """Start from guessing: the log-odds of the classes."""
        self.out.bias.copy_(bias)


class SequenceReader(nn.Module):
    """From bases to one vector that still knows what lies where."""

    def __init__(self, config: TaskConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.encoder = SequenceEncoder(encoder)
        n_tokens = (max(config.seq_length, encoder.k) - encoder.k) // encoder.stride + 1
        self.score = nn.Linear(encoder.dim, _HEADS)
        self.value = nn.Linear(encoder.dim, _HEADS * _HEAD_DIM)
        self.bias = nn.Parameter(torch.zeros(n_tokens, _HEADS))
        self.keep = nn.Linear(encoder.dim, _PLACE_DIM)
        self.places = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(n_tokens * _PLACE_DIM, _SMALL), nn.GELU())
        self.fine = nn.Sequential(
            nn.Conv1d(N_BASES, _FINE_DIM, 9, padding=4), nn.GELU(),
            nn.Conv1d(_FINE_DIM, _FINE_DIM, 5, padding=2), nn.GELU(),
            nn.MaxPool1d(2, ceil_mode=True), nn.Conv1d(_FINE_DIM, _PLACE_DIM, 1), nn.Flatten(),
        )  # fmt: skip
        n_fine = -(-config.seq_length // 2) * _PLACE_DIM
        self.fine_places = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(n_fine, _SMALL), nn.GELU())
        self.has_filters = encoder.stem == "conv"
        self.width = 2 * encoder.dim + _HEADS * _HEAD_DIM + 2 * _SMALL + self.has_filters * encoder.n_filters

    def forward(self, codes: Tensor) -> Tensor:
        lengths = torch.full((len(codes), 1), codes.shape[1], device=codes.device)
        response = self._respond(codes) if self.has_filters else None
        tokens = self.encoder(codes[:, None], lengths, response=response).tokens[:, 0]  # (batch, tokens, dim)
        if tokens.shape[1] == 0:  # shorter than a k-mer
            tokens = tokens.new_zeros(len(codes), 1, tokens.shape[2])
        share = (self.score(tokens) + self.bias).softmax(dim=1)  # (batch, tokens, heads)
        value = self.value(tokens).unflatten(2, (_HEADS, _HEAD_DIM))
        attended = torch.einsum("bth,bthd->bhd", share, value).flatten(1)
        bases = F.one_hot(codes.long(), N + 1)[..., :N].transpose(1, 2).to(tokens.dtype)
        fine = self.fine_places(self.fine(bases))
        parts = [tokens.mean(1), tokens.amax(1), attended, self.places(self.keep(tokens).flatten(1)), fine]
        if response is not None:
            parts.append(response.amax(2))
        return torch.cat(parts, dim=1)

    def _respond(self, codes: Tensor) -> Tensor:
        """Response of the filters, ``(batch, filters, tokens)``; a sequence shorter than a k-mer is padded to one."""
        return self.encoder.stem.respond(F.pad(codes, (0, max(0, self.encoder.config.k - codes.shape[1])), value=N))


class PlainCNN(nn.Module):
    """The convolutional baseline: filters, their strongest response, one hidden layer (Alipanahi et al. 2015).

    Parameters
    ----------
    n_outputs
        Logits.
    n_filters, width
        Of the convolution.
    """

    def __init__(self, n_outputs: int, *, n_filters: int = 128, width: int = 15) -> None:
        super().__init__()
        self.filters = nn.Conv1d(N_BASES, n_filters, width, padding=width // 2)
        self.hidden = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(n_filters, _SMALL), nn.ReLU())
        self.out = nn.Linear(_SMALL, n_outputs)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.out.weight.device

    def forward(self, codes: Tensor, scores: Tensor | None, context: Tensor | None) -> Tensor:
        bases = F.one_hot(codes.long(), N + 1)[..., :N].transpose(1, 2).to(self.out.weight.dtype)
        return self.out(self.hidden(F.relu(self.filters(bases)).amax(2)))

    @torch.no_grad()
    def start_at(self, bias: Tensor) -> None:
        """Start from guessing: the log-odds of the classes."""
        self.out.bias.copy_(bias)


def _places_of_dimers(codes: Tensor) -> Tensor:
    """Number of the 2-mer at each position, one for each pair of position and 2-mer ``(batch, seq_length - 1)``."""
    if codes.shape[1] < 2:
        codes = F.pad(codes, (0, 2 - codes.shape[1]), value=N)
    left, right = codes[:, :-1].long(), codes[:, 1:].long()
    dimer = torch.where((left < N) & (right < N), left * N_BASES + right, _DIMERS - 1)
    return dimer + _DIMERS * torch.arange(dimer.shape[1], device=codes.device)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    return layer
