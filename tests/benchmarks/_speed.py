"""What `pretrain_speed.py` times, each in a process of its own."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

LAYERS, DIM, HEADS, K, N_TFS = 6, 256, 4, 6, 857
TOKENS_PER_STEP = {"cpu": 4_096, "cuda": 65_536}
WARM = 2
FORWARD = 3
"""Forward passes per timed step of training, which takes about as long."""
PRESETS = {"mini": 200, "base": 515}
"""Bases per region: what the shipped weights were trained on; 512 tokens."""
REGIONS = {"cpu": {"mini": 256, "base": 1}, "cuda": {"mini": 4_096, "base": 128}}
WEIGHTS = {"masked_genome": 1.0, "next_segment": 0.0, "matching": 0.0, "masked_region": 0.0}
ALL_WEIGHTS = {"masked_genome": 1.0, "next_segment": 0.5, "matching": 0.5, "masked_region": 1.0}


def precision_of(name: str, device: str) -> contextlib.AbstractContextManager:
    """Products in 16 bits, or nothing special."""
    return torch.autocast(device, torch.bfloat16) if name == "bf16" else contextlib.nullcontext()


def wait(device: str) -> float:
    """Now, with everything done that was asked of the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_each(run: Callable[[], object], n: int, *, device: str) -> float:
    """Median time of a call, warm."""
    for _ in range(WARM):
        run()
    times = []
    for _ in range(n):
        start = wait(device)
        run()
        times.append(wait(device) - start)
    return statistics.median(times)


def optimizer_of(network: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)


def small_network(dropout: float):
    """BERT's arithmetic at 6 layers x 256, with almost no region encoder."""
    from genebert.nn import GeneBERTConfig, GeneBERTNetwork

    region = {"tf_patch": 64, "region_dim": 12, "region_heads": (1,), "region_depths": (1,), "region_out": 8}
    sizes = {"k": K, "dim": DIM, "n_layers": LAYERS, "n_heads": HEADS, "dropout": dropout}
    return GeneBERTNetwork(GeneBERTConfig.preset("paper", n_tfs=N_TFS, **sizes, **region))


def random_mudata(n_regions: int, length: int):
    """Random regions with random scores of as many TFs as the shipped motifs are of."""
    from anndata import AnnData

    import genebert as gb
    from genebert import _keys, _mudata

    rng = np.random.default_rng(0)
    start = np.arange(n_regions) * 2 * length
    mdata = gb.io.read_regions(pd.DataFrame({"chrom": "chr1", "start": start, "end": start + length}))
    _keys.DNA_CODE.set(mdata, rng.integers(0, 4, (n_regions, length), dtype=np.uint8))
    scores = rng.random((n_regions, N_TFS), dtype=np.float32)
    tfs = pd.DataFrame(index=[f"TF{number}" for number in range(N_TFS)])
    _mudata.put(mdata, **{_keys.TF: AnnData(scores, obs=pd.DataFrame(index=mdata.obs_names), var=tfs)})
    return mdata


def bases_of(n_tokens: int) -> int:
    """Bases that make this many tokens with [CLS] and [SEP]."""
    return n_tokens - 2 + K - 1


def loader_of(n_steps: int, n_regions: int, length: int):
    """The loader of pre-training over random regions, each alone in its window."""
    from genebert import _keys
    from genebert._data import RegionSource, Schedule, StepLoader, WindowDataset, Windows

    mdata = random_mudata(n_steps * n_regions, length)
    tfs = list(mdata[_keys.TF].var_names)
    rows = np.arange(mdata.n_obs)[:, None]
    windows = Windows(rows, np.full(len(rows), -1))
    dataset = WindowDataset(RegionSource(mdata, tfs=tfs, fill=np.zeros(N_TFS)), windows)
    return StepLoader(dataset, Schedule(windows, regions_per_batch=n_regions, seed=0), seed=0)


def train_genebert(precision: str, n_tokens: int, *, device: str, steps: int, dropout: float) -> dict[str, float]:
    """Masked genome modelling from a MuData: reading, turning, hiding, tokens, forward, backward, AdamW."""
    from genebert.nn import objectives

    torch.manual_seed(0)
    network = small_network(dropout).to(device).train()
    optimizer = optimizer_of(network)
    n_regions = TOKENS_PER_STEP[device] // n_tokens
    loader = loader_of(WARM + steps, n_regions, bases_of(n_tokens))
    generator = torch.Generator(device).manual_seed(0)
    ends, waited = [], []
    for step in loader:
        with precision_of(precision, device):
            scored = objectives(network, step.to(device).batch, weights=WEIGHTS, generator=generator)
        scored["masked_genome"].loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        ends.append(wait(device))
        waited.append(loader.seconds_waited)
    times = np.diff(ends)[WARM - 1 :]
    waiting = (waited[-1] - waited[WARM - 1]) / times.sum()
    return {"seconds": float(np.median(times)) / (n_regions * n_tokens), "waiting": float(waiting)}


def read_genebert(precision: str, n_tokens: int, *, device: str, steps: int, whole: bool) -> dict[str, float]:
    """The loss of masked genome modelling without training, or from bases to the mean state of each region."""
    from genebert.nn import Batch, objectives, read_sequences

    torch.manual_seed(0)
    network = small_network(0.0).to(device).eval()
    n, length = TOKENS_PER_STEP[device] // n_tokens, bases_of(n_tokens)
    codes = torch.randint(0, 4, (n, length), dtype=torch.uint8)
    mask = torch.ones(n, 1, dtype=torch.bool)
    batch = Batch(codes, torch.full((n,), length), torch.zeros(n, 1, N_TFS), mask, torch.arange(n)).to(device)
    generator = torch.Generator(device).manual_seed(0)

    def run() -> object:
        if whole:
            return objectives(network, batch, weights=WEIGHTS, generator=generator)
        return read_sequences(network.sequence_encoder, batch.codes, batch.lengths, batch_size=n)

    with torch.inference_mode(), precision_of(precision, device):
        return {"seconds": seconds_each(run, FORWARD * steps, device=device) / (n * n_tokens)}


def bert_of(n_tokens: int, *, device: str, dropout: float, attention: str | None):
    """BERT of the same sizes and its token ids."""
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": DIM, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    config = BertConfig(vocab_size=5 + 4**K, intermediate_size=4 * DIM, **sizes)
    if attention is not None:  # else what transformers does by default
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
        config._attn_implementation = attention
    torch.manual_seed(0)
    network = BertForMaskedLM(config).to(device)
    n_regions = TOKENS_PER_STEP[device] // n_tokens
    return network, torch.randint(5, config.vocab_size, (n_regions, n_tokens), device=device)


def masked(ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What BertForMaskedLM is given: 15 % of the ids hidden."""
    is_hidden = torch.rand(ids.shape, device=ids.device) < 0.15
    labels = ids.masked_fill(~is_hidden, -100)
    return {"input_ids": ids.masked_fill(is_hidden, 4), "attention_mask": torch.ones_like(ids), "labels": labels}


def train_bert(
    precision: str, n_tokens: int, *, device: str, steps: int, dropout: float, attention: str | None
) -> dict[str, float]:
    """The same of transformers, on token ids, labels and masks that are ready."""
    network, ids = bert_of(n_tokens, device=device, dropout=dropout, attention=attention)
    optimizer, inputs = optimizer_of(network.train()), masked(ids)

    def train() -> None:
        with precision_of(precision, device):
            loss = network(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return {"seconds": seconds_each(train, steps, device=device) / ids.numel()}


def read_bert(precision: str, n_tokens: int, *, device: str, steps: int, whole: bool) -> dict[str, float]:
    """The loss of masked language modelling, or from token ids to the states of the last layer."""
    network, ids = bert_of(n_tokens, device=device, dropout=0.0, attention="sdpa")
    network.eval()
    inputs = masked(ids)
    if not whole:
        network = network.bert
        del inputs["labels"]
    with torch.inference_mode(), precision_of(precision, device):
        return {"seconds": seconds_each(lambda: network(**inputs), FORWARD * steps, device=device) / ids.numel()}


def product_rate(precision: str, *, device: str) -> float:
    """FLOP/s of the best matrix product."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for n in (4096, 8192, 16384) if device == "cuda" else (512, 1024, 2048):
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in "ab")
        best = max(best, 2 * n**3 / seconds_each(lambda a=a, b=b: a @ b, 5, device=device))
    return best


def jobs_of(preset: str, *, device: str) -> Iterator[tuple[str, Callable[[], object], torch.nn.Module]]:
    """What a preset is timed at."""
    from genebert.nn import Batch, GeneBERTConfig, GeneBERTNetwork, objectives, read_sequences

    torch.manual_seed(0)
    network = GeneBERTNetwork(GeneBERTConfig.preset(preset, n_tfs=N_TFS)).to(device)
    optimizer = optimizer_of(network)
    window_size = network.config.window_size if REGIONS[device][preset] >= network.config.window_size else 1
    n_windows, length = REGIONS[device][preset] // window_size, PRESETS[preset]
    n = n_windows * window_size
    codes = torch.randint(0, 4, (n, length), dtype=torch.uint8)
    mask = torch.ones(n_windows, window_size, dtype=torch.bool)
    batch = Batch(codes, torch.full((n,), length), torch.randn(n_windows, window_size, N_TFS), mask, torch.arange(n))
    batch, generator = batch.to(device), torch.Generator(device).manual_seed(0)

    def train(weights: dict[str, float]) -> None:
        scored = objectives(network, batch, weights=weights, generator=generator)
        sum(weights[name] * item.loss for name, item in scored.items()).backward()
        optimizer.step()
        optimizer.zero_grad()

    def encode() -> None:
        with torch.inference_mode():
            read_sequences(network.sequence_encoder, batch.codes, batch.lengths, batch_size=n)

    yield "training", lambda: train(WEIGHTS), network.train()
    if window_size > 1:
        yield "training, all objectives", lambda: train(ALL_WEIGHTS), network.train()
    yield "inference", encode, network.eval()


def time_preset(preset: str, precision: str, *, device: str, steps: int) -> dict[str, float]:
    """FLOP/s of a preset and of the best matrix product."""
    rates = {"product": product_rate(precision, device=device)}
    for name, run, _ in jobs_of(preset, device=device):
        with precision_of(precision, device):
            with FlopCounterMode(display=False) as counter:
                run()
            rates[name] = counter.get_total_flops() / seconds_each(run, steps, device=device)
    return {**rates, "product": max(rates["product"], product_rate(precision, device=device))}


def cpu_against_gpu() -> dict[str, float]:
    """Largest difference between embeddings that the CPU and the GPU make in 32 bits."""
    import genebert as gb

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    mdata = gb.datasets.toy()
    differences = {}
    for name in PRESETS:
        if name == "mini":
            model, part = gb.tl.load("mini", device="cpu"), mdata
        else:
            part = mdata[:32].copy()
            gb.model.GeneBERT.setup_mudata(part)
            model = gb.model.GeneBERT(part, preset=name)
        made = []
        for device in ("cpu", "cuda"):
            model.to_device(device)
            made.append(model.get_latent_representation(part))
        differences[name] = float(np.abs(made[0] - made[1]).max())
    return differences
