from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.config.config_check import check
from allencv_al.common.errors import TrainingError
from allencv_al.data.batch import Batch
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics import base as metric_base
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.modules.im2vec_encoders.flatten import FlattenEncoder
from allencv_al.modules.regularizers import L2Regularizer, RegularizerApplicator
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.checkpoints.weights_file import read_weights
from allencv_al.training.interruption import SignalWatch, TrainingInterrupted
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.momentum_schedulers import MomentumScheduler
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.trainers import running_loss, training_loop
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.trainers.moving_average import MovingAverage
from allencv_al.training.trainers.precision import StepPrecision, has_native_bf16
from allencv_al.training.trainers.training_step import TrainingStep

Make = Callable[..., Any]


def lazy(base: Any, name: str, **options: Any) -> Lazy[Any]:
    return Lazy(base.by_name(name), **options)


def sgd(**options: Any) -> Lazy[Any]:
    return lazy(Optimizer, "sgd", **{"lr": 0.1, **options})


# The whole


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


def test_metrics_have_the_names_of_allennlp(make_trainer: Make, tmp_path: Path) -> None:
    metrics = make_trainer(tmp_path, num_epochs=2).train()
    assert metrics["epoch"] == 1
    assert metrics["training_epochs"] == 2
    assert metrics["training_start_epoch"] == 0
    assert re.fullmatch(r"0:00:\d\d(\.\d+)?", metrics["training_duration"])
    assert metrics["peak_cpu_memory_MB"] > 10
    for prefix in ("training", "validation", "best_validation"):
        assert 0 <= metrics[f"{prefix}_accuracy"] <= 1
        assert metrics[f"{prefix}_loss"] > 0
    assert metrics["best_epoch"] in (0, 1)
    epoch = json.loads((tmp_path / f"metrics_epoch_{metrics['best_epoch']}.json").read_text())
    assert metrics["best_validation_loss"] == epoch["validation_loss"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics


def test_the_loss_is_the_mean_over_the_batches(make_trainer: Make, small_loader: Any) -> None:
    loader = small_loader(count=3)
    trainer = make_trainer(data_loader=loader, num_epochs=1, optimizer=sgd(lr=0.0))
    losses: list[float] = []
    step = trainer.step

    def spy(group: list[Batch]) -> torch.Tensor:
        loss: torch.Tensor = step(group)
        losses.append(loss.item())
        return loss

    spy.__dict__.update(count=0, state_dict=step.state_dict)
    trainer.step = spy
    assert trainer.train()["training_loss"] == pytest.approx(sum(losses) / 3, abs=1e-12)


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


# The order of a step


def test_a_step_does_things_in_the_order_of_allennlp(
    make_trainer: Make, small_loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    trainer = make_trainer(
        data_loader=small_loader(count=1),
        validation_data_loader=None,
        num_epochs=1,
        optimizer=sgd(momentum=0.9),
        grad_norm=1.0,
        grad_clipping=0.5,
        learning_rate_scheduler=lazy(LearningRateScheduler, "linear_with_warmup", warmup_steps=1),
        momentum_scheduler=lazy(MomentumScheduler, "inverted_triangular", cool_down=1, warm_up=1),
        moving_average=lazy(MovingAverage, "exponential"),
    )

    def note(owner: Any, method: str, name: str) -> None:
        original = getattr(owner, method)

        def noted(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, method, noted)

    for parameter in trainer.model.parameters():
        parameter.grad = torch.full_like(parameter, 1e6)  # of before; it must be gone by then
    note(trainer.model, "forward", "forward")
    trainer.model.register_forward_hook(
        lambda model, *_: calls.append(f"{sum(p.grad is not None for p in model.parameters())}")
    )
    note(torch.autograd, "backward", "backward")
    module = "allencv_al.training.trainers.training_step"
    for name in ("clip_grad_norm_", "clip_grad_value_"):
        original = getattr(torch.nn.utils, name)

        def clip(*args: Any, name: str = name, original: Any = original) -> Any:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(f"{module}.{name}", clip)
    note(trainer.learning_rate_scheduler, "step_batch", "learning rate")
    note(trainer.momentum_scheduler, "step_batch", "momentum")
    note(trainer.optimizer, "step", "step")
    note(trainer.moving_average, "apply", "average")
    note(trainer.learning_rate_scheduler, "step", "end of epoch")
    trainer.train()
    assert calls == [
        "forward",
        "0",
        "backward",
        "clip_grad_norm_",
        "clip_grad_value_",
        "learning rate",
        "momentum",
        "step",
        "average",
        "end of epoch",
    ]


def test_an_optimizer_that_clears_gradients_in_its_own_way_does_so(make_trainer: Make) -> None:
    cleared: list[str] = []

    class Own(torch.optim.SGD):
        def zero_grad(self, set_to_none: bool = True) -> None:
            cleared.append("own")
            super().zero_grad(set_to_none)

    def construct(model_parameters: Any) -> torch.optim.Optimizer:
        return Own([parameter for _, parameter in model_parameters], lr=0.1)

    make_trainer(num_epochs=1, optimizer=Lazy(construct)).train()
    assert len(cleared) == 5


def test_accumulated_batches_are_one_large_batch(
    make_trainer: Make, small_model: Make, small_loader: Any
) -> None:
    def trained(loader: Any, **options: Any) -> Any:
        model = small_model()
        model.norm = torch.nn.Identity()  # statistics of a batch would see its size
        torch.nn.functional.dropout, dropout = (lambda x, *_: x), torch.nn.functional.dropout
        try:
            options |= {"num_epochs": 1, "validation_data_loader": None, "optimizer": sgd()}
            trainer = make_trainer(model=model, data_loader=loader, **options)
            return trainer.train(), model, trainer
        finally:
            torch.nn.functional.dropout = dropout

    class Doubled(small_loader):  # type: ignore[misc]
        def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
            pairs = iter(super().batches(epoch, start))
            for one, two in zip(pairs, pairs, strict=True):
                both = {n: torch.cat([one.tensors[n], two.tensors[n]]) for n in one.tensors}
                yield Batch(both, one.ids + two.ids, index=one.index // 2)

    once, large, _ = trained(Doubled(count=4))
    twice, accumulated, trainer = trained(small_loader(count=4), num_gradient_accumulation_steps=2)
    assert trainer.steps_completed == 2
    assert twice["training_loss"] == pytest.approx(once["training_loss"], abs=1e-6)
    for name, value in large.state_dict().items():
        torch.testing.assert_close(accumulated.state_dict()[name], value, msg=name)


@pytest.mark.parametrize("cuts", [(3, 4), (1, 6), (2, 2, 3)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_weights": [0.0, 1.0, 5.0]},
        {"class_weights": [0.0, 1.0, 5.0], "label_smoothing": 0.1},
        {"loss": "multi_margin", "class_weights": [0.5, 1.0, 2.0]},
        {"regularizer": RegularizerApplicator([(re.compile("weight"), L2Regularizer(0.1))])},
    ],
)
def test_uneven_parts_give_the_gradients_of_one_large_batch(
    vocab: Vocabulary, options: dict[str, Any], cuts: tuple[int, ...]
) -> None:
    image, label = torch.rand(7, 3, 4, 4), torch.tensor([0, 0, 0, 1, 2, 2, 1])

    def stepped(sizes: tuple[int, ...]) -> tuple[float, torch.Tensor]:
        torch.manual_seed(0)
        model = BasicImageClassifier(vocab, FlattenEncoder(3, 4, 4), **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        precision = StepPrecision("fp32", torch.device("cpu"))
        step = TrainingStep(model, optimizer, precision, lambda batch: batch.tensors)
        parts = zip(image.split(sizes), label.split(sizes), strict=True)
        loss = step([Batch({"image": i, "label": y}, ["x"] * len(y)) for i, y in parts])
        return loss.item(), model.linear_layer.weight.detach()

    loss, weight = stepped((7,))
    parted_loss, parted_weight = stepped(cuts)
    assert parted_loss == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(parted_weight, weight)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cuts", [(4,), (2, 2)])
def test_a_step_of_classes_without_weight_changes_nothing(
    vocab: Vocabulary, label_smoothing: float, cuts: tuple[int, ...]
) -> None:
    model = BasicImageClassifier(
        vocab,
        FlattenEncoder(3, 4, 4),
        class_weights=[0.0, 1.0, 1.0],
        label_smoothing=label_smoothing,
    )
    before = model.linear_layer.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    precision = StepPrecision("fp32", torch.device("cpu"))
    step = TrainingStep(model, optimizer, precision, lambda batch: batch.tensors)
    label = torch.zeros(4, dtype=torch.int64)
    parts = zip(torch.rand(4, 3, 4, 4).split(cuts), label.split(cuts), strict=True)
    loss = step([Batch({"image": i, "label": y}, ["x"] * len(y)) for i, y in parts])
    assert loss.item() == 0.0
    torch.testing.assert_close(model.linear_layer.weight.detach(), before)


@pytest.mark.parametrize("options", [{}, {"grad_norm": 1.0}, {"grad_clipping": 0.5}])
def test_a_step_that_the_scaler_skips_advances_nothing(
    make_trainer: Make, small_loader: Any, options: dict[str, Any]
) -> None:
    trainer = make_trainer(
        optimizer=sgd(lr=0.1),
        learning_rate_scheduler=lazy(LearningRateScheduler, "linear_with_warmup"),
        moving_average=lazy(MovingAverage, "exponential"),
        **options,
    )
    trainer.precision.scaler = scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    step, batch = trainer.step, next(small_loader().batches(0))
    broken = Batch({**batch.tensors, "image": batch.tensors["image"] * float("inf")}, batch.ids)

    def everything() -> Any:
        shadows = trainer.moving_average.state_dict()["shadows"].values()
        weights = [p.detach().clone() for p in trainer.model.parameters()]
        return (
            step.count,
            trainer.optimizer.param_groups[0]["lr"],
            [*map(torch.clone, shadows)],
            (weights),
        )

    step([batch])
    before = everything()
    step([broken])
    after = everything()
    assert scaler.get_scale() == 2.0
    assert after[:2] == before[:2] and before[0] == 1
    for old, new in zip([*before[2], *before[3]], [*after[2], *after[3]], strict=True):
        assert torch.equal(old, new)
    step([batch])
    assert step.count == 2


def test_a_last_group_of_fewer_batches_counts_by_its_own_size(
    make_trainer: Make, small_loader: Any
) -> None:
    trainer = make_trainer(
        data_loader=small_loader(count=5), num_gradient_accumulation_steps=2, num_epochs=1
    )
    trainer.train()
    assert trainer.steps_completed == 3


def test_gradients_are_scaled_to_the_norm_and_clipped_to_the_value(make_trainer: Make) -> None:
    for options, limit in (({"grad_norm": 1e-3}, 1e-3), ({"grad_clipping": 1e-4}, None)):
        trainer = make_trainer(num_epochs=1, validation_data_loader=None, **options)
        trainer.train()
        gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
        if limit is not None:
            norm = torch.nn.utils.get_total_norm(gradients).item()
            assert norm == pytest.approx(limit, rel=1e-3)
        else:
            assert max(g.abs().max().item() for g in gradients) == pytest.approx(1e-4)


def test_grad_norm_true_measures_and_changes_nothing(make_trainer: Make) -> None:
    results = []
    for options in ({}, {"grad_norm": True}):
        trainer = make_trainer(num_epochs=1, **options)
        trainer.train()
        results.append(trainer.model.state_dict())
    assert trainer.step.grad_norm.item() > 0
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_the_loop_waits_for_the_device_only_now_and_then(
    make_trainer: Make, small_loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU each of these calls waits; the clock stands still, so only forced looks count."""
    monkeypatch.setattr(running_loss.time, "monotonic", lambda: 0.0)
    # As on a GPU: on the CPU class indices are looked at, which waits for nothing there
    monkeypatch.setattr(metric_base, "within_classes", lambda gold, n: gold.clamp(0, n - 1))
    waits: list[str] = []
    for name in ("item", "tolist", "__float__", "__bool__", "cpu", "numpy", "__int__"):
        original = getattr(torch.Tensor, name)

        def noted(self: torch.Tensor, *args: Any, name: str = name, of: Any = original) -> Any:
            waits.append(name)
            return of(self, *args)

        monkeypatch.setattr(torch.Tensor, name, noted)
    counts = []
    for steps in (50, 150):
        waits.clear()
        monkeypatch.setattr(running_loss.LossProgress, "due", lambda self: False)
        make_trainer(
            data_loader=small_loader(count=steps),
            num_epochs=1,
            learning_rate_scheduler=lazy(LearningRateScheduler, "linear_with_warmup"),
            optimizer=sgd(),
        ).train()
        counts.append(len(waits))
    assert counts[0] == counts[1]


# NaN


class _Spoiling:
    """Makes the images of one batch NaN."""

    def __init__(self, loader: Any, epoch: int, index: int, value: float) -> None:
        self._loader, self._place, self._value = loader, (epoch, index), value

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for batch in self._loader.batches(epoch, start):
            if (epoch, batch.index) == self._place:
                batch.tensors["image"].fill_(self._value)
            yield batch


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_training_and_names_the_items(
    make_trainer: Make, small_loader: Any, tmp_path: Path, value: float
) -> None:
    loader = _Spoiling(small_loader(), epoch=1, index=3, value=value)
    trainer = make_trainer(tmp_path, data_loader=loader)
    with pytest.raises(TrainingError) as caught:
        trainer.train()
    assert caught.value.exit_code == 1
    assert "step 4 of the epoch" in str(caught.value)
    for item in range(6):
        assert f"e1/b3/{item}.png" in str(caught.value)
    assert "e1/b4" not in str(caught.value)
    found = make_trainer(tmp_path).checkpointer.load()
    assert all(torch.isfinite(value).all() for value in found.model.values())


def test_a_model_without_a_loss_is_told_so(make_trainer: Make, small_loader: Any) -> None:
    class Unlabeled(small_loader):  # type: ignore[misc]
        def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
            for batch in super().batches(epoch, start):
                del batch.tensors["label"]
                yield batch

    with pytest.raises(TrainingError, match="labeled images"):
        make_trainer(data_loader=Unlabeled()).train()


def test_no_batches_at_all_is_an_error(make_trainer: Make, small_loader: Any) -> None:
    with pytest.raises(TrainingError, match="no batches"):
        make_trainer(data_loader=small_loader(count=0)).train()


# The best epoch


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


# Options


def test_no_grad_freezes_by_name(make_trainer: Make) -> None:
    trainer = make_trainer(no_grad=[re.compile("^conv"), re.compile(r"norm\.bias$")])
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"norm.weight", "linear.weight", "linear.bias"}


def test_if_nothing_is_left_to_train_it_says_so(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match="no_grad"):
        make_trainer(no_grad=[re.compile(".")])


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


def test_bf16_learns_as_fp32_does(make_trainer: Make) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = make_trainer(precision=precision, num_epochs=5)
        losses.append(trainer.train()["training_loss"])
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
        assert trainer.model.conv.weight.is_contiguous()
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


def test_auto_takes_bf16_only_where_the_device_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert not has_native_bf16(cpu)
    assert StepPrecision("auto", cpu).name == "fp32"
    capabilities = {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert StepPrecision("auto", cpu).name == "bf16"


def test_fp16_on_the_cpu_is_refused(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match="fp16 needs a GPU"):
        make_trainer(precision="fp16")


def test_deterministic_holds_for_the_training_only(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    seen: list[bool] = []

    class Look(TrainerCallback):
        def on_start(self, trainer: Any, is_primary: bool = True) -> None:
            seen.append(torch.are_deterministic_algorithms_enabled())

    make_trainer(num_epochs=1, deterministic=True, callbacks=[Lazy(Look)]).train()
    assert seen == [True]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_a_compiled_model_trains_as_a_plain_one_does(
    make_trainer: Make, vocab: Vocabulary, tmp_path: Path
) -> None:
    losses = []
    for compile in (False, True):
        torch.manual_seed(0)
        encoder = FlattenEncoder(input_channels=3, input_height=6, input_width=6)
        model = BasicImageClassifier(vocab, encoder)
        trainer = make_trainer(tmp_path / str(compile), model=model, compile=compile, num_epochs=2)
        losses.append(trainer.train()["training_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    names = [set(read_weights(tmp_path / n / "best.safetensors")) for n in ("False", "True")]
    assert names[0] == names[1]


def test_mixed_precision_is_bf16_on_a_cpu(make_trainer: Make) -> None:
    assert make_trainer(precision="mixed").precision.name == "bf16"


def test_a_config_builds_it(small_model: Make, small_loader: Any, tmp_path: Path) -> None:
    config = {
        "type": "gradient_descent",
        "num_epochs": 1,
        "cuda_device": -1,
        "optimizer": {"type": "adamw", "lr": 1e-3},
        "learning_rate_scheduler": "linear_with_warmup",
        "moving_average": {"decay": 0.9},
        "checkpointer": {"save_every_num_batches": 2},
        "callbacks": ["track_epoch_callback"],
        "no_grad": ["^conv"],
    }
    trainer = Trainer.from_params(
        config,
        model=small_model(),
        data_loader=small_loader(),
        validation_data_loader=None,
        serialization_dir=tmp_path,
        seed=1,
    )
    assert trainer.train()["epoch"] == 0


def test_the_no_op_trainer_keeps_the_weights(small_model: Make, tmp_path: Path) -> None:
    model = small_model()
    trainer = Trainer.from_params("no_op", model=model, serialization_dir=tmp_path)
    assert trainer.train() == {}
    best = read_weights(tmp_path / "best.safetensors")
    assert torch.equal(best["conv.weight"], model.conv.weight.cpu())


SEED_GROUPS = [[["a"]], [["b"]], [["c"]]]
UNFREEZING = {"type": "slanted_triangular", "gradual_unfreezing": True}


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"patience": 0}, {"patience"}),
        ({"patience": "20"}, {"patience"}),
        ({"num_epochs": 0}, {"num_epochs"}),
        ({"grad_norm": -1.0}, {"grad_norm"}),
        ({"grad_clipping": 0}, {"grad_clipping"}),
        ({"num_gradient_accumulation_steps": 0}, {"num_gradient_accumulation_steps"}),
        ({"validation_metric": "accuracy"}, {"validation_metric"}),
        ({"validation_metric": []}, {"validation_metric"}),
        ({"cuda_device": 99}, {"cuda_device"}),
        ({"cuda_device": "gpu"}, {"cuda_device"}),
        ({"no_grad": ["(", "ok"]}, {"no_grad.0"}),
        ({"precision": "fp8"}, {"precision"}),
        ({"checkpointer": {"keep_most_recent_by_count": 0}},
         {"checkpointer.keep_most_recent_by_count"}),
        (
            {
                "num_epochs": 2,
                "optimizer": {"parameter_groups": SEED_GROUPS},
                "learning_rate_scheduler": UNFREEZING,
            },
            {"num_epochs"},
        ),
        (
            {
                "num_epochs": 3,
                "optimizer": {"parameter_groups": SEED_GROUPS},
                "learning_rate_scheduler": {**UNFREEZING, "num_epochs": 2},
            },
            {"learning_rate_scheduler.num_epochs"},
        ),
        (
            {"learning_rate_scheduler": UNFREEZING},
            {"learning_rate_scheduler.gradual_unfreezing"},
        ),
    ],
)  # fmt: skip
def test_wrong_options_are_config_faults(config: dict[str, Any], faults: set[str]) -> None:
    assert {fault.path for fault in check(Trainer, config)} == faults


def test_the_options_of_the_seed_are_right() -> None:
    config = {
        "num_epochs": 8,
        "validation_metric": "+accuracy",
        "optimizer": {"type": "adam", "lr": 1e-3, "parameter_groups": SEED_GROUPS},
        "learning_rate_scheduler": {**UNFREEZING, "num_epochs": 8, "num_steps_per_epoch": 260},
        "patience": 20,
        "grad_norm": None,
    }
    assert check(Trainer, config) == []


def test_the_number_of_epochs_that_unfreezing_needs_is_said() -> None:
    config = {
        "num_epochs": 2,
        "optimizer": {"parameter_groups": SEED_GROUPS},
        "learning_rate_scheduler": UNFREEZING,
    }
    (fault,) = check(Trainer, config)
    assert "at least 3 epochs" in fault.message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error_that_says_what_to_do(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match='use -1 for the CPU or "auto"'):
        make_trainer(cuda_device=0)


def test_patience_without_validation_data_is_warned_of(
    make_trainer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make_trainer(patience=3, validation_data_loader=None)
    assert "patience has no effect" in caplog.text


# Signals


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


# Memory


def test_running_out_of_memory_says_what_to_change(
    make_trainer: Make, small_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()

    def forward(**_: Any) -> Any:
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setattr(trainer.model, "forward", forward)
    with pytest.raises(TrainingError, match=r"batch_size.*num_gradient_accumulation_steps"):
        trainer.train()


class _ModelWithOneLoss(torch.nn.Module):
    """Returns the same tensor each time, as a replayed CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = torch.nn.Parameter(torch.zeros(()))

    def get_regularization_penalty(self) -> None:
        return None

    def forward(self) -> dict[str, torch.Tensor]:
        return {"loss": self.loss}


@pytest.mark.parametrize("copy_loss", [True, False])
def test_a_loss_is_copied_where_cuda_graphs_would_overwrite_it(copy_loss: bool) -> None:
    model: Any = _ModelWithOneLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    precision = StepPrecision("fp32", torch.device("cpu"))
    step = TrainingStep(model, optimizer, precision, lambda batch: {}, copy_loss=copy_loss)
    loss = step([Batch({}, ["a"])])
    assert (loss.data_ptr() != model.loss.data_ptr()) is copy_loss


def test_a_no_grad_that_matches_nothing_is_an_error(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"no_grad: .*'\^encoder' is found in no"):
        make_trainer(no_grad=[re.compile("^conv"), re.compile("^encoder")])


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


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ({"type": "linear_with_warmup", "warmup_steps": 15}, True),
        ({"type": "linear_with_warmup", "warmup_steps": 14}, False),
        ({"type": "constant_with_warmup", "num_warmup_steps": 100}, True),
        ({"type": "cosine_with_warmup", "num_warmup_steps": 9, "num_training_steps": 8}, True),
        (
            {
                "type": "combined",
                "schedulers": [[1, {"type": "constant_with_warmup", "num_warmup_steps": 6}]],
            },
            True,
        ),
        ({"type": "step", "step_size": 2}, False),
    ],
)
def test_a_warm_up_that_never_ends_is_warned_of(
    make_trainer: Make, scheduler: dict[str, Any], said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    lazily = Lazy(lambda **given: LearningRateScheduler.from_params(scheduler, **given))
    make_trainer(learning_rate_scheduler=lazily)  # 3 epochs of 5 steps
    assert ("the full learning rate is never reached" in caplog.text) is said
