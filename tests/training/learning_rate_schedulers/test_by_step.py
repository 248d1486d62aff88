"""Schedules by optimizer step, against PyTorch's and against formulas written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler


def make_optimizer(kind: str = "sgd") -> torch.optim.Optimizer:
    a, b = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    groups = [{"params": [a], "lr": 0.3}, {"params": [b]}]
    if kind == "adam":
        return torch.optim.Adam(groups, lr=1.0, betas=(0.9, 0.99))
    return torch.optim.SGD(groups, lr=1.0, momentum=0.9)


def make(config: dict[str, Any], epochs: int = 4, steps: int = 5) -> LearningRateScheduler:
    return LearningRateScheduler.from_params(
        config, optimizer=make_optimizer(), num_epochs=epochs, num_steps_per_epoch=steps
    )


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def factors(config: dict[str, Any], epochs: int = 4, steps: int = 5) -> list[float]:
    """Return what the rate is multiplied by at each step, 0 (before the first) to the last."""
    scheduler = make(config, epochs, steps)
    seen = [rates(scheduler.optimizer)]
    for step in range(1, epochs * steps + 1):
        scheduler.step_batch(step)
        seen.append(rates(scheduler.optimizer))
        if step % steps == 0:
            scheduler.step()
            assert rates(scheduler.optimizer) == seen[-1]
    assert [low for low, _ in seen] == pytest.approx([0.3 * high for _, high in seen])
    return [high for _, high in seen]


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_polynomial_decay_without_warmup_is_pytorchs(power: float) -> None:
    optimizer = make_optimizer()
    oracle = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=20, power=power)
    expected = [rates(optimizer)[1]]
    for _ in range(20):
        optimizer.step()
        oracle.step()
        expected.append(rates(optimizer)[1])
    assert factors({"type": "polynomial_decay", "power": power}) == pytest.approx(expected)


def test_polynomial_decay_warms_up_and_ends_at_its_last_rate() -> None:
    scheduler = make({"type": "polynomial_decay", "warmup_steps": 4, "end_learning_rate": 0.1})
    seen = {}
    for step in range(1, 26):
        scheduler.step_batch(step)
        seen[step] = rates(scheduler.optimizer)[1]
    assert [seen[step] for step in (1, 2, 3, 4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert seen[12] == pytest.approx(0.55)
    assert seen[20] == seen[25] == pytest.approx(0.1)


def test_linear_with_warmup() -> None:
    seen = factors({"type": "linear_with_warmup", "warmup_steps": 10})
    expected = [*[step / 10 for step in range(11)], *[1 - step / 10 for step in range(1, 11)]]
    assert seen == pytest.approx(expected)


def test_constant_with_warmup() -> None:
    seen = factors({"type": "constant_with_warmup", "num_warmup_steps": 4})
    assert seen == pytest.approx([0, 0.25, 0.5, 0.75, *[1.0] * 17])


def test_cosine_with_warmup_is_pytorchs_annealing_after_the_warmup() -> None:
    seen = factors({"type": "cosine_with_warmup", "num_warmup_steps": 5})
    optimizer = make_optimizer()
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    expected = [rates(optimizer)[1]]
    for _ in range(15):
        optimizer.step()
        oracle.step()
        expected.append(rates(optimizer)[1])
    assert seen[:5] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert seen[5:] == pytest.approx(expected, abs=1e-9)


def test_cosine_hard_restarts_with_warmup() -> None:
    config = {"type": "cosine_hard_restarts_with_warmup", "num_warmup_steps": 0, "num_cycles": 2}
    seen = factors(config)
    half = [(1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert seen == pytest.approx([*half, *half, 0.0])


def test_training_steps_of_a_config_win() -> None:
    config = {"type": "cosine_with_warmup", "num_warmup_steps": 0, "num_training_steps": 10}
    seen = factors(config)
    assert seen[5] == pytest.approx(0.5)
    assert seen[10:] == [0.0] * 11


def test_noam() -> None:
    scheduler = make({"type": "noam", "model_size": 64, "warmup_steps": 8, "factor": 2.0})
    for step in range(1, 20):
        scheduler.step_batch(step)
        expected = 2 * 64**-0.5 * min(step**-0.5, step * 8**-1.5)
        assert rates(scheduler.optimizer) == pytest.approx([expected, expected])


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
