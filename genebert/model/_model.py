"""GeneBERT as an scvi-tools model."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager, fields
from scvi.model.base import BaseModelClass
from scvi.train import TrainRunner

from genebert import _keys
from genebert._data import RegionSource, TFWeight, cell_type_weight, context_windows, loader
from genebert._validate import check_cell_type, check_literal, check_range
from genebert.model._inference import Strands, embed_windows
from genebert.model._plan import PretrainingPlan, Progress
from genebert.model._pretrained import read_weights, write_weights
from genebert.model._scores import ScoreBook
from genebert.model._training import (
    PretrainingData,
    order_tfs,
    resolve_cell_types,
    set_priors,
    split_regions,
    window_dataset,
)
from genebert.nn import OBJECTIVES, GeneBERTConfig, GeneBERTNetwork, objectives

__all__ = ["GeneBERT"]

OBJECTIVE_WEIGHTS = {"masked_genome": 1.0, "next_segment": 0.5, "matching": 0.5, "masked_region": 1.0}


class GeneBERT(BaseModelClass):
    """Multi-modal encoder of regulatory regions: DNA sequence and TF x regions matrix (Mo et al. 2021).

    A reconstruction: the paper's code was not published, its equations were not available to us.

    Parameters
    ----------
    mdata
        Registered with `setup_mudata`. None for a model that is loaded.
    preset
        ``"mini"``, ``"base"``, ``"paper"`` or ``"tiny"``, see `genebert.nn.PRESETS`.
    config
        A config of your own; takes the place of `preset`.
    tfs
        TFs of the matrix in the order of the model; default: those of `mdata`.
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
        # scvi-tools wants data or a registry of them; weights that were loaded have neither.
        super().__init__(mdata, registry=None if mdata is not None else {"field_registries": {}})
        if tfs is None:
            tfs = order_tfs(mdata)
        self.tfs = [str(tf) for tf in tfs]
        config = config or GeneBERTConfig.preset(preset, n_tfs=len(self.tfs))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = GeneBERTNetwork(config)
        self.module.eval()
        self.training_record: dict[str, Any] = {}
        """What the model was trained on and how: regions, chromosomes, cell types, parameters."""
        self.pretraining_history = pd.DataFrame(columns=list(_keys.HISTORY_COLUMNS))
        """One row per measurement, see `genebert.get.history`."""
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
        setup_method_args = cls._get_setup_method_args(**locals())
        _keys.DNA_CODE.get(mdata)
        _keys.TF_SCORE.get(mdata)
        anndata_fields = [
            fields.MuDataLayerField("X", None, mod_key=_keys.TF, is_count_data=False, mod_required=True),
            fields.MuDataObsmField(_keys.DNA_CODE.key, _keys.DNA_CODE.key, mod_key=_keys.SEQ, mod_required=True),
        ]
        manager = AnnDataManager(fields=anndata_fields, setup_method_args=setup_method_args)
        manager.register_fields(mdata, **kwargs)
        cls.register_manager(manager)

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
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        warmup: float = 0.1,
        objectives: Mapping[str, float] | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
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
        max_epochs, batch_size
            Passes over all windows; regions per batch.
        lr, weight_decay, warmup
            Of AdamW; share of steps over which the rate rises before it falls along a cosine.
        objectives
            Weight of each objective; what is not named keeps its default, 0 switches off.
        accelerator, devices
            Where to, as in scvi-tools.
        seed
            Of order, strands, masks and pairs.
        **trainer_kwargs
            To :class:`scvi.train.Trainer`.
        """
        mdata = self.adata if mdata is None else mdata
        weights = _objective_weights(objectives)
        check_literal(tf_weight, TFWeight, name="tf_weight")
        check_range(max_epochs, name="max_epochs", low=1, integer=True)
        check_range(batch_size, name="batch_size", low=2, integer=True)
        cell_types = resolve_cell_types(mdata, cell_types)
        split = split_regions(mdata, seed=seed)
        source = self.source(mdata)
        chance = set_priors(self.module, source, regions=split.train, seed=seed)
        shared = {"cell_types": cell_types, "tf_weight": tf_weight, "tfs": self.tfs}
        shared["window_size"] = self.module.config.window_size
        train = window_dataset(mdata, source, regions=split.train, seed=seed, **shared)
        val = window_dataset(mdata, source, regions=split.val, **shared)
        plan = PretrainingPlan(
            self.module, weights=weights, lr=lr, weight_decay=weight_decay, warmup=warmup, seed=seed, chance=chance
        )
        quiet = {"enable_progress_bar": False, "gradient_clip_val": 1.0, "check_val_every_n_epoch": 1}
        runner = TrainRunner(
            self, training_plan=plan, data_splitter=PretrainingData(train, val, batch_size=batch_size),
            max_epochs=max_epochs, accelerator=accelerator, devices=devices,
            callbacks=[Progress(), *trainer_kwargs.pop("callbacks", [])], **{**quiet, **trainer_kwargs},
        )  # fmt: skip
        runner()
        self.pretraining_history = pd.DataFrame(plan.rows, columns=list(_keys.HISTORY_COLUMNS))
        self.training_record = {
            "cell_types": cell_types, "chromosomes": _chromosomes(mdata, split.train), "n_regions": int(split.train.sum()),
            "tf_weight": tf_weight, "objectives": weights, "max_epochs": max_epochs, "batch_size": batch_size, "lr": lr,
            "weight_decay": weight_decay, "warmup": warmup, "seed": seed, "kmer_chance": chance,
        }  # fmt: skip

    def get_latent_representation(
        self,
        mdata: MuData | None = None,
        *,
        cell_type: str | None = None,
        tf_weight: TFWeight = "none",
        strands: Strands = "both",
        batch_size: int = 256,
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
        batch_size
            Regions per batch.

        Returns
        -------
        float32 ``(regions, n_latent)``: sequence half, then region half, each of mean 0 and variance 1 per region.
        """
        mdata = self.adata if mdata is None else mdata
        check_literal(tf_weight, TFWeight, name="tf_weight")
        check_literal(strands, Strands, name="strands")
        check_range(batch_size, name="batch_size", low=1, integer=True)
        weight = None
        if cell_type is not None:
            _keys.OPEN.get(mdata)
            check_cell_type(cell_type, mdata[_keys.ATAC].var_names)
            if tf_weight != "none":
                weight = cell_type_weight(mdata, cell_type, tf_weight=tf_weight, tfs=self.tfs)
        elif tf_weight != "none":
            msg = f"Expected a `cell_type` with tf_weight={tf_weight!r}; found None. Name one of the cell types."
            raise ValueError(msg)
        windows = context_windows(mdata, cell_type=cell_type, window_size=self.module.config.window_size)
        self.module.eval()
        return embed_windows(
            self.module, self.source(mdata), windows, weight=weight, strands=strands, batch_size=batch_size
        )

    def source(self, mdata: MuData) -> RegionSource:
        """Codes and scores of `mdata`, TFs in the order of the model; a missing TF counts as average."""
        return RegionSource(mdata, tfs=self.tfs, fill=self.module.tf_mean.cpu().numpy())

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
        mdata
            Default: the data that the model was made with.
        regions
            Which, as bool ``(regions,)``; default: those of the test split.
        cell_types
            Whose windows; default: those of training.
        batch_size
            Regions per batch, and so the number of candidates in matching.
        seed
            Of masks, pairs and bootstrap.

        Returns
        -------
        One row per objective and metric: value, chance level, 95 % bootstrap interval over regions (low, high), number
        of regions. Masked genome modelling counts only k-mers of which no base is visible; its chance level is the
        entropy of the training k-mers.
        """
        mdata = self.adata if mdata is None else mdata
        if regions is None:
            regions = np.asarray(_keys.REGION_SPLIT.get(mdata) == "test")
        if not self.training_record:
            msg = "Expected a model that was trained; this one was not. Run `model.train()` or gb.tl.pretrain(mdata)."
            raise ValueError(msg)
        cell_types = self.training_record["cell_types"] if cell_types is None else list(cell_types)
        dataset = window_dataset(
            mdata, self.source(mdata), regions=regions, cell_types=cell_types, tfs=self.tfs,
            tf_weight=self.training_record["tf_weight"], window_size=self.module.config.window_size,
        )  # fmt: skip
        self.module.eval()
        book = ScoreBook(self.training_record["kmer_chance"])
        for number, batch in enumerate(loader(dataset, regions_per_batch=batch_size)):
            generator = torch.Generator(self.module.device).manual_seed(seed + number)
            with torch.inference_mode():
                weights = self.training_record["objectives"]
                book.add(objectives(self.module, batch.to(self.module.device), weights=weights, generator=generator))
        return pd.DataFrame(book.summary(rng=np.random.default_rng(seed)))

    def save(self, dir_path: str | Path, *, overwrite: bool = False, half_precision: bool = False) -> None:
        """Write config and weights into a folder, without data and without pickle.

        Parameters
        ----------
        dir_path
            The folder.
        overwrite
            Replace a model that is there.
        half_precision
            Store 16-bit floats.
        """
        description = {
            "config": self.module.config.to_dict(),
            "tfs": self.tfs,
            "training": self.training_record,
        }
        write_weights(
            Path(dir_path), self.module.state_dict(), description, overwrite=overwrite, half=half_precision
        )

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
            ``"auto"``, ``"cpu"``, ``"cuda"``, ...
        """
        state, description = read_weights(Path(dir_path))
        config = GeneBERTConfig.from_dict(description["config"])
        if mdata is not None:
            cls.setup_mudata(mdata)
        model = cls(mdata, config=config, tfs=description["tfs"])
        model.module.load_state_dict(state)
        model.training_record = copy.deepcopy(description["training"])
        model.is_trained_ = True
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        model.to_device(device)
        return model

    @property
    def digest(self) -> str:
        """Short fingerprint of config and weights, as it is noted beside every result."""
        digest = hashlib.sha256(json.dumps(self.module.config.to_dict()).encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()[:12]


def _objective_weights(changes: Mapping[str, float] | None) -> dict[str, float]:
    weights = {**OBJECTIVE_WEIGHTS, **(changes or {})}
    for name, weight in weights.items():
        check_literal(name, OBJECTIVES, name="objectives")
        check_range(weight, name=f"objectives[{name!r}]", low=0)
    return weights


def _chromosomes(mdata: MuData, regions: np.ndarray) -> list[str]:
    return sorted(map(str, np.unique(_keys.CHROM.get(mdata)[regions]))) if _keys.CHROM.has(mdata) else []
