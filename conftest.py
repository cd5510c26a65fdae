"""What tests and the doctests of the package share."""

from __future__ import annotations

import asyncio
import logging
import sys

import matplotlib as mpl
import numpy as np
import pytest

import genebert as gb

mpl.use("Agg")
logging.getLogger("scvi.data").setLevel("WARNING")  # it talks on stdout, which doctests compare


@pytest.fixture(autouse=True, scope="session")
def _files_in_place():
    """zarr hands each of its thousands of small files to another thread, which takes half the time of a toy store."""

    async def run(function, /, *args, **kwargs):
        return function(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "to_thread", run)
        yield


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(gb=gb, np=np)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
