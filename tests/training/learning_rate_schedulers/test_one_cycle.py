"""The 1cycle policy, against PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fixtures.step_schedules import make, make_optimizer, rates
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler


@settings(max_examples=40, deadline=None)
@given(
    epochs=st.integers(1, 4),
    steps=st.integers(2, 6),
    pct_start=st.sampled_from([0.1, 0.3, 0.45]),
    anneal_strategy=st.sampled_from(["cos", "linear"]),
    three_phase=st.booleans(),
    kind=st.sampled_from(["sgd", "adam"]),
)
def test_one_cycle_is_pytorchs(
    epochs: int, steps: int, pct_start: float, anneal_strategy: Any, three_phase: bool, kind: str
) -> None:
    if abs(pct_start * epochs * steps - 1) < 1e-9:
        return  # PyTorch divides by zero when the rise is one step long
    options: dict[str, Any] = {
        "pct_start": pct_start,
        "anneal_strategy": anneal_strategy,
        "three_phase": three_phase,
        "div_factor": 10.0,
        "final_div_factor": 100.0,
    }
    mine, theirs = make_optimizer(kind), make_optimizer(kind)
    scheduler = LearningRateScheduler.from_params(
        {"type": "one_cycle", "max_lr": [2.0, 3.0], **options},
        optimizer=mine,
        num_epochs=epochs,
        num_steps_per_epoch=steps,
    )
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        theirs, [2.0, 3.0], total_steps=epochs * steps, **options
    )
    for step in range(1, epochs * steps + 1):
        scheduler.step_batch(step)
        for ours, other in zip(mine.param_groups, theirs.param_groups, strict=True):
            assert ours["lr"] == pytest.approx(other["lr"], rel=1e-9)
            key = "betas" if kind == "adam" else "momentum"
            assert ours[key] == pytest.approx(other[key], rel=1e-9)
        theirs.step()
        if step < epochs * steps:
            oracle.step()


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_one_cycle_survives_very_short_trainings(steps: int) -> None:
    scheduler = make({"type": "one_cycle", "pct_start": 0.1, "max_lr": 1.0}, 1, steps)
    for step in range(1, steps + 3):
        scheduler.step_batch(step)
        assert all(0 < rate <= 1.0 for rate in rates(scheduler.optimizer))


def test_one_cycle_peaks_at_the_optimizers_rates_by_default() -> None:
    scheduler = make({"type": "one_cycle"})
    seen = []
    for step in range(1, 21):
        scheduler.step_batch(step)
        seen.append(rates(scheduler.optimizer))
    assert [max(low for low, _ in seen), max(high for _, high in seen)] == [0.3, 1.0]


def test_one_cycle_leaves_the_momentum_alone_if_asked_to() -> None:
    scheduler = make({"type": "one_cycle", "cycle_momentum": False})
    scheduler.step_batch(3)
    assert {group["momentum"] for group in scheduler.optimizer.param_groups} == {0.9}


def test_one_cycle_needs_momentum_to_cycle() -> None:
    optimizer = torch.optim.Adagrad([torch.nn.Parameter(torch.ones(1))])
    with pytest.raises(ConfigurationError, match="Adagrad has no momentum"):
        LearningRateScheduler.from_params(
            "one_cycle", optimizer=optimizer, num_epochs=1, num_steps_per_epoch=9
        )
