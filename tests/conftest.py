"""Fixtures of all tests."""

from __future__ import annotations

import logging

import pytest

import genebert as gb


@pytest.fixture(scope="session")
def _toy():
    return gb.datasets.toy()


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
