"""Fixtures of all tests."""

from __future__ import annotations

import logging

import pytest

import genebert as gb


@pytest.fixture(scope="session")
def _toy():
    return gb.datasets.toy()


def small_toy(n_regions, **kwargs):
    """Toy data scanned for the planted motifs only, which is a sixtieth of the columns."""
    from genebert._motifs import default_motifs
    from genebert.datasets._toy import TFS

    mdata = gb.datasets.toy(n_regions=n_regions, **kwargs)
    gb.pp.scan_motifs(mdata, motifs=[motif for motif in default_motifs() if motif.tf in TFS])
    return mdata


@pytest.fixture(scope="session")
def make_small_toy():
    return small_toy


@pytest.fixture(scope="session")
def tiny_model():
    """A model of the planted motifs, after one epoch on a few regions."""
    return gb.tl.pretrain(small_toy(120), preset="tiny", max_epochs=1, batch_size=32)


@pytest.fixture
def toy(_toy):
    """A copy of the toy data, free to be changed."""
    return _toy.copy()


def _devices():
    import torch

    return ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def pytest_generate_tests(metafunc):
    """Run a test that asks for `device` on the CPU, and on the GPU where there is one."""
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", _devices())


@pytest.fixture
def log(caplog):
    """What the package logs: `log.messages`. Its logger does not propagate, so pytest would not see it by itself."""
    logger = logging.getLogger("genebert")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
