"""The schedule that looks at the validation metric, against PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fixtures.epoch_schedules import make, rates, same_as, torch_schedules
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError


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
