"""Regular expressions on the names of parameters."""

from __future__ import annotations

import re

import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.modules.parameter_names import compiled, first_matches

NAMES = ["encoder.weight", "encoder.bias", "head.weight"]


def test_the_first_expression_that_is_found_gives_the_value() -> None:
    pairs = [(re.compile("bias$"), "zero"), (re.compile("encoder"), "he"), (re.compile("t$"), "x")]
    assert first_matches("initializer", pairs, NAMES) == {
        "encoder.bias": "zero",
        "encoder.weight": "he",
        "head.weight": "x",
    }


def test_a_name_whose_value_is_none_is_left_out() -> None:
    pairs = [(re.compile("head"), None), (re.compile("weight"), "he")]
    assert first_matches("initializer", pairs, NAMES) == {"encoder.weight": "he"}


def test_an_expression_that_is_in_no_name_lists_the_names() -> None:
    with pytest.raises(ConfigurationError, match=r"'decoder' is found in no.*encoder\.bias"):
        first_matches("initializer", [(re.compile("decoder"), "he")], NAMES)


def test_a_text_that_does_not_compile_is_named() -> None:
    assert compiled("a+") == re.compile("a+")
    with pytest.raises(ConfigurationError, match=r"'\(' is not a regular expression"):
        compiled("(")
