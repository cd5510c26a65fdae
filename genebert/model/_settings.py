"""All that decides how a training run goes, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from mudata import MuData

from genebert import _keys
from genebert._data import TFWeight
from genebert._validate import check_cell_type, check_literal, check_range, check_seed, listed
from genebert.nn import OBJECTIVES

__all__ = ["Precision", "TrainingSettings", "check_cuda", "check_device", "objective_weights", "resolve_cell_types"]

OBJECTIVE_WEIGHTS = {"masked_genome": 1.0, "next_segment": 0.5, "matching": 0.5, "masked_region": 1.0}
Precision = Literal["auto", "32", "bf16", "64"]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What must be the same when a run is resumed. `genebert.model.GeneBERT.train` explains each."""

    cell_types: list[str] | None
    objectives: dict[str, float]
    tf_weight: TFWeight = "none"
    max_epochs: int = 20
    batch_size: int = 256
    accumulate: int = 1
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip: float = 1.0
    ema: float | None = None
    patience: int | None = None
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_literal(self.tf_weight, TFWeight, name="tf_weight")
        check_literal(self.precision, Precision, name="precision")
        check_range(self.max_epochs, name="max_epochs", low=1, integer=True)
        check_range(self.batch_size, name="batch_size", low=2, integer=True)
        check_range(self.accumulate, name="accumulate", low=1, high=self.batch_size // 2, integer=True)
        check_range(self.lr, name="lr", low=0)
        check_range(self.weight_decay, name="weight_decay", low=0)
        check_range(self.warmup, name="warmup", low=0, high=1)
        check_range(self.clip, name="gradient_clip_val", low=0)
        check_seed(self.seed)
        if self.ema is not None:
            check_range(self.ema, name="ema", low=0, high=1)
        if self.patience is not None:
            check_range(self.patience, name="patience", low=1, integer=True)

    @classmethod
    def of(cls, mdata: MuData, **options: Any) -> TrainingSettings:
        """Check options against the data and fill in what depends on them; names that are no setting are left out."""
        for slot in (_keys.DNA_CODE, _keys.TF_SCORE):
            slot.get(mdata)  # raises, and says what to run
        known = {name: options[name] for name in options if name in {field.name for field in fields(cls)}}
        cell_types = resolve_cell_types(mdata, known.pop("cell_types", None))
        weights = objective_weights(known.pop("objectives", None))
        return cls(cell_types=cell_types, objectives=weights, **known)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def check_device(device: Any, *, name: str) -> None:
    """Raise unless it is ``"auto"`` or a device of torch that is there."""
    check_cuda(device, name=name)
    if device == "auto":
        return
    msg = (
        f'Expected `{name}` to be "auto" or a device of torch that is there, such as "cpu" or "cuda"; found {device!r}.'
    )
    try:
        found = torch.empty(0, device=torch.device(device))  # None is none, though torch.empty takes it
    except (AssertionError, RuntimeError, TypeError) as error:
        raise ValueError(msg) from error
    if found.is_meta:  # holds no numbers
        raise ValueError(msg)


def check_cuda(device: Any, *, name: str) -> None:
    """Raise where a GPU of CUDA is asked for that torch does not see."""
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        msg = f'Expected `{name}` to be there; found no GPU for {str(device)!r}. Take "cpu", or a build of torch with CUDA.'
        raise ValueError(msg)


def objective_weights(changes: Mapping[str, float] | None) -> dict[str, float]:
    """Weights of all objectives, the default ones with `changes`."""
    if not isinstance(changes, (Mapping, type(None))):
        msg = f'Expected `objectives` to give weights by name, as in {{"matching": 0}}; found {changes!r}.'
        raise TypeError(msg)
    weights = {**OBJECTIVE_WEIGHTS, **(changes or {})}
    for name, weight in weights.items():
        check_literal(name, OBJECTIVES, name="objectives")
        check_range(weight, name=f"objectives[{name!r}]", low=0)
    if not any(weights.values()):
        msg = "Expected an objective with a weight above 0; found none. Leave `objectives` out for the default weights."
        raise ValueError(msg)
    return weights


def resolve_cell_types(mdata: MuData, cell_types: Sequence[str] | None) -> list[str] | None:
    """Cell types whose open regions are read; None where the data have no accessibility or no coordinates."""
    if _keys.ATAC not in mdata.mod or not _keys.CHROM.has(mdata):
        if cell_types is not None:
            _keys.OPEN.get(mdata)
            _keys.CHROM.get(mdata)
        return None
    _keys.OPEN.get(mdata)
    names = mdata[_keys.ATAC].var_names
    if cell_types is None:
        held_out = _keys.CELL_TYPE_SPLIT.get(mdata) == "holdout" if _keys.CELL_TYPE_SPLIT.has(mdata) else False
        cell_types = names[~np.broadcast_to(held_out, len(names))]
    cell_types = [cell_types] if isinstance(cell_types, str) else list(cell_types)
    if not cell_types:
        msg = f"Expected one or more `cell_types` of {listed(names, most=20)}; found none."
        raise ValueError(msg)
    for cell_type in cell_types:
        check_cell_type(cell_type, names)
    return [str(cell_type) for cell_type in cell_types]
