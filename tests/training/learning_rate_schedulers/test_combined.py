from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.learning_rate_schedulers.combined import Combined
from allencv_al.training.learning_rate_schedulers.epoch_decay import Step
from allencv_al.training.learning_rate_schedulers.polynomial_decay import LinearWithWarmup


def make_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)


def make(schedulers: list[Any]) -> LearningRateScheduler:
    return LearningRateScheduler.from_params(
        {"type": "combined", "schedulers": schedulers},
        optimizer=make_optimizer(),
        num_epochs=99,
        num_steps_per_epoch=4,
    )


def run(scheduler: LearningRateScheduler, epochs: int) -> list[list[float]]:
    seen, total = [], 0
    for _ in range(epochs):
        rates = []
        for _ in range(4):
            total += 1
            scheduler.step_batch(total)
            rates.append(scheduler.optimizer.param_groups[0]["lr"])
        seen.append(rates)
        scheduler.step(0.0)
    return seen


def test_each_schedule_runs_for_its_epochs_from_its_own_beginning() -> None:
    scheduler = make(
        [
            [2, {"type": "constant_with_warmup", "num_warmup_steps": 4}],
            [2, {"type": "step", "step_size": 1, "gamma": 0.5}],
            [1, {"type": "linear_with_warmup", "warmup_steps": 0}],
        ]
    )
    assert run(scheduler, 7) == [
        [0.25, 0.5, 0.75, 1.0],
        [1.0] * 4,
        [1.0] * 4,
        [0.5] * 4,
        [0.375, 0.25, 0.125, 0.0],  # from 0.5, where the last one ended, over its own 4 steps
        [0.0] * 4,
        [0.0] * 4,
    ]


def test_takes_lazy_schedules_from_python() -> None:
    scheduler = Combined(
        make_optimizer(),
        [(1, Lazy(LinearWithWarmup, warmup_steps=4)), (3, Lazy(Step, step_size=1))],
        num_steps_per_epoch=4,
    )
    seen = run(scheduler, 3)
    assert seen[0] == [0.25, 0.5, 0.75, 0.0]
    assert seen[1] == [0.0] * 4


def test_describes_the_epoch_of_the_current_schedule() -> None:
    scheduler = make([[1, {"type": "step", "step_size": 1}]])
    assert [str(plan) for plan in scheduler.describe_epoch()] == ["group 0 (lr 1)"]
    scheduler.step()
    assert [str(plan) for plan in scheduler.describe_epoch()] == ["group 0 (lr 1)"]


def test_faults_of_the_schedules_have_their_paths() -> None:
    with pytest.raises(ConfigurationFaults) as raised:
        make([[0, {"type": "step", "step_size": 0}], [2, {"type": "stp"}], [3]])
    assert {fault.path for fault in raised.value.faults} == {
        "schedulers.0.1.step_size",
        "schedulers.1.1.type",
        "schedulers.2",
        "schedulers.0.0",
    }


@pytest.mark.parametrize("schedulers", [[], [(0, Lazy(Step, step_size=1))]])
def test_refuses_no_epochs(schedulers: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match="schedulers"):
        Combined(make_optimizer(), schedulers, 4)


def test_the_metric_that_a_later_schedule_looks_at_is_the_trainers() -> None:
    plateau = {"type": "reduce_on_plateau", "patience": 0}
    scheduler = LearningRateScheduler.from_params(
        {"type": "combined", "schedulers": [[1, "constant"], [9, plateau]]},
        optimizer=make_optimizer(),
        validation_metric="+accuracy",
    )
    assert scheduler.needs_metric
    for metric in (0.1, 0.2, 0.3):  # it grows: nothing to lower the rate for
        scheduler.step(metric)
    assert scheduler.optimizer.param_groups[0]["lr"] == 1.0


def test_what_is_wrong_with_a_later_schedule_is_said_at_once() -> None:
    wrong = {"type": "reduce_on_plateau", "mode": "min"}
    with pytest.raises(ConfigurationError, match='mode: expected "max"'):
        LearningRateScheduler.from_params(
            {"type": "combined", "schedulers": [[1, "constant"], [9, wrong]]},
            optimizer=make_optimizer(),
            validation_metric="+accuracy",
        )
