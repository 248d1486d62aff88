"""The training loop: its files, its best epoch, its warnings."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.trainer_parts import Make, lazy, sgd

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.errors import TrainingError
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.checkpoints.checkpoint_files import read_weights
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.trainers import training_loop
from allencv_al.training.trainers.moving_average import MovingAverage


def test_the_model_learns(make_trainer: Make) -> None:
    metrics = make_trainer(num_epochs=30, optimizer=lazy(Optimizer, "adam", lr=0.05)).train()
    assert metrics["training_loss"] < 0.9 < math.log(3)
    assert metrics["best_validation_accuracy"] > 0.8


def test_numbers_too_small_to_compute_with_fast_are_zero_while_it_trains(
    make_trainer: Make, tiny_product: Callable[[], float]
) -> None:
    class Watcher(TrainerCallback):
        def on_batch(self, trainer: Any, **given: Any) -> None:  # type: ignore[override]
            seen.append(tiny_product())

    seen: list[float] = []
    trainer = make_trainer(num_epochs=1, callbacks=[Lazy.wrap(Watcher())])
    trainer.train()
    assert seen and set(seen) == {0.0}
    assert tiny_product() > 0  # as it was before


def test_the_folder_holds_what_is_promised(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(tmp_path, enable_default_callbacks=True).train()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "best.safetensors",
        "checkpoints",
        "confusion_matrix.png",
        "environment.json",
        "metrics.json",
        "metrics.jsonl",
        "metrics_epoch_0.json",
        "metrics_epoch_1.json",
        "metrics_epoch_2.json",
        "training_curves.png",
    }


def test_without_validation_data_the_last_epoch_is_the_result(
    make_trainer: Make, tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path, validation_data_loader=None, num_epochs=2)
    metrics = trainer.train()
    assert not any(name.startswith(("best", "validation")) for name in metrics)
    best = read_weights(tmp_path / "best.safetensors")
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, best[name])


def test_without_a_folder_nothing_is_written(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = make_trainer(enable_default_callbacks=True).train()
    assert metrics["epoch"] == 2
    assert list(tmp_path.iterdir()) == []


def test_no_batches_at_all_is_an_error(make_trainer: Make, small_loader: Any) -> None:
    with pytest.raises(TrainingError, match="no batches"):
        make_trainer(data_loader=small_loader(count=0)).train()


def losses_of(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """Make the validations of a training give these losses."""
    left = iter(values)

    def evaluate(model: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        model.get_metrics(reset=True)
        return {"loss": next(left), "accuracy": 0.5, "confusion_matrix": [[1]]}

    monkeypatch.setattr(training_loop, "evaluate", evaluate)


@pytest.mark.parametrize("with_folder", [True, False])
def test_the_model_ends_with_the_weights_of_its_best_epoch(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_folder: bool
) -> None:
    one_epoch = make_trainer(num_epochs=1, validation_data_loader=None)
    one_epoch.train()
    losses_of(monkeypatch, 0.5, 0.7, 0.6)
    trainer = make_trainer(tmp_path if with_folder else None)
    metrics = trainer.train()
    assert metrics["best_epoch"] == 0
    assert metrics["best_validation_loss"] == 0.5
    assert metrics["validation_loss"] == 0.6
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, one_epoch.model.state_dict()[name]), name


def test_patience_ends_training_and_keeps_the_last_epoch(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses_of(monkeypatch, 0.5, 0.4, 0.6, 0.7, 0.1)
    metrics = make_trainer(tmp_path, num_epochs=5, patience=2).train()
    assert metrics["epoch"] == 3
    assert metrics["best_epoch"] == 1
    assert (tmp_path / "metrics_epoch_3.json").exists()
    assert not (tmp_path / "metrics_epoch_4.json").exists()
    assert (tmp_path / "checkpoints" / "e4_b0").exists()


def test_several_metrics_are_added_up(make_trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    losses_of(monkeypatch, 0.9, 0.4, 0.6)
    trainer = make_trainer(validation_metric=["-loss", "+accuracy"])
    assert trainer.train()["best_epoch"] == 1


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("single_label", "-loss"),
        ("multi_label", "+macro_f1"),
        ("segmentation", "+miou"),
        ("detection", "+mAP"),
    ],
)
def test_epochs_are_chosen_by_the_main_metric_of_the_task(
    make_trainer: Make, small_model: Make, task: str, metric: str
) -> None:
    model = small_model()
    model.label_task = task
    trainer = make_trainer(model=model)
    assert trainer.validation_metric == metric
    if task != "single_label":  # which this model does not report
        with pytest.raises(ConfigurationError, match=f"did not produce '{metric[1:]}'"):
            trainer.train()


@pytest.mark.parametrize(
    ("metric", "message"),
    [("+acuracy", "did not produce 'acuracy'"), ("+confusion_matrix", "is not one number")],
)
def test_a_validation_metric_that_cannot_choose_is_an_error(
    make_trainer: Make, metric: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_trainer(validation_metric=metric).train()


def test_the_averages_are_validated_and_kept_and_the_training_goes_on_without_them(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    original = training_loop.evaluate

    def evaluate(model: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(model.linear.weight.detach().clone())
        return original(model, *args, **kwargs)

    monkeypatch.setattr(training_loop, "evaluate", evaluate)
    plain = make_trainer(num_epochs=1)
    plain.train()
    average = lazy(MovingAverage, "exponential", decay=0.5)
    trainer = make_trainer(tmp_path, num_epochs=1, moving_average=average)
    trainer.train()
    averaged = seen[1]
    assert not torch.equal(averaged, plain.model.linear.weight)
    assert torch.equal(trainer.model.linear.weight, averaged)
    assert torch.equal(read_weights(tmp_path / "best.safetensors")["linear.weight"], averaged)
    checkpoint = trainer.checkpointer.load()
    assert torch.equal(checkpoint.model["linear.weight"], plain.model.linear.weight)


def test_the_log_says_which_groups_train_in_which_epoch_and_at_what_rate(
    make_trainer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    groups = [[["^conv"]], [["^norm"]], [["^linear"]]]
    with caplog.at_level(logging.INFO, logger="allencv_al.training.trainers.training_loop"):
        make_trainer(
            optimizer=sgd(parameter_groups=groups),
            learning_rate_scheduler=lazy(
                LearningRateScheduler,
                "slanted_triangular",
                gradual_unfreezing=True,
                discriminative_fine_tuning=True,
            ),
        ).train()
    lines = [line for line in caplog.messages if " begins: " in line]
    assert len(lines) == 3
    assert lines[0].endswith("begins: trains ^linear (lr up to 0.1); frozen: ^conv, ^norm")
    assert lines[1].endswith("^norm (lr up to 0.038), ^linear (lr up to 0.1); frozen: ^conv")
    assert "frozen" not in lines[2]


def test_patience_without_validation_data_is_warned_of(
    make_trainer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make_trainer(patience=3, validation_data_loader=None)
    assert "patience has no effect" in caplog.text


def test_running_out_of_memory_says_what_to_change(
    make_trainer: Make, small_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()

    def forward(**_: Any) -> Any:
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(trainer.model, "forward", forward)
    with pytest.raises(TrainingError, match=r"batch_size.*num_gradient_accumulation_steps"):
        trainer.train()


@pytest.mark.parametrize("lazily", [False, True])
def test_a_metric_that_the_model_does_not_report_is_found_before_the_first_step(
    make_trainer: Make, small_model: Make, small_loader: Any, lazily: bool
) -> None:
    model = small_model()
    if lazily:  # as a user's model may report: what it has counted, once it has
        report = model.get_metrics
        model.get_metrics = lambda reset=False: (
            {} if model._confusion.state() is None else report(reset)
        )
    for name in ("+f1", "+confusion_matrix"):
        loader = small_loader()
        loader.hook = lambda *_: pytest.fail("a step was done")
        trainer = make_trainer(model=model, data_loader=loader, validation_metric=name)
        with pytest.raises(ConfigurationError, match=r"validation_metric: "):
            trainer.train()
    model.eval()
    trainer = make_trainer(model=model, validation_metric="+accuracy", num_epochs=1)
    assert trainer.train()["epoch"] == 0
