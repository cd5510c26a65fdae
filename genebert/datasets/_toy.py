"""Made-up regions in which it is known what can be learnt."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys
from genebert._dna import decode, reverse_complement
from genebert._logging import logger
from genebert._motifs import default_motifs
from genebert._validate import check_range
from genebert.io import assemble
from genebert.pp import binarize, scan_motifs, split_regions

__all__ = ["toy"]

# Each TF opens regions in two cell types, so that what it does can be learnt from one of them and tested in the other.
ACTIVE = {
    "B cell": ("POU2F2", "IRF4"),
    "Dendritic cell": ("IRF4", "NFKB1"),
    "Monocyte": ("NFKB1", "CEBPB"),
    "Erythroid cell": ("CEBPB", "NFE2"),
    "Megakaryocyte": ("NFE2", "RFX5"),
    "Progenitor": ("RFX5", "POU2F2"),
}
CELL_TYPES = list(ACTIVE)
OPENERS = list(dict.fromkeys(tf for tfs in ACTIVE.values() for tf in tfs))
BOUND = ["CTCF", "REST"]  # bind wherever their motif lies in an open region, and open none
BYSTANDERS = ["TP53", "HSF1", "SRF"]  # planted, without any effect
PROMOTER_TF = "E2F3"  # makes a promoter, always on the forward strand and at the same place
TFS = [*OPENERS, *BOUND, *BYSTANDERS, PROMOTER_TF]

N_CHROMOSOMES = 6
SEQ_LENGTH = 200  # bp
SLOT_LENGTH = 20  # bp; each planted motif lies in a slot of its own
PROMOTER_SLOT = 5
DOMAIN_SIZE = 10  # regions
SPACING, DOMAIN_GAP = 400, 20_000  # bp between starts of neighbours, and between domains
PLANTED = "planted"  # column of `seq.obs` that only this data set has


def toy(*, n_regions: int = 600, rng: int | np.random.Generator | None = 0) -> MuData:
    """Make a small data set with planted motifs, in under a second and without a download.

    Instances of twelve real motifs are planted into random DNA. What can be learnt:

    - **Accessibility** (6 cell types). Two TFs are active in each cell type, and each TF in two cell types. A region
      with a motif of an active TF is open with a probability of 0.95, any other with 0.03.
    - **Promoter** (label ``promoter``), from the sequence alone: the E2F3 motif lies at 100 bp, on the forward strand.
    - **TF binding** (labels ``CTCF|<cell type>`` and ``REST|<cell type>``), from the sequence *and* the cell type: the
      motif is there and the region is open in that cell type. A tenth of these labels is missing (NaN).
    - **Neighbourhood.** Ten regions in a row are a domain with a GC content and a TF of its own, whose motif most of
      them carry: neighbours are alike, and open in the same cell types.

    TP53, HSF1 and SRF are planted, too, and change nothing. The cell types are names, no biology.

    Parameters
    ----------
    n_regions
        Regions, shared out over six chromosomes.
    rng
        Seed or generator.

    Returns
    -------
    MuData of regions of 200 bp:

    - ``seq``: coordinates, bases, GC, width, split (validation chr5, test chr6), and ``.obs["planted"]``, the planted TFs.
    - ``tf``: the highest log-odds of the motifs that the shipped weights were trained with.
    - ``atac``: log1p counts per million, counts, open; cells per type in ``.var["n_cells"]``.
    - ``labels``: 13 experiments.
    - ``mdata.uns["genebert"]["toy"]["toy"]["activity"]``: the TFs that are active in each cell type.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> mdata["atac"].var_names.tolist()
    ['B cell', 'Dendritic cell', 'Monocyte', 'Erythroid cell', 'Megakaryocyte', 'Progenitor']
    >>> mdata["seq"].obs["planted"].iloc[0]
    'RFX5'
    """
    check_range(n_regions, name="n_regions", low=N_CHROMOSOMES, integer=True)
    rng = np.random.default_rng(rng)
    regions = _regions(n_regions)
    domain = _domains(regions)
    planted = _draw_planted(domain, rng)
    sequences = _sequences(planted, domain, rng)
    is_open = rng.random((n_regions, len(CELL_TYPES))) < np.where(planted[OPENERS] @ _activity() > 0, 0.95, 0.03)
    n_cells = rng.integers(80, 300, len(CELL_TYPES))
    counts = _counts(is_open, n_cells, rng)
    labels = _labels(planted, is_open, rng)

    mdata = assemble(regions=regions, sequences=sequences, accessibility=counts, labels=labels)
    mdata[_keys.SEQ].obs[PLANTED] = [" ".join(planted.columns[row]) for row in planted.to_numpy()]
    _keys.N_CELLS.set(mdata, n_cells)
    with _silence():
        binarize(mdata)
        split_regions(mdata, val=["chr5"], test=["chr6"])
        scan_motifs(mdata)
    activity = pd.DataFrame(
        [(cell_type, tf) for cell_type, tfs in ACTIVE.items() for tf in tfs], columns=["cell_type", "tf"]
    )
    _keys.record(mdata, "toy", "toy", params={"n_regions": n_regions}, activity=activity)
    return mdata


def _regions(n_regions: int) -> pd.DataFrame:
    chrom = np.sort(np.arange(n_regions) % N_CHROMOSOMES)
    rank = np.arange(n_regions) - np.searchsorted(chrom, chrom)  # place along the chromosome
    start = 10_000 + rank * SPACING + rank // DOMAIN_SIZE * DOMAIN_GAP
    return pd.DataFrame({"chrom": [f"chr{i + 1}" for i in chrom], "start": start, "end": start + SEQ_LENGTH})


def _domains(regions: pd.DataFrame) -> np.ndarray:
    """Number of the domain of each region, int64 ``(regions,)``."""
    rank = regions.groupby("chrom").cumcount() // DOMAIN_SIZE
    return pd.factorize(regions["chrom"] + ":" + rank.astype(str))[0]


def _draw_planted(domain: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Which TF's motif is planted in which region, bool (regions, TFs)."""
    chance = pd.Series(0.1, index=TFS)
    chance[BOUND], chance[BYSTANDERS], chance[PROMOTER_TF] = 0.4, 0.2, 0.3
    chances = np.tile(chance.to_numpy(), (len(domain), 1))
    tf_of_domain = rng.integers(len(OPENERS), size=domain.max() + 1)
    chances[np.arange(len(domain)), tf_of_domain[domain]] = 0.8
    planted = rng.random(chances.shape) < chances
    planted &= planted.cumsum(axis=1) < SEQ_LENGTH // SLOT_LENGTH  # there is a slot for each
    return pd.DataFrame(planted, columns=TFS)


def _sequences(planted: pd.DataFrame, domain: np.ndarray, rng: np.random.Generator) -> list[str]:
    gc = rng.uniform(0.35, 0.6, size=domain.max() + 1)[domain]
    at = 1 - gc
    codes = _draw_bases(np.stack([at, gc, gc, at], axis=1)[:, None] / 2, (len(planted), SEQ_LENGTH), rng)
    motifs = {motif.tf: motif for motif in reversed(default_motifs()) if motif.tf in TFS}
    free_slots = np.setdiff1d(np.arange(SEQ_LENGTH // SLOT_LENGTH), PROMOTER_SLOT)
    for row, present in zip(codes, planted.to_numpy(), strict=True):
        tfs = planted.columns[present]
        for tf, slot in zip(tfs, rng.permutation(free_slots), strict=False):
            counts = motifs[tf].counts
            site = _draw_bases(counts / counts.sum(axis=1, keepdims=True), (len(counts),), rng)
            is_promoter = tf == PROMOTER_TF
            start = (PROMOTER_SLOT if is_promoter else slot) * SLOT_LENGTH
            row[start : start + len(site)] = site if is_promoter or rng.random() < 0.5 else reverse_complement(site)
    return [decode(row) for row in codes]


def _draw_bases(probabilities: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw bases; `probabilities` ``(..., 4)`` broadcasts against `shape`. uint8."""
    limits = np.cumsum(probabilities, axis=-1)[..., :3]
    return (rng.random(shape)[..., None] > limits).sum(axis=-1).astype(np.uint8)


def _activity() -> np.ndarray:
    """Whether each opener is active in each cell type, int64 ``(openers, cell types)``."""
    return np.array([[int(tf in ACTIVE[cell_type]) for cell_type in CELL_TYPES] for tf in OPENERS])


def _counts(is_open: np.ndarray, n_cells: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    height = rng.lognormal(0, 0.25, size=(len(is_open), 1))  # some regions are stronger in all cell types
    expected = np.where(is_open, 40 * height, 1.5) * n_cells / 100
    return pd.DataFrame(rng.poisson(expected), columns=CELL_TYPES)


def _labels(planted: pd.DataFrame, is_open: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    labels = {"promoter": planted[PROMOTER_TF].astype(float)}
    for tf in BOUND:
        for cell_type, opened in zip(CELL_TYPES, is_open.T, strict=True):
            bound = (planted[tf] & opened).astype(float)
            labels[f"{tf}|{cell_type}"] = bound.where(rng.random(len(bound)) > 0.1)
    return pd.DataFrame(labels)


class _silence:
    """The steps below log for users; here they would be noise."""

    def __enter__(self) -> None:
        self._level = logger.level
        logger.setLevel(logging.WARNING)

    def __exit__(self, *exc: object) -> None:
        logger.setLevel(self._level)
