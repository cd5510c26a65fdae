"""The whole network. A reconstruction of GeneBERT (Mo et al. 2021): the paper's code was not published."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genebert._dna import N_BASES
from genebert.nn._config import GeneBERTConfig
from genebert.nn._region import RegionEncoder
from genebert.nn._sequence import SequenceEncoder

__all__ = ["GeneBERTNetwork", "NetworkOutput"]

_LARGEST_Z = 10.0  # standard deviations; a motif that is rarely seen must not swamp the others
_LARGEST_SCALE = 100.0


class NetworkOutput(NamedTuple):
    """One forward pass over the regions of a batch of windows."""

    tokens: Tensor
    """States of the k-mers ``(regions, tokens, dim)``."""
    sequence: Tensor
    """Sequence vectors ``(regions, dim)``."""
    region: Tensor
    """Region vectors ``(regions, region_out)``."""
    joint: Tensor
    """Joint region embedding ``(regions, dim + region_out)``."""


class KmerHead(nn.Module):
    """Logits of all k-mers: a term for each k-mer and one for each of its bases.

    K-mers share bases, so that what is learnt of one tells of the others: with 4096 classes and few hidden k-mers per
    region, the terms of the bases are learnt long before those of the k-mers.
    """

    def __init__(self, dim: int, k: int, *, norm_eps: float) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim, eps=norm_eps))
        self.bases = nn.Linear(dim, k * N_BASES)
        self.kmers = nn.Linear(dim, N_BASES**k)
        place = torch.arange(k)
        base = (torch.arange(N_BASES**k)[:, None] // N_BASES ** (k - 1 - place)) % N_BASES  # (kmers, k)
        self.register_buffer("spelling", F.one_hot(base, N_BASES).flatten(1).float(), persistent=False)
        nn.init.zeros_(self.bases.weight)
        nn.init.zeros_(self.bases.bias)
        nn.init.zeros_(self.kmers.weight)

    def forward(self, states: Tensor) -> Tensor:
        states = self.hidden(states)
        return self.kmers(states) + self.bases(states) @ self.spelling.T


class GeneBERTNetwork(nn.Module):
    """Sequence encoder and region encoder, their fusion, and a head for each objective."""

    def __init__(self, config: GeneBERTConfig) -> None:
        super().__init__()
        self.config = config
        self.sequence_encoder = SequenceEncoder(config)
        self.region_encoder = RegionEncoder(config)
        self.kmer_head = KmerHead(config.dim, config.k, norm_eps=config.norm_eps)
        self.next_head = nn.Sequential(nn.Linear(3 * config.dim, config.dim), nn.GELU(), nn.Linear(config.dim, 1))
        self.match_sequence = nn.Linear(config.dim, config.contrast_dim)
        self.match_region = nn.Linear(config.region_out, config.contrast_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.tf_head = nn.Linear(config.n_latent, config.n_tfs)
        self.register_buffer("tf_mean", torch.zeros(config.n_tfs))
        self.register_buffer("tf_sd", torch.ones(config.n_tfs))

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.tf_mean.device

    # Encoding ---------------------------------------------------------------------------------------------------

    def forward(
        self, codes: Tensor, lengths: Tensor, matrix: Tensor, region_mask: Tensor, *, tf_hidden: Tensor | None = None
    ) -> NetworkOutput:
        """Encode the regions of a batch of windows.

        Parameters
        ----------
        codes
            Bases of the real regions, window by window, left-aligned ``(regions, length)``.
        lengths
            Bases per region ``(regions,)``.
        matrix
            Standardised scores ``(windows, window_size, tfs)``, see `standardise`.
        region_mask
            True where a window holds a region ``(windows, window_size)``.
        tf_hidden
            Scores to hide from the region encoder, as bool of the shape of `matrix`.
        """
        sequence = self.sequence_encoder(codes[:, None], lengths[:, None])
        if tf_hidden is not None:
            matrix = matrix.masked_fill(tf_hidden, 0.0)
        region = self.region_encoder(matrix, region_mask)[region_mask]
        vector = sequence.vector[:, 0]
        return NetworkOutput(sequence.tokens[:, 0], vector, region, self.fuse(vector, region))

    def standardise(self, scores: Tensor, weight: Tensor | None = None) -> Tensor:
        """Bring motif scores to mean 0 and sd 1 over the training regions, then put the weight of the cell type on."""
        matrix = ((scores - self.tf_mean) / self.tf_sd).clamp(-_LARGEST_Z, _LARGEST_Z)
        return matrix if weight is None else matrix * weight

    def fuse(self, sequence: Tensor | None, region: Tensor | None) -> Tensor:
        """Join both vectors, each at unit scale; the half of a modality that is absent is zero."""
        present = sequence if sequence is not None else region
        if sequence is None:
            sequence = present.new_zeros(len(present), self.config.dim)
        if region is None:
            region = present.new_zeros(len(present), self.config.region_out)
        return torch.cat([F.layer_norm(half.float(), half.shape[-1:]) for half in (sequence, region)], dim=-1)

    # Heads ------------------------------------------------------------------------------------------------------

    def kmer_logits(self, states: Tensor) -> Tensor:
        """Score all k-mers at hidden places: ``(hidden, dim)`` -> ``(hidden, 4**k)``."""
        return self.kmer_head(states)

    def next_logits(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Is B the next open region behind A? ``(pairs, 2, length)`` -> ``(pairs,)``.

        Besides [CLS], as in BERT, the head reads how the vectors of A and B differ and agree (Conneau et al. 2017): few
        pairs are enough to learn that neighbours are alike.
        """
        output = self.sequence_encoder(codes, lengths)
        a, b = output.vector.unbind(1)
        return self.next_head(torch.cat([output.cls, (a - b).abs(), a * b], dim=-1))[:, 0]

    def match(self, sequence: Tensor, region: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit vectors of both modalities in one space, and the inverse temperature."""
        scale = self.log_scale.exp().clamp(max=_LARGEST_SCALE)
        return F.normalize(self.match_sequence(sequence)), F.normalize(self.match_region(region)), scale

    def tf_scores(self, joint: Tensor) -> Tensor:
        """Predict standardised motif scores from the joint embedding ``(regions, tfs)``."""
        return self.tf_head(joint)

    # What training data tells before training ---------------------------------------------------------------------

    @torch.no_grad()
    def set_tf_scale(self, mean: Tensor, sd: Tensor) -> None:
        """Keep the moments of each TF's scores over the training regions."""
        self.tf_mean.copy_(mean)
        self.tf_sd.copy_(torch.where(sd < 1e-3, 1.0, sd))  # what is constant in training must not explode elsewhere

    @torch.no_grad()
    def set_kmer_frequencies(self, frequencies: Tensor) -> None:
        """Start masked genome modelling from the k-mer frequencies of the training regions; a head that was loaded stays."""
        if not self.kmer_head.kmers.weight.any():
            self.kmer_head.kmers.bias.copy_(frequencies.clamp(min=1e-12).log())

    @torch.no_grad()
    def set_filters(self, motifs: Tensor) -> None:
        """Start the filters of a convolutional stem from motifs.

        Parameters
        ----------
        motifs
            Log-odds in bits ``(motifs, longest, 4)``, 0 behind the end of a motif. The first `n_filters` are used; what
            does not fit a filter is cut off behind. A perfect site answers with +2, half its score with 0.
        """
        filters = self.sequence_encoder.stem.filters
        width = filters.kernel_size[0]
        motifs = motifs[: filters.out_channels, :width].transpose(1, 2)  # (filters, 4, at most width)
        n_motifs, _, length = motifs.shape
        start = (width - length) // 2
        best = motifs.amax(1).clamp(min=0).sum(1).clamp(min=1e-3)
        filters.weight[:n_motifs] *= 0.1
        filters.weight[:n_motifs, :4, start : start + length] += motifs * (4 / best)[:, None, None]
        filters.bias[:n_motifs] = -2.0
