"""What tests and the doctests of the package share."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

import matplotlib as mpl
import numpy as np
import pytest
import zarr

import genebert as gb

mpl.use("Agg")
logging.getLogger("scvi.data").setLevel("WARNING")  # it talks on stdout, which doctests compare


@pytest.fixture(autouse=True, scope="session")
def _quick_zarr():
    """A store is thousands of small files. zarr hands each of them to a thread of its own, which takes half of the time.

    And coverage would trace the thread that zarr works in, where no line of genebert is.
    """

    async def run(function, /, *args, **kwargs):
        return function(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "to_thread", run)
        tracer = threading.gettrace()
        threading.settrace(None)
        zarr.create_group({})  # starts that thread
        threading.settrace(tracer)
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
