"""Two processes against one: the same batches, masks, pairs, losses and weights."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import genebert as gb
from genebert import _keys
from genebert._data import RegionSource, Schedule, StepLoader, WindowDataset, open_windows
from genebert.model._distributed import Processes
from genebert.model._split import split_regions
from genebert.nn import OBJECTIVES, GeneBERTConfig, GeneBERTNetwork
from genebert.nn._objectives import draw, score

RUNS = {
    "double": {"n_regions": 200, "batch_size": 32, "max_epochs": 5, "precision": "64"},
    "single": {"n_regions": 200, "batch_size": 32, "max_epochs": 5, "precision": "32"},
    # One window per batch: the other process has none, and no pair; two objectives have nothing to derive.
    "small": {
        "n_regions": 60, "batch_size": 4, "max_epochs": 1, "precision": "64", "accumulate": 2,
        "objectives": {"masked_region": 0, "masked_genome": 0},
    },
}  # fmt: skip

SCRIPT = """
import json, sys
import torch
from lightning.pytorch import Callback
import genebert as gb

class Seen(Callback):
    def __init__(self):
        self.rows = []
    def on_train_batch_end(self, trainer, plan, outputs, batch, index):
        if trainer.current_epoch == 0:
            self.rows += batch.batch.rows.tolist()

def train(n_processes, n_regions, **options):
    mdata, seen = gb.datasets.toy(n_regions=n_regions), Seen()
    model = gb.tl.pretrain(
        mdata, preset="tiny", lr=3e-3, accelerator="cpu", devices=n_processes, callbacks=[seen], **options
    )
    found = {
        "losses": model.training_losses, "values": model.pretraining_history["value"].tolist(), "digest": model.digest,
        "rows": seen.rows, "is_recorded": "pretrain" in mdata.uns["genebert"], "is_first": model.is_first_process,
    }
    return model, found

if __name__ == "__main__":
    torch.set_num_threads(1)
    out, found = sys.argv[1], {}
    for name, options in json.loads(sys.argv[2]).items():
        model, found[name] = train(2, **options)
        model.save(f"{out}.{name}")
    with open(f"{out}.{model.trainer.global_rank}.json", "w") as file:
        json.dump(found, file)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """What each of two processes found in all `RUNS`; together, since to start a process takes longer than to train."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(folder / "script.py"), str(folder / "out"), json.dumps(RUNS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"out.{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture
def run(pair):
    """What one process, this one, finds in one of `RUNS`, and what each of two found."""

    def call(name):
        scope = {"__name__": "script"}
        exec(SCRIPT, scope)
        _, one = scope["train"](1, **RUNS[name])
        return one, [process[name] for process in pair]

    return call


@pytest.mark.slow
@pytest.mark.parametrize(("name", "atol"), [("double", 1e-5), ("single", 1e-3)])
def test_two_processes_train_as_one(run, name, atol):
    one, two = run(name)
    assert len(one["losses"]) >= 50
    for process in two:
        np.testing.assert_allclose(process["losses"], one["losses"], atol=atol)
        np.testing.assert_allclose(process["values"], one["values"], atol=atol)
    assert two[0]["digest"] == two[1]["digest"]
    assert [process["is_first"] for process in two] == [process["is_recorded"] for process in two] == [True, False]

    toy = gb.datasets.toy(n_regions=200)
    opened = open_windows(toy, cell_types=list(toy[_keys.ATAC].var_names), allowed=split_regions(toy, seed=0).train, window_size=4)  # fmt: skip
    expected = np.sort(opened.rows[opened.rows >= 0])
    np.testing.assert_array_equal(np.sort(two[0]["rows"] + two[1]["rows"]), expected)
    np.testing.assert_array_equal(np.sort(one["rows"]), expected)


@pytest.mark.slow
def test_batches_too_small_for_all_processes_and_objectives_that_are_off(run):
    one, two = run("small")
    for process in two:
        np.testing.assert_allclose(process["losses"], one["losses"], atol=1e-9)


# Without processes: what each of them would compute, summed.


@pytest.fixture(scope="module")
def steps():
    """A step as each of n processes reads it."""
    toy = gb.datasets.toy(n_regions=120)
    tfs = list(toy[_keys.TF].var_names)
    windows = open_windows(toy, cell_types=["Monocyte"], allowed=np.ones(toy.n_obs, dtype=bool), window_size=4)
    dataset = WindowDataset(RegionSource(toy, tfs=tfs, fill=np.zeros(len(tfs))), windows)
    schedule = Schedule(windows, regions_per_batch=40, seed=0)

    def read(n_processes):
        return [
            next(iter(StepLoader(dataset, schedule, seed=0, rank=rank, n_processes=n_processes)))
            for rank in range(n_processes)
        ]

    return read


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return GeneBERTNetwork(GeneBERTConfig.preset("tiny", n_tfs=857)).double()


def doubled(batch):
    return batch._replace(scores=batch.scores.double())


def gradients(network, parts):
    """Losses by objective and all gradients, summed over parts of a step."""
    network.zero_grad()
    totals = dict.fromkeys(OBJECTIVES, 0.0)
    for scored in parts:
        sum(item.loss for item in scored.values()).backward()
        for name, item in scored.items():
            totals[name] += item.loss.item()
    return totals, {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("n_processes", "n_parts"), [(1, 3), (3, 1), (2, 2), (40, 1)])
def test_shares_of_processes_and_parts_sum_to_the_whole(steps, network, n_processes, n_parts):
    """Loss and gradient of all objectives but matching, whose candidates go over the network."""
    weights = {**dict.fromkeys(OBJECTIVES, 1.0), "matching": 0.0}
    (whole,) = steps(1)
    regions = (whole.batch.codes, whole.batch.lengths, whole.rows)
    drawn = draw(
        regions, whole.region_mask, config=network.config, weights=weights, generator=torch.Generator().manual_seed(1)
    )
    expected = gradients(network, [score(network, doubled(whole.batch), drawn, weights=weights)])

    def parts():
        for rank, step in enumerate(steps(n_processes)):
            processes = Processes(rank=rank, n_processes=n_processes, length=200)
            for number in range(n_parts):
                batch, part = processes.part(step, number, n_parts=n_parts)
                yield score(network, doubled(batch), drawn, weights=weights, part=part)

    found = gradients(network, parts())
    for name in OBJECTIVES:
        assert found[0][name] == pytest.approx(expected[0][name], abs=1e-12)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-12, rtol=1e-9)


def test_items_of_all_parts_are_those_of_the_whole(steps, network):
    weights = {**dict.fromkeys(OBJECTIVES, 1.0), "matching": 0.0}
    (whole,) = steps(1)
    regions = (whole.batch.codes, whole.batch.lengths, whole.rows)
    drawn = draw(
        regions, whole.region_mask, config=network.config, weights=weights, generator=torch.Generator().manual_seed(1)
    )
    expected = score(network, doubled(whole.batch), drawn, weights=weights)
    found = {name: [] for name in expected}
    for rank, step in enumerate(steps(3)):
        batch, part = Processes(rank=rank, n_processes=3, length=200).part(step, 0, n_parts=1)
        for name, item in score(network, doubled(batch), drawn, weights=weights, part=part).items():
            found[name] += list(zip(item.rows.tolist(), item.truth.tolist(), item.nats.tolist(), strict=True))
    for name, item in expected.items():
        ours = sorted(zip(item.rows.tolist(), item.truth.tolist(), item.nats.tolist(), strict=True))
        np.testing.assert_allclose(sorted(found[name]), ours, atol=1e-9)
