"""Cosine annealing with restarts, against PyTorch's and a formula."""

from __future__ import annotations

import pytest
from fixtures.epoch_schedules import make, rates, same_as, torch_schedules


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
