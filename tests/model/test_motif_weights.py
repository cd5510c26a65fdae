"""Sparse weights of motifs from an activity."""

import numpy as np
import pytest

from genebert.model._cell_types_heads import _lasso


@pytest.fixture(params=["compiled", "plain"])
def lasso(request):
    return _lasso if request.param == "compiled" else _lasso.py_func


def test_independent_motifs_are_thresholded_one_by_one(lasso):
    target = np.array([0.5, -0.3, 0.1, 0.0])
    np.testing.assert_allclose(lasso(np.eye(4), target, 0.2, 0.25), [0.3 / 1.25, -0.1 / 1.25, 0, 0])


def test_the_gradient_vanishes_where_a_weight_is_not_zero(lasso):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 12))
    matrix[:, 1] += 2 * matrix[:, 0]
    gram = np.corrcoef(matrix, rowvar=False)
    target = gram @ np.array([0.6, 0, 0, -0.4, *np.zeros(8)])
    weight = lasso(gram, target, 0.1, 0.1)
    gradient = target - gram @ weight - 0.1 * weight
    is_used = weight != 0
    np.testing.assert_allclose(gradient[is_used], 0.1 * np.sign(weight[is_used]), atol=1e-3)
    assert np.abs(gradient[~is_used]).max() <= 0.1 + 1e-3
    assert set(np.flatnonzero(is_used)) <= {0, 1, 3}
    assert np.argmax(weight) == 0


def test_a_motif_that_never_varies_has_no_weight(lasso):
    gram = np.diag([1.0, 0.0])
    np.testing.assert_allclose(lasso(gram, np.array([0.5, 0.0]), 0.1, 0.1), [0.4 / 1.1, 0])
