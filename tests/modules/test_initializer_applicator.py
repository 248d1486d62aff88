"""Initializers by the names of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError, FromParams
from allencv_al.modules import InitializerApplicator, RegularizerApplicator


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))


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


class Holder(FromParams):
    def __init__(self, initializer: InitializerApplicator, penalty: RegularizerApplicator) -> None:
        self.initializer = initializer
        self.penalty = penalty


@pytest.mark.parametrize("prevent", ["prevent", {"type": "prevent"}])
@pytest.mark.parametrize("wrap", [lambda pairs: pairs, lambda pairs: {"regexes": pairs}])
def test_the_list_of_allennlp_with_prevent(prevent: object, wrap: Callable[[Any], Any]) -> None:
    module = network()
    before = module[1].bias.clone()
    pairs = [["bias", {"type": "constant", "val": 5}], [r"^1\.bias", prevent]]
    built = Holder.from_params({"initializer": wrap(pairs), "penalty": [["weight", "l2"]]})
    built.initializer(module)
    assert module[0].bias.eq(5).all()
    assert module[1].bias.equal(before)
    expected = 0.01 * sum(layer.weight.square().sum() for layer in module)
    torch.testing.assert_close(built.penalty(module), expected)


def test_a_fault_in_the_list_has_its_place() -> None:
    with pytest.raises(ConfigurationError, match=r"initializer\.regexes\.0\.1\.vall: unknown key"):
        Holder.from_params(
            {"initializer": [["bias", {"type": "constant", "val": 1, "vall": 2}]], "penalty": []}
        )
