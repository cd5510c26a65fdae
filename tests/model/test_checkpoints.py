"""Models that earlier versions wrote still load and still say the same. Never change these files: add new ones."""

from pathlib import Path

import numpy as np
import pytest

from genebert.model import GeneBERT

CHECKPOINTS = sorted((Path(__file__).parent / "checkpoints").iterdir())


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda folder: folder.name)
def test_an_old_model_embeds_as_it_did(folder, toy):
    """`expected.tsv`: every eighth number of the first three toy regions."""
    model = GeneBERT.load(folder, device="cpu")
    embedding = model.get_latent_representation(toy[:3].copy())
    np.testing.assert_allclose(embedding[:, ::8], np.loadtxt(folder / "expected.tsv"), atol=1e-3)
