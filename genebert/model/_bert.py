"""Sequence encoders that others trained as BERT, such as DNABERT (Ji et al. 2021), in the layout of Hugging Face."""

from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from genebert._dna import BASES, N_BASES
from genebert._validate import listed
from genebert.nn import GeneBERTConfig, GeneBERTNetwork

__all__ = ["Bert", "load_bert", "read_bert"]

CONFIG, VOCABULARY, WEIGHTS = "config.json", "vocab.txt", ("model.safetensors", "pytorch_model.bin")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # in the order of `KmerStem`

# What the sequence encoder of the preset `paper` computes, with BERT's defaults where a config is silent.
_FIXED = {
    "model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12,
    "type_vocab_size": 2, "is_decoder": False, "add_cross_attention": False,
}  # fmt: skip
_SIZES = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 512}

_LAYER = {
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2",
    "output.LayerNorm": "mlp_norm",
}


class Bert(NamedTuple):
    """A checkpoint."""

    folder: Path
    sizes: dict[str, Any]
    """Fields of `GeneBERTConfig` that fit it."""
    tokens: list[str]
    """The vocabulary, in the order of the embedding."""
    state: dict[str, Tensor]
    """Tensors by name, without the prefix ``bert.``."""


def read_bert(folder: str | Path) -> Bert:
    """Read a checkpoint.

    Parameters
    ----------
    folder
        With ``config.json``, ``vocab.txt`` and ``model.safetensors`` or ``pytorch_model.bin``.

    Raises
    ------
    FileNotFoundError
        When the folder or one of these is missing.
    ValueError
        When it is no BERT over k-mers, or cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        msg = (
            f"Expected the folder of a BERT checkpoint; found none at {folder}. One on the Hugging Face hub is fetched "
            "by: hf download <name> --local-dir <folder>."
        )
        raise FileNotFoundError(msg)
    for name in (CONFIG, VOCABULARY):
        if not (folder / name).is_file():
            msg = f"Expected a BERT checkpoint over k-mers in {folder}; {name} is missing."
            raise FileNotFoundError(msg)
    config = _read_config(folder / CONFIG)
    tokens = (folder / VOCABULARY).read_text().split()
    sizes = {
        "k": _find_k(tokens, folder), "dim": config["hidden_size"], "n_layers": config["num_hidden_layers"],
        "n_heads": config["num_attention_heads"], "max_tokens": config["max_position_embeddings"],
    }  # fmt: skip
    return Bert(folder, sizes, tokens, _read_state(folder))


def load_bert(network: GeneBERTNetwork, bert: Bert) -> bool:
    """Put the weights of a checkpoint into the sequence encoder, and those of its language-model head where it has one.

    Returns
    -------
    Whether it had a head.

    Raises
    ------
    ValueError
        When config or tensors do not fit; the network is unchanged.
    """
    config = network.config
    wanted = {"stem": "kmer", "stride": 1, "positions": "learned", "norm": "post", **bert.sizes}
    wrong = [f"{name}={getattr(config, name)!r}" for name, value in wanted.items() if getattr(config, name) != value]
    if wrong:
        expected = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
        msg = (
            f"Expected a config that fits the checkpoint in {bert.folder} ({expected}); found {', '.join(wrong)}. "
            'The preset "paper" takes its sizes from the checkpoint.'
        )
        raise ValueError(msg)
    order = _kmer_order(bert, config)
    encoder = _encoder_state(bert, config, order)
    _check_shapes(network.sequence_encoder, encoder, bert)
    head = _head_state(bert, order)
    if head:
        _check_shapes(network.kmer_head, {**network.kmer_head.state_dict(), **head}, bert)
        network.kmer_head.load_state_dict(head, strict=False)
        torch.nn.init.zeros_(network.kmer_head.bases.weight)
        torch.nn.init.zeros_(network.kmer_head.bases.bias)
    network.sequence_encoder.load_state_dict(encoder)
    return bool(head)


def _read_config(path: Path) -> dict[str, Any]:
    config = {**_FIXED, **_SIZES, **json.loads(path.read_text())}
    wrong = [f"{name}={config[name]!r}" for name, value in _FIXED.items() if config[name] != value]
    if config.get("intermediate_size", 3072) != 4 * config["hidden_size"]:
        wrong.append(f"intermediate_size={config.get('intermediate_size', 3072)}")
    if wrong:
        expected = ", ".join(f"{name}={value!r}" for name, value in _FIXED.items())
        msg = f"Expected a BERT ({expected}, intermediate_size=4 * hidden_size) in {path}; found {', '.join(wrong)}."
        raise ValueError(msg)
    return config


def _find_k(tokens: list[str], folder: Path) -> int:
    """Length of the k-mers of a vocabulary."""
    lengths = {len(token) for token in tokens if set(token) <= set(BASES[:N_BASES])}
    missing = [token for token in SPECIAL if token not in tokens]
    if len(lengths) != 1 or missing:
        found = f"k-mers of {sorted(lengths)} bases" + (f", without {listed(missing)}" if missing else "")
        msg = f"Expected k-mers of one length and {', '.join(SPECIAL)} in {folder / VOCABULARY}; found {found}."
        raise ValueError(msg)
    return lengths.pop()


def _read_state(folder: Path) -> dict[str, Tensor]:
    """Read the tensors, safetensors first; a pickle without running what it says."""
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        msg = f"Expected {' or '.join(WEIGHTS)} in {folder}; found neither."
        raise FileNotFoundError(msg)
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first_line = str(error).splitlines()[0]
        msg = f"Expected a file of tensors; {path} cannot be read ({first_line}). Copy it again."
        raise ValueError(msg) from error
    return {name.removeprefix("bert."): tensor for name, tensor in state.items()}


def _kmer_order(bert: Bert, config: GeneBERTConfig) -> list[int]:
    """Where each word of `KmerStem` stands in the vocabulary."""
    place = {token: row for row, token in enumerate(bert.tokens)}
    words = [*SPECIAL, *("".join(letters) for letters in itertools.product(BASES[:N_BASES], repeat=config.k))]
    missing = [word for word in words if word not in place]
    if missing:
        msg = f"Expected all {config.n_kmers} {config.k}-mers in {bert.folder / VOCABULARY}; {listed(missing)} missing."
        raise ValueError(msg)
    n_rows = len(_tensor(bert, "embeddings.word_embeddings.weight"))
    if n_rows < len(bert.tokens):
        msg = f"Expected an embedding of the {len(bert.tokens)} words of {VOCABULARY} in {bert.folder}; found {n_rows} rows."
        raise ValueError(msg)
    return [place[word] for word in words]


def _encoder_state(bert: Bert, config: GeneBERTConfig, order: list[int]) -> dict[str, Tensor]:
    """Tensors of the sequence encoder by the names that they have here."""
    state = {
        "stem.embedding.weight": _tensor(bert, "embeddings.word_embeddings.weight")[order],
        "position.weight": _tensor(bert, "embeddings.position_embeddings.weight"),
        "segment.weight": _tensor(bert, "embeddings.token_type_embeddings.weight"),
    }
    for kind in ("weight", "bias"):
        state[f"input_norm.{kind}"] = _tensor(bert, f"embeddings.LayerNorm.{kind}")
        for number in range(config.n_layers):
            theirs, ours = f"encoder.layer.{number}", f"blocks.{number}"
            qkv = [_tensor(bert, f"{theirs}.attention.self.{part}.{kind}") for part in ("query", "key", "value")]
            state[f"{ours}.attention.qkv.{kind}"] = torch.cat(qkv)
            for source, target in _LAYER.items():
                state[f"{ours}.{target}.{kind}"] = _tensor(bert, f"{theirs}.{source}.{kind}")
    return state


def _head_state(bert: Bert, order: list[int]) -> dict[str, Tensor]:
    """Tensors of the head of masked genome modelling; none where the checkpoint has no such head."""
    if "cls.predictions.transform.dense.weight" not in bert.state:
        return {}
    kmers = order[len(SPECIAL) :]
    tied = _tensor(bert, "embeddings.word_embeddings.weight")  # BERT's output words are its input words
    state = {
        "kmers.weight": bert.state.get("cls.predictions.decoder.weight", tied)[kmers],
        "kmers.bias": _tensor(bert, "cls.predictions.bias")[kmers],
    }
    for kind in ("weight", "bias"):
        state[f"hidden.0.{kind}"] = _tensor(bert, f"cls.predictions.transform.dense.{kind}")
        state[f"hidden.2.{kind}"] = _tensor(bert, f"cls.predictions.transform.LayerNorm.{kind}")
    return state


def _tensor(bert: Bert, name: str) -> Tensor:
    if name not in bert.state:
        msg = f"Expected the tensor {name} of a BERT in {bert.folder}; found {listed(sorted(bert.state), most=3)}."
        raise ValueError(msg)
    return bert.state[name].float()


def _check_shapes(module: torch.nn.Module, state: dict[str, Tensor], bert: Bert) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.shape != state[name].shape:
            msg = (
                f"Expected {name} of shape {tuple(tensor.shape)} from {CONFIG} and {VOCABULARY} in {bert.folder}; found "
                f"{tuple(state[name].shape)}."
            )
            raise ValueError(msg)
