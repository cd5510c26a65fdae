"""Scores of the objectives, in closed form."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from genebert.model._scores import ScoreBook, auroc
from genebert.nn import Scored

CHANCE = {"entropy": 1.5, "commonest": 0.3}


def scored(prediction, truth, rows, *, nats=None, n_candidates=0):
    nats = torch.zeros(len(rows)) if nats is None else nats
    return Scored(torch.zeros(()), nats, prediction, truth, rows, n_candidates)


def summary(name, scored, **kwargs):
    book = ScoreBook(CHANCE)
    for item in scored:
        book.add({name: item})
    return {row["metric"]: row for row in book.summary(**kwargs)}


def test_auroc_with_ties():
    rng = np.random.default_rng(0)
    truth, score = rng.integers(0, 2, 200), rng.integers(0, 10, 200)
    assert auroc(truth, score) == pytest.approx(roc_auc_score(truth, score))
    assert np.isnan(auroc(np.ones(3), np.ones(3)))


def test_masked_genome():
    item = scored(torch.tensor([0, 2]), torch.tensor([0, 0]), torch.tensor([1, 2]), nats=torch.tensor([0.7, 1.6]))
    found = summary("masked_genome", [item])
    assert found["loss"]["value"] == pytest.approx((0.7 + 1.6) / 2)
    assert found["accuracy"]["value"] == 0.5
    assert found["loss"]["chance"] == 1.5


def test_matching_over_batches_of_different_size():
    batches = [
        scored(
            torch.tensor([0, 0]),
            torch.tensor([0, 1]),
            torch.tensor([4, 5]),
            nats=torch.tensor([1.0, 1.0]),
            n_candidates=2,
        ),
        scored(torch.arange(4), torch.arange(4), torch.arange(4), nats=torch.full((4,), 2.0), n_candidates=4),
    ]
    found = summary("matching", batches)
    assert found["recall@1"]["value"] == pytest.approx(5 / 6)
    assert found["recall@1"]["chance"] == pytest.approx((2 / 2 + 4 / 4) / 6)
    assert found["loss"]["value"] == pytest.approx((2 * 1 + 4 * 2) / 6)


def test_lines_that_were_asked_for_are_not_lost_to_those_that_follow(device):
    """As when a checkpoint is written, or taken up, between two steps on a GPU."""
    item = scored(
        *(torch.zeros(2, dtype=torch.long, device=device) for _ in range(3)), nats=torch.ones(2, device=device)
    )
    book, other = (ScoreBook(CHANCE, by_region=False) for _ in range(2))
    other.add({"masked_genome": item})
    book.merge(other.tables())
    for n_lines in (2, 3):
        book.add({"masked_genome": item})
        assert len(book.tables()["masked_genome"]) == n_lines
    assert book.summary()[0]["value"] == 1


def test_masked_region_r2():
    truth, predicted = torch.tensor([0.0, 1.0, 2.0, 5.0]), torch.tensor([0.0, 1.0, 2.0, 3.0])
    item = scored(predicted, truth, torch.tensor([0, 0, 1, 1]), nats=(predicted - truth) ** 2)
    assert summary("masked_region", [item])["r2"]["value"] == pytest.approx(1 - 4 / 14)


def test_intervals_hold_the_value_and_shrink_with_regions():
    def width(n):
        rng = np.random.default_rng(1)
        truth = torch.from_numpy(rng.integers(0, 2, n)).float()
        logits = truth + torch.from_numpy(rng.normal(size=n)).float()
        item = scored(logits, truth, torch.arange(n))
        row = summary("next_segment", [item], rng=np.random.default_rng(0))["auroc"]
        assert row["low"] < row["value"] < row["high"]
        assert row["n_regions"] == n
        return row["high"] - row["low"]

    assert width(2_000) < 0.5 * width(100)


def test_an_objective_without_items_beside_another():
    logits, truth = torch.zeros(4), torch.tensor([0.0, 1, 0, 1])
    book = ScoreBook(CHANCE)
    empty = torch.zeros(0)
    book.add(
        {
            "masked_region": scored(logits, truth, torch.arange(4)),
            "next_segment": scored(empty, empty, torch.zeros(0, dtype=torch.long)),
        }
    )
    rows = book.summary(rng=np.random.default_rng(0))
    assert [row["objective"] for row in rows] == ["masked_region"] * 2


def test_lines_per_batch_give_the_same_summary():
    g = torch.Generator().manual_seed(0)
    items = [
        scored(
            torch.randn(30, generator=g),
            torch.randn(30, generator=g),
            torch.arange(30) // 3,
            nats=torch.rand(30, generator=g),
        )
        for _ in range(3)
    ]
    books = ScoreBook(CHANCE), ScoreBook(CHANCE, by_region=False)
    for book in books:
        for item in items:
            book.add({"masked_region": item})
    first, second = (book.summary() for book in books)
    assert [row["value"] for row in first] == pytest.approx([row["value"] for row in second])


def test_nothing_scored_gives_no_row():
    empty = torch.zeros(0)
    item = scored(empty, empty, torch.zeros(0, dtype=torch.long))
    assert summary("next_segment", [item], rng=np.random.default_rng(0)) == {}


def test_books_of_several_processes_are_joined():
    g = torch.Generator().manual_seed(0)
    items = [
        scored(torch.randn(20, generator=g), torch.ones(20), torch.arange(20), nats=torch.rand(20, generator=g))
        for _ in "ab"
    ]
    whole, *parts = (ScoreBook(CHANCE, by_region=False) for _ in range(3))
    for item, part in zip(items, parts, strict=True):
        whole.add({"masked_region": item})
        part.add({"masked_region": item})
    joined = ScoreBook(CHANCE)
    for part in parts:
        joined.merge(part.tables())
    assert joined.summary() == whole.summary()
