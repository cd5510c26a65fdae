"""write: round trips, and that an old file survives a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mudata import MuData

import genebert as gb
from genebert._keys import (
    ACCESSIBILITY,
    CHROM,
    DNA_CODE,
    EMBEDDING,
    LABEL_CELL_TYPE,
    LABELS,
    SCHEMA_KEY,
    SCHEMA_VERSION,
    TF_SCORE,
    UNS,
    WIDTH,
    load_record,
    record,
)

SUFFIXES = (".h5mu", ".zarr")
NAMES = ["chr2:5-9", "chr1:0-4", "chr1:4-8", "chr3:1-5"]


def make() -> MuData:
    mdata = gb.io.assemble(
        sequences=pd.Series(["ACGT", "ACCC", "GGGG", "TTTT"], index=NAMES),
        tf=pd.DataFrame({"SPI1": [0.0, 1, 2, 3], "B": [4.0, 5, 6, 7]}, index=NAMES),
        accessibility=pd.DataFrame({"B": [1, 0, np.nan, 1], "T/x": [0, 0, 1, 1]}, index=NAMES),
        labels=pd.DataFrame({"CTCF|K562": [1, np.nan, 0, 1]}, index=NAMES),
    )
    EMBEDDING.set(mdata, np.arange(8, dtype=np.float32).reshape(4, 2))
    mdata.obs["leiden"] = pd.Categorical(list("abab"))
    params = {"model": None, "size": (1, 2), "rate": np.float32(0.5)}
    record(mdata, "embed", EMBEDDING.key, params=params, table=pd.DataFrame({"name": ["x", "y"], "value": [1.0, 2.0]}))
    return mdata


def assert_same(mdata: MuData, order=range(4)) -> None:
    order = list(order)
    assert list(mdata.obs_names) == [NAMES[place] for place in order]
    assert mdata.axis == 0
    reference = make()
    for slot in (DNA_CODE, TF_SCORE, ACCESSIBILITY, LABELS, EMBEDDING):
        np.testing.assert_array_equal(np.asarray(slot.get(mdata)), np.asarray(slot.get(reference))[order])
        assert slot.get(mdata).dtype == slot.get(reference).dtype
    assert list(CHROM.get(mdata)) == list(CHROM.get(reference).iloc[order])
    assert WIDTH.get(mdata).dtype == np.int32
    assert list(LABEL_CELL_TYPE.get(mdata)) == ["K562"]
    assert list(mdata.obs["leiden"]) == ["abab"[place] for place in order]
    entry = load_record(mdata, "embed", EMBEDDING.key, filled_by="gb.tl.embed")
    assert entry["params"]["model"] is None
    assert list(entry["table"]["name"]) == ["x", "y"]


@pytest.fixture(scope="module")
def _written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    for suffix in SUFFIXES:
        gb.io.write(make(), folder / f"a{suffix}")
    return folder


@pytest.fixture
def old(_written, tmp_path):
    """Put what `make` makes into the folder of the test: the path of a copy of what was written once."""

    def put(suffix=".zarr"):
        copy = shutil.copyfile if suffix == ".h5mu" else shutil.copytree
        return copy(_written / f"a{suffix}", tmp_path / f"a{suffix}")

    return put


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path, suffix):
    path = tmp_path / "below" / f"a{suffix}"
    gb.io.write(make(), path)
    mdata = gb.io.read(path)
    assert_same(mdata)
    assert mdata.uns[UNS][SCHEMA_KEY] == SCHEMA_VERSION
    gb.io.write(mdata, str(path))  # over itself
    assert_same(gb.io.read(path))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_object_is_as_it_was(tmp_path, suffix):
    mdata = make()
    part = mdata[:2]
    for written in (mdata, part):
        gb.io.write(written, tmp_path / f"a{suffix}")
        assert gb.io.read(tmp_path / f"a{suffix}").n_obs == written.n_obs
    assert part.is_view
    mdata.uns["cannot be written"] = object()
    with pytest.raises(Exception, match="object"):
        gb.io.write(mdata, tmp_path / f"a{suffix}")
    assert SCHEMA_KEY not in mdata.uns[UNS]
    bare = gb.io.assemble(sequences=["ACGT"])
    gb.io.write(bare, tmp_path / f"b{suffix}")
    assert UNS not in bare.uns
    assert gb.io.read(tmp_path / f"b{suffix}").uns[UNS][SCHEMA_KEY] == SCHEMA_VERSION


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)), st.integers(1, 4), st.sampled_from(SUFFIXES))
def test_subsets_and_permutations_survive(tmp_path, order, size, suffix):
    part = make()[[NAMES[place] for place in order[:size]]].copy()
    gb.io.write(part, tmp_path / f"a{suffix}")
    assert_same(gb.io.read(tmp_path / f"a{suffix}"), order[:size])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_old_file_survives_a_failure(tmp_path, old, suffix):
    path = old(suffix)
    broken = make()
    broken.uns["cannot be written"] = object()
    with pytest.raises(Exception, match="object"):
        gb.io.write(broken, path)
    assert_same(gb.io.read(path))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_old_folder_comes_back_when_the_swap_fails(old, monkeypatch):
    path = old()
    replace = os.replace

    def fail(source, target):
        if str(target) == str(path) and Path(source).name != "old":
            raise OSError("disk full")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            gb.io.write(make(), path)
    assert_same(gb.io.read(path))


KILLED = """
    import os, signal, sys
    import genebert as gb

    def write(path, moment):
        replace, count = os.replace, 0
        def killing(source, target):
            nonlocal count
            if path in (str(source), str(target)):
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)
        os.replace = killing
        gb.io.write(gb.io.assemble(sequences=["ACGT"]), path)

    gb.io
    for moment, path in enumerate(sys.argv[1:], start=1):  # each in a process of its own, which inherits the imports
        if (child := os.fork()) == 0:
            write(path, moment)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
"""


@pytest.fixture(scope="module")
def killed(_written, tmp_path_factory):
    """Folders in which a process was killed before one of two moves."""
    folders = [tmp_path_factory.mktemp(f"killed{moment}") for moment in (1, 2)]
    paths = [str(shutil.copytree(_written / "a.zarr", folder / "a.zarr")) for folder in folders]
    subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), *paths], check=True)
    return folders


@pytest.mark.parametrize("moment", [1, 2])
@pytest.mark.parametrize("reader", [gb.io.read, gb.io.open])
def test_a_kill_while_folders_are_swapped(killed, tmp_path, moment, reader):
    folder = shutil.copytree(killed[moment - 1], tmp_path / "killed")
    assert reader(folder / "a.zarr").n_obs == 1  # it was decided
    assert [entry.name for entry in folder.iterdir()] == ["a.zarr"]


def test_the_old_folder_is_not_removed_where_it_cannot_come_back(tmp_path, old, monkeypatch):
    path = old()
    replace = os.replace

    def fail(source, target):
        if str(target) == str(path):
            raise OSError("no right to")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no right to"):
            gb.io.write(make(), path)
    (staging,) = tmp_path.iterdir()
    (staging / "old").rename(path)
    assert_same(gb.io.read(path))


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one of '\.h5mu', '\.zarr'; found '\.h5ad'"):
        gb.io.write(make(), tmp_path / "a.h5ad")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ad.AnnData(np.ones((2, 2), dtype=np.float32)), r"found AnnData\. Write it with adata\.write_h5ad\(path\)"),
        (None, r"found NoneType\. Make one with"),
    ],
)
def test_only_a_mudata_is_written(tmp_path, data, message):
    with pytest.raises(TypeError, match=f"Expected `mdata` to be a MuData; {message}"):
        gb.io.write(data, tmp_path / "new" / "a.h5mu")
    assert list(tmp_path.iterdir()) == []
