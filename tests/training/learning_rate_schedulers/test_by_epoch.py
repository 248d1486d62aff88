"""Schedules by epoch against PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler

Oracle = Callable[[torch.optim.Optimizer], Any]


def make_optimizer() -> torch.optim.Optimizer:
    a, b = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    return torch.optim.SGD([{"params": [a], "lr": 0.3}, {"params": [b]}], lr=1.0)


def make(config: dict[str, Any], **extras: Any) -> LearningRateScheduler:
    return LearningRateScheduler.from_params(config, optimizer=make_optimizer(), **extras)


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def same_as(config: dict[str, Any], oracle: Oracle, metrics: list[float]) -> None:
    ours, theirs = make(config), make_optimizer()
    scheduler = oracle(theirs)
    takes_metric = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    for metric in metrics:
        assert rates(ours.optimizer) == pytest.approx(rates(theirs), rel=1e-9)
        ours.step(metric)
        theirs.step()
        scheduler.step(*[metric] if takes_metric else [])
    assert rates(ours.optimizer) == pytest.approx(rates(theirs), rel=1e-9)


torch_schedules = torch.optim.lr_scheduler


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


@pytest.mark.parametrize(("t_initial", "t_mul"), [(1, 1), (4, 1), (2, 2), (3, 3)])
def test_cosine(t_initial: int, t_mul: int) -> None:
    same_as(
        {"type": "cosine", "t_initial": t_initial, "t_mul": float(t_mul), "eta_min": 0.01},
        lambda optimizer: torch_schedules.CosineAnnealingWarmRestarts(
            optimizer, t_initial, t_mul, 0.01
        ),
        [0.0] * 20,
    )


def test_cosine_lowers_the_start_of_each_cycle() -> None:
    scheduler = make({"type": "cosine", "t_initial": 30, "eta_mul": 0.5})
    seen = []
    for _ in range(60):
        seen.append(rates(scheduler.optimizer)[1])
        scheduler.step()
    for epoch, expected in {
        0: 1.0, 15: 0.5, 29: 0.00273905, 30: 0.5, 45: 0.25, 59: 0.00136953,
    }.items():  # fmt: skip
        assert seen[epoch] == pytest.approx(expected, abs=1e-7)


def test_cosine_cycles_of_fractional_growth() -> None:
    """Lengths are int(t_initial * t_mul ** n), as in AllenNLP: 1, 1, 2, 3, 5 for 1.5."""
    scheduler = make({"type": "cosine", "t_initial": 1, "t_mul": 1.5})
    starts = []
    for epoch in range(13):
        if rates(scheduler.optimizer)[1] == 1.0:
            starts.append(epoch)
        scheduler.step()
    assert starts == [0, 1, 2, 4, 7, 12]


@settings(max_examples=60, deadline=None)
@given(
    metrics=st.lists(st.sampled_from([0.1, 0.5, 0.50001, 0.9, 2.0, math.nan]), max_size=25),
    patience=st.integers(0, 3),
    cooldown=st.integers(0, 2),
    mode=st.sampled_from(["min", "max"]),
    threshold_mode=st.sampled_from(["rel", "abs"]),
)
def test_reduce_on_plateau(
    metrics: list[float], patience: int, cooldown: int, mode: Any, threshold_mode: Any
) -> None:
    options: dict[str, Any] = {
        "mode": mode,
        "factor": 0.5,
        "patience": patience,
        "cooldown": cooldown,
        "threshold_mode": threshold_mode,
        "threshold": 0.01,
        "min_lr": [0.05, 0.1],
    }
    same_as(
        {"type": "reduce_on_plateau", **options},
        lambda optimizer: torch_schedules.ReduceLROnPlateau(optimizer, **options),
        metrics,
    )


def test_reduce_on_plateau_needs_a_metric() -> None:
    with pytest.raises(ConfigurationError, match="needs validation data"):
        make({"type": "reduce_on_plateau"}).step()


@pytest.mark.parametrize(
    ("validation_metric", "metrics", "reduced"),
    [
        ("-loss", [3.0, 2.0, 1.0], False),
        ("-loss", [1.0, 2.0, 3.0], True),
        ("+accuracy", [0.1, 0.2, 0.3], False),
        ("+accuracy", [0.3, 0.2, 0.1], True),
        (["+accuracy", "-loss"], [-2.0, -1.0, 0.5], False),
        (["-loss", "+accuracy"], [0.5, -1.0, -2.0], True),
    ],
)
def test_reduce_on_plateau_follows_the_sign_of_the_validation_metric(
    validation_metric: str | list[str], metrics: list[float], reduced: bool
) -> None:
    """AllenNLP lowered the rate while the accuracy grew, unless told `mode: max` again."""
    scheduler = make(
        {"type": "reduce_on_plateau", "patience": 0}, validation_metric=validation_metric
    )
    for metric in metrics:
        scheduler.step(metric)
    assert (rates(scheduler.optimizer)[1] < 1.0) == reduced


def test_reduce_on_plateau_refuses_a_mode_against_the_sign() -> None:
    with pytest.raises(ConfigurationError, match='mode: expected "max"'):
        make({"type": "reduce_on_plateau", "mode": "min"}, validation_metric="+accuracy")


def test_reduce_on_plateau_wants_one_lowest_rate_for_each_group() -> None:
    with pytest.raises(ConfigurationError, match="min_lr: expected one number or 2"):
        make({"type": "reduce_on_plateau", "min_lr": [0.1]})


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
