"""Write the table of presets in ``docs/model.md``, counted on the networks themselves: ``python docs/_presets.py``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from genebert.nn import PRESETS, GeneBERTConfig, GeneBERTNetwork

PAGE = Path(__file__).with_name("model.md")
BEGIN, END = "<!-- presets: written by docs/_presets.py -->", "<!-- end of presets -->"
LENGTH, N_TFS = 256, 857
"""Bases of a region; TFs of the motifs that ship."""
ORDER = ("mini", "base", "paper", "tiny")


def table() -> str:
    """Return the table as it should be."""
    assert set(ORDER) == set(PRESETS)
    head = [
        "| preset | tokens | sequence encoder | region encoder | parameters (M) | MFLOP per region | width |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(head + [_row(name) for name in ORDER])


def check() -> None:
    """Raise when the committed table is out of date."""
    if _replaced() != PAGE.read_text():
        msg = f"Expected the presets in {PAGE} to follow genebert/nn, which has changed. Run python docs/_presets.py."
        raise RuntimeError(msg)


def _replaced() -> str:
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, behind = rest.split(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{behind}"


def _row(name: str) -> str:
    config = GeneBERTConfig.preset(name, n_tfs=N_TFS)
    # On no device, and with no random start: what is counted does not depend on the weights.
    with torch.device("meta"):
        network = GeneBERTNetwork(config)
    parts = (network.sequence_encoder, network.region_encoder)
    counts = [_millions(part) for part in parts] + [_millions(network)]
    tokens = f"{config.k}-mers" + (f", one every {config.stride} bp" if config.stride > 1 else "")
    depths = "+".join(map(str, config.region_depths))
    widths = f"{config.region_dim} to {config.region_dim * 2 ** (len(config.region_depths) - 1)}"
    flops = [_mega_flops(config, part) for part in ("sequence", "region")]
    cells = [
        f"`{name}`",
        f"{tokens}, {'from filters' if config.stem == 'conv' else 'looked up'}",
        f"{config.n_layers} × {config.dim}, {config.n_heads} heads, {config.positions} positions, {config.norm}-norm",
        f"{depths} blocks, {widths} channels, patches of {config.tf_patch} × 1",
        f"{counts[0]} + {counts[1]}, with heads {counts[2]}",
        f"{flops[0]:,} + {flops[1]:,}",
        str(config.n_latent),
    ]
    return f"| {' | '.join(cells)} |"


def _millions(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.1f}"


@torch.inference_mode()
def _mega_flops(config: GeneBERTConfig, part: str) -> int:
    """Of one region alone on one strand; a product and a sum count as two."""
    with torch.device("meta"):
        network = GeneBERTNetwork(config)
    network = network.to_empty(device="cpu").eval()
    with FlopCounterMode(display=False) as counter:
        if part == "sequence":
            network.sequence_encoder(torch.zeros((1, 1, LENGTH), dtype=torch.uint8), torch.tensor([[LENGTH]]))
        else:
            network.region_encoder(torch.zeros(1, 1, N_TFS), torch.ones((1, 1), dtype=torch.bool))
    return round(counter.get_total_flops() / 1e6)


if __name__ == "__main__":
    PAGE.write_text(_replaced())
