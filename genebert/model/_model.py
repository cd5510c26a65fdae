"""GeneBERT as an scvi-tools model."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi.model.base import BaseModelClass

from genebert import _keys
from genebert._data import TFWeight
from genebert.model._callbacks import quiet_training
from genebert.model._evaluation import score_objectives
from genebert.model._fit import fit
from genebert.model._head import state_with_head, take_head
from genebert.model._inference import Reading, Strands, embed_regions
from genebert.model._pretrained import fingerprint, load_state, read_weights, write_weights
from genebert.model._priors import order_tfs, set_filters
from genebert.model._registration import manager
from genebert.model._scan import check_inputs
from genebert.model._settings import Precision
from genebert.nn import GeneBERTConfig, GeneBERTNetwork, Pooling

__all__ = ["GeneBERT"]


class GeneBERT(BaseModelClass):
    """Multi-modal encoder of regulatory regions: DNA sequence and TF x regions matrix (Mo et al. 2021).

    A reconstruction: the paper's code was not published, its equations were not available to us.

    Parameters
    ----------
    mdata
        Registered with `setup_mudata`. None for a model that is loaded.
    preset, config
        ``"mini"``, ``"base"``, ``"paper"`` or ``"tiny"``, see `genebert.nn.PRESETS`; or a config of your own.
    tfs
        TFs of the matrix in the order of the model; default: those of `mdata`, ordered so that neighbours score alike.
    seed
        Of the initial weights.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.model.GeneBERT.setup_mudata(mdata)
    >>> model = gb.model.GeneBERT(mdata, preset="tiny")
    >>> model.get_latent_representation().shape == (mdata.n_obs, model.module.config.n_latent)
    True
    """

    def __init__(
        self,
        mdata: MuData | None = None,
        *,
        preset: str = "mini",
        config: GeneBERTConfig | None = None,
        tfs: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        if mdata is None and tfs is None:
            msg = "Expected `mdata` or `tfs`; found neither. Give data, or load a model with `GeneBERT.load(folder)`."
            raise ValueError(msg)
        super().__init__(mdata, registry=None if mdata is not None else {"field_registries": {}})
        self.tfs = order_tfs(mdata) if tfs is None else [str(tf) for tf in tfs]
        config = config or GeneBERTConfig.preset(preset, n_tfs=len(self.tfs))
        if config.n_tfs != len(self.tfs):
            raise ValueError(f"Expected a config for the {len(self.tfs)} TFs of the model; found n_tfs={config.n_tfs}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = GeneBERTNetwork(config)
        if mdata is not None:
            set_filters(self.module, mdata, tfs=self.tfs)
        self.module.eval()
        self.training_record: dict[str, Any] = {}
        self.pretraining_history = pd.DataFrame(columns=list(_keys.HISTORY_COLUMNS))
        self.training_losses: list[float] = []
        self.head, self.head_labels = None, []  # of `genebert.tl.finetune`
        self.is_first_process = True  # where several train together, the one that writes
        self._model_summary_string = f"GeneBERT with {len(self.tfs)} TFs, {config.n_latent} latent dimensions"
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def setup_mudata(cls, mdata: MuData, **kwargs: Any) -> None:
        """Register codes and TF matrix of a MuData with scvi-tools.

        Parameters
        ----------
        mdata
            With ``mdata["seq"].obsm["dna_code"]`` and ``mdata["tf"].X``.
        """
        registry = manager(mdata, setup_method_args=cls._get_setup_method_args(**locals()))
        with quiet_training():
            registry.register_fields(mdata, **kwargs)
        cls.register_manager(registry)

    @classmethod
    def setup_anndata(cls, adata: AnnData, **kwargs: Any) -> None:
        """Refuse: regions, TFs and cell types need a MuData, see `setup_mudata`."""
        msg = "Expected a MuData; found an AnnData. Turn it with gb.io.from_anndata(adata), then call `setup_mudata`."
        raise TypeError(msg)

    def train(
        self,
        mdata: MuData | None = None,
        *,
        cell_types: Sequence[str] | None = None,
        tf_weight: TFWeight = "none",
        max_epochs: int = 20,
        batch_size: int = 256,
        accumulate: int = 1,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        warmup: float = 0.1,
        objectives: Mapping[str, float] | None = None,
        ema: float | None = None,
        patience: int | None = None,
        precision: Precision = "auto",
        checkpoint_dir: str | Path | None = None,
        checkpoint_minutes: float = 10,
        resume: bool = False,
        seed: int = 0,
        **trainer_kwargs: Any,
    ) -> None:
        """Pre-train on windows of consecutive open regions.

        Parameters
        ----------
        mdata
            Default: the data that the model was made with.
        cell_types
            Whose open regions; default: all but those held out by `genebert.pp.split_cell_types`. Without
            accessibility or coordinates each region stands alone.
        tf_weight
            What a cell type puts on the matrix.
        max_epochs, batch_size, accumulate
            Passes over all windows; regions per step, on all devices together; parts in which a device computes its share.
        lr, weight_decay, warmup
            Of AdamW; share of steps over which the rate rises before it falls on a cosine.
        objectives
            Weight of each objective; what is not named keeps its default, 0 switches off.
        ema, patience
            Keep the average of the weights over this share of the run, such as 0.05; stop after so many epochs without a
            lower loss on held-out regions, with the best weights.
        precision
            ``"bf16"``, ``"32"``, ``"auto"`` (bf16 on GPUs that have it), or ``"64"``, for checks.
        checkpoint_dir, checkpoint_minutes, resume
            Folder for checkpoints, how often, and whether to go on from the one that is there.
        seed
            Of order, strands, masks, pairs and dropout.
        **trainer_kwargs
            To scvi-tools' ``Trainer``: `accelerator`, `devices`, `num_nodes`, `max_time`, `logger` (``"csv"`` too).
        """
        fit(
            self, self._resolve(mdata), cell_types=cell_types, tf_weight=tf_weight, max_epochs=max_epochs,
            batch_size=batch_size, accumulate=accumulate, lr=lr, weight_decay=weight_decay, warmup=warmup,
            objectives=objectives, ema=ema, patience=patience, precision=precision, seed=seed,
            checkpoint_dir=checkpoint_dir, checkpoint_minutes=checkpoint_minutes, resume=resume,
            trainer_kwargs=trainer_kwargs,
        )  # fmt: skip

    def get_latent_representation(
        self,
        mdata: MuData | None = None,
        *,
        cell_type: str | None = None,
        tf_weight: TFWeight = "none",
        strands: Strands = "both",
        pooling: Pooling = "mean",
        layer: int = -1,
        max_seq_length: int | None = None,
        batch_size: int = 256,
        out: Any = None,
    ) -> np.ndarray:
        """Embed regions.

        Parameters
        ----------
        mdata
            Default: the data that the model was made with. TFs are matched by name.
        cell_type
            None: each region alone, so that its vector depends on nothing else. Else neighbours that are open in this
            cell type share a window of the matrix, and a region that is closed in it stands alone.
        tf_weight
            What the cell type puts on the matrix.
        strands
            ``"both"``: average over the region and its reverse complement; ``"forward"``: as it lies on the reference.
        pooling, layer
            The sequence half: ``"mean"`` or ``"max"`` over the k-mers, or the state of ``"cls"``, behind this block of
            the sequence encoder (0 the first, -1 the last).
        max_seq_length
            Bases read at once; a longer region is read in pieces that overlap by half. Default: as many as the network
            has positions for.
        batch_size
            Regions per batch.
        out
            Matrix to fill instead of a new array, chunk by chunk.

        Returns
        -------
        float32 ``(regions, n_latent)``: sequence half, then region half, each of mean 0 and variance 1 per region.
        """
        mdata = self._resolve(mdata)
        check_inputs(mdata, self.training_record)
        reading = Reading.of(
            self.module.config, strands=strands, pooling=pooling, layer=layer, max_seq_length=max_seq_length
        )
        return embed_regions(
            self.module, mdata, tfs=self.tfs, cell_type=cell_type, tf_weight=tf_weight, reading=reading,
            batch_size=batch_size, out=out,
        )  # fmt: skip

    def get_pretraining_scores(
        self,
        mdata: MuData | None = None,
        *,
        regions: np.ndarray | None = None,
        cell_types: Sequence[str] | None = None,
        batch_size: int = 256,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Score the objectives on regions that the model was not trained on.

        Parameters
        ----------
        mdata, regions
            Default: the data of the model; those of the test split. Regions as bool ``(regions,)``.
        cell_types
            Whose windows; default: those of training.
        batch_size, seed
            Regions per batch, and so the number of candidates in matching; seed of masks, pairs and bootstrap.

        Returns
        -------
        One row per objective and metric: value, chance, 95 % bootstrap interval over regions (low, high), regions.
        Masked genome modelling counts k-mers without a visible base; chance is the entropy of the training k-mers.
        """
        mdata = self._resolve(mdata)
        return score_objectives(
            self.module, mdata, tfs=self.tfs, regions=regions, cell_types=cell_types, batch_size=batch_size, seed=seed,
            record=self.training_record,
        )  # fmt: skip

    def save(self, dir_path: str | Path, *, overwrite: bool = False, half_precision: bool = False) -> None:
        """Write config, weights and head into a folder, without data or pickle; of several processes the first does.

        Parameters
        ----------
        dir_path, overwrite
            The folder; whether to replace a model that is there.
        half_precision
            Store 16-bit floats.
        """
        description = {"config": self.module.config.to_dict(), "tfs": self.tfs, "training": self.training_record}
        if self.is_first_process:
            state = state_with_head(self)
            write_weights(dir_path, state, description, overwrite=overwrite, half=half_precision)

    @classmethod
    def load(cls, dir_path: str | Path, mdata: MuData | None = None, *, device: str = "auto") -> GeneBERT:
        """Read a model that `save` wrote.

        Parameters
        ----------
        dir_path
            The folder.
        mdata
            Data to attach; not needed for embedding.
        device
            ``"auto"`` or one of torch's.
        """
        state, description = read_weights(dir_path, part="config")
        config = GeneBERTConfig.from_dict(description["config"])
        if mdata is not None:
            cls.setup_mudata(mdata)
        model = cls(mdata, config=config, tfs=description["tfs"])
        model.training_record = copy.deepcopy(description["training"])
        load_state(model.module, take_head(model, state), directory=Path(dir_path))
        model.is_trained_ = bool(model.training_record)
        model.to_device(device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
        return model

    @property
    def digest(self) -> str:
        """Short fingerprint of the weights at 16 bits, as it is noted beside every result; saving does not change it."""
        return fingerprint({name: tensor.half() for name, tensor in self.module.state_dict().items()})[:12]

    def _resolve(self, mdata: MuData | None) -> MuData:
        if mdata is None and self.adata is None:
            raise ValueError("Expected `mdata`, since this model was loaded without data; found None.")
        return self.adata if mdata is None else mdata
