from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.training.momentum_schedulers import InvertedTriangular, MomentumScheduler


def make(optimizer: torch.optim.Optimizer) -> MomentumScheduler:
    return MomentumScheduler.from_params(
        {"type": "inverted_triangular", "cool_down": 6, "warm_up": 10, "ratio": 5},
        optimizer=optimizer,
    )


def parameter() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(1))]


def test_inverted_triangular_falls_rises_and_stays() -> None:
    optimizer = torch.optim.SGD(parameter(), lr=1.0, momentum=0.9)
    scheduler = make(optimizer)
    seen = []
    for _ in range(20):
        seen.append(optimizer.param_groups[0]["momentum"])
        scheduler.step_batch(1)
        scheduler.step()
    low = 0.9 / 5
    falling = [0.9 - (0.9 - low) * epoch / 6 for epoch in range(7)]
    rising = [low + (0.9 - low) * epoch / 10 for epoch in range(1, 11)]
    assert seen == pytest.approx([*falling, *rising, 0.9, 0.9, 0.9])


def test_schedules_the_first_beta_of_adam() -> None:
    optimizer = torch.optim.Adam(parameter(), betas=(0.9, 0.99))
    scheduler = make(optimizer)
    for _ in range(6):
        scheduler.step()
    assert optimizer.param_groups[0]["betas"] == pytest.approx((0.18, 0.99))


def test_keeps_the_momenta_of_the_groups_apart() -> None:
    groups: list[dict[str, Any]] = [
        {"params": parameter(), "momentum": 0.5},
        {"params": parameter()},
    ]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    scheduler = InvertedTriangular(optimizer, cool_down=1, warm_up=1, ratio=10)
    scheduler.step()
    assert [g["momentum"] for g in optimizer.param_groups] == pytest.approx([0.05, 0.09])


@pytest.mark.parametrize(
    "optimizer",
    [torch.optim.SGD(parameter(), lr=1.0), torch.optim.Adagrad(parameter())],
    ids=["zero", "none"],
)
def test_needs_a_momentum(optimizer: torch.optim.Optimizer) -> None:
    with pytest.raises(ConfigurationError, match="needs an optimizer with momentum"):
        make(optimizer)
