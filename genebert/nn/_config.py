"""Sizes and choices of the network, in one frozen object."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from genebert._validate import check_literal, check_range

__all__ = ["PRESETS", "GeneBERTConfig"]

Stem = Literal["kmer", "conv"]
Positions = Literal["learned", "rotary"]
Norm = Literal["pre", "post"]
_COUNTS = (
    "n_tfs", "stride", "n_filters", "filter_width", "dim", "n_layers", "n_heads", "tf_patch", "region_dim", "window_size",
    "region_out", "contrast_dim",
)  # fmt: skip
_COUNTS_EACH = ("region_depths", "region_heads", "region_window")


@dataclass(frozen=True)
class GeneBERTConfig:
    """Everything that shapes the network; two networks with equal configs can exchange weights."""

    n_tfs: int
    """Columns of the TF x regions matrix."""

    # Sequence encoder
    k: int = 6
    """Length of a k-mer in bases."""
    stride: int = 1
    """Step between k-mers in bases."""
    stem: Stem = "kmer"
    """How bases become token vectors: an embedding of k-mers, or motif-length filters pooled over each k-mer."""
    n_filters: int = 256
    """Filters of the convolutional stem."""
    filter_width: int = 15
    """Width of a filter in bases (odd)."""
    dim: int = 768
    """Width of token states and of the sequence half of the embedding."""
    n_layers: int = 12
    n_heads: int = 12
    positions: Positions = "rotary"
    norm: Norm = "pre"
    max_tokens: int = 512
    """Longest input in tokens, where positions are learned."""
    dropout: float = 0.1

    # Region encoder
    tf_patch: int = 4
    """TFs per patch (p of the p x 1 patches)."""
    region_dim: int = 96
    """Channels of the first stage; each patch merging doubles them."""
    region_depths: tuple[int, ...] = (2, 2, 6, 2)
    """Blocks per stage; patches are merged in pairs along the TF axis between stages."""
    region_heads: tuple[int, ...] = (3, 6, 12, 24)
    region_window: tuple[int, int] = (7, 7)
    """Attention window in TF patches and in regions."""
    window_size: int = 8
    """Consecutive open regions per window of the matrix in pre-training."""
    region_out: int = 768
    """Width of the region half of the embedding."""

    # Objectives
    contrast_dim: int = 128
    """Width of the space in which sequences and regions are matched."""

    def __post_init__(self) -> None:
        for name, choices in {"stem": Stem, "positions": Positions, "norm": Norm}.items():
            check_literal(getattr(self, name), choices, name=name)
        check_range(self.k, name="k", low=3, high=8, integer=True)
        check_range(self.max_tokens, name="max_tokens", low=3, integer=True)
        check_range(self.dropout, name="dropout", low=0, high=1)
        for name in _COUNTS:
            check_range(getattr(self, name), name=name, low=1, integer=True)
        for name in _COUNTS_EACH:
            object.__setattr__(self, name, _counts(getattr(self, name), name=name))
        if len(self.region_window) != 2:
            msg = f"Expected `region_window` in TF patches and in regions; found {self.region_window}."
            raise ValueError(msg)
        if self.filter_width % 2 == 0:
            msg = f"Expected `filter_width` to be odd; found {self.filter_width}."
            raise ValueError(msg)
        if self.dim % (2 * self.n_heads):
            msg = f"Expected `dim` to be a multiple of twice `n_heads`; found {self.dim} and {self.n_heads}."
            raise ValueError(msg)
        if any(self.region_dim * 2**stage % heads for stage, heads in enumerate(self.region_heads)):
            msg = f"Expected channels ({self.region_dim}, doubled per stage) to be multiples of `region_heads`; found {self.region_heads}."
            raise ValueError(msg)
        if len(self.region_depths) != len(self.region_heads):
            msg = f"Expected as many `region_depths` as `region_heads`; found {self.region_depths} and {self.region_heads}."
            raise ValueError(msg)

    @property
    def n_latent(self) -> int:
        """Width of the joint region embedding."""
        return self.dim + self.region_out

    @property
    def norm_eps(self) -> float:
        """What layer norms add to the variance: BERT's with post-norm, else torch's."""
        return 1e-12 if self.norm == "post" else 1e-5

    @property
    def n_kmers(self) -> int:
        """Classes of masked genome modelling."""
        return 4**self.k

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GeneBERTConfig:
        """Rebuild from `to_dict`.

        Raises
        ------
        ValueError
            When a field is unknown, as in a config that a newer genebert wrote.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            msg = f"Expected a config of this genebert; found unknown fields {sorted(unknown)}. Upgrade genebert."
            raise ValueError(msg)
        return cls(**values)

    @classmethod
    def preset(cls, name: str, *, n_tfs: int, **changes: Any) -> GeneBERTConfig:
        """One of `PRESETS` for a matrix with `n_tfs` columns, with `changes`."""
        if name not in PRESETS:
            msg = f"Expected `preset` to be one of {', '.join(PRESETS)}; found {name!r}."
            raise ValueError(msg)
        return cls(**{"n_tfs": n_tfs, **PRESETS[name], **changes})


def _counts(values: Any, *, name: str) -> tuple[int, ...]:
    """As a tuple; raise unless all are integers, 1 or more."""
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError(f"Expected `{name}` to be a tuple of integers; found {values!r}.")
    for value in values:
        check_range(value, name=name, low=1, integer=True)
    return tuple(values)


PRESETS: dict[str, dict[str, Any]] = {
    # BERT-base on 6-mers and Swin-T widths, the sizes that the paper names.
    "paper": {"positions": "learned", "norm": "post"},
    # The same sizes with pre-norm and rotary positions.
    "base": {},
    # At most 8 M parameters and 300 MFLOP per 256 bp and strand: the default, trained and used on a laptop.
    "mini": {
        "stem": "conv", "k": 6, "stride": 6, "dim": 192, "n_layers": 2, "n_heads": 4, "dropout": 0.0,
        "tf_patch": 16, "region_dim": 64, "region_depths": (2, 2), "region_heads": (2, 4), "region_window": (8, 4),
        "region_out": 256,
    },
    # For tests and documentation: seconds on one core.
    "tiny": {
        "stem": "conv", "k": 4, "stride": 4, "n_filters": 32, "filter_width": 11, "dim": 32, "n_layers": 1,
        "n_heads": 2, "dropout": 0.0, "tf_patch": 32, "region_dim": 16, "region_depths": (1, 1),
        "region_heads": (1, 2), "region_window": (4, 4), "region_out": 32, "contrast_dim": 32, "window_size": 4,
    },
}  # fmt: skip
