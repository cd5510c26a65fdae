"""Load a pre-trained model."""

from __future__ import annotations

from pathlib import Path

from genebert._motifs import WEIGHTS
from genebert.model import GeneBERT

__all__ = ["load"]


def load(name_or_path: str | Path = "mini", *, device: str = "auto") -> GeneBERT:
    """Load weights that ship with genebert, or those of a folder. Works offline.

    Parameters
    ----------
    name_or_path
        ``"mini"``, or a folder that :meth:`genebert.model.GeneBERT.save` wrote.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Raises
    ------
    FileNotFoundError
        When it is neither; the message lists what ships.

    Examples
    --------
    >>> model = gb.tl.load("mini")
    """
    shipped = WEIGHTS / str(name_or_path)
    directory = shipped if shipped.is_dir() and not Path(name_or_path).is_dir() else Path(name_or_path)
    if not directory.is_dir():
        names = sorted(path.name for path in WEIGHTS.iterdir() if path.is_dir())
        msg = f"Expected the name of shipped weights ({', '.join(names)}) or a folder; found {str(name_or_path)!r}."
        raise FileNotFoundError(msg)
    return GeneBERT.load(directory, device=device)
