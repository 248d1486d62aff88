from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import WeightsError
from allencv_al.modules import Initializer, InitializerApplicator
from allencv_al.modules.weights import building_without_weights

ARGUMENTS: dict[str, dict[str, object]] = {"constant": {"val": 2.0}, "sparse": {"sparsity": 0.5}}


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))


@pytest.mark.parametrize("name", sorted(set(Initializer.list_available()) - {"pretrained"}))
def test_every_initializer_fills_what_it_is_for(name: str) -> None:
    shape = (4, 4, 3, 3) if name == "dirac" else (4, 4)
    parameter = torch.full(shape, torch.nan)
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
    ],
)
def test_spread(config: dict[str, object], std: float) -> None:
    torch.manual_seed(0)
    parameter = torch.empty(400, 400)
    Initializer.from_params(config)(parameter, "weight")
    assert parameter.std().item() == pytest.approx(std, rel=0.02)


def test_the_first_expression_found_in_a_name_wins() -> None:
    module = network()
    before = module[1].bias.clone()
    InitializerApplicator.from_params(
        {
            "regexes": [
                [r"^0\.weight", {"type": "constant", "val": 7.0}],
                ["weight", "zero"],
                ["bias", {"type": "constant", "val": 5.0}],
            ],
            "prevent_regexes": [r"^1\.bias"],
        }
    )(module)
    assert module[0].weight.eq(7).all()
    assert module[1].weight.eq(0).all()
    assert module[0].bias.eq(5).all()
    assert module[1].bias.equal(before)


def test_an_expression_that_matches_nothing_is_an_error() -> None:
    applicator = InitializerApplicator.from_params({"regexes": [["wieght", "zero"]]})
    with pytest.raises(ConfigurationError, match=r"'wieght' is found in no .* 0\.weight, 0\.bias"):
        applicator(network())


def test_an_expression_that_does_not_compile_is_a_config_fault() -> None:
    with pytest.raises(ConfigurationError, match=r"regexes\.0\.0"):
        InitializerApplicator.from_params({"regexes": [["weight(", "zero"]]})


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
