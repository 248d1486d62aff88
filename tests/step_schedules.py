"""Schedules by step, built for two groups."""

from __future__ import annotations

from typing import Any

import pytest
import torch

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
