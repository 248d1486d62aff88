"""Schedules by epoch, built for two groups and compared with PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

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
