"""What holds for every registered learning rate and momentum scheduler."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common.config.config_check import _limited
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.errors import CheckpointError, ConfigurationError, ConfigurationFaults
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.learning_rate_schedulers.base import Scheduler
from allencv_al.training.momentum_schedulers import MomentumScheduler

EPOCHS, STEPS = 6, 5

CONFIGS: dict[str, dict[str, Any]] = {
    "combined": {
        "schedulers": [
            [2, {"type": "linear_with_warmup", "warmup_steps": 3}],
            [3, {"type": "slanted_triangular", "gradual_unfreezing": True}],
        ]
    },
    "constant": {},
    "constant_with_warmup": {"num_warmup_steps": 7},
    "cosine": {"t_initial": 2, "t_mul": 1.5, "eta_mul": 0.9, "eta_min": 0.01},
    "cosine_hard_restarts_with_warmup": {"num_warmup_steps": 4, "num_cycles": 2},
    "cosine_with_warmup": {"num_warmup_steps": 4},
    "exponential": {"gamma": 0.7},
    "linear_with_warmup": {"warmup_steps": 7},
    "multi_step": {"milestones": [4, 1, 1]},
    "noam": {"model_size": 16, "warmup_steps": 9},
    "one_cycle": {"three_phase": True},
    "polynomial_decay": {"power": 2.0, "warmup_steps": 3, "end_learning_rate": 0.01},
    "reduce_on_plateau": {"patience": 0, "factor": 0.5, "cooldown": 1},
    "slanted_triangular": {"gradual_unfreezing": True, "discriminative_fine_tuning": True},
    "step": {"step_size": 2},
}
MOMENTUM_CONFIGS: dict[str, dict[str, Any]] = {
    "inverted_triangular": {"cool_down": 2, "warm_up": 3},
}
CASES = [
    *((LearningRateScheduler, name, config) for name, config in CONFIGS.items()),
    *((MomentumScheduler, name, config) for name, config in MOMENTUM_CONFIGS.items()),
]


def make_optimizer() -> torch.optim.Optimizer:
    groups = [[torch.nn.Parameter(torch.ones(1))] for _ in range(3)]
    return torch.optim.SGD(
        [{"params": group, "lr": 0.5 + i} for i, group in enumerate(groups)] + [{"params": []}],
        lr=1.0,
        momentum=0.9,
    )


def make(base: Any, name: str, config: dict[str, Any]) -> Scheduler:
    scheduler: Scheduler = base.from_params(
        {"type": name, **config},
        optimizer=make_optimizer(),
        num_epochs=EPOCHS,
        num_steps_per_epoch=STEPS,
    )
    return scheduler


def play(scheduler: Scheduler, first: int, last: int) -> list[Any]:
    """Make the calls `first` to `last` of a training; return what the optimizer held after each."""
    seen = []
    for call in range(first, last):
        epoch, place = divmod(call, STEPS + 1)
        if place < STEPS:
            scheduler.step_batch(epoch * STEPS + place + 1)
        else:
            scheduler.step(float(epoch % 3))
        seen.append(held(scheduler.optimizer))
    return seen


def held(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [
        (group["lr"], group["momentum"], [p.requires_grad for p in group["params"]])
        for group in optimizer.param_groups
    ]


def test_every_registered_scheduler_is_tested() -> None:
    assert set(LearningRateScheduler.list_available()) == set(CONFIGS)
    assert set(MomentumScheduler.list_available()) == set(MOMENTUM_CONFIGS)


@pytest.mark.parametrize(("base", "name", "config"), CASES)
@settings(max_examples=12, deadline=None)
@given(split=st.integers(0, (EPOCHS + 1) * (STEPS + 1)))
def test_a_recovered_schedule_goes_on_as_if_nothing_had_happened(
    base: Any, name: str, config: dict[str, Any], split: int
) -> None:
    end = (EPOCHS + 1) * (STEPS + 1)
    whole = make(base, name, config)
    play(whole, 0, split)
    state = json.loads(json.dumps(whole.state_dict(), allow_nan=False))
    recovered = make(base, name, config)
    recovered.load_state_dict(state)
    assert held(recovered.optimizer) == held(whole.optimizer)
    assert recovered.state_dict() == json.loads(json.dumps(whole.state_dict()))
    assert play(recovered, split, end) == play(whole, split, end)


@pytest.mark.parametrize(("base", "name", "config"), CASES)
def test_rates_are_finite_and_never_negative(base: Any, name: str, config: dict[str, Any]) -> None:
    scheduler = make(base, name, config)
    for moment in play(scheduler, 0, (EPOCHS + 1) * (STEPS + 1)):
        for lr, momentum, _ in moment:
            assert 0 <= lr < 1e3
            assert 0 <= momentum <= 1
            assert type(lr) is float
            assert type(momentum) is float


@pytest.mark.parametrize(("base", "name", "config"), CASES)
def test_a_foreign_state_is_refused(base: Any, name: str, config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="no state of a"):
        make(base, name, config).load_state_dict({"something": 1})


@pytest.mark.parametrize(("base", "name", "config"), CASES)
def test_every_parameter_is_documented(base: Any, name: str, config: dict[str, Any]) -> None:
    arguments = signature_of(base.by_name(name)).arguments
    assert [a.name for a in arguments.values() if not a.description] == []
    assert set(config) <= set(arguments)


@pytest.mark.parametrize(("base", "name", "config"), CASES)
def test_numbers_outside_their_limits_are_faults_and_errors(
    base: Any, name: str, config: dict[str, Any]
) -> None:
    cls = base.by_name(name)
    wrong: dict[str, Any] = dict.fromkeys(_limited(cls).keys() - {"schedulers"}, -2)
    if "milestones" in wrong:
        wrong["milestones"] = [-2]
    if not wrong:
        return
    with pytest.raises(ConfigurationFaults) as raised:
        make(base, name, {**config, **wrong})
    assert {f.path.split(".")[0] for f in raised.value.faults} == set(wrong)
    for key, value in wrong.items():
        with pytest.raises(ConfigurationError, match=key):
            cls(make_optimizer(), **{**config, key: value})


def test_state_of_another_number_of_groups_is_refused() -> None:
    state = make(LearningRateScheduler, "constant", {}).state_dict()
    state["base_values"].append(1.0)
    with pytest.raises(CheckpointError, match="has 5 parameter groups, the optimizer has 4"):
        make(LearningRateScheduler, "constant", {}).load_state_dict(state)
