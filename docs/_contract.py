"""Write ``docs/data_contract.md`` from the registry of slots: ``python docs/_contract.py``."""

from __future__ import annotations

from pathlib import Path

from genebert._keys import EVALUATION_COLUMNS, HISTORY_COLUMNS, MODALITIES, SCHEMA_VERSION, SLOTS, UNS, Slot

PAGE = Path(__file__).with_name("data_contract.md")

HEAD = f"""\
<!-- Written by docs/_contract.py from genebert/_keys.py. Change it there. -->

# Data contract

genebert keeps everything in one `MuData` with `axis=0`: **regions are the observations of every modality.** A region is
called `chrom:start-end` (0-based, half-open) or, when it is a bare sequence without coordinates, by the name of its
record. Names are unique and do not change once the object is assembled.

A slot that is missing raises a `KeyError` that names the functions of the last column. Files carry the version of
this contract, now {SCHEMA_VERSION}.
"""

TITLES = {
    "seq": ("`seq`: coordinates and DNA", "No `X` and no variables: what a region is by itself."),
    "tf": ("`tf`: motif scores", "Variables are TFs."),
    "atac": ("`atac`: accessibility", "Variables are cell types."),
    "labels": ("`labels`: what is to be predicted", "Variables are experiments."),
    None: ("The MuData itself", "Results that belong to a region as a whole."),
}

TAIL = f"""\
## Parameters and tables

A function that writes results also writes how it got them, under

```python
mdata.uns["{UNS}"][verb][key_added]["params"]
```

and its tables beside `params`. A table has one row per measurement. Read tables with `gb.get`.

| table | columns |
|---|---|
| `history` of `gb.tl.pretrain` | {", ".join(f"`{column}`" for column in HISTORY_COLUMNS)} |
| `table` of `gb.tl.classify`, `gb.tl.regress` | {", ".join(f"`{column}`" for column in EVALUATION_COLUMNS)} |

## Rules

- Tokens are not stored: they follow from codes, k and stride.
- Windows and splits are not stored as positions, which would be wrong after subsetting: their parameters are stored, or a column of
  labels.
- `uns` holds no tuples, and text columns of its tables are categories: h5mu can store neither a tuple nor a `None` in
  a text column. Keys hold no `/`.
- A cell type is a value in a column, never the name of a slot.
- Subsetting and permuting regions, and a round trip through h5mu or zarr, keep everything aligned.
"""


def page() -> str:
    """Return the page as it should be."""
    sections = [_section(modality) for modality in (*MODALITIES, None)]
    return "\n".join([HEAD, *sections, TAIL])


def check() -> None:
    """Raise when the committed page is out of date."""
    if not PAGE.exists() or PAGE.read_text() != page():
        msg = f"Expected {PAGE} to follow genebert/_keys.py, which has changed. Run python docs/_contract.py."
        raise RuntimeError(msg)


def _section(modality: str | None) -> str:
    title, text = TITLES[modality]
    rows = [_row(slot) for slot in SLOTS if slot.modality == modality]
    head = ["| slot | content | dtype | shape | filled by |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title}", "", text, "", *head, *rows, ""])


def _row(slot: Slot) -> str:
    filled_by = ", ".join("you" if function == "you" else f"`{function}`" for function in slot.filled_by)
    return f"| `{slot.path}` | {slot.content} | {slot.dtype} | {slot.shape} | {filled_by} |"


if __name__ == "__main__":
    PAGE.write_text(page())
