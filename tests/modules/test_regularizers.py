from __future__ import annotations

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules import RegularizerApplicator


def network() -> torch.nn.Sequential:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, -2.0)
    return module


def test_penalties_add_up() -> None:
    applicator = RegularizerApplicator.from_params(
        {"regexes": [[r"^0\.", {"type": "l2", "alpha": 0.5}], ["weight", "l1"]]}
    )
    penalty = applicator(network())
    # 0.weight and 0.bias: 6 values, 4 each; 1.weight: 2 values of magnitude 2; 1.bias: none.
    assert penalty is not None
    assert penalty.item() == pytest.approx(0.5 * 6 * 4 + 0.01 * 2 * 2)
    penalty.backward()


def test_frozen_parameters_have_no_penalty() -> None:
    module = network()
    applicator = RegularizerApplicator.from_params({"regexes": [[r"^0\.", "l2"]]})
    module[0].requires_grad_(False)
    assert applicator(module) is None


def test_an_expression_that_matches_nothing_is_an_error() -> None:
    applicator = RegularizerApplicator.from_params({"regexes": [["nothing", "l2"]]})
    with pytest.raises(ConfigurationError, match="'nothing' is found in no parameter's name"):
        applicator(network())
