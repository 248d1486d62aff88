"""The base of optimizers, and parameter groups."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from fixtures.optimizer_parts import Net, make, named, train

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import CheckpointError, ConfigurationFaults
from allencv_al.training.optimizers.torch_optimizers import SGD, Adam


class TestGroups:
    def groups(self, optimizer: torch.optim.Optimizer) -> list[tuple[str, list[str]]]:
        return [(g["name"], g["parameter_names"]) for g in optimizer.param_groups]

    def test_follow_the_config_and_keep_the_order_of_the_model(self, net: Net) -> None:
        optimizer = make(
            {"parameter_groups": [[["^head"]], [["^norm", "^stem"], {"weight_decay": 0.5}]]}, net
        )
        assert self.groups(optimizer) == [
            ("^head", ["head.weight", "head.bias"]),
            ("^norm | ^stem", ["stem.weight", "stem.bias", "norm.weight", "norm.bias"]),
            ("default", ["body.weight", "body.bias"]),
        ]
        assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0, 0.5, 0.0]

    def test_without_any_there_is_the_default_group(self, net: Net) -> None:
        assert self.groups(make("sgd", net)) == [("default", [name for name, _ in named(net)])]

    def test_the_default_group_is_there_even_if_empty(self, net: Net) -> None:
        optimizer = make({"parameter_groups": [[["."]]]}, net)
        assert self.groups(optimizer)[-1] == ("default", [])
        train(net, optimizer, 1)

    def test_of_the_seed_without_options(self, net: Net) -> None:
        optimizer = make(
            {
                "type": "adam",
                "lr": 1e-3,
                "parameter_groups": [[["^stem|^norm"]], [["^body"]], [["^head"]]],
            },
            net,
        )
        assert [len(g["params"]) for g in optimizer.param_groups] == [4, 2, 2, 0]
        assert {g["lr"] for g in optimizer.param_groups} == {1e-3}

    def test_take_every_option_of_the_optimizer_and_initial_lr(self, net: Net) -> None:
        options = {"lr": 1, "initial_lr": 0.5, "betas": [0.5, 0.6], "amsgrad": True}
        optimizer = make({"parameter_groups": [[["^head"], options]]}, net)
        group = optimizer.param_groups[0]
        assert (group["lr"], group["initial_lr"], group["amsgrad"]) == (1.0, 0.5, True)
        assert group["betas"] == (0.5, 0.6)
        assert type(group["lr"]) is float
        train(net, optimizer, 1)

    def test_requires_grad_false_freezes_and_drops_a_group(self, net: Net) -> None:
        optimizer = make({"parameter_groups": [[["^stem"], {"requires_grad": False}]]}, net)
        assert [name for name, _ in self.groups(optimizer)] == ["default"]
        assert not net.stem.weight.requires_grad
        before = net.stem.weight.clone()
        train(net, optimizer, 2)
        assert torch.equal(net.stem.weight, before)

    def test_from_python_take_strings_and_patterns(self, net: Net) -> None:
        by_text: Any = [[["^head"]], (("^norm",), {"lr": 0.1})]
        by_pattern: Any = [([re.compile("^head")],), ([re.compile("^norm")], {"lr": 0.1})]
        for groups in (by_text, by_pattern):
            optimizer = Adam(named(net), parameter_groups=groups)
            assert [name for name, _ in self.groups(optimizer)] == ["^head", "^norm", "default"]

    def test_a_parameter_may_match_two_expressions_of_one_group(self, net: Net) -> None:
        optimizer = make({"parameter_groups": [[["^head", "weight"]]]}, net)
        assert len(optimizer.param_groups[0]["params"]) == 5

    def test_that_match_nothing_or_overlap_are_told_all_at_once(self, net: Net) -> None:
        groups = [[["^head"]], [["weight$", "^nothing"]], [["^neither"]]]
        with pytest.raises(ConfigurationError) as raised:
            make({"parameter_groups": groups}, net)
        message = str(raised.value)
        assert 'parameter_groups.1.0.1: "^nothing" matches no parameter' in message
        assert 'parameter_groups.2.0.0: "^neither" matches no parameter' in message
        assert "stem.weight, stem.bias, norm.weight" in message
        assert '"head.weight" belongs to 2 groups: "^head" and "weight$ | ^nothing"' in message
        assert "head.bias belongs" not in message

    def test_faults_of_names_have_a_line_and_a_path_each(self, net: Net) -> None:
        groups = [[["^head"]], [["."]], [["^neither"]]]
        with pytest.raises(ConfigurationFaults) as raised:
            make({"parameter_groups": groups}, net)
        found = {fault.path: fault.message for fault in raised.value.faults}
        assert set(found) == {"parameter_groups.2.0.0", "parameter_groups.1"}
        message = '"head.weight", "head.bias" belong to 2 groups: "^head" and "."'
        assert found["parameter_groups.1"] == message

    def test_of_frozen_parameters_are_an_error_that_says_so(self, net: Net) -> None:
        net.stem.requires_grad_(False)
        with pytest.raises(ConfigurationError) as raised:
            make({"parameter_groups": [[["^stem"]], [["^head"]], [["^gone"]]]}, net)
        message = str(raised.value)
        assert "matches frozen parameters only (requires_grad is false): stem.weight" in message
        assert '"^gone" matches no parameter' in message
        assert "; frozen: stem.weight, stem.bias" in message

    def test_leave_frozen_parameters_out(self, net: Net) -> None:
        net.stem.requires_grad_(False)
        optimizer = make({"parameter_groups": [[["^(stem|norm)"]]]}, net)
        assert optimizer.param_groups[0]["parameter_names"] == ["norm.weight", "norm.bias"]

    def test_of_a_model_without_anything_to_train(self, net: Net) -> None:
        with pytest.raises(ConfigurationError, match="no parameter that requires gradients"):
            make("sgd", net.requires_grad_(False))

    def test_of_a_large_model_list_some_of_its_names(self) -> None:
        model = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(1)) for _ in range(100)])
        with pytest.raises(ConfigurationError, match="and 60 more"):
            make({"parameter_groups": [[["^x"]]]}, model)

    @pytest.mark.parametrize(
        ("groups", "path", "message"),
        [
            ([[["^(stem"]]], "0.0.0", "expected a regular expression"),
            ([["^stem"]], "0.0", "expected list"),
            ([[[]]], "0.0", "expected at least one regular expression"),
            ([[["^stem"], {}, 1]], "0", "found 3 values"),
            ([[["^stem"], {"lr": "fast"}]], "0.1.lr", 'expected float >= 0, found "fast"'),
            ([[["^stem"], {"lr": -1.0}]], "0.1.lr", "expected float >= 0, found -1.0"),
            ([[["^stem"], {"initial_lr": True}]], "0.1.initial_lr", "expected float"),
            ([[["^stem"], {"momentun": 1}]], "0.1.momentun", 'did you mean "momentum"'),
            ([[["^stem"], {"requires_grad": "no"}]], "0.1.requires_grad", "expected bool"),
            ([[["^stem"], {"params": []}]], "0.1.params", "unknown option of SGD"),
        ],
    )
    def test_faults_have_their_path(
        self, groups: list[Any], path: str, message: str, net: Net
    ) -> None:
        with pytest.raises(ConfigurationFaults) as raised:
            make({"type": "sgd", "parameter_groups": groups}, net)
        (fault,) = raised.value.faults
        assert fault.path == f"parameter_groups.{path}"
        assert message in fault.message
        with pytest.raises(ConfigurationError, match=r"parameter_groups\.0"):
            SGD(named(net), parameter_groups=groups)

    def test_faults_of_one_group_do_not_hide_those_of_another(self, net: Net) -> None:
        with pytest.raises(ConfigurationFaults) as raised:
            make({"parameter_groups": [[["("]], [["^head"], {"lr": "x", "pace": 1}]]}, net)
        paths = {fault.path for fault in raised.value.faults}
        assert paths == {
            "parameter_groups.0.0.0",
            "parameter_groups.1.1.lr",
            "parameter_groups.1.1.pace",
        }


def test_refuses_the_state_of_other_parameters(net: Net) -> None:
    state = make({"parameter_groups": [[["^stem"]]]}, net).state_dict()
    other = make({"parameter_groups": [[["^body"]]]}, net)
    with pytest.raises(CheckpointError, match=r"only there \['stem.bias', 'stem.weight'\]"):
        other.load_state_dict(state)


def test_contradicting_options_are_a_configuration_error(net: Net) -> None:
    with pytest.raises(ConfigurationError, match=r"SGD: .*[Nn]esterov"):
        make({"type": "sgd", "nesterov": True}, net)
