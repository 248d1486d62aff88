"""Keys and values that other tools have and this one refuses: the fault says what to do instead."""

from __future__ import annotations

import pytest

from allencv_al.common.config.config_check import check
from allencv_al.training.experiment import Experiment


@pytest.mark.parametrize("trainer", ["gradient_descent", "logistic_regression", "no_op"])
def test_several_devices_are_answered_by_what_to_do_instead(trainer: str) -> None:
    config = {
        "trainer": {"type": trainer, "cuda_device": [0, 1]},
        "distributed": {"cuda_devices": [0, 1]},
    }
    told = {fault.path: fault.message for fault in check(Experiment, config)}
    assert told["distributed"].startswith("unknown key; one process trains on one device")
    assert "one run trains on one device: -1 (the CPU)" in told["trainer.cuda_device"]
    assert "found [0, 1]" in told["trainer.cuda_device"]
