"""Tools: pre-train, embed, and what builds on embeddings."""

from genebert.tl._disease_risk import disease_risk
from genebert.tl._embed import embed
from genebert.tl._embed_cells import embed_cells
from genebert.tl._finetune import finetune
from genebert.tl._load import load
from genebert.tl._pretrain import pretrain
from genebert.tl._saturation_mutagenesis import saturation_mutagenesis
from genebert.tl._variant_effect import variant_effect

__all__ = [
    "disease_risk",
    "embed",
    "embed_cells",
    "finetune",
    "load",
    "pretrain",
    "saturation_mutagenesis",
    "variant_effect",
]
