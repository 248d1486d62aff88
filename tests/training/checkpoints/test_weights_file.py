"""Weights on disk come back bit by bit, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from allencv_al.common.errors import CheckpointError
from allencv_al.training.checkpoints.weights_file import read_weights, write_weights

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
