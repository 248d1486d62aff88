"""The bases of schedulers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fixtures.step_schedules import make, make_optimizer, rates

from allencv_al.common.errors import AllenCVError, CheckpointError, ConfigurationError
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.learning_rate_schedulers.base import Scheduler, momentum_of, set_momentum


class Halving(Scheduler):
    """Half of the first value after each epoch."""

    def get_values(self) -> list[float]:
        return [value / 2 ** (self.last_epoch + 1) for value in self.base_values]


def sgd(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.ones(1)], "lr": rate} for rate in rates])


def test_each_group_is_scheduled_from_its_own_value() -> None:
    optimizer = sgd(1.0, 0.2)
    scheduler = Halving(optimizer, "lr")
    scheduler.step_batch()
    assert rates(optimizer) == [1.0, 0.2]
    scheduler.step()
    assert rates(optimizer) == [0.5, 0.1]


def test_a_state_restores_the_values_too() -> None:
    scheduler = Halving(sgd(1.0), "lr")
    scheduler.step()
    optimizer = sgd(1.0)
    Halving(optimizer, "lr").load_state_dict(scheduler.state_dict())
    assert rates(optimizer) == [0.5]
    with pytest.raises(CheckpointError, match="has 1 parameter groups, the optimizer has 2"):
        Halving(sgd(1.0, 2.0), "lr").load_state_dict(scheduler.state_dict())
    with pytest.raises(CheckpointError, match="no state of a Halving"):
        Halving(sgd(1.0), "lr").load_state_dict({})


def test_what_cannot_be_scheduled_is_named() -> None:
    with pytest.raises(ConfigurationError, match="schedules 'rate', which SGD does not have"):
        Halving(sgd(1.0), "rate")
    with pytest.raises(ConfigurationError, match="group 0 has no 'initial_lr' to resume from"):
        Halving(sgd(1.0), "lr", last_epoch=3)


@pytest.mark.parametrize("values", [[1.0], [1.0, float("nan")], 1.0, ["a", "b"]])
def test_a_schedule_must_give_one_number_for_each_group(values: Any) -> None:
    class Wrong(Halving):
        def get_values(self) -> list[float]:
            found: list[float] = values
            return found

    with pytest.raises(AllenCVError, match="2 finite numbers, one for each parameter group"):
        Wrong(sgd(1.0, 2.0), "lr").step()


@pytest.mark.parametrize(
    ("group", "momentum"),
    [({"momentum": 0.9}, 0.9), ({"betas": (0.8, 0.999)}, 0.8), ({"lr": 1.0}, None)],
)
def test_the_momentum_of_adam_is_its_first_beta(
    group: dict[str, Any], momentum: float | None
) -> None:
    assert momentum_of(group) == momentum
    if momentum is not None:
        set_momentum(group, 0.5)
        assert momentum_of(group) == 0.5 and group.get("betas", (0.5, 0.999)) == (0.5, 0.999)


@pytest.mark.parametrize(
    "config",
    [
        {"type": "one_cycle"},
        {"type": "polynomial_decay"},
        {"type": "linear_with_warmup"},
        {"type": "cosine_with_warmup", "num_warmup_steps": 1},
    ],
)
def test_an_unknown_length_is_an_error(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="num_steps_per_epoch: expected a number"):
        LearningRateScheduler.from_params(config, optimizer=make_optimizer(), num_epochs=3)


def test_last_epoch_goes_on_in_the_middle() -> None:
    whole = make({"type": "linear_with_warmup", "warmup_steps": 2})
    whole.step_batch(11)
    optimizer = make_optimizer()
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    rest = LearningRateScheduler.from_params(
        {"type": "linear_with_warmup", "warmup_steps": 2, "last_epoch": 1},
        optimizer=optimizer,
        num_epochs=4,
        num_steps_per_epoch=5,
    )
    rest.step_batch()
    assert rates(optimizer) == rates(whole.optimizer)
