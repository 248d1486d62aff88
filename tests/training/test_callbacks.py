from __future__ import annotations

import json
import logging
import re
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.errors import CheckpointError, TrainingError
from allencv_al.training.callbacks import TrainerCallback, console_logger
from allencv_al.training.callbacks.console_logger import ConsoleLoggerCallback
from allencv_al.training.callbacks.metrics_jsonl import MetricsJsonlCallback
from allencv_al.training.callbacks.tensorboard import TensorBoardCallback
from allencv_al.training.checkpoints.checkpointer import Checkpointer
from allencv_al.training.interruption import TrainingInterrupted
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.optimizers import Optimizer

Make = Callable[..., Any]


class Recorder(TrainerCallback):
    """Notes when it is called, and with what."""

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        super().__init__(serialization_dir)
        self.calls: list[Any] = []

    def on_start(self, trainer: Any, is_primary: bool = True) -> None:
        self.calls.append("start")

    def on_batch(self, trainer: Any, **given: Any) -> None:  # type: ignore[override]
        assert given["batch_inputs"][0]["image"].shape == (6, 3, 6, 6)
        assert given["batch_outputs"][0]["logits"].shape == (6, 3)
        assert given["batch_metrics"]["loss"].shape == ()
        assert given["is_training"]
        self.calls.append((given["epoch"], given["batch_number"]))

    def on_epoch(
        self, trainer: Any, metrics: dict[str, Any], epoch: int, is_primary: bool = True
    ) -> None:
        assert metrics["epoch"] == epoch
        self.calls.append(f"epoch {epoch}")

    def on_end(
        self,
        trainer: Any,
        metrics: dict[str, Any] | None = None,
        epoch: int | None = None,
        is_primary: bool = True,
    ) -> None:
        self.calls.append(("end", metrics is not None, epoch))


def given(callback: Any) -> list[Lazy[Any]]:
    return [Lazy.wrap(callback)]


def test_a_callback_is_called_at_its_moments(make_trainer: Make, small_loader: Any) -> None:
    recorder = Recorder()
    make_trainer(data_loader=small_loader(count=2), num_epochs=2, callbacks=given(recorder)).train()
    assert recorder.calls == [
        "start", (0, 1), (0, 2), "epoch 0", (1, 1), (1, 2), "epoch 1", ("end", True, 1),
    ]  # fmt: skip


def test_the_end_is_told_of_a_failure_too(make_trainer: Make, small_loader: Any) -> None:
    recorder, loader = Recorder(), small_loader()

    def fail(epoch: int, index: int) -> None:
        if epoch == 1:
            raise TrainingError("no")

    loader.hook = fail
    with pytest.raises(TrainingError):
        make_trainer(data_loader=loader, callbacks=given(recorder)).train()
    assert recorder.calls[-1] == ("end", False, 0)


def test_outputs_are_kept_only_for_a_callback_that_wants_them(make_trainer: Make) -> None:
    trainer = make_trainer(num_epochs=1, callbacks=given(MetricsJsonlCallback()))
    trainer.train()
    assert trainer.step.inputs == []
    assert trainer.step.outputs == []


def test_a_callback_can_compute_the_gradients(make_trainer: Make, small_loader: Any) -> None:
    class Tripled(TrainerCallback):
        def on_backward(
            self, trainer: Any, batch_outputs: dict[str, Any], backward_called: bool
        ) -> bool:
            (3 * batch_outputs["loss"]).backward()
            return True

    norms = []
    for callbacks in ([], given(Tripled())):
        loader = small_loader(count=1)
        trainer = make_trainer(
            data_loader=loader, num_epochs=1, grad_norm=True, callbacks=callbacks
        )
        trainer.train()
        norms.append(trainer.step.grad_norm.item())
    assert norms[1] == pytest.approx(3 * norms[0], rel=1e-4)


def test_the_state_of_a_callback_survives(
    make_trainer: Make, small_loader: Any, tmp_path: Path
) -> None:
    class Counter(TrainerCallback):
        count = 0

        def on_batch(self, trainer: Any, **given: Any) -> None:  # type: ignore[override]
            self.count += 1

        def state_dict(self) -> dict[str, Any]:
            return {"count": self.count}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.count = state_dict["count"]

    loader = small_loader()
    loader.hook = lambda epoch, index: (
        signal.raise_signal(signal.SIGINT) if (epoch, index) == (1, 3) else None
    )
    with pytest.raises(TrainingInterrupted):
        make_trainer(tmp_path, data_loader=loader, callbacks=given(Counter())).train()
    counter = Counter()
    make_trainer(tmp_path, callbacks=given(counter)).train(recover=True)
    assert counter.count == 15


def test_recovering_with_another_number_of_callbacks_is_an_error(
    make_trainer: Make, tmp_path: Path
) -> None:
    make_trainer(tmp_path).train()
    trainer = make_trainer(tmp_path, callbacks=given(Recorder()), run_confidence_checks=False)
    with_two = make_trainer(tmp_path, callbacks=[*given(Recorder()), *given(Recorder())])
    trainer.train(recover=True)
    with pytest.raises(CheckpointError, match="callbacks"):
        with_two.train(recover=True)


# The built-in ones


@pytest.mark.parametrize("name", TrainerCallback.list_available())
def test_every_registered_callback_takes_part(
    name: str, make_trainer: Make, tmp_path: Path
) -> None:
    callback = TrainerCallback.from_params(name, serialization_dir=tmp_path)
    assert isinstance(callback, TrainerCallback)
    make_trainer(tmp_path, num_epochs=1, callbacks=given(callback)).train()


def read_lines(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_metrics_jsonl_has_one_line_for_each_epoch(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(tmp_path, callbacks=[Lazy(MetricsJsonlCallback)]).train()
    lines = read_lines(tmp_path)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert all(line["learning_rates"] == [0.01] for line in lines)
    assert all(line["validation_loss"] > 0 for line in lines)


def test_metrics_jsonl_has_the_rates_that_the_epoch_was_trained_with(
    make_trainer: Make, tmp_path: Path
) -> None:
    step = LearningRateScheduler.by_name("step")
    make_trainer(
        tmp_path,
        callbacks=[Lazy(MetricsJsonlCallback)],
        learning_rate_scheduler=Lazy(step, step_size=1, gamma=0.5),
    ).train()
    rates = [line["learning_rates"] for line in read_lines(tmp_path)]
    assert rates == [[0.01], [0.005], [0.0025]]


def test_metrics_jsonl_has_no_epoch_twice_after_a_recovery(
    make_trainer: Make, small_loader: Any, tmp_path: Path
) -> None:
    options = {"callbacks": [Lazy(MetricsJsonlCallback)]}
    make_trainer(tmp_path, **options).train()
    for name in ("e3_b0",):
        (tmp_path / "checkpoints" / name / "manifest.json").unlink()
    make_trainer(tmp_path, **options).train(recover=True)
    assert [line["epoch"] for line in read_lines(tmp_path)] == [0, 1, 2]


def test_each_epoch_is_one_line_in_the_log(
    make_trainer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="allencv_al"):
        make_trainer(enable_default_callbacks=True).train()
    lines = [line for line in caplog.messages if line.startswith("epoch ")]
    assert len(lines) == 3
    number = r"\d+\.\d{4}"
    figures = rf"loss {number} accuracy {number}"
    assert re.fullmatch(
        rf"epoch 0/2: training {figures}; validation {figures} \(best so far\)", lines[0]
    )


def test_the_line_of_an_epoch_says_how_long_the_others_will_take(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger, trainer = ConsoleLoggerCallback(), make_trainer(num_epochs=12)
    moments = iter((1000.0, 1200.0, 1300.0))
    monkeypatch.setattr(console_logger, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    trainer.epochs_completed = 4  # a run that goes on
    logger.on_start(trainer)
    with caplog.at_level(logging.INFO):
        for epoch in (5, 11):
            logger.on_epoch(trainer, {"training_loss": 0.5}, epoch)
    assert caplog.messages == [
        "epoch 5/11: training loss 0.5000; about 10 min 00 s left",
        "epoch 11/11: training loss 0.5000",
    ]


def test_a_part_that_does_not_learn_is_warned_of(
    make_trainer: Make, small_model: Make, caplog: pytest.LogCaptureFixture
) -> None:
    model = small_model()
    model.forgotten = torch.nn.Linear(2, 2)
    make_trainer(model=model).train()
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "forgotten.weight, forgotten.bias" in warnings[0]


@pytest.mark.parametrize("unfreezing", [False, True])
def test_a_sound_model_gives_no_warning(
    make_trainer: Make, caplog: pytest.LogCaptureFixture, unfreezing: bool
) -> None:
    options: dict[str, Any] = {}
    if unfreezing:
        groups = [[["^conv"]], [["^norm"]], [["^linear"]]]
        options["optimizer"] = Lazy(Optimizer.by_name("sgd"), lr=0.1, parameter_groups=groups)
        slanted = LearningRateScheduler.by_name("slanted_triangular")
        options["learning_rate_scheduler"] = Lazy(slanted, gradual_unfreezing=True)
    make_trainer(**options).train()
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_run_that_goes_on_from_the_last_batch_of_an_epoch_gives_no_warning(
    make_trainer: Make, small_loader: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = {"checkpointer": Lazy(Checkpointer, save_every_num_batches=1)}
    trainer = make_trainer(tmp_path, **every)
    trainer._validate = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert trainer.checkpointer.list_checkpoints()[-1] == "e0_b5"
    again = make_trainer(tmp_path, **every)
    again.train(recover=True)
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_the_model_can_know_the_epoch(make_trainer: Make, small_model: Make) -> None:
    model = small_model()
    seen: list[int] = []
    forward = model.forward

    def spy(**inputs: Any) -> Any:
        seen.append(model.epoch)
        return forward(**inputs)

    model.forward = spy
    callback = Lazy(TrainerCallback.by_name("track_epoch_callback"))
    make_trainer(
        model=model, num_epochs=2, validation_data_loader=None, callbacks=[callback]
    ).train()
    assert seen == [0] * 5 + [1] * 5


def test_a_default_callback_that_is_listed_takes_part_once(
    make_trainer: Make, tmp_path: Path
) -> None:
    trainer = make_trainer(
        tmp_path, enable_default_callbacks=True, callbacks=[Lazy(MetricsJsonlCallback)]
    )
    kinds = [type(callback).__name__ for callback in trainer.callbacks]
    assert sorted(kinds) == sorted(set(kinds))


def test_tensorboard_writes_what_it_was_told(
    make_trainer: Make, small_loader: Any, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    options = {
        "summary_interval": 3,
        "distribution_interval": 6,
        "batch_size_interval": 4,
        "should_log_learning_rate": True,
    }
    make_trainer(
        tmp_path,
        data_loader=small_loader(count=6),
        num_epochs=2,
        callbacks=[Lazy(TensorBoardCallback, options)],
        grad_norm=5.0,
    ).train()
    training = read_events(tmp_path / "log" / "train")
    validation = read_events(tmp_path / "log" / "validation")
    assert training["loss/step"] == [3, 6, 9, 12]
    assert training["learning_rate/group_0"] == [3, 6, 9, 12]
    assert training["gradient_norm"] == [3, 6, 9, 12]
    assert training["parameter_mean/linear.weight"] == [3, 6, 9, 12]
    assert training["gradient_std/linear.weight"] == [3, 6, 9, 12]
    assert training["batch_size"] == [4, 8, 12]
    assert training["epoch/accuracy"] == [0, 1]
    assert training["histogram parameter/linear.weight"] == [6, 12]
    assert validation["epoch/loss"] == [0, 1]


def read_events(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"histograms": 0})  # all of them
    events.Reload()
    tags = events.Tags()
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in tags["scalars"]}
    for tag in tags["histograms"]:
        steps[f"histogram {tag}"] = [event.step for event in events.Histograms(tag)]
    return steps


def test_tensorboard_without_a_folder_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="serialization_dir"):
        TensorBoardCallback(None)
