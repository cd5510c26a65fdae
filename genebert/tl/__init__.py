"""Tools: pre-train, embed, learn tasks, score variants."""

from __future__ import annotations

from genebert.tl._classify import classify
from genebert.tl._cross_cell_type import cross_cell_type
from genebert.tl._disease_risk import disease_risk
from genebert.tl._embed import embed
from genebert.tl._embed_cells import embed_cells
from genebert.tl._finetune import finetune
from genebert.tl._load import load
from genebert.tl._predict import predict
from genebert.tl._pretrain import pretrain
from genebert.tl._promoter import promoter
from genebert.tl._regress import regress
from genebert.tl._saturation_mutagenesis import saturation_mutagenesis
from genebert.tl._splice_site import splice_site
from genebert.tl._tf_binding import tf_binding
from genebert.tl._transfer import transfer
from genebert.tl._variant_effect import variant_effect

__all__ = [
    "classify",
    "cross_cell_type",
    "disease_risk",
    "embed",
    "embed_cells",
    "finetune",
    "load",
    "predict",
    "pretrain",
    "promoter",
    "regress",
    "saturation_mutagenesis",
    "splice_site",
    "tf_binding",
    "transfer",
    "variant_effect",
]
