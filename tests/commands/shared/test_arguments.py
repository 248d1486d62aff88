"""Values of arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.commands.shared import arguments
from allencv_al.common.errors import ConfigurationError


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (arguments.port, "0", 0),
        (arguments.positive_int, "12", 12),
        (arguments.positive_float, "1e-3", 0.001),
        (arguments.seeds, "3", (0, 1, 2)),
        (arguments.seeds, " 3 ", (0, 1, 2)),
        (arguments.seeds, "3-5", (3, 4, 5)),
        (arguments.seeds, "7-7", (7,)),
        (arguments.seeds, "9-11, 2,5", (2, 5, 9, 10, 11)),
        (arguments.cuda_device, "auto", "auto"),
        (arguments.cuda_device, "-1", -1),
        (arguments.external_variable, "A=b=c", ("A", "b=c")),
        (arguments.external_variable, "A=", ("A", "")),
    ],
)
def test_texts_are_converted(convert: Callable[[str], Any], text: str, value: Any) -> None:
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text", "expected"),
    [
        (arguments.port, "65536", "a port from 0 to 65535"),
        (arguments.positive_int, "0", "an integer of at least 1"),
        (arguments.positive_int, "1.5", "an integer of at least 1"),
        (arguments.seeds, "0", "a number of seeds from 1 to 10000"),
        (arguments.seeds, "1000000000", "a number of seeds from 1 to 10000"),
        (arguments.seeds, "5-3", "a number of seeds, or seeds such as 3-7 or 2,5,9-11"),
        (arguments.seeds, "1;2", "a number of seeds, or seeds such as 3-7 or 2,5,9-11"),
        (arguments.seeds, "0-99999999", "a number of seeds, or seeds such as 3-7 or 2,5,9-11"),
        (arguments.positive_float, "inf", "a number above 0"),
        (arguments.positive_float, "nan", "a number above 0"),
        (arguments.cuda_device, "-2", '-1 (CPU), the number of a GPU, or "auto"'),
        (arguments.external_variable, "=b", "name=value"),
        (arguments.external_variable, "A", "name=value"),
    ],
)
def test_a_value_out_of_range_is_named(
    convert: Callable[[str], Any], text: str, expected: str
) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        convert(text)
    assert str(caught.value) == f'expected {expected}, found "{text}"'


def test_a_seed_that_is_named_twice_is_a_mistake() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="found 4 twice"):
        arguments.seeds("3-5,4")


def test_a_run_needs_a_folder_unless_it_is_dry() -> None:
    arguments.check_run_folder(argparse.Namespace(serialization_dir=None, dry_run=True), "train")
    with pytest.raises(ConfigurationError, match="train: needs -s DIR"):
        arguments.check_run_folder(
            argparse.Namespace(serialization_dir=None, dry_run=False), "train"
        )


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "predict", "find-lr", "active-learn", "compare"]
)
def test_overrides_given_twice_are_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "a", "b", "-o", '{"x": 1}', "-o", '{"y": 2}']) == 2
    message = "argument -o/--overrides: given twice; put all keys into one object"
    assert message in capsys.readouterr().err


def test_the_help_says_that_an_override_replaces_an_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", "--help"]) == 0
    assert "replaces the whole object" in " ".join(capsys.readouterr().out.split())
