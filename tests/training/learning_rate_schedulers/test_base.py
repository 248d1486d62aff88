"""What all schedules by step share."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.step_schedules import make, make_optimizer, rates

from allencv_al.common import ConfigurationError
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler


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
