"""GeneBERT as an scvi-tools model."""

from genebert.model._model import GeneBERT

__all__ = ["GeneBERT"]
