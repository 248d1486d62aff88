"""Signals during training."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.trainer_parts import Make

from allencv_al.common import Lazy
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.interruption import SignalWatch, TrainingInterrupted
from allencv_al.training.trainers import training_loop


def stop_with(number: int, epoch: int, index: int) -> Callable[[int, int], None]:
    def hook(at_epoch: int, at_index: int) -> None:
        if (at_epoch, at_index) == (epoch, index):
            os.kill(os.getpid(), number)

    return hook


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str
)
def test_a_signal_finishes_the_step_saves_and_gives_its_exit_code(
    make_trainer: Make, small_loader: Any, tmp_path: Path, number: int, exit_code: int
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    loader = small_loader()
    loader.hook = stop_with(number, epoch=1, index=2)
    trainer = make_trainer(tmp_path, data_loader=loader)
    with pytest.raises(TrainingInterrupted, match="--recover") as caught:
        trainer.train()
    assert caught.value.exit_code == exit_code
    assert trainer.checkpointer.list_checkpoints()[-1] == "e1_b3"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_signal_stops_at_once(
    make_trainer: Make, small_loader: Any, tmp_path: Path
) -> None:
    loader = small_loader()

    def twice(epoch: int, index: int) -> None:
        if (epoch, index) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    loader.hook = twice
    trainer = make_trainer(tmp_path, data_loader=loader)
    with pytest.raises(TrainingInterrupted, match="at once") as caught:
        trainer.train()
    assert caught.value.exit_code == 130
    trainer.checkpointer.wait()
    assert trainer.checkpointer.list_checkpoints() == ["e0_b0", "e1_b0"]


@pytest.mark.parametrize("of", ["data_loader", "validation_data_loader"])
def test_a_signal_ends_the_wait_for_a_batch_that_never_comes(
    make_trainer: Make,
    small_loader: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of: str,
) -> None:
    monkeypatch.setattr(training_loop, "_GRACE_SECONDS", 0.05)
    loader = small_loader()

    def hang(epoch: int, index: int) -> None:
        if (epoch, index) == ((1, 2) if of == "data_loader" else (0, 1)):
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(30)

    loader.hook = hang
    trainer = make_trainer(tmp_path, **{of: loader})
    begun = time.monotonic()
    with pytest.raises(TrainingInterrupted, match="--recover") as caught:
        trainer.train()
    assert time.monotonic() - begun < 20
    assert caught.value.exit_code == 143
    last = "e1_b2" if of == "data_loader" else "e0_b5"
    assert trainer.checkpointer.list_checkpoints()[-1] == last
    loader.hook = lambda epoch, index: None
    recovered = make_trainer(tmp_path, **{of: loader})
    assert recovered.train(recover=True)["epoch"] == 2
    assert trainer.checkpointer is not None
    whole = make_trainer(**{of: loader})
    whole.train()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, recovered.model.state_dict()[name])


def test_a_signal_at_the_very_end_leaves_a_complete_run(make_trainer: Make, tmp_path: Path) -> None:
    class Stop(TrainerCallback):
        def on_epoch(self, trainer: Any, metrics: Any, epoch: int, is_primary: bool = True) -> None:
            if epoch == 2:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(TrainingInterrupted, match="complete") as caught:
        make_trainer(tmp_path, callbacks=[Lazy(Stop)]).train()
    assert caught.value.exit_code == 143
    assert json.loads((tmp_path / "metrics.json").read_text())["epoch"] == 2


def test_a_signal_without_a_folder_says_that_nothing_is_saved(
    make_trainer: Make, small_loader: Any
) -> None:
    loader = small_loader()
    loader.hook = stop_with(signal.SIGINT, 0, 1)
    with pytest.raises(TrainingInterrupted, match="nothing was saved"):
        make_trainer(data_loader=loader).train()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 on forks beside threads
def test_a_forked_worker_ignores_ctrl_c_and_obeys_sigterm() -> None:
    ready, done = os.pipe()
    with SignalWatch() as watch:
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            os.write(done, b"x")
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.read(ready, 1) == b"x"
        _, status = os.waitpid(child, 0)
        assert watch.received is None
    assert os.WTERMSIG(status) == signal.SIGTERM
