"""PyTorch's optimizers step, learn and resume as PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from fixtures.optimizer_parts import Net, make, named, train

from allencv_al.common import ConfigurationError
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.training.optimizers import Optimizer

TORCH_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


NAMES = [*TORCH_CLASSES, "muon"]


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_every_registered_optimizer_is_tested() -> None:
    assert sorted(NAMES) == sorted(Optimizer.list_available())
    assert Optimizer.list_available()[0] == "adam"


@pytest.mark.parametrize("name", TORCH_CLASSES)
@pytest.mark.parametrize("weight_decay", [None, 0.1])
def test_steps_like_pytorchs_with_the_same_defaults(
    name: str, weight_decay: float | None, net: Net
) -> None:
    twin = copy.deepcopy(net)
    options = {} if weight_decay is None else {"weight_decay": weight_decay}
    train(net, make({"type": name, **options}, net), 4)
    train(twin, TORCH_CLASSES[name](twin.parameters(), **options), 4)
    assert torch.equal(weights(net), weights(twin))


@pytest.mark.parametrize("name", NAMES)
def test_learns(name: str, net: Net) -> None:
    rates = {"adadelta": 1.0, "sgd": 0.3, "radam": 0.1}
    losses = train(net, make({"type": name, "lr": rates.get(name, 0.02)}, net), 60)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("name", NAMES)
def test_goes_on_bit_equal_from_its_state(name: str, net: Net) -> None:
    groups = [[["^stem"], {"lr": 0.01}], [["^head"]]]
    optimizer = make({"type": name, "parameter_groups": groups}, net)
    train(net, optimizer, 3)
    twin = copy.deepcopy(net)
    resumed = make({"type": name, "parameter_groups": groups}, twin)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(net, optimizer, 3)
    train(twin, resumed, 3)
    assert torch.equal(weights(net), weights(twin))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_documented(name: str) -> None:
    arguments = signature_of(Optimizer.resolve(name)[0]).arguments
    assert [a.name for a in arguments.values() if not a.description] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_negative_rate_is_a_fault_and_an_error(name: str, net: Net) -> None:
    with pytest.raises(
        ConfigurationFaults, match=r"lr: expected (a number of at least 0|float >= 0), found -1"
    ):
        make({"type": name, "lr": -1}, net)
    with pytest.raises(ConfigurationError, match="lr: expected"):
        Optimizer.by_name(name)(named(net), lr=-1)


@pytest.mark.parametrize("option", ["foreach", "fused"])
@pytest.mark.parametrize("name", TORCH_CLASSES)
def test_foreach_and_fused_are_offered_where_torch_has_them(
    name: str, option: str, net: Net
) -> None:
    cls = Optimizer.resolve(name)[0]
    offered = option in signature_of(cls).arguments
    assert offered == (option in TORCH_CLASSES[name](net.parameters()).defaults)
    if offered:
        twin = copy.deepcopy(net)
        train(net, make({"type": name, option: True}, net), 3)
        train(twin, TORCH_CLASSES[name](twin.parameters(), **{option: True}), 3)
        assert torch.equal(weights(net), weights(twin))
