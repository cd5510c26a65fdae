"""Motif files and the motifs that ship."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from genebert._motifs import (
    Motif,
    default_motifs,
    log_odds,
    read_jaspar,
    read_meme,
    read_motif_file,
    tf_names,
)

MEME = """MEME version 4

ALPHABET= ACGT
strands: + -
Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF MA1.1 GATA1
letter-probability matrix: alength= 4 w= 2 nsites= 10 E= 0
1.0 0.0 0.0 0.0
0.1 0.2 0.3 0.4
URL http://example.org

MOTIF AHR.H12CORE.0.P.B
letter-probability matrix: alength= 4 w= 1
0.25 0.25 0.25 0.25
"""
JASPAR = """>MA1.1\tGATA1
A  [ 10  1 ]
C  [  0  2 ]
G  [  0  3 ]
T  [  0  4 ]
>MA2.1
1 2
3 4
5 6
7 8
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "motifs.txt"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.mark.parametrize("name", ["motifs.meme", "motifs.meme.gz"])
def test_meme(file, name):
    first, second = read_motif_file(file(MEME, name))
    assert (first.tf, first.motif_id, len(first)) == ("GATA1", "MA1.1", 2)
    np.testing.assert_allclose(first.counts, [[10, 0, 0, 0], [1, 2, 3, 4]])
    assert (second.tf, second.motif_id) == ("AHR", "AHR.H12CORE.0.P.B")
    np.testing.assert_allclose(second.counts, [[5, 5, 5, 5]])  # MEME assumes 20 sites where a file is silent


@pytest.mark.parametrize("name", ["motifs.jaspar", "motifs.jaspar.gz"])
def test_jaspar(file, name):
    first, second = read_motif_file(file(JASPAR, name))
    np.testing.assert_allclose(first.counts, [[10, 0, 0, 0], [1, 2, 3, 4]])
    assert (second.tf, second.motif_id) == ("MA2.1", "MA2.1")
    np.testing.assert_allclose(second.counts, [[1, 3, 5, 7], [2, 4, 6, 8]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("<html>", "a first line '<html>'"),
        (MEME.partition("MOTIF")[0], "at least one motif; found none"),
        (MEME.replace("ACGT", "ACDEFGHIKLMNPQRSTVWY"), "DNA alphabet"),
        (MEME.replace("0.1 0.2 0.3 0.4", "0.1 0.2 0.3"), "4 columns .* line 11 is '0.1 0.2 0.3'"),
        (MEME.replace("0.1 0.2 0.3 0.4", "0.1 0.2 0.3 x"), "4 columns .* line 11"),
        (MEME.rstrip().rsplit("\n", 1)[0], "the end of the file"),
        (MEME.replace("0.25 0.25 0.25 0.25\n", "nan 0 0 1\n"), "probabilities .* sum to 1; line 16 is 'nan 0 0 1'"),
        (MEME.replace("1.0 0.0 0.0 0.0", "1.0 -1 0.5 0.5"), "probabilities .* sum to 1; line 10"),
        (MEME.replace("0.1 0.2 0.3 0.4", "1 2 3 4"), "probabilities .* sum to 1; line 11 is '1 2 3 4'"),
        (MEME.replace("0.1 0.2 0.3 0.4", "0 0 0 0"), "probabilities .* sum to 1; line 11"),
        (MEME.replace("w= 2", "w= x"), "'w=' in line 9, a whole number above 0; found 'x'"),
        (MEME.replace("w= 2", "w= -2"), "'w=' in line 9, a whole number above 0; found '-2'"),
        (MEME.replace("w= 2", "w= 0"), "'w=' in line 9, a whole number above 0; found '0'"),
        (MEME.replace("nsites= 10", "nsites= many"), "'nsites=' of 0 or more in line 9; found 'many'"),
        (MEME.replace("nsites= 10", "nsites= -1"), "'nsites=' of 0 or more in line 9; found '-1'"),
        (JASPAR.replace("1 2\n", "nan 2\n"), "finite, non-negative counts.*MA2.1"),
        (JASPAR.replace("1 2\n", "-1 2\n"), "finite, non-negative counts.*MA2.1"),
        (MEME.replace("AHR.H12CORE.0.P.B", "MA1.1"), "different identifiers; repeated: MA1.1"),
        (MEME.replace("MOTIF MA1.1 GATA1", "MOTIF"), "an identifier behind MOTIF in line 8"),
        (MEME.replace(" w= 2", ""), "the width 'w=' in line 9"),
        (JASPAR.replace("G  [  0  3 ]", "G  [  0 ]"), "rows of equal length below line 1 .*2/2/1/2"),
        (JASPAR.replace("C  [", "A  ["), "counts for base C .* line 3"),
        (JASPAR.replace("5 6", "5 x"), "counts for base G .* line 9"),
        (JASPAR + "1 2\n", "a line '>identifier name' .* line 11"),
    ],
)
def test_refuses_and_says_where(file, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read_motif_file(file(text))
    assert str(error.value).startswith("Expected ")
    assert "gb.io.jaspar()" in str(error.value)


def test_the_readers_need_their_own_format(file):
    with pytest.raises(ValueError, match="at least one motif"):
        read_meme(file(JASPAR))
    with pytest.raises(ValueError, match="'>identifier name'"):
        read_jaspar(file(MEME))


def test_shipped_motifs_are_sound():
    motifs = default_motifs()
    assert len(motifs) >= 600
    assert motifs is default_motifs()
    assert all(motif.family for motif in motifs if motif.motif_id == "MA0003.5")
    assert len(set(tf_names(motifs))) == len(motifs)


def test_shared_tf_gets_the_identifier():
    motifs = [Motif("RORA", motif_id, np.ones((1, 4))) for motif_id in ("MA1.1", "MA2.1")]
    assert tf_names(motifs) == ["RORA", "RORA_MA2.1"]
    assert tf_names(motifs[:1]) == ["RORA"]


def test_names_of_columns_are_unique_whatever_the_motifs_are_called():
    names = [("A", "m1"), ("A_m2", "m3"), ("A", "m2"), ("A_m2_2", "m4"), ("A", "m2")]
    motifs = [Motif(tf, motif_id, np.ones((1, 4))) for tf, motif_id in names]
    assert tf_names(motifs) == ["A", "A_m2", "A_m2_2", "A_m2_2_m4", "A_m2_3"]


def test_rounded_probabilities_are_read(file):
    (motif,) = read_meme(file(MEME.partition("MOTIF AHR")[0].replace("0.1 0.2 0.3 0.4", "0.33 0.33 0.33 0")))
    np.testing.assert_allclose(motif.counts[1], [3.3, 3.3, 3.3, 0])


def test_log_odds_in_closed_form():
    motif = Motif("X", "X", np.array([[8.0, 0, 0, 0]]))
    scores = log_odds(motif, background=np.full(4, 0.25), pseudocount=0.8)
    np.testing.assert_allclose(scores[0], np.log2(np.array([8.2, 0.2, 0.2, 0.2]) / 8.8 / 0.25), rtol=1e-6)
    assert scores.dtype == np.float32
