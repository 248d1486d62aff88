"""Warm-up by step, then a constant or a cosine."""

from __future__ import annotations

import math

import pytest
import torch
from fixtures.step_schedules import factors, make_optimizer, rates


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
