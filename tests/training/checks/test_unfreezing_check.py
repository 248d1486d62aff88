from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from allencv_al.common import FromParams, Lazy
from allencv_al.common.config.config_check import ConfigView, Fault, check
from allencv_al.training.checks.unfreezing_check import unfreezing_faults
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.optimizers import Optimizer


class TinyTrainer(FromParams):
    def __init__(
        self,
        optimizer: Lazy[Optimizer],
        learning_rate_scheduler: Lazy[LearningRateScheduler] | None = None,
        num_epochs: int = 20,
    ) -> None:
        pass

    @classmethod
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from unfreezing_faults(config)


def faults(groups: Any, epochs: int, **scheduler: Any) -> list[str]:
    config = {
        "optimizer": {"type": "sgd", "parameter_groups": groups},
        "learning_rate_scheduler": {
            "type": "slanted_triangular",
            "gradual_unfreezing": True,
            **scheduler,
        },
        "num_epochs": epochs,
    }
    return [str(fault) for fault in check(TinyTrainer, config)]


SIX = [[[f"^layer{i}"]] for i in range(6)]


def test_fewer_epochs_than_groups_is_a_fault_that_says_how_many_are_needed() -> None:
    (fault,) = faults(SIX, 5)
    assert fault.startswith("num_epochs: expected at least 6 epochs")
    assert fault.endswith("found 5: the first 1 would never train")


@pytest.mark.parametrize("num_epochs", [6, 7, 20])
def test_enough_epochs_are_no_fault(num_epochs: int) -> None:
    assert faults(SIX, num_epochs) == []


def test_the_schedules_own_number_of_epochs_counts_too() -> None:
    (fault,) = faults(SIX, 8, num_epochs=5)
    assert fault.startswith("learning_rate_scheduler.num_epochs: expected at least 6 epochs")
    (fault,) = faults(SIX, 5, num_epochs=8)
    assert fault.startswith("num_epochs: expected at least 6 epochs")


def test_groups_that_are_frozen_need_no_epoch() -> None:
    assert faults([*SIX, [["^stem"], {"requires_grad": False}]], 6) == []


def test_without_groups_there_is_nothing_to_unfreeze() -> None:
    for groups in (None, [], SIX[:1]):
        (fault,) = faults(groups, 6)
        assert "needs at least 2 groups" in fault


def test_without_unfreezing_epochs_do_not_matter() -> None:
    assert faults(SIX, 1, gradual_unfreezing=False) == []


def test_other_faults_do_not_hide_it() -> None:
    found = faults([*SIX[1:], [["("], {"lr": "fast"}]], 5)
    paths = [fault.split(":")[0] for fault in found]
    assert sorted(paths) == [
        "num_epochs",
        "optimizer.parameter_groups.5.0.0",
        "optimizer.parameter_groups.5.1.lr",
    ]


def test_within_a_combined_schedule() -> None:
    config = {
        "optimizer": {"type": "sgd", "parameter_groups": SIX},
        "learning_rate_scheduler": {
            "type": "combined",
            "schedulers": [
                [2, "constant"],
                [3, {"type": "slanted_triangular", "gradual_unfreezing": True}],
            ],
        },
    }
    (fault,) = check(TinyTrainer, config)
    assert fault.path == "learning_rate_scheduler.schedulers.1.0"


@pytest.mark.parametrize(
    "config",
    [
        {"optimizer": "adam", "learning_rate_scheduler": "constant"},
        {"optimizer": {"type": "adam"}},
        {"optimizer": 3, "learning_rate_scheduler": 4, "num_epochs": "many"},
        {
            "optimizer": {"parameter_groups": 5},
            "learning_rate_scheduler": {"type": "combined", "schedulers": [7, []]},
        },
    ],
)
def test_other_configs_pass_through(config: dict[str, Any]) -> None:
    assert all("unfreezing" not in fault.message for fault in check(TinyTrainer, config))
