"""matched_negatives: what they share with their regions, where they may not lie, and that order changes nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genebert as gb
from genebert._keys import ATAC, CHROM, END, LABEL_TASK, LABELS, SEQ, START, load_record
from genebert.io import _composition, _matched_negatives

LENGTHS = {"chr1": 60_000, "chr2": 30_000}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    """GC changes along each chromosome; a stretch of chr1 is unknown."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    with path.open("w") as handle:
        for chrom, length in LENGTHS.items():
            gc = np.repeat(rng.uniform(0.3, 0.7, length // 500), 500)
            is_gc = rng.random(length) < gc
            bases = np.where(is_gc, rng.choice(list("CG"), length), rng.choice(list("AT"), length))
            if chrom == "chr1":
                bases[20_000:30_000] = "N"
            handle.write(f">{chrom}\n{''.join(bases)}\n")
    return gb.Genome(path)


def regions(rows) -> gb.io.assemble:
    return gb.io.assemble(regions=pd.DataFrame(rows, columns=[CHROM.key, START.key, END.key]))


@pytest.fixture
def peaks():
    rng = np.random.default_rng(1)
    rows = [("chr1", s, s + 200) for s in rng.choice(np.arange(0, 19_000, 300), 30, replace=False)]
    rows += [("chr2", s, s + 200) for s in rng.choice(np.arange(0, 29_000, 300), 10, replace=False)]
    return regions(rows)


def parts(mdata):
    """Tables of the given regions and of the negatives."""
    is_given = LABELS.get(mdata)[:, 0] == 1
    table = mdata[SEQ].obs[[CHROM.key, START.key, END.key]].astype({CHROM.key: str})
    return table[is_given], table[~is_given]


def gc_of(table, genome) -> np.ndarray:
    codes = [genome.fetch(*row) for row in table.itertuples(index=False)]
    return np.array([np.isin(row, (1, 2)).sum() / max(1, (row < 4).sum()) for row in codes])


def check(mdata, genome, *, tolerance: float, max_n: float = 0) -> None:
    """All that is promised of negatives."""
    given_, negatives = parts(mdata)
    for chrom, found in negatives.groupby(CHROM.key):
        own = given_[given_[CHROM.key] == chrom]
        for width, matched in found.groupby(found.end - found.start):
            alike = own[own.end - own.start == width]
            assert len(matched) <= len(alike)
            if len(matched) == len(alike):  # pairs in order of GC are as near as any pairs
                np.testing.assert_allclose(
                    np.sort(gc_of(alike, genome)), np.sort(gc_of(matched, genome)), atol=tolerance + 1e-6
                )
    for row in negatives.itertuples(index=False):
        assert 0 <= row.start < row.end <= LENGTHS[row.chrom]
        assert (genome.fetch(*row) == 4).mean() <= max_n
    table = mdata[SEQ].obs.sort_values([CHROM.key, START.key])
    is_negative = ~np.isin(table.index, given_.index)
    for (_, a), (_, b), one in zip(table[:-1].iterrows(), table[1:].iterrows(), is_negative[1:], strict=False):
        if a[CHROM.key] == b[CHROM.key] and (one or a.name in negatives.index):
            assert a[END.key] <= b[START.key]


def test_same_width_gc_and_chromosome(peaks, genome, log):
    mdata = gb.io.matched_negatives(peaks, genome)
    assert list(mdata.mod) == [SEQ, LABELS.modality]
    assert list(mdata.obs_names[:40]) == list(peaks.obs_names)
    assert LABELS.get(mdata).dtype == np.float32
    assert LABELS.get(mdata)[:, 0].tolist() == [1] * 40 + [0] * 40
    assert LABEL_TASK.get(mdata).tolist() == ["accessible"]
    _, negatives = parts(mdata)
    assert negatives[CHROM.key].value_counts().to_dict() == {"chr1": 30, "chr2": 10}
    check(mdata, genome, tolerance=0.02)
    assert "40 regions, 40 negatives" in log.text
    params = load_record(mdata, "matched_negatives", LABELS.modality, filled_by="gb.io.matched_negatives")["params"]
    assert params == {"n_per_region": 1, "gc_tolerance": 0.02, "max_n": 0.0, "task": "accessible"}


def test_gc_without_matching_would_differ(peaks, genome):
    """So that the test above can fail: random windows have another distribution of GC."""
    rows = parts(gb.io.matched_negatives(peaks, genome, gc_tolerance=1))[0]
    own = np.sort(gc_of(rows, genome))
    random = np.sort(gc_of(rows.assign(start=rows.start + 9_000, end=rows.end + 9_000)[:30], genome))
    assert np.abs(own[:30] - random).max() > 0.03


def test_several_per_region_and_another_task(peaks, genome):
    mdata = gb.io.matched_negatives(peaks, genome, n_per_region=2, gc_tolerance=0.1, task="enhancer")
    assert list(mdata[LABELS.modality].var_names) == LABEL_TASK.get(mdata).tolist() == ["enhancer"]
    assert (LABELS.get(mdata) == 0).sum() == 80


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 29_000), st.sampled_from([50, 120, 500])),
        min_size=1, max_size=25, unique=True,
    ),
    st.integers(0, 5),
    st.sampled_from([0.02, 0.05]),
)  # fmt: skip
def test_promises_hold_and_order_changes_nothing(genome, rows, seed, tolerance):
    rows = sorted({*rows, ("chr2", 5_000, 50)})  # all others may be unknown bases
    mdata = regions([(chrom, start, start + width) for chrom, start, width in rows])
    first = gb.io.matched_negatives(mdata, genome, gc_tolerance=tolerance, max_n=0.1, rng=seed)
    check(first, genome, tolerance=tolerance, max_n=0.1)
    order = np.random.default_rng(seed).permutation(len(rows))
    second = gb.io.matched_negatives(mdata[order].copy(), genome, gc_tolerance=tolerance, max_n=0.1, rng=seed)
    assert set(first.obs_names) == set(second.obs_names)


def test_the_seed_decides(peaks, genome):
    names = [tuple(gb.io.matched_negatives(peaks, genome, rng=rng).obs_names) for rng in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_excluded_places_are_free(peaks, genome, tmp_path):
    path = tmp_path / "exclude.bed"
    path.write_text("1\t30000\t59000\n")
    more = regions([("chr2", 0, 29_000)])
    with pytest.raises(ValueError, match="Expected a genome with room for negatives; found none"):
        gb.io.matched_negatives(peaks, genome, exclude=regions([("chr1", 0, 60_000), ("chr2", 0, 30_000)]))
    mdata = gb.io.matched_negatives(peaks, genome, exclude=[path, more], gc_tolerance=0.2)
    _, negatives = parts(mdata)
    on_chr1 = negatives[negatives.chrom == "chr1"]
    assert len(on_chr1) > 0
    assert ((on_chr1.end <= 30_000) | (on_chr1.start >= 59_000)).all()
    assert (negatives[negatives.chrom == "chr2"].start >= 29_000).all()


def test_too_few_are_counted(genome, log):
    """The genome has no second window of 25 kb without N on chr2."""
    mdata = gb.io.matched_negatives(regions([("chr2", 0, 25_000), ("chr2", 26_000, 26_100)]), genome)
    assert LABELS.get(mdata)[:, 0].tolist() == [1, 1, 0]
    assert "1 of 2 negatives were not found" in log.text


def test_regions_without_bases_and_without_chromosome(genome, log):
    rows = [("chr1", 21_000, 21_200), ("chr9", 0, 100), ("1", 100, 300), ("chr2", 29_900, 30_100)]
    mdata = gb.io.matched_negatives(regions(rows), genome, gc_tolerance=0.1)
    _, negatives = parts(mdata)
    assert "1 regions have no negatives, on chromosomes not in the genome: chr9" in log.text
    assert sorted(negatives[CHROM.key]) == ["1", "chr2"]  # named as their regions are
    assert (negatives.end - negatives.start == 200).all()


def test_other_modalities_are_left_behind(toy, genome):
    keep = START.get(toy) < 25_000
    mdata = gb.io.matched_negatives(toy[keep.to_numpy()].copy(), genome, gc_tolerance=0.2)
    assert ATAC not in mdata.mod
    assert set(parts(mdata)[1][CHROM.key]) <= {"chr1", "chr2"}


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_round_trip(peaks, genome, tmp_path, suffix):
    mdata = gb.io.matched_negatives(peaks, genome)
    gb.io.write(mdata, tmp_path / f"x.{suffix}")
    again = gb.io.read(tmp_path / f"x.{suffix}")
    assert again.obs_names.equals(mdata.obs_names)
    assert np.array_equal(LABELS.get(again), LABELS.get(mdata))


def test_nearest_is_taken_once():
    wanted, offered = np.array([0.5, 0.5, 0.5, 0.9]), np.array([0.52, 0.1, 0.49, 0.51])
    assert _matched_negatives._match(wanted, offered, tolerance=0.02).tolist() == [2, 3, 0, -1]
    assert _matched_negatives._match(wanted, offered[:0], tolerance=1).tolist() == [-1] * 4


def test_composition_outside_of_the_chromosome_is_unknown():
    codes = np.array([0, 1, 2, 4], dtype=np.uint8)
    gc, unknown = _composition.composition(codes, np.array([-1, 0, 3]), np.array([2, 4, 5]))
    np.testing.assert_allclose(gc, [1 / 2, 2 / 3, np.nan])
    np.testing.assert_allclose(unknown, [1 / 3, 1 / 4, 1])
    _, (unknown,) = composition_of(np.array([4, 4, 4, *[0] * 7], dtype=np.uint8))
    assert unknown <= 0.3  # 1 - 0.7 is more


def composition_of(codes):
    return _composition.composition(codes, np.array([0]), np.array([len(codes)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_per_region": 0}, "`n_per_region`"), ({"gc_tolerance": 2}, "`gc_tolerance`"), ({"max_n": -1}, "`max_n`")],
)
def test_bad_options(peaks, genome, options, message):
    with pytest.raises(ValueError, match=f"Expected {message} to be"):
        gb.io.matched_negatives(peaks, genome, **options)


def test_no_genome_and_no_coordinates(peaks, genome):
    with pytest.raises(TypeError, match=r"`genome` to be a gb\.Genome"):
        gb.io.matched_negatives(peaks, "hg38.fa")
    with pytest.raises(KeyError, match=CHROM.key):
        gb.io.matched_negatives(gb.io.assemble(sequences=["ACGT"]), genome)


def test_kernels_without_compiler():
    rng = np.random.default_rng(0)
    codes, start = rng.integers(0, 5, 200).astype(np.uint8), rng.integers(-5, 190, 30)
    wanted, offered = rng.random(40).round(1), np.sort(rng.random(50).round(1))
    for kernel, arguments in (
        (_composition._count, (codes, start, start + 20)),
        (_matched_negatives._nearest, (wanted, offered, 0.15)),
        (_matched_negatives._follow, (np.array([2, 1, 1]), 0)),
    ):
        plain = getattr(kernel, "py_func", kernel)
        np.testing.assert_array_equal(np.asarray(plain(*arguments)), np.asarray(kernel(*arguments)))
