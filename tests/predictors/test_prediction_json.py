"""What models give, as strict JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.predictors.prediction_json import dump_line, rows_of_outputs, to_json_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        (math.nan, None),
        (-math.inf, None),
        ("None", "None"),
        (torch.tensor([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5, math.nan]), [0.5, None]),
        (torch.tensor([0.5], dtype=torch.bfloat16, requires_grad=True), [0.5]),
        (np.array([1.5, math.inf]), [1.5, None]),
        (np.float32(0.25), 0.25),
        (np.int64(7), 7),
        (np.bool_(True), True),
        ((1, (2,)), [1, [2]]),
        ({1: None, "a": Path("x/y")}, {"1": None, "a": "x/y"}),
    ],
)
def test_values(value: Any, expected: Any) -> None:
    converted = to_json_value(value)
    assert converted == expected
    assert type(converted) is type(expected)
    json.dumps(converted, allow_nan=False)


def test_what_json_has_nothing_for_is_an_error() -> None:
    with pytest.raises(TypeError, match="complex"):
        to_json_value([1j])


def test_a_line_is_one_line_of_ascii() -> None:
    line = dump_line({"class": "Käuzchen\n\u2028\udcff"})
    assert line.isascii()
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert json.loads(line) == {"class": "Käuzchen\n\u2028\udcff"}


def test_outputs_without_a_value_per_image_are_left_out() -> None:
    outputs = {
        "logits": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "class": ["a", "b"],
        "loss": torch.tensor(0.5),
        "attention": torch.zeros(3),
        "name": "ab",
        "nothing": None,
    }
    assert rows_of_outputs(outputs, 2) == [
        {"logits": [1.0, 2.0], "class": "a"},
        {"logits": [3.0, 4.0], "class": "b"},
    ]
