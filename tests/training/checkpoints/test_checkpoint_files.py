from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import CheckpointError
from allencv_al.training.checkpoints.checkpoint_files import decode, encode

json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
states = st.recursive(
    json_scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)


def through_json(state: Any) -> Any:
    tree, tensors = encode(state, lambda name, tensor: tensor.clone())
    return decode(json.loads(json.dumps(tree, allow_nan=False)), tensors)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@given(states)
def test_any_nesting_comes_back_the_same(state: Any) -> None:
    assert same(through_json(state), state)


def test_tensors_come_back_with_dtype_and_layout() -> None:
    weight = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    state = {
        0: {"exp_avg": weight, "step": torch.tensor(7.0)},
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
    }
    found = through_json(state)
    assert torch.equal(found[0]["exp_avg"], weight)
    assert found[0]["exp_avg"].stride() == weight.stride()
    assert found[0]["step"].shape == ()
    assert found["half"].dtype == torch.bfloat16


def test_numpy_numbers_become_plain_ones() -> None:
    assert through_json({"a": np.float64(0.1), "b": np.int64(3)}) == {"a": 0.1, "b": 3}


def test_a_key_that_looks_like_a_mark_is_kept() -> None:
    state = {"__tuple__": [1], "__tensor__": "x"}
    assert through_json(state) == state


def test_what_cannot_be_saved_is_named_with_its_place() -> None:
    with pytest.raises(CheckpointError, match=r"state\.callbacks\.0\.seen: a set cannot be saved"):
        encode({"callbacks": [{"seen": {1, 2}}]}, lambda name, tensor: tensor)
