"""What the base of the optimizers checks."""

from __future__ import annotations

import pytest
from fixtures.optimizer_parts import Net, make

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import CheckpointError


def test_refuses_the_state_of_other_parameters(net: Net) -> None:
    state = make({"parameter_groups": [[["^stem"]]]}, net).state_dict()
    other = make({"parameter_groups": [[["^body"]]]}, net)
    with pytest.raises(CheckpointError, match=r"only there \['stem.bias', 'stem.weight'\]"):
        other.load_state_dict(state)


def test_contradicting_options_are_a_configuration_error(net: Net) -> None:
    with pytest.raises(ConfigurationError, match=r"SGD: .*[Nn]esterov"):
        make({"type": "sgd", "nesterov": True}, net)
