from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import WeightsError
from allencv_al.modules import Initializer, InitializerApplicator
from allencv_al.modules.weights import building_without_weights

ARGUMENTS: dict[str, dict[str, object]] = {
    "constant": {"val": 2.0},
    "sparse": {"sparsity": 0.5},
    "block_orthogonal": {"split_sizes": [2, 2]},
}
SHAPES = {"dirac": (4, 4, 3, 3), "lstm_hidden_bias": (8,)}


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))


@pytest.mark.parametrize("name", sorted(set(Initializer.list_available()) - {"pretrained"}))
def test_every_initializer_fills_what_it_is_for(name: str) -> None:
    parameter = torch.full(SHAPES.get(name, (4, 4)), torch.nan)
    Initializer.from_params({"type": name, **ARGUMENTS.get(name, {})})(parameter, "weight")
    assert parameter.isfinite().all()


@pytest.mark.parametrize(
    ("config", "std"),
    [
        ({"type": "normal", "std": 0.5}, 0.5),
        ({"type": "uniform", "a": -1.0, "b": 1.0}, 3**-0.5),
        ({"type": "kaiming_normal"}, (2 / 400) ** 0.5),
        ({"type": "kaiming_uniform", "nonlinearity": "linear"}, (1 / 400) ** 0.5),
        ({"type": "xavier_normal", "gain": 2.0}, 2 * (2 / 800) ** 0.5),
        ({"type": "uniform_unit_scaling"}, (1 / 400) ** 0.5),
        ({"type": "uniform_unit_scaling", "nonlinearity": "relu"}, (2 / 400) ** 0.5),
        ({}, 0.1),  # the default is a normal distribution
    ],
)
def test_spread(config: dict[str, object], std: float) -> None:
    torch.manual_seed(0)
    parameter = torch.empty(400, 400)
    Initializer.from_params(config)(parameter, "weight")
    assert parameter.std().item() == pytest.approx(std, rel=0.02)


def test_a_shape_that_does_not_fit_is_an_error() -> None:
    applicator = InitializerApplicator.from_params({"regexes": [["bias", "xavier_normal"]]})
    with pytest.raises(ConfigurationError, match=r"XavierNormal cannot fill 0\.bias \(4\)"):
        applicator(network())


def test_pretrained_takes_tensors_by_name(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"head.bias": torch.tensor([1.0, 2.0]), "0.bias": torch.zeros(3)}, file)
    pretrained = {
        "type": "pretrained",
        "weights_file_path": str(file),
        "parameter_name_overrides": {"1.bias": "head.bias"},
    }
    module = network()
    InitializerApplicator.from_params({"regexes": [[r"^1\.bias", pretrained]]})(module)
    assert module[1].bias.tolist() == [1, 2]
    with pytest.raises(WeightsError, match=r"0\.bias has shape \(3,\), but 0\.bias has \(4,\)"):
        InitializerApplicator.from_params({"regexes": [[r"^0\.bias", pretrained]]})(module)
    with pytest.raises(WeightsError, match=r"has no '0\.weight' for 0\.weight; it has"):
        InitializerApplicator.from_params({"regexes": [[r"^0\.weight", pretrained]]})(module)


def test_an_archive_does_not_need_the_pretrained_file() -> None:
    with building_without_weights():
        absent = {"type": "pretrained", "weights_file_path": "/absent.pth"}
        InitializerApplicator.from_params({"regexes": [["bias", absent]]})(network())


def test_blocks_are_orthogonal_each() -> None:
    parameter = torch.empty(6, 4)
    config = {"type": "block_orthogonal", "split_sizes": [2, 4], "gain": 3.0}
    Initializer.from_params(config)(parameter, "weight")
    for block in parameter.split(2):
        torch.testing.assert_close(block @ block.T, 9 * torch.eye(2))


def test_blocks_that_do_not_divide_a_parameter_are_an_error() -> None:
    pairs = [[r"^1\.weight", {"type": "block_orthogonal", "split_sizes": [2, 3]}]]
    applicator = InitializerApplicator.from_params({"regexes": pairs})
    with pytest.raises(ConfigurationError, match=r"cannot fill 1\.weight \(2x4\).*\[2, 3\]"):
        applicator(network())


def test_the_bias_of_the_forget_gate_is_one() -> None:
    bias = torch.full((8,), torch.nan)
    Initializer.from_params("lstm_hidden_bias")(bias, "bias")
    assert bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
