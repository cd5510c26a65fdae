"""Load a pre-trained model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from genebert._logging import info
from genebert._motifs import WEIGHTS
from genebert.model import GeneBERT
from genebert.model._bert import load_bert, read_bert
from genebert.model._settings import check_device
from genebert.nn import PRESETS, GeneBERTConfig

__all__ = ["load"]


def load(
    name_or_path: str | Path | GeneBERTConfig = "mini",
    *,
    sequence_encoder: str | Path | None = None,
    tfs: Sequence[str] | None = None,
    device: str = "auto",
) -> GeneBERT:
    """Load weights that ship with genebert, those of a folder, or a sequence encoder that was trained as BERT.

    Works offline. DNABERT-3 to DNABERT-6 (Ji et al. 2021) and other BERT over k-mers give the sequence encoder of a new
    model, whose region encoder knows nothing yet: use the sequence half of its embedding as it is, or train on.

    Parameters
    ----------
    name_or_path
        ``"mini"``, or a folder that :meth:`genebert.model.GeneBERT.save` wrote. With `sequence_encoder`: ``"paper"``,
        which takes k and the sizes of the sequence encoder from the checkpoint, or a config.
    sequence_encoder
        Folder of a checkpoint in the layout of Hugging Face: ``config.json``, ``vocab.txt`` and ``model.safetensors`` or
        ``pytorch_model.bin``. The order of the words is read from ``vocab.txt``; nothing in it is run.
    tfs
        With `sequence_encoder`: TFs of the matrix, in the order in which the region encoder reads them. Default: those
        of the motifs that ship.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Raises
    ------
    FileNotFoundError
        When it is neither; the message lists what ships. When a file of the checkpoint is missing.
    ValueError
        When the checkpoint is no BERT over k-mers, or does not fit the config.

    Examples
    --------
    >>> model = gb.tl.load("mini")
    """
    check_device(device, name="device")
    if sequence_encoder is not None:
        return _load_bert(name_or_path, sequence_encoder, tfs=tfs, device=device)
    if tfs is not None or isinstance(name_or_path, GeneBERTConfig):
        found = f"tfs={tfs!r}" if tfs is not None else "a config"
        msg = f"Expected `sequence_encoder` with a config or `tfs`; found {found} alone. genebert.model.GeneBERT makes new models."
        raise ValueError(msg)
    shipped = WEIGHTS / str(name_or_path)
    directory = shipped if shipped.is_dir() and not Path(name_or_path).is_dir() else Path(name_or_path)
    if not directory.is_dir():
        names = sorted(path.name for path in WEIGHTS.iterdir() if path.is_dir())
        msg = f"Expected the name of shipped weights ({', '.join(names)}) or a folder; found {str(name_or_path)!r}."
        if str(name_or_path) in PRESETS:
            msg += " Without weights, gb.tl.pretrain(mdata, preset=...) trains it; `sequence_encoder` loads a BERT into it."
        raise FileNotFoundError(msg)
    return GeneBERT.load(directory, device=device)


def _load_bert(
    preset: str | Path | GeneBERTConfig, folder: str | Path, *, tfs: Sequence[str] | None, device: str
) -> GeneBERT:
    if not isinstance(preset, GeneBERTConfig) and str(preset) not in PRESETS:
        msg = f"Expected a config or a preset ({', '.join(PRESETS)}) with `sequence_encoder`; found {str(preset)!r}."
        raise ValueError(msg)
    bert = read_bert(folder)
    tfs = load("mini", device="cpu").tfs if tfs is None else list(tfs)
    if isinstance(preset, GeneBERTConfig):
        config = preset
    else:
        sizes = bert.sizes if preset == "paper" else {}
        config = GeneBERTConfig.preset(str(preset), n_tfs=len(tfs), **sizes)
    model = GeneBERT(tfs=tfs, config=config)
    has_head = load_bert(model.module, bert)
    model.to_device(device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    info(
        f"loaded the sequence encoder{' and the head of masked genome modelling' if has_head else ''} from {folder}; "
        "the region encoder and the other heads are untrained"
    )
    return model
