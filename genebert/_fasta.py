"""FASTA files, plain or bgzipped: what a path holds, its index, and bytes at any place.

pyfaidx makes the indexes. The reading is done here, because pyfaidx writes indexes beside the user's file by itself and
cannot seek to the first base behind a full 64 KiB block of a bgzipped file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genebert._files import GZIP_MAGIC
from genebert._logging import info

__all__ = ["Fasta", "FastaRecord", "check_fasta"]

HTML_STARTS = (b"<!doc", b"<html", b"<?xml", b"<head", b"<body")
SLOW_BYTES = 50_000_000  # above this size indexing takes long enough to be announced


@dataclass(frozen=True)
class FastaRecord:
    """One line of a ``.fai``: where the bases of a record lie in the (uncompressed) file."""

    length: int
    offset: int
    line_bases: int
    line_bytes: int

    def byte_of(self, position: int) -> int:
        """Place of a base in the uncompressed file."""
        line, column = divmod(position, self.line_bases)
        return self.offset + line * self.line_bytes + column


def check_fasta(path: Path) -> bool:
    """Return whether `path` is bgzipped.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it is anything but a plain or bgzipped FASTA: empty, HTML (a failed download), plain gzip or cut short.
    """
    if not path.is_file():
        msg = f"Expected a FASTA file; found none at {path}. Check the path."
        raise FileNotFoundError(msg)
    with path.open("rb") as handle:
        head = handle.read(1024)
    is_bgzip = head.startswith(GZIP_MAGIC)
    if is_bgzip:
        _check_bgzip(path, head)
        head = _first_block(path)
    _check_head(path, head)
    if is_bgzip != (path.suffix.lower() in {".gz", ".bgz"}):
        found = "a bgzipped file under another name" if is_bgzip else "plain text under the name of a compressed file"
        msg = f"Expected a name that ends in .gz or .bgz for a bgzipped FASTA, and only then; {path} is {found}. Rename it."
        raise ValueError(msg)
    return is_bgzip


def _check_bgzip(path: Path, head: bytes) -> None:
    from Bio import bgzf

    has_extra_field = len(head) > 14 and head[3] & 4 and head[12:14] == b"BC"
    if not has_extra_field:
        plain = path.with_suffix("") if path.suffix else path
        msg = (
            f"Expected a FASTA that is plain or compressed with bgzip; {path} is plain gzip, which cannot be read at a "
            f"random place. Run: gunzip {path.name} && bgzip {plain.name} (bgzip comes with samtools / htslib)."
        )
        raise ValueError(msg)
    with path.open("rb") as handle:
        handle.seek(-min(len(bgzf._bgzf_eof), path.stat().st_size), os.SEEK_END)
        if handle.read() != bgzf._bgzf_eof:
            msg = f"Expected a bgzipped FASTA with its end marker; {path} is cut short. Download or compress it again."
            raise ValueError(msg)


def _first_block(path: Path) -> bytes:
    from Bio import bgzf

    with bgzf.BgzfReader(str(path), "rb") as handle:
        return handle.read(1024)


def _check_head(path: Path, head: bytes) -> None:
    text = head.lstrip()
    if text.startswith(b">"):
        return
    if not text:
        found = "an empty file"
    elif text[:5].lower() in HTML_STARTS:
        found = "an HTML page, as a failed download leaves behind"
    else:
        found = f"a file that starts with {text[:20]!r}"
    msg = f"Expected a FASTA, whose first character is '>'; {path} is {found}. Download it again or give another path."
    raise ValueError(msg)


class Fasta:
    """Random access to the records of one FASTA; the file is only ever read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pid = os.getpid()
        self._is_bgzip = check_fasta(path)
        self.records, self._blocks = _load_index(path, is_bgzip=self._is_bgzip)
        self._handle = self._open()
        self._lock = threading.Lock()

    def read(self, name: str, start: int, end: int) -> bytes:
        """Letters of the half-open interval [`start`, `end`) of a record, which must lie inside it."""
        if start >= end:
            return b""
        record = self.records[name]
        first, last = record.byte_of(start), record.byte_of(end - 1)
        with self._lock:
            self._seek(first)
            letters = self._handle.read(last - first + 1).translate(None, b"\r\n")
        if len(letters) != end - start:
            msg = f"Expected {end - start} bases of {name!r}; found {len(letters)}: the index of {self.path} is out of date. Delete its .fai."
            raise ValueError(msg)
        return letters

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def _open(self):
        if not self._is_bgzip:
            return self.path.open("rb")
        from Bio import bgzf

        return bgzf.BgzfReader(str(self.path), "rb")

    def _seek(self, byte: int) -> None:
        if not self._is_bgzip:
            self._handle.seek(byte)
            return
        from Bio import bgzf

        file_start, data_start = self._blocks
        block = int(np.searchsorted(data_start, byte, side="right")) - 1
        self._handle.seek(bgzf.make_virtual_offset(int(file_start[block]), byte - int(data_start[block])))


def _load_index(path: Path, *, is_bgzip: bool) -> tuple[dict[str, FastaRecord], np.ndarray]:
    """Read the index beside the file where it is up to date, else the one in the cache, else make it."""
    suffixes = (".fai", ".gzi") if is_bgzip else (".fai",)
    beside = [Path(f"{path}{suffix}") for suffix in suffixes]
    modified = path.stat().st_mtime_ns
    if all(file.is_file() and file.stat().st_mtime_ns >= modified for file in beside):
        return _parse_index(beside)
    cached = [_cache_folder() / f"{_cache_key(path)}{suffix}" for suffix in suffixes]
    if all(file.is_file() for file in cached):
        return _parse_index(cached)
    with tempfile.TemporaryDirectory() as folder:
        built = [Path(folder) / file.name for file in cached]
        _build_index(path, built)
        index = _parse_index(built)
        with contextlib.suppress(OSError):  # no cache: the index is made anew next time
            _publish(built, cached)
    return index


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "genebert" / "indexes"


def _cache_key(path: Path) -> str:
    status = path.stat()
    identity = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    return f"{path.name}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _build_index(path: Path, files: list[Path]) -> None:
    import pyfaidx

    if path.stat().st_size > SLOW_BYTES:
        info(f"indexing {path.name} (once; takes a minute for a mammalian genome)")
    extra = {"gzi_indexname": str(files[1])} if len(files) > 1 else {}
    try:
        pyfaidx.Faidx(str(path), indexname=str(files[0]), **extra).close()
    except (pyfaidx.FastaIndexingError, ValueError) as error:
        msg = (
            f"Expected a FASTA whose records have different names, at least one base and lines of equal length; {path} "
            f"has not: {error} Rewrite it, for example with: seqkit rmdup -n {path.name} | seqkit seq -w 60."
        )
        raise ValueError(msg) from error


def _publish(built: list[Path], cached: list[Path]) -> None:
    """Move the files into the cache, each at once, so that no other process sees half a file."""
    folder = cached[0].parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as staging:
        for source, target in zip(built, cached, strict=True):
            os.replace(shutil.copy(source, staging), target)


def _parse_index(files: list[Path]) -> tuple[dict[str, FastaRecord], np.ndarray]:
    """Return the records by name, and int64 ``(2, blocks)``: where blocks start in the file and in the text."""
    records = {}
    for line in files[0].read_text().splitlines():
        name, *numbers = line.split("\t")
        records[name] = FastaRecord(*map(int, numbers[:4]))
    if len(files) == 1:
        return records, np.zeros((2, 0), dtype=np.int64)
    pairs = np.fromfile(files[1], dtype="<u8").astype(np.int64)[1:].reshape(-1, 2)
    return records, np.vstack([[0, 0], pairs]).T  # a .gzi leaves out the first block
