"""One step of the optimizer, and its precision."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fixtures.trainer_parts import Make, lazy, sgd

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.errors import TrainingError
from allencv_al.data.batch import Batch
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.models.precision import StepPrecision
from allencv_al.modules.im2vec_encoders.flatten import FlattenEncoder
from allencv_al.modules.regularizers import L2Regularizer, RegularizerApplicator
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.momentum_schedulers import MomentumScheduler
from allencv_al.training.trainers.moving_average import MovingAverage
from allencv_al.training.trainers.training_step import TrainingStep


def test_bf16_learns_as_fp32_does(make_trainer: Make) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = make_trainer(precision=precision, num_epochs=5)
        losses.append(trainer.train()["training_loss"])
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
        assert trainer.model.conv.weight.is_contiguous()
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


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


def test_a_model_without_a_loss_is_told_so(make_trainer: Make, small_loader: Any) -> None:
    class Unlabeled(small_loader):  # type: ignore[misc]
        def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
            for batch in super().batches(epoch, start):
                del batch.tensors["label"]
                yield batch

    with pytest.raises(TrainingError, match="labeled images"):
        make_trainer(data_loader=Unlabeled()).train()


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
