"""A run that was interrupted ends as one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

import genebert as gb
from genebert import _keys
from genebert.model import GeneBERT
from genebert.model._checkpoint import CHECKPOINT, read_checkpoint, write_checkpoint

FULL = {"max_epochs": 2, "batch_size": 32, "lr": 3e-3, "ema": 0.3, "patience": 2, "accumulate": 2}


class Interrupt(BaseException):
    """As when a session ends."""


class InterruptAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, plan, outputs, batch, index):
        if plan.place.step == self.step:
            raise Interrupt


@pytest.fixture(scope="module")
def small():
    return gb.datasets.toy(n_regions=120)


@pytest.fixture
def train(small):
    """Train on a copy of the data; a run that is interrupted returns None."""

    def run(folder=None, *, stop=None, mdata=None, **options):
        mdata = small.copy() if mdata is None else mdata
        callbacks = [] if stop is None else [InterruptAt(stop)]
        options = {**FULL, "checkpoint_minutes": 0, "callbacks": callbacks, **options}
        try:
            return gb.tl.pretrain(mdata, preset="tiny", checkpoint_dir=folder, **options)
        except Interrupt:
            return None

    return run


@pytest.fixture(scope="module")
def whole(small):
    return gb.tl.pretrain(small.copy(), preset="tiny", **FULL)


@pytest.fixture(scope="module")
def _stopped(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Interrupt):
        gb.tl.pretrain(
            small.copy(), preset="tiny", checkpoint_dir=folder, checkpoint_minutes=0, callbacks=[InterruptAt(3)], **FULL
        )
    return folder


@pytest.fixture
def stopped(_stopped, tmp_path):
    """The folder of a run that was interrupted at its third step."""
    return shutil.copytree(_stopped, tmp_path, dirs_exist_ok=True)


def check_same_run(model, whole):
    assert len(model.training_losses) == len(whole.training_losses) == 12
    np.testing.assert_allclose(model.training_losses, whole.training_losses, atol=1e-6)
    one, other = model.pretraining_history, whole.pretraining_history
    assert one.drop(columns=["value", "chance"]).equals(other.drop(columns=["value", "chance"]))
    np.testing.assert_allclose(one["value"], other["value"], atol=1e-6)
    assert model.digest == whole.digest


@pytest.mark.parametrize("stops", [[1], [5], [6], [7], [11], [3, 6, 10]])
def test_the_curve_is_that_of_a_run_without_interruption(train, whole, tmp_path, stops):
    """Six steps make an epoch: within one, at its last step, at the first of the next, and several times."""
    for number, stop in enumerate(stops):
        assert train(tmp_path, stop=stop, resume=number > 0) is None
    check_same_run(train(tmp_path, resume=True), whole)


def test_dropout_repeats_too(train, tmp_path, monkeypatch):
    """Not a state of random numbers but the step decides what it hides."""
    from genebert.nn import PRESETS

    monkeypatch.setitem(PRESETS, "tiny", {**PRESETS["tiny"], "dropout": 0.3})
    torch.manual_seed(1)
    whole = train()
    assert train(tmp_path, stop=4) is None
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    check_same_run(train(tmp_path, resume=True), whole)
    assert torch.equal(torch.random.get_rng_state(), state)  # and the user's random numbers stay as they are


def test_a_finished_run_is_taken_as_it_is(train, whole, tmp_path):
    mdata = gb.datasets.toy(n_regions=120)
    train(tmp_path)
    again = train(tmp_path, resume=True, stop=1, mdata=mdata)
    check_same_run(again, whole)
    assert "pretrain" in mdata.uns[_keys.UNS]
    assert not again.module.training


def test_without_a_checkpoint_a_run_begins(train, whole, tmp_path):
    model = train(tmp_path / "new", resume=True)
    check_same_run(model, whole)
    assert read_checkpoint(tmp_path / "new")["is_finished"]


def test_a_checkpoint_is_not_overwritten_unasked(train, stopped):
    with pytest.raises(FileExistsError, match="resume=True"):
        train(stopped)


def test_resume_needs_a_folder(train):
    with pytest.raises(ValueError, match="`checkpoint_dir` with resume=True"):
        train(resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 1e-3}, r"found lr=0.001 \(there 0.003\)"),
        ({"objectives": {"matching": 0}}, "found objectives="),
        ({"max_epochs": 3}, "max_epochs=3"),
        ({"cell_types": ["Monocyte"]}, "cell_types="),
    ],
)
def test_other_settings_are_refused(train, stopped, options, message):
    before = (stopped / CHECKPOINT).read_bytes()
    with pytest.raises(ValueError, match=message):
        train(stopped, resume=True, **options)
    assert (stopped / CHECKPOINT).read_bytes() == before


def test_of_the_network_only_what_differs_is_told(train, stopped, monkeypatch):
    from genebert.nn import PRESETS

    monkeypatch.setitem(PRESETS, "tiny", {**PRESETS["tiny"], "contrast_dim": 16})
    with pytest.raises(ValueError, match=r"found network contrast_dim=16 \(there 32\)\. Pass those"):
        train(stopped, resume=True)
    monkeypatch.undo()
    fewer = gb.datasets.toy(n_regions=90)  # so fewer steps; but nothing that is passed has changed
    with pytest.raises(ValueError, match="found other regions"):
        train(stopped, resume=True, mdata=fewer)


@pytest.mark.parametrize("slot", ["sequences", "scores", "calls"])
def test_other_data_are_refused(train, stopped, small, slot):
    changed = small.copy()
    if slot == "sequences":
        _keys.DNA_CODE.get(changed)[0, 0] = 3 - _keys.DNA_CODE.get(changed)[0, 0]
    elif slot == "scores":
        changed[_keys.TF].X[0, 0] += 1
    else:
        _keys.OPEN.get(changed).data[:5] = 0
    with pytest.raises(ValueError, match="found other regions, open calls, sequences or scores"):
        train(stopped, resume=True, mdata=changed)


def test_another_number_of_processes_or_less_frequent_checkpoints_are_no_other_run(train, whole, tmp_path):
    train(tmp_path, stop=5)
    model = train(tmp_path, resume=True, devices=1, checkpoint_minutes=60)
    check_same_run(model, whole)
    assert read_checkpoint(tmp_path)["is_finished"]


def test_a_run_that_is_cut_short_can_go_on(train, whole, tmp_path):
    from datetime import timedelta

    model = train(tmp_path, max_time=timedelta(milliseconds=1), checkpoint_minutes=60)
    assert len(model.training_losses) == 1
    assert read_checkpoint(tmp_path)["place"] == {"epoch": 0, "done": 1, "step": 1}
    check_same_run(train(tmp_path, resume=True), whole)


def test_a_run_that_is_cut_short_between_epochs_can_go_on(train, whole, tmp_path):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, plan, outputs, batch, index):
            if plan.place.step == 6:
                trainer.should_stop = True

    train(tmp_path, callbacks=[Stop()], checkpoint_minutes=60)
    assert read_checkpoint(tmp_path)["place"] == {"epoch": 1, "done": 0, "step": 6}
    check_same_run(train(tmp_path, resume=True), whole)


@pytest.mark.parametrize(
    ("hook", "step", "place"),
    [
        ("on_train_batch_end", 3, {"epoch": 0, "done": 3}),
        ("on_train_epoch_end", 6, {"epoch": 1, "done": 0}),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM")
def test_a_run_that_is_asked_to_end_saves_and_can_go_on(train, whole, tmp_path, hook, step, place):
    """As a scheduler asks before it kills. The status says that something is missing."""

    def ask(trainer, plan, *_):
        if plan.place.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    callback = Callback()
    setattr(callback, hook, ask)
    with pytest.raises(SystemExit, match="143"):
        train(tmp_path, callbacks=[callback], checkpoint_minutes=60)
    assert read_checkpoint(tmp_path)["place"] == {**place, "step": step}
    check_same_run(train(tmp_path, resume=True), whole)


def test_checkpoints_hold_no_code_and_say_their_version(stopped):
    path = stopped / CHECKPOINT
    state = torch.load(path, weights_only=True)
    assert state["place"] == {"epoch": 0, "done": 2, "step": 2}
    torch.save({**state, "format_version": 99}, path)
    with pytest.raises(ValueError, match="Upgrade genebert"):
        read_checkpoint(stopped)


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("failing", ["os.fsync", "os.replace"])
def test_a_failure_while_writing_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, failing):
    write_checkpoint(tmp_path, {"number": 1})

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tmp_path, {"number": 2})
    monkeypatch.undo()
    assert read_checkpoint(tmp_path)["number"] == 1
    write_checkpoint(tmp_path, {"number": 3})
    assert read_checkpoint(tmp_path)["number"] == 3
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]  # nothing is left of the failure


def test_resumed_training_on_from_loaded_weights(train, small, tmp_path):
    """The weights that training began with are those of the checkpoint, not of the model that is given."""
    train(stop=None).save(tmp_path / "model")

    def go_on(folder, **options):
        model = GeneBERT.load(tmp_path / "model", device="cpu")
        model.train(small.copy(), checkpoint_dir=folder, **{**FULL, "checkpoint_minutes": 0, **options})
        return model

    whole = go_on(None)
    with pytest.raises(Interrupt):
        go_on(tmp_path / "run", callbacks=[InterruptAt(6)])
    check_same_run(go_on(tmp_path / "run", resume=True), whole)


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import torch
from lightning.pytorch import Callback
import genebert as gb
from genebert.model._checkpoint import read_checkpoint

torch.set_num_threads(1)
folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])

class Kill(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, plan, outputs, batch, index):
        if plan.place.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

def train(stop):
    return gb.tl.pretrain(
        gb.datasets.toy(n_regions=120), preset="tiny", checkpoint_dir=folder, checkpoint_minutes=0, resume=True,
        callbacks=[Kill(stop)], **options,
    )

found = []
for stop in (4, 9):  # each in a process of its own, which inherits what was imported
    if (child := os.fork()) == 0:
        train(stop)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    found.append([os.WIFSIGNALED(status) and os.WTERMSIG(status), read_checkpoint(folder)["place"]["step"]])
print(json.dumps([found, train(0).training_losses]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_after_a_kill_the_curve_is_that_of_a_run_without(whole, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), json.dumps(FULL)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found, losses = json.loads(done.stdout.splitlines()[-1])
    assert found == [[signal.SIGKILL, 3], [signal.SIGKILL, 8]]
    np.testing.assert_allclose(losses, whole.training_losses, atol=1e-6)
