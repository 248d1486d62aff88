from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.errors import CheckpointError
from allencv_al.training.trainers.moving_average import ExponentialMovingAverage, MovingAverage


def make(model: torch.nn.Module, **options: Any) -> MovingAverage:
    return MovingAverage.from_params(options, parameters=model.named_parameters())


@pytest.fixture
def model() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


def shake(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))


def flat(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("counted", [False, True])
def test_exponential_is_its_formula(model: torch.nn.Linear, counted: bool) -> None:
    average = make(model, decay=0.9, numerator=2.0, denominator=5.0)
    expected = flat(model)
    for updates in range(1, 30):
        shake(model)
        average.apply(updates if counted else None)
        decay = min(0.9, (2 + updates) / (5 + updates)) if counted else 0.9
        expected = decay * expected + (1 - decay) * flat(model)
    with average.averaged():
        torch.testing.assert_close(flat(model), expected)


def test_default_is_exponential_with_allennlps_numbers(model: torch.nn.Linear) -> None:
    average = make(model)
    assert type(average) is ExponentialMovingAverage
    shake(model)
    before = average.state_dict()["shadows"]["weight"].clone()
    average.apply(0)
    expected = 0.1 * before + 0.9 * model.weight
    torch.testing.assert_close(average.state_dict()["shadows"]["weight"], expected)


def test_assign_and_restore_give_every_bit_back(model: torch.nn.Linear) -> None:
    average = make(model, decay=0.5)
    shake(model)
    average.apply()
    now = flat(model)
    average.assign_average_value()
    averaged = flat(model)
    assert not torch.equal(averaged, now)
    average.assign_average_value()
    assert torch.equal(flat(model), averaged)
    average.restore()
    assert torch.equal(flat(model), now)
    average.restore()
    assert torch.equal(flat(model), now)


def test_restores_after_an_error(model: torch.nn.Linear) -> None:
    average = make(model)
    shake(model)
    now = flat(model)
    with pytest.raises(KeyError), average.averaged():
        raise KeyError
    assert torch.equal(flat(model), now)


def test_goes_on_bit_equal_from_its_state(model: torch.nn.Linear) -> None:
    average = make(model, decay=0.8)
    shake(model)
    average.apply(1)
    twin = copy.deepcopy(model)
    resumed = make(twin, decay=0.8)
    resumed.load_state_dict(copy.deepcopy(average.state_dict()))
    for step in range(2, 5):
        for m, a in ((model, average), (twin, resumed)):
            torch.manual_seed(step)
            shake(m)
            a.apply(step)
    for name, shadow in average.state_dict()["shadows"].items():
        assert torch.equal(shadow, resumed.state_dict()["shadows"][name])


def test_refuses_the_averages_of_another_model(model: torch.nn.Linear) -> None:
    state = make(torch.nn.Linear(3, 2, bias=False)).state_dict()
    with pytest.raises(CheckpointError, match=r"missing \['bias'\]"):
        make(model).load_state_dict(state)


def test_averaging_stays_out_of_the_gradients(model: torch.nn.Linear) -> None:
    average = make(model)
    model(torch.ones(1, 3)).sum().backward()
    average.apply(1)
    with average.averaged():
        assert model.weight.requires_grad
        assert model.weight.grad is not None


@pytest.mark.parametrize("options", [{"decay": 1.5}, {"denominator": 0.0}])
def test_refuses_numbers_outside_their_limits(
    model: torch.nn.Linear, options: dict[str, float]
) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make(model, **options)


@pytest.mark.parametrize("name", MovingAverage.list_available())
def test_every_parameter_is_documented(name: str) -> None:
    arguments = signature_of(MovingAverage.resolve(name)[0]).arguments
    assert [a.name for a in arguments.values() if not a.description] == []
