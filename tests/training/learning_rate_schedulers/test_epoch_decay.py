"""Schedules by the number of finished epochs, against PyTorch's."""

from __future__ import annotations

import pytest
from fixtures.epoch_schedules import make, make_optimizer, rates, same_as, torch_schedules

from allencv_al.training.learning_rate_schedulers import LearningRateScheduler


@pytest.mark.parametrize("step_size", [1, 3])
def test_step(step_size: int) -> None:
    same_as(
        {"type": "step", "step_size": step_size, "gamma": 0.5},
        lambda optimizer: torch_schedules.StepLR(optimizer, step_size, 0.5),
        [0.0] * 10,
    )


@pytest.mark.parametrize("milestones", [[2, 5], [5, 2], [3, 3], [1]])
def test_multi_step(milestones: list[int]) -> None:
    same_as(
        {"type": "multi_step", "milestones": milestones},
        lambda optimizer: torch_schedules.MultiStepLR(optimizer, sorted(milestones)),
        [0.0] * 8,
    )


def test_exponential() -> None:
    same_as(
        {"type": "exponential", "gamma": 0.8},
        lambda optimizer: torch_schedules.ExponentialLR(optimizer, 0.8),
        [0.0] * 8,
    )


def test_a_groups_own_initial_lr_is_where_its_schedule_starts() -> None:
    optimizer = make_optimizer()
    optimizer.param_groups[0]["initial_lr"] = 8.0
    LearningRateScheduler.from_params({"type": "step", "step_size": 1}, optimizer=optimizer)
    assert rates(optimizer) == [8.0, 1.0]


def test_last_epoch_goes_on_in_the_middle() -> None:
    whole = make({"type": "step", "step_size": 2})
    for _ in range(5):
        whole.step()
    optimizer = make_optimizer()
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    LearningRateScheduler.from_params(
        {"type": "step", "step_size": 2, "last_epoch": 4}, optimizer=optimizer
    )
    assert rates(optimizer) == rates(whole.optimizer)
