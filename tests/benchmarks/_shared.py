"""What the benchmarks share: the data sets of `--data`, bars that pass or fail, intervals, the machine."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData
from sklearn.metrics import roc_auc_score

import genebert as gb

N_BOOTSTRAP = 1_000


def load_dhs(data: Path) -> MuData:
    """All regions of `dhs`: sequences, accessibility of 14 cell types, dev as test split. -1 and -9 become NaN."""
    folder = data / "dhs"
    if not folder.is_dir():
        sys.exit(f"Expected the folder dhs in {data}; found none. Name the data with --data.")
    regions = pd.read_csv(folder / "regions.tsv.gz", sep="\t")
    accessibility = pd.read_csv(folder / "accessibility.tsv.gz", sep="\t")
    assert (regions["name"] == accessibility["name"]).all()
    names = regions["chrom"] + ":" + regions["start"].astype(str) + "-" + regions["end"].astype(str)
    mdata = gb.io.assemble(
        regions=regions[["chrom", "start", "end"]].set_index(names),
        sequences=regions["sequence"].set_axis(names),
        accessibility=accessibility.drop(columns=["name", "split"]).set_index(names),
        missing_values=(-1, -9),
    )
    dev = sorted(regions.loc[regions["split"] == "dev", "chrom"].unique())
    gb.pp.split_regions(mdata, val=0, test=dev)
    return mdata


def bootstrap_auroc(truth: np.ndarray, scores: dict[str, np.ndarray], *, seed: int = 0) -> pd.DataFrame:
    """AUROC of each method on the same rows, with a 95 % interval over rows drawn with replacement."""
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(truth), size=len(truth)) for _ in range(N_BOOTSTRAP)]
    rows = []
    for method, score in scores.items():
        low, high = np.percentile([roc_auc_score(truth[draw], score[draw]) for draw in draws], [2.5, 97.5])
        rows.append({"method": method, "auroc": roc_auc_score(truth, score), "low": low, "high": high})
    return pd.DataFrame(rows)


def cpu_minutes() -> float:
    """CPU time of this process so far, over all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) / 60


def peak_mib() -> float:
    """Most memory that this process has had, in MiB.

    Linux counts into `ru_maxrss` what the parent had when it started the process; the other number is the process's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def machine() -> str:
    """Processor, cores and versions, for the record."""
    import torch

    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, genebert {gb.__version__}"


@dataclass
class Bars:
    """Prints one line per bar; `finish` exits with 1 where one is missed and `check` was asked for."""

    check: bool
    missed: int = field(default=0)
    lines: list[tuple[str, str]] = field(default_factory=list)

    def bar(self, name: str, ok: bool, detail: str) -> None:
        self.missed += not ok
        self.lines.append((name, detail if ok else f"{detail} **(missed)**"))
        print(f"{'ok    ' if ok else 'MISSED'} | {name} | {detail}", flush=True)

    def note(self, name: str, detail: str) -> None:
        """A figure without a bar."""
        self.lines.append((name, detail))
        print(f"       | {name} | {detail}", flush=True)

    def finish(self, report: Path | None = None, doc: str = "") -> None:
        """Write the figures into `report` under the first line of `doc`, and exit."""
        if report is not None:
            title, *_ = doc.strip().splitlines()
            table = ["| measured | |", "| --- | --- |", *(f"| {name} | {detail} |" for name, detail in self.lines)]
            script = Path(sys.argv[0]).name
            origin = f"Written by `tests/benchmarks/{script}`. Machine, shared with other work: {machine()}."
            write_section(report, title.rstrip("."), [origin, "", *table])
        if self.check and self.missed:
            sys.exit(1)


def write_section(path: Path, title: str, lines: list[str]) -> None:
    """Put lines under a heading of a Markdown page, in place of what was there."""
    page = path.read_text() if path.exists() else "# Benchmarks\n"
    sections = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    section = "\n".join([f"## {title}", "", *lines, ""])
    headings = [part.split("\n", 1)[0] for part in sections]
    if f"## {title}" in headings:
        sections[headings.index(f"## {title}")] = section
    else:
        sections.append(section)
    path.write_text("\n".join(part.strip("\n") + "\n" for part in sections))
