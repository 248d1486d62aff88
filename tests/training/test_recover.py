"""A run that was cut off at any moment and recovered ends with the bits of one that was not."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.errors import CheckpointError
from allencv_al.training.callbacks import standard_callbacks
from allencv_al.training.callbacks.standard_callbacks import MetricsJsonlCallback
from allencv_al.training.checkpoints.checkpointer import Checkpointer
from allencv_al.training.interruption import TrainingInterrupted
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.momentum_schedulers import MomentumScheduler
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.trainers import training_loop
from allencv_al.training.trainers.epoch_metrics import without_measurements
from allencv_al.training.trainers.moving_average import MovingAverage

Make = Callable[..., Any]
Result = tuple[dict[str, Any], ...]

GROUPS = [[["^conv"]], [["^norm"]], [["^linear"]]]


class _Crash(BaseException):
    """Ends a training as a kill does: nothing that waits for errors sees it."""


def lazy(base: Any, name: str, **options: Any) -> Lazy[Any]:
    return Lazy(base.by_name(name), **options)


def everything() -> dict[str, Any]:
    """Every part of a trainer that has a state."""
    return {
        "optimizer": lazy(Optimizer, "adamw", lr=0.01, parameter_groups=GROUPS),
        "learning_rate_scheduler": lazy(
            LearningRateScheduler,
            "slanted_triangular",
            gradual_unfreezing=True,
            discriminative_fine_tuning=True,
        ),
        "momentum_scheduler": lazy(
            MomentumScheduler, "inverted_triangular", cool_down=4, warm_up=4
        ),
        "moving_average": lazy(MovingAverage, "exponential", decay=0.9),
        "checkpointer": Lazy(Checkpointer, save_every_num_batches=2),
        "patience": 3,
        "validation_metric": "+accuracy",
        "callbacks": [Lazy(MetricsJsonlCallback)],
    }


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def result_of(folder: Path, metrics: dict[str, Any]) -> Result:
    """Return all of a finished run that must be the same to the bit."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return (
        without_measurements(metrics),
        without_measurements(json.loads((folder / "metrics.json").read_text())),
        {"best": digest(folder / "best.safetensors")},
        {line: without_measurements(json.loads(text)) for line, text in enumerate(lines)},
        {
            path.name: without_measurements(json.loads(path.read_text()))
            for path in folder.glob("metrics_epoch_*.json")
        },
        {
            f"{path.parent.name}/{path.name}": digest(path)
            for path in folder.glob("checkpoints/*/model.safetensors")
        },
    )


def crash_at(epoch: int, index: int) -> Callable[[int, int], None]:
    def hook(at_epoch: int, at_index: int) -> None:
        if (at_epoch, at_index) == (epoch, index):
            raise _Crash

    return hook


@pytest.fixture(scope="module")
def expected(make_trainer: Make, tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return result_of(folder, make_trainer(folder, **everything()).train())


def recovered(make_trainer: Make, small_model: Make, folder: Path, **options: Any) -> Any:
    """Return a trainer as another process would make it: other weights, other random numbers."""
    trainer = make_trainer(folder, model=small_model(seed=5), **{**everything(), **options})
    torch.rand(3)
    random.random()
    return trainer


PLACES = [(0, 0), (0, 3), (1, 0), (1, 4), (2, 1), (2, 4)]


@pytest.mark.parametrize(("epoch", "index"), PLACES)
def test_a_crash_within_an_epoch_changes_nothing(
    make_trainer: Make,
    small_model: Make,
    small_loader: Any,
    tmp_path: Path,
    expected: Result,
    epoch: int,
    index: int,
) -> None:
    loader = small_loader()
    loader.hook = crash_at(epoch, index)
    trainer = make_trainer(tmp_path, data_loader=loader, **everything())
    with pytest.raises(_Crash):
        trainer.train()
    trainer.checkpointer.wait()
    metrics = recovered(make_trainer, small_model, tmp_path).train(recover=True)
    assert result_of(tmp_path, metrics) == expected


def test_many_crashes_in_one_run_change_nothing(
    make_trainer: Make, small_model: Make, small_loader: Any, tmp_path: Path, expected: Result
) -> None:
    trainer, recover = make_trainer(tmp_path, **everything()), False
    for epoch, index in PLACES:
        trainer.data_loader = small_loader()
        trainer.data_loader.hook = crash_at(epoch, index)
        with pytest.raises(_Crash):
            trainer.train(recover=recover)
        trainer.checkpointer.wait()
        trainer, recover = recovered(make_trainer, small_model, tmp_path), True
    assert result_of(tmp_path, trainer.train(recover=True)) == expected


@pytest.mark.parametrize("call", range(4))
def test_a_crash_during_validation_or_its_bookkeeping_changes_nothing(
    make_trainer: Make,
    small_model: Make,
    small_loader: Any,
    tmp_path: Path,
    expected: Result,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    trainer = make_trainer(tmp_path, **everything())
    with monkeypatch.context() as patch:
        if call == 0:  # in the midst of it
            trainer.validation_data_loader = small_loader(count=2, seed=99)
            trainer.validation_data_loader.hook = crash_at(0, 1)
        else:  # before metrics_epoch_N.json, before a callback, before the checkpoint
            name = ("write_json", "write_text", "save")[call - 1]
            modules = (training_loop, standard_callbacks, trainer.checkpointer)
            fail_third(patch, modules[call - 1], name)
        with pytest.raises(_Crash):
            trainer.train()
    trainer.checkpointer.wait()
    metrics = recovered(make_trainer, small_model, tmp_path).train(recover=True)
    assert result_of(tmp_path, metrics) == expected


def fail_third(patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    original, calls = getattr(owner, name), []

    def crash(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == 3:
            raise _Crash
        return original(*args, **kwargs)

    patch.setattr(owner, name, crash)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_signal_and_a_recovery_change_nothing(
    make_trainer: Make,
    small_model: Make,
    small_loader: Any,
    tmp_path: Path,
    expected: Result,
    where: str,
) -> None:
    def stop(epoch: int, index: int) -> None:
        if (epoch, index) == ((1, 1) if where == "training" else (0, 1)):
            os.kill(os.getpid(), signal.SIGTERM)

    trainer = make_trainer(tmp_path, **everything())
    if where == "training":
        trainer.data_loader.hook = stop
    else:
        trainer.validation_data_loader = small_loader(count=3, seed=99)
        trainer.validation_data_loader.hook = stop
    with pytest.raises(TrainingInterrupted):
        trainer.train()
    name = "e1_b2" if where == "training" else "e0_b5"
    assert trainer.checkpointer.list_checkpoints()[-1] == name
    metrics = recovered(make_trainer, small_model, tmp_path).train(recover=True)
    assert result_of(tmp_path, metrics) == expected


def test_a_damaged_newest_checkpoint_changes_nothing(
    make_trainer: Make, small_model: Make, small_loader: Any, tmp_path: Path, expected: Result
) -> None:
    loader = small_loader()
    loader.hook = crash_at(2, 3)
    trainer = make_trainer(tmp_path, data_loader=loader, **everything())
    with pytest.raises(_Crash):
        trainer.train()
    trainer.checkpointer.wait()
    assert trainer.checkpointer.list_checkpoints() == ["e2_b0", "e2_b2"]
    (tmp_path / "checkpoints" / "e2_b2" / "state.safetensors").write_bytes(b"\0" * 100)
    metrics = recovered(make_trainer, small_model, tmp_path).train(recover=True)
    assert result_of(tmp_path, metrics) == expected


def test_recovering_a_finished_run_gives_its_result_again(
    make_trainer: Make, small_model: Make, tmp_path: Path, expected: Result
) -> None:
    make_trainer(tmp_path, **everything()).train()
    trainer = recovered(make_trainer, small_model, tmp_path)
    assert result_of(tmp_path, trainer.train(recover=True)) == expected


def test_accumulated_batches_recover_too(
    make_trainer: Make, small_model: Make, small_loader: Any, tmp_path: Path
) -> None:
    options = {"num_gradient_accumulation_steps": 2}
    whole = make_trainer(tmp_path / "whole", **{**everything(), **options}).train()
    loader = small_loader()
    loader.hook = crash_at(1, 4)
    trainer = make_trainer(tmp_path / "cut", data_loader=loader, **{**everything(), **options})
    with pytest.raises(_Crash):
        trainer.train()
    trainer.checkpointer.wait()
    assert trainer.checkpointer.list_checkpoints()[-1] == "e1_b4"
    metrics = recovered(make_trainer, small_model, tmp_path / "cut", **options).train(recover=True)
    assert result_of(tmp_path / "cut", metrics) == result_of(tmp_path / "whole", whole)


def test_without_any_checkpoint_recovery_starts_over(
    make_trainer: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert make_trainer(tmp_path).train(recover=True)["epoch"] == 2
    assert "starting from the beginning" in caplog.text


def test_recovery_without_a_folder_is_an_error(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match="serialization_dir"):
        make_trainer().train(recover=True)


def test_a_second_run_in_the_same_folder_is_refused(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(tmp_path).train()
    with pytest.raises(ConfigurationError, match="checkpoints"):
        make_trainer(tmp_path).train()


def test_a_checkpoint_of_another_model_is_a_clear_error(
    make_trainer: Make, small_model: Make, tmp_path: Path
) -> None:
    make_trainer(tmp_path).train()
    model = small_model()
    model.linear = torch.nn.Linear(4, 7)
    with pytest.raises(CheckpointError, match="does not fit"):
        make_trainer(tmp_path, model=model).train(recover=True)


def test_another_environment_is_warned_of(
    make_trainer: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_trainer(tmp_path).train()
    path = tmp_path / "environment.json"
    before = json.loads(path.read_text())
    assert before["device"] == "cpu"
    assert before["versions"]["torch"]
    path.write_text(json.dumps({**before, "torch_threads": 96}))
    make_trainer(tmp_path).train(recover=True)
    assert "torch_threads 96" in caplog.text
    assert not any(name in json.dumps(before) for name in ("PATH", "HOME="))


def test_a_finished_run_without_checkpoints_is_not_trained_again(
    make_trainer: Make, tmp_path: Path
) -> None:
    make_trainer(tmp_path).train()
    best = digest(tmp_path / "best.safetensors")
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        make_trainer(tmp_path).train(recover=True)
    assert digest(tmp_path / "best.safetensors") == best
