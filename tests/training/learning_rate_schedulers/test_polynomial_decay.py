"""Polynomial decay by step, against PyTorch's and formulas."""

from __future__ import annotations

import pytest
import torch
from fixtures.step_schedules import factors, make, make_optimizer, rates


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
