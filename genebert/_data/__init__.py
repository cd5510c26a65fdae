"""From a MuData to batches of tensors."""

from genebert._data._batches import Place, Step, StepLoader, WindowDataset, share
from genebert._data._schedule import Schedule
from genebert._data._source import RegionSource, align_left, match_tfs, turn
from genebert._data._weights import TFWeight, cell_type_weight, context_weight
from genebert._data._windows import Windows, context_windows, open_in, open_windows

__all__ = [
    "Place",
    "RegionSource",
    "Schedule",
    "Step",
    "StepLoader",
    "TFWeight",
    "WindowDataset",
    "Windows",
    "align_left",
    "cell_type_weight",
    "context_weight",
    "context_windows",
    "match_tfs",
    "open_in",
    "open_windows",
    "share",
    "turn",
]
