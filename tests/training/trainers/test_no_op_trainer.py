"""The trainer that keeps the weights."""

from __future__ import annotations

from pathlib import Path

import torch
from fixtures.trainer_parts import Make

from allencv_al.training.checkpoints.checkpoint_files import read_weights
from allencv_al.training.trainers.base import Trainer


def test_the_no_op_trainer_keeps_the_weights(small_model: Make, tmp_path: Path) -> None:
    model = small_model()
    trainer = Trainer.from_params("no_op", model=model, serialization_dir=tmp_path)
    assert trainer.train() == {}
    best = read_weights(tmp_path / "best.safetensors")
    assert torch.equal(best["conv.weight"], model.conv.weight.cpu())
