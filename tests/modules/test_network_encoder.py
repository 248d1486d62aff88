"""The common part of encoders around one network: freezing, and weights to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from allencv_al.common.errors import WeightsError
from allencv_al.modules.network_encoder import NetworkEncoder
from allencv_al.modules.weights import NameMap, building_without_weights


def network() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5)
    )


IMAGES = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))


def test_parameters_are_those_of_the_model() -> None:
    encoder = NetworkEncoder(network(), 2, requires_grad=True)
    assert {name for name, _ in encoder.named_parameters()} == {
        *("model.0.weight", "model.0.bias", "model.1.weight", "model.1.bias")
    }
    assert encoder.get_input_channels() == 2 and not encoder.frozen


def test_a_frozen_network_neither_trains_nor_changes() -> None:
    encoder = NetworkEncoder(network(), 2, requires_grad=False)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert encoder.train() is encoder
    assert encoder.frozen and not any(part.training for part in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    together = encoder(IMAGES)
    assert not together.requires_grad
    torch.testing.assert_close(together[:1], encoder(IMAGES[:1]))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_a_network_that_trains_follows_the_mode() -> None:
    encoder = NetworkEncoder(network(), 2, requires_grad=True).train()
    statistics = encoder.model.get_buffer("1.running_mean").clone()
    encoder(IMAGES).sum().backward()
    assert encoder.model.get_parameter("0.weight").grad is not None
    assert not torch.equal(encoder.model.get_buffer("1.running_mean"), statistics)
    assert not any(part.training for part in encoder.eval().modules())


def test_gradients_of_what_comes_before_end_at_a_frozen_network() -> None:
    of_a_layer = IMAGES.clone().requires_grad_() * 2
    assert not NetworkEncoder(network(), 2, requires_grad=False)(of_a_layer).requires_grad


def test_an_image_gets_the_gradient_that_was_asked_for() -> None:
    images = IMAGES.clone().requires_grad_()
    NetworkEncoder(network(), 2, requires_grad=False)(images).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("reads_weights", [True, False])
def test_only_a_frozen_random_network_is_warned_of(
    requires_grad: bool, reads_weights: bool, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = NetworkEncoder(network(), 2, requires_grad)
    with building_without_weights():  # an archive brings its own
        encoder.warn_if_frozen_at_random(reads_weights)
    assert caplog.messages == []
    encoder.warn_if_frozen_at_random(reads_weights)
    assert len(caplog.messages) == (not requires_grad and not reads_weights)


def test_weights_are_read_by_their_own_and_by_foreign_names(tmp_path: Path) -> None:
    source = network()
    state = source.state_dict()
    foreign = {f"body.{name}": value for name, value in state.items()}
    own = {f"model.{name}": value for name, value in state.items()}
    for number, names in enumerate((foreign, own)):
        torch.save(names, tmp_path / f"{number}.pth")
        rules = (NameMap("elsewhere", {"body.": "model."}),)
        encoder = NetworkEncoder(network(), 2, True, rules)
        encoder.read_weights_file(tmp_path / f"{number}.pth")
        found = encoder.model.state_dict()
        assert all(torch.equal(found[name], value) for name, value in state.items())


def test_without_a_file_or_where_reading_is_off_the_network_stays(tmp_path: Path) -> None:
    encoder = NetworkEncoder(network(), 2, requires_grad=True)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.read_weights_file(None)
    with building_without_weights():
        encoder.read_weights_file(tmp_path / "none.pth")
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    with pytest.raises(WeightsError, match=r"none\.pth"):
        encoder.read_weights_file(tmp_path / "none.pth")
