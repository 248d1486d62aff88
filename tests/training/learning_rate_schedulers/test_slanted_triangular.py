"""The golden traces of AllenNLP's SlantedTriangular, and what it got wrong."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler, SlantedTriangular
from allencv_al.training.optimizers import Optimizer


def make_optimizer(groups: int, lr: float = 1.0, default: bool = False) -> torch.optim.Optimizer:
    """Return SGD over `groups` named groups of one parameter each and the default group."""
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(groups + default)]
    named = [{"params": [parameter]} for parameter in parameters[:groups]]
    return torch.optim.SGD([*named, {"params": parameters[groups:]}], lr=lr)


def trainable(optimizer: torch.optim.Optimizer) -> list[int]:
    return [int(g["params"][0].requires_grad) for g in optimizer.param_groups if g["params"]]


def trace(
    scheduler: LearningRateScheduler, epochs: int, steps: int
) -> list[tuple[list[int], list[list[float]]]]:
    """Train in name only: for each epoch, who trains and the rate of each group at each step."""
    seen, total = [], 0
    groups = scheduler.optimizer.param_groups
    for _ in range(epochs):
        who, rates = trainable(scheduler.optimizer), []
        for _ in range(steps):
            total += 1
            scheduler.step_batch(total)
            rates.append([group["lr"] for group in groups if group["params"]])
        scheduler.step(0.5)
        seen.append((who, rates))
    return seen


def test_golden_trace_of_three_groups() -> None:
    optimizer = make_optimizer(3)
    scheduler = SlantedTriangular(
        optimizer,
        num_epochs=5,
        num_steps_per_epoch=4,
        cut_frac=0.25,
        gradual_unfreezing=True,
        discriminative_fine_tuning=True,
    )
    assert scheduler.base_values[:3] == pytest.approx([0.1444, 0.38, 1.0])
    seen = trace(scheduler, 5, 4)
    assert [who for who, _ in seen] == [[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
    top = [[step[2] for step in rates] for _, rates in seen]
    expected = [
        [1.0, 0.677083, 0.354167, 0.03125],
        [1.0, 0.677083, 0.354167, 0.03125],
        [0.354167, 0.677083, 1.0, 0.892361],
        [0.784722, 0.677083, 0.569444, 0.461806],
        [0.354167, 0.246528, 0.138889, 0.03125],
    ]
    assert top == [pytest.approx(epoch, abs=1e-6) for epoch in expected]
    for _, rates in seen:
        for low, middle, high in rates:
            assert middle == pytest.approx(0.38 * high)
            assert low == pytest.approx(0.1444 * high)


def test_golden_trace_of_the_tutorial_with_enough_epochs() -> None:
    """Six groups, ten steps: while groups wait, each epoch is a triangle of its own."""
    optimizer = make_optimizer(6, lr=1e-3)
    scheduler = SlantedTriangular(optimizer, 8, 10, gradual_unfreezing=True)
    seen = trace(scheduler, 8, 10)
    for epoch in range(5):
        who, rates = seen[epoch]
        assert who == [0] * (5 - epoch) + [1] * (epoch + 1)
        top = [step[5] for step in rates]
        assert top[:3] == pytest.approx([1e-3, 0.892e-3, 0.785e-3], abs=1e-6)
        assert top[-1] == pytest.approx(0.03125e-3)
    assert seen[5][0] == [1] * 6
    top = [step[5] for step in seen[5][1]]
    assert top[0] == pytest.approx(0.354e-3, abs=1e-6)
    assert top[2] == pytest.approx(1e-3)
    assert seen[7][1][-1][5] == pytest.approx(0.03125e-3)


def test_golden_values_of_allennlps_own_test() -> None:
    """Two groups, five epochs of ten steps; the rate is read before `step_batch`."""
    optimizer = make_optimizer(2)
    scheduler = SlantedTriangular(optimizer, 5, 10, gradual_unfreezing=True)
    before = []
    for iteration in range(50):
        before.append([group["lr"] for group in optimizer.param_groups[:2]])
        scheduler.step_batch(iteration + 1)
        if (iteration + 1) % 10 == 0:
            scheduler.step()
    for iteration, expected in {
        0: 0.03125, 1: 1.0, 9: 0.138888, 10: 0.03125, 14: 1.0, 49: 0.05815972,
    }.items():  # fmt: skip
        assert before[iteration] == pytest.approx([expected, expected], abs=1e-6)


def test_without_options_it_is_one_triangle_over_the_training() -> None:
    optimizer = make_optimizer(0, lr=3.2, default=True)
    scheduler = SlantedTriangular(optimizer, num_epochs=2, num_steps_per_epoch=10)
    rates = [step[0] for _, epoch in trace(scheduler, 2, 10) for step in epoch]
    assert rates[1] == pytest.approx(3.2)
    assert rates[0] == pytest.approx(0.1 + 3.1 / 2)
    assert rates[-1] == pytest.approx(0.1)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_discriminative_rates_skip_empty_groups_and_keep_a_groups_own_initial_lr() -> None:
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [
            {"params": [parameters[0]], "initial_lr": 8.0},
            {"params": []},
            {"params": [parameters[1]]},
            {"params": []},
        ],
        lr=1.0,
    )
    scheduler = SlantedTriangular(optimizer, 3, 4, discriminative_fine_tuning=True)
    assert scheduler.base_values == pytest.approx([8.0 * 0.38, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("cut_frac", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("unfreezing", [False, True])
def test_short_trainings_stay_between_the_lowest_rate_and_the_peak(
    cut_frac: float, steps: int, unfreezing: bool
) -> None:
    """`cut_frac` 1 divided by zero in AllenNLP."""
    optimizer = make_optimizer(2)
    scheduler = SlantedTriangular(
        optimizer, 3, steps, cut_frac=cut_frac, gradual_unfreezing=unfreezing
    )
    rates = [rate for _, epoch in trace(scheduler, 4, steps) for step in epoch for rate in step]
    assert min(rates) >= 1 / 32 - 1e-12
    assert max(rates) <= 1 + 1e-12


def test_cut_frac_one_ends_at_the_peak() -> None:
    optimizer = make_optimizer(0, default=True)
    scheduler = SlantedTriangular(optimizer, 2, 4, cut_frac=1.0)
    rates = [step[0] for _, epoch in trace(scheduler, 2, 4) for step in epoch]
    assert rates == sorted(rates)
    assert rates[-1] == 1.0


def test_an_epoch_without_steps_does_no_harm() -> None:
    scheduler = SlantedTriangular(make_optimizer(2), 4, 5, gradual_unfreezing=True)
    scheduler.step()
    scheduler.step()
    scheduler.step_batch(1)
    assert all(0 < rate <= 1 for rate in scheduler.get_values())


def test_wrong_number_of_steps_distorts_the_first_epoch_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told, right = (SlantedTriangular(make_optimizer(2), 4, n, gradual_unfreezing=True)
                   for n in (260, 10))  # fmt: skip
    with caplog.at_level(logging.WARNING):
        first, second = trace(told, 4, 10), trace(right, 4, 10)
    assert first[0] != second[0]
    assert first[1:] == second[1:]
    assert "num_steps_per_epoch is 260, but the first epoch had 10 steps" in caplog.text


def test_step_batch_counts_by_itself() -> None:
    counted, told = (SlantedTriangular(make_optimizer(0, default=True), 2, 5) for _ in range(2))
    for step in range(1, 8):
        counted.step_batch()
        told.step_batch(step)
        assert counted.get_values() == told.get_values()


def test_number_of_steps_may_be_unknown() -> None:
    scheduler = SlantedTriangular(make_optimizer(0, default=True), num_epochs=3)
    rates = [step[0] for _, epoch in trace(scheduler, 3, 10) for step in epoch]
    assert rates[-1] == pytest.approx(1 / 32)


@pytest.mark.parametrize(
    ("groups", "default", "options", "message"),
    [
        (3, True, {"gradual_unfreezing": True}, "expected an empty default group"),
        (1, False, {"gradual_unfreezing": True}, "expected at least 2 parameter groups"),
        (1, False, {"discriminative_fine_tuning": True}, "expected at least 2 parameter groups"),
        (6, False, {"gradual_unfreezing": True}, "expected at least 6 epochs"),
        (2, False, {"cut_frac": 1.5}, "cut_frac: expected float from 0 to 1"),
        (2, False, {"ratio": 0.5}, "ratio: expected"),
        (2, False, {"decay_factor": 0.0}, "decay_factor: expected float > 0"),
        (2, False, {"num_epochs": None}, "num_epochs: expected a number, found none"),
        (2, False, {"num_epochs": 0}, "num_epochs: expected int >= 1, found 0"),
        (2, False, {"last_epoch": 0}, "last_epoch: expected -1"),
    ],
)
def test_refuses(groups: int, default: bool, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SlantedTriangular(
            make_optimizer(groups, default=default),
            **{"num_epochs": 5, "num_steps_per_epoch": 4, **options},
        )


def test_tells_everything_wrong_with_the_groups_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        SlantedTriangular(make_optimizer(1, default=True), 5, 4, gradual_unfreezing=True)
    assert "expected an empty default group" in str(raised.value)
    assert "expected at least 2 parameter groups" in str(raised.value)


def test_names_the_parameters_of_the_default_group() -> None:
    model = torch.nn.Sequential(*[torch.nn.Linear(1, 1) for _ in range(3)])
    optimizer = Optimizer.from_params(
        {"type": "sgd", "parameter_groups": [[["^0"]], [["^1"]]]},
        model_parameters=list(model.named_parameters()),
    )
    with pytest.raises(ConfigurationError, match=r"names 2\.weight, 2\.bias; add a group"):
        SlantedTriangular(optimizer, 5, 4, gradual_unfreezing=True)


def test_an_empty_named_group_is_no_epoch_to_spend() -> None:
    optimizer = make_optimizer(3)
    optimizer.param_groups[1]["params"] = []
    with pytest.raises(ConfigurationError, match="group 1 holds no parameters"):
        SlantedTriangular(optimizer, 5, 4, gradual_unfreezing=True)


def test_as_many_epochs_as_groups_are_enough() -> None:
    optimizer = make_optimizer(4)
    seen = trace(SlantedTriangular(optimizer, 4, 3, gradual_unfreezing=True), 4, 3)
    assert seen[-1][0] == [1, 1, 1, 1]
    assert SlantedTriangular.epoch_fault(4, 4) is None
    assert "at least 4 epochs" in str(SlantedTriangular.epoch_fault(4, 3))


def test_recover_freezes_again() -> None:
    """AllenNLP trained only the last group until the next epoch ended (pull request 2523)."""
    optimizer = make_optimizer(4)
    scheduler = SlantedTriangular(optimizer, 6, 4, gradual_unfreezing=True)
    trace(scheduler, 1, 4)
    state = json.loads(json.dumps(scheduler.state_dict()))
    fresh = make_optimizer(4)
    recovered = SlantedTriangular(fresh, 6, 4, gradual_unfreezing=True)
    assert trainable(fresh) == [0, 0, 0, 1]
    recovered.load_state_dict(state)
    assert trainable(fresh) == [0, 0, 1, 1]


def test_loading_an_earlier_state_into_a_live_model_freezes_and_frees_as_then() -> None:
    optimizer = make_optimizer(3)
    scheduler = SlantedTriangular(optimizer, 6, 4, gradual_unfreezing=True)
    early = scheduler.state_dict()
    trace(scheduler, 4, 4)
    late = scheduler.state_dict()
    assert trainable(optimizer) == [1, 1, 1]
    scheduler.load_state_dict(early)
    assert trainable(optimizer) == [0, 0, 1]
    SlantedTriangular(optimizer, 6, 4, gradual_unfreezing=True).load_state_dict(late)
    assert trainable(optimizer) == [1, 1, 1]


def test_state_is_a_copy() -> None:
    scheduler = SlantedTriangular(make_optimizer(3), 6, 4, gradual_unfreezing=True)
    state = scheduler.state_dict()
    kept = json.dumps(state)
    trace(scheduler, 2, 4)
    assert json.dumps(state) == kept


def test_what_the_user_froze_stays_frozen() -> None:
    optimizer = make_optimizer(3)
    extra = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    optimizer.param_groups[0]["params"].append(extra)
    trace(SlantedTriangular(optimizer, 3, 2, gradual_unfreezing=True), 3, 2)
    assert trainable(optimizer) == [1, 1, 1]
    assert not extra.requires_grad


def test_a_frozen_parameter_with_an_old_gradient_is_not_stepped() -> None:
    optimizer = make_optimizer(2)
    for group in optimizer.param_groups[:2]:
        group["params"][0].grad = torch.ones(1)
    scheduler = SlantedTriangular(optimizer, 3, 2, gradual_unfreezing=True)
    scheduler.step_batch(1)
    optimizer.step()
    assert optimizer.param_groups[0]["params"][0].item() == 1.0
    assert optimizer.param_groups[1]["params"][0].item() < 1.0


def test_goes_on_from_last_epoch_without_a_state() -> None:
    whole, rest = make_optimizer(3), make_optimizer(3)
    seen = trace(SlantedTriangular(whole, 5, 4, gradual_unfreezing=True), 5, 4)
    for group in rest.param_groups:
        group["initial_lr"] = group["lr"]
    scheduler = SlantedTriangular(rest, 5, 4, last_epoch=1, gradual_unfreezing=True)
    assert trainable(rest) == seen[2][0]
    for step, rates in enumerate(seen[2][1]):
        scheduler.step_batch(9 + step)
        assert [group["lr"] for group in rest.param_groups[:3]] == rates


def test_describes_who_trains_at_what_rate(caplog: pytest.LogCaptureFixture) -> None:
    model = torch.nn.Sequential(*[torch.nn.Linear(1, 1) for _ in range(3)])
    optimizer = Optimizer.from_params(
        {"type": "adam", "lr": 1e-3, "parameter_groups": [[["^0"]], [["^1"]], [["^2"]]]},
        model_parameters=list(model.named_parameters()),
    )
    with caplog.at_level(logging.DEBUG):
        scheduler = SlantedTriangular(
            optimizer, 4, 2, gradual_unfreezing=True, discriminative_fine_tuning=True
        )
        scheduler.step_batch(2)
        scheduler.step()
    plans = scheduler.describe_epoch()
    assert [str(plan) for plan in plans] == [
        "^0 (frozen)",
        "^1 (lr up to 0.00038)",
        "^2 (lr up to 0.001)",
    ]
    assert [plan.parameters for plan in plans] == [2, 2, 2]
    assert "epoch 0: trains ^2 (lr up to 0.001); frozen: ^0, ^1" in caplog.text
    assert "epoch 1: trains ^1 (lr up to 0.00038), ^2 (lr up to 0.001); frozen: ^0" in caplog.text


def test_an_epoch_after_the_peak_says_its_own_highest_rate() -> None:
    scheduler = SlantedTriangular(make_optimizer(1, default=True), 4, 10)
    told, highest = [], []
    for epoch in range(4):
        told.append(scheduler.describe_epoch()[0].learning_rate)
        rates = [scheduler.get_values()[0]]
        for step in range(10):
            scheduler.step_batch(10 * epoch + step + 1)
            rates.append(scheduler.get_values()[0])
        highest.append(max(rates))
        scheduler.step()
    assert told == pytest.approx(highest)
    assert told[3] < 0.5


def test_only_the_free_groups_learn() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(3)])
    optimizer = Optimizer.from_params(
        {"type": "sgd", "lr": 0.1, "parameter_groups": [[["^0"]], [["^1"]], [["^2"]]]},
        model_parameters=list(model.named_parameters()),
    )
    scheduler = SlantedTriangular(optimizer, 3, 1, gradual_unfreezing=True)
    for epoch in range(3):
        before = [layer.weight.detach().clone() for layer in model]
        scheduler.step_batch()
        optimizer.zero_grad()
        model(torch.ones(4, 2)).square().sum().backward()
        optimizer.step()
        scheduler.step()
        moved = [not torch.equal(a, b.weight) for a, b in zip(before, model, strict=True)]
        assert moved == [place >= 2 - epoch for place in range(3)]


def test_config_of_the_tutorial_is_understood() -> None:
    scheduler = LearningRateScheduler.from_params(
        {
            "type": "slanted_triangular",
            "num_epochs": 6,
            "num_steps_per_epoch": 260,
            "gradual_unfreezing": True,
            "discriminative_fine_tuning": True,
        },
        optimizer=make_optimizer(6),
        num_epochs=99,
        num_steps_per_epoch=125,
    )
    assert isinstance(scheduler, SlantedTriangular)
    assert (scheduler.num_epochs, scheduler.num_steps_per_epoch) == (6, 260)


def test_the_trainers_numbers_fill_in() -> None:
    scheduler = LearningRateScheduler.from_params(
        "slanted_triangular", optimizer=make_optimizer(2), num_epochs=7, num_steps_per_epoch=125
    )
    assert isinstance(scheduler, SlantedTriangular)
    assert (scheduler.num_epochs, scheduler.num_steps_per_epoch) == (7, 125)
