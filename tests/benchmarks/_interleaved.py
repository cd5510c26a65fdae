"""Timings that can be compared: each run in a fresh process, the contestants in turns, so that a slow minute hits all."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple


class Ratio(NamedTuple):
    """How many times faster one contestant is than another."""

    median: float
    """Median time of the other over the median time of the one."""
    low: float
    high: float
    """Smallest and largest ratio of the two times of a round."""

    def __str__(self) -> str:
        return f"{self.median:.2f} x [{self.low:.2f}, {self.high:.2f}]"


def in_turns(
    script: str, jobs: Sequence[tuple[str, ...]], *, repeats: int, options: Sequence[str] = ()
) -> dict[tuple[str, ...], list[Any]]:
    """Run ``python script *options --worker *job`` for each job, `repeats` times, every second round backwards.

    Returns
    -------
    What the last line of the output of each run says, as JSON, by job.
    """
    results: dict[tuple[str, ...], list[Any]] = {job: [] for job in jobs}
    for turn in range(repeats):
        for job in jobs[:: -1 if turn % 2 else 1]:
            command = [sys.executable, script, *options, "--worker", *job]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
            if done.returncode != 0:
                sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
            results[job].append(json.loads(done.stdout.splitlines()[-1]))
    return results


def faster(one: Sequence[float], other: Sequence[float]) -> Ratio:
    """Compare the seconds of two contestants, round by round."""
    rounds = [b / a for a, b in zip(one, other, strict=True)]
    return Ratio(statistics.median(other) / statistics.median(one), min(rounds), max(rounds))
