"""Speed of pre-training, against the BERT of transformers.

    python tests/benchmarks/pretrain_speed.py [--check] [--device cpu] [--repeats 5] [--steps 5] [--dropout 0]

Masked genome modelling alone, 6 layers x 256, 6-mers, learned positions and post-norm in both, 4,096 tokens a step (on a GPU
65,536), fused AdamW, dropout off in both unless asked for. genebert starts from a MuData of random regions with 857 TFs and
does everything: reading, strands, hiding spans, k-mers. transformers is handed token ids, labels and masks. Forward is the
loss without training, of BertForMaskedLM as of genebert. Encoder is from bases to the mean state of each region in genebert,
and from ids to the states of the last layer in transformers: the same products, so that no bar is set on it. "By default" is
BertForMaskedLM in 32 bits as it comes, with dropout 0.1. Each run is a process of its own, the contestants in turns. FLOP/s are
those of the very step, counted by torch, over its time; the best matrix product is that of the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from _interleaved import faster, in_turns

TOKENS = ("128", "512")
LEAST = {"training": {"128": 1.3, "512": 1.15}, "forward": {"128": 1.0, "512": 1.0}, "encoder": {}}
BY_DEFAULT, MOST_WAITING = 2.0, 0.03
ON_GPU = {"training": 0.45, "inference": 0.55}
AGREEMENT = 1e-4


def work(args: argparse.Namespace) -> None:
    """One timed run."""
    import _speed

    way, *job = args.worker
    options = {"device": args.device, "steps": args.steps}
    if way == "preset":
        found = _speed.time_preset(*job, **options)
    elif way == "agreement":
        found = _speed.cpu_against_gpu()
    elif job[0] != "training":
        run = {"genebert": _speed.read_genebert, "bert": _speed.read_bert}[way]
        found = run(job[1], int(job[2]), whole=job[0] == "forward", **options)
    elif way == "genebert":
        found = _speed.train_genebert(job[1], int(job[2]), dropout=args.dropout, **options)
    else:
        attention = "sdpa" if way == "bert" else None
        found = _speed.train_bert(job[1], int(job[2]), dropout=args.dropout, attention=attention, **options)
    print(json.dumps(found))


def has_bf16(device: str) -> bool:
    """Whether the machine multiplies in 16 bits by itself."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


class Report:
    """Prints and keeps lines; bars count, notes do not."""

    def __init__(self, args: argparse.Namespace) -> None:
        from _shared import Bars

        self.args, self.bars = args, Bars(args.check)

    def line(self, name: str, detail: str, *, ok: bool | None = None) -> None:
        if ok is not None:
            self.bars.bar(name, ok, detail)
        else:
            self.bars.note(name, detail)


def compare(report: Report, *, native: bool) -> None:
    """genebert and transformers at equal sizes, 16 and 32 bits."""
    args = report.args
    options = ("--device", args.device, "--steps", str(args.steps), "--dropout", str(args.dropout))
    precisions = ("fp32", "bf16") if native else ("fp32",)
    jobs = [(way, key, p, n) for p in precisions for n in TOKENS for key in LEAST for way in ("genebert", "bert")]
    jobs += [("by default", "training", "fp32", n) for n in TOKENS]
    runs = in_turns(__file__, jobs, repeats=args.repeats, options=options)
    if not native:  # emulated, a step takes minutes and tells nothing
        report.line("bf16", "not measured: this CPU has none of its own")
    seconds = {job: [run["seconds"] for run in found] for job, found in runs.items()}
    for _, key, precision, n in [job for job in jobs if job[0] == "genebert"]:
        ours, theirs = seconds["genebert", key, precision, n], seconds["bert", key, precision, n]
        ratio, least = faster(ours, theirs), LEAST[key].get(n)
        speed = f"{1 / statistics.median(ours):,.0f} tokens/s, {ratio} BERT"
        speed += "" if least is None else f", at least {least:g}"
        report.line(f"{key}, {n} tokens, {precision}", speed, ok=None if least is None else ratio.median >= least)
    best = precisions[-1]
    for n in TOKENS:
        ratio = faster(seconds["genebert", "training", best, n], seconds["by default", "training", "fp32", n])
        detail = f"{best} at {ratio} BERT by default, at least {BY_DEFAULT:g}" + (
            "" if native else " with native bf16, which this CPU lacks"
        )
        report.line(f"training, {n} tokens, by default", detail, ok=ratio.median >= BY_DEFAULT if native else None)
        waiting = statistics.median(run["waiting"] for run in runs["genebert", "training", best, n])
        report.line(f"waiting for data, {n} tokens", f"{waiting:.2%}, below {MOST_WAITING:.0%}", ok=waiting < MOST_WAITING)  # fmt: skip


def rates(report: Report, *, native: bool) -> None:
    """FLOP/s of the presets against the best matrix product."""
    args = report.args
    options = ("--device", args.device, "--steps", str(args.steps))
    is_gpu = args.device == "cuda"
    for preset in ("mini", "base"):
        for precision in ("fp32", "bf16") if native else ("fp32",):
            job = ("preset", preset, precision)
            found: dict[str, Any] = in_turns(__file__, [job], repeats=1, options=options)[job][0]
            best = found.pop("product")
            for name, rate in found.items():
                least = ON_GPU.get(name) if is_gpu and preset == "base" and precision == "bf16" else None
                detail = f"{rate / 1e9:,.0f} of {best / 1e9:,.0f} GFLOP/s, {rate / best:.0%}"
                detail += "" if least is None else f", at least {least:.0%}"
                report.line(
                    f"{preset}, {name}, {precision}", detail, ok=None if least is None else rate / best >= least
                )


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--report", type=Path, help="write the figures as a section of this page")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=5, help="processes per contestant")
    parser.add_argument("--steps", type=int, default=5, help="timed steps per process")
    parser.add_argument("--dropout", type=float, default=0.0, help="in both, but for BERT by default")
    parser.add_argument("--data", help="ignored: this benchmark makes its own data")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return
    from _shared import machine

    gpu = torch.cuda.get_device_name() if args.device == "cuda" else "no GPU in use"
    print(f"{machine()}, {gpu}, load {os.getloadavg()[0]:.1f}", flush=True)
    report, native = Report(args), has_bf16(args.device)
    compare(report, native=native)
    rates(report, native=native)
    if torch.cuda.is_available():
        for name, difference in in_turns(__file__, [("agreement",)], repeats=1)[("agreement",)][0].items():
            report.line(f"CPU and GPU, {name}", f"{difference:.1e}, at most {AGREEMENT:g}", ok=difference <= AGREEMENT)
    else:
        report.line("GPU", "no GPU: not measured")
    report.bars.finish(args.report, __doc__)


if __name__ == "__main__":
    main()
