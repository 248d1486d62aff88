"""Files of a checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from allencv_al.common.errors import CheckpointError
from allencv_al.training.checkpoints.checkpoint_files import (
    decode,
    encode,
    read_weights,
    write_weights,
)

WEIGHTS = {
    "a": torch.tensor([[0.1, float("nan")], [float("inf"), -0.0]]),
    "b": torch.arange(3, dtype=torch.int64),
    "c": torch.ones(2, 3, dtype=torch.bfloat16).t(),
    "empty": torch.empty(0, 4),
}


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    write_weights(tmp_path / "w", WEIGHTS)
    found = read_weights(tmp_path / "w")
    assert found.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        assert torch.equal(found[name].nan_to_num(7), tensor.nan_to_num(7))


def test_weights_stay_when_their_file_is_replaced(tmp_path: Path) -> None:
    write_weights(tmp_path / "w", {"a": torch.ones(3)})
    found = read_weights(tmp_path / "w")
    write_weights(tmp_path / "w", {"a": torch.zeros(3)})
    assert found["a"].tolist() == [1, 1, 1]


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "w"
    write_weights(path, {"a": torch.ones(100)})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged: its content is not what was written"):
        read_weights(path)


def test_files_of_others_have_no_digest_and_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "w")
    assert load_file(tmp_path / "w")["a"].tolist() == [1]
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(tmp_path / "w")


def test_a_missing_or_cut_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"w: cannot be read"):
        read_weights(tmp_path / "w")
    (tmp_path / "w").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"w: cannot be read"):
        read_weights(tmp_path / "w")


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
