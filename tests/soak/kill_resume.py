"""Kill a pre-training at random moments, again and again, resume it, and compare with one that was left alone.

    python tests/soak/kill_resume.py [--kills 10] [--regions 600] [--epochs 6] [--seed 0]

A checkpoint is written after every step, so that many kills fall into the writing of one. Exits with 1 when a checkpoint
cannot be read after a kill, or a loss of any step or measurement differs by more than 1e-6 (CPU, 32 bits, one thread).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOLERANCE = 1e-6


def train(folder: Path, out: Path, *, regions: int, epochs: int) -> None:
    """One process: train, or go on, and write what came of it."""
    import torch

    import genebert as gb

    torch.set_num_threads(1)
    mdata = gb.datasets.toy(n_regions=regions)
    model = gb.tl.pretrain(
        mdata, preset="tiny", max_epochs=epochs, batch_size=32, lr=3e-3, ema=0.2, patience=epochs, accelerator="cpu",
        precision="32", checkpoint_dir=folder, checkpoint_minutes=0, resume=True,
    )  # fmt: skip
    found = {
        "losses": model.training_losses,
        "values": model.pretraining_history["value"].tolist(),
        "digest": model.digest,
    }
    out.write_text(json.dumps(found))


def start(folder: Path, out: Path, args: argparse.Namespace) -> subprocess.Popen:
    command = [sys.executable, __file__, "--folder", str(folder), "--out", str(out)]
    command += ["--regions", str(args.regions), "--epochs", str(args.epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def wait_ready(process: subprocess.Popen) -> None:
    """Until training begins: a kill before that kills nothing of interest."""
    for line in process.stdout:
        if line.startswith("pre-training on"):
            return


def place(folder: Path) -> dict | None:
    """Where the checkpoint stands; raises where it cannot be read."""
    from genebert.model._checkpoint import read_checkpoint

    state = read_checkpoint(folder)
    return None if state is None else state["place"]


def campaign(args: argparse.Namespace) -> bool:
    """Whether all went well."""
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        begun = time.monotonic()
        process = start(scratch / "whole", scratch / "whole.json", args)
        wait_ready(process)
        trained = time.monotonic()
        process.communicate()
        seconds = time.monotonic() - trained
        whole = json.loads((scratch / "whole.json").read_text())
        print(f"uninterrupted: {len(whole['losses'])} steps, {seconds:.0f} s", flush=True)

        # Each attempt gets about its share of the run, so that kills fall all over it, in start-up and in writing too.
        n_killed = n_attempts = 0
        while n_killed < args.kills and n_attempts < 3 * args.kills:
            n_attempts += 1
            process = start(scratch / "run", scratch / "run.json", args)
            wait_ready(process)
            time.sleep(rng.uniform(0, seconds / args.kills))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            n_killed += 1
            left = [path.name for path in (scratch / "run").glob(".*")]
            print(f"kill {n_killed}: checkpoint at {place(scratch / 'run')}, {len(left)} unfinished files", flush=True)
        process = start(scratch / "run", scratch / "run.json", args)
        process.communicate()
        found = json.loads((scratch / "run.json").read_text())
        print(f"{n_killed} kills, {(time.monotonic() - begun) / 60:.1f} minutes in all")
        same_length = len(found["losses"]) == len(whole["losses"]) and len(found["values"]) == len(whole["values"])
        worst = max(np.abs(np.subtract(found[name], whole[name])).max() for name in ("losses", "values")) if same_length else np.inf  # fmt: skip
        print(f"largest difference of a loss {worst:.2g}, at most {TOLERANCE:g}; same weights: {found['digest'] == whole['digest']}")  # fmt: skip
        return n_killed >= args.kills and worst <= TOLERANCE and found["digest"] == whole["digest"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--regions", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder:
        train(args.folder, args.out, regions=args.regions, epochs=args.epochs)
    else:
        sys.exit(0 if campaign(args) else 1)


if __name__ == "__main__":
    main()
