"""Helpers of the tests of all pp verbs."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from scipy import sparse


def _digest(value):
    if sparse.issparse(value):
        value = value.toarray()
    if isinstance(value, pd.DataFrame | pd.Series):
        return value.to_csv()
    return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()


def _slots(mdata):
    """Digest of every matrix, column and table, by its path."""
    found = {"obs_names": ",".join(mdata.obs_names)}
    for name, modality in mdata.mod.items():
        found[f"{name}.X"] = _digest(modality.X) if modality.X is not None else None
        for attr in ("obs", "var", "obsm", "varm", "layers"):
            store = getattr(modality, attr)
            found |= {f"{name}.{attr}.{key}": _digest(store[key]) for key in store}
    found |= {f"obsm.{key}": _digest(value) for key, value in mdata.obsm.items() if key not in mdata.mod}
    for verb, entries in mdata.uns.get("genebert", {}).items():
        found |= {f"uns.{verb}.{key}": repr(entry) for key, entry in entries.items()}
    return found


@pytest.fixture
def changed():
    """Paths that a call adds to or changes in an object."""

    def run(mdata, call):
        before = _slots(mdata)
        call(mdata)
        after = _slots(mdata)
        assert not before.keys() - after.keys()
        return {path for path, value in after.items() if before.get(path, "") != value}

    return run


@pytest.fixture
def expect_refusal():
    """Expect an error with this message, and an object that is as it was."""

    @contextmanager
    def check(mdata, error, match):
        before = _slots(mdata)
        with pytest.raises(error, match=match):
            yield
        assert _slots(mdata) == before

    return check


@pytest.fixture
def round_trip(tmp_path):
    """Write to h5mu and read back."""
    import mudata

    def run(mdata):
        mdata.write(tmp_path / "test.h5mu")
        return mudata.read_h5mu(tmp_path / "test.h5mu")

    return run
