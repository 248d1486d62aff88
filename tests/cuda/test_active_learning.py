"""Active learning on a GPU: the same picks each time, by every way of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params

Make = Callable[..., Any]

LOGISTIC = {"type": "logistic_regression", "cuda_device": 0}
DESCENT = {
    "type": "gradient_descent",
    "cuda_device": 0,
    "num_epochs": 2,
    "deterministic": True,
    "optimizer": {"type": "adam", "lr": 0.01},
    "enable_default_callbacks": False,
}


def picks(config: dict[str, Any], folder: Path) -> list[list[str]]:
    records = active_learn(Params(config), folder, RunOptions(files=False))
    return [[pick.id for pick in record.picks] for record in records]


@pytest.mark.parametrize("strategy", ["margin", "bald", "k_center", "badge"])
@pytest.mark.parametrize(
    ("trainer", "frozen"), [(LOGISTIC, True), (DESCENT, True), (DESCENT, False)], ids=str
)
def test_two_runs_ask_for_the_same_images(
    digits: Path,
    make_config: Make,
    tmp_path: Path,
    strategy: str,
    trainer: dict[str, Any],
    frozen: bool,
) -> None:
    config = make_config()
    config["train_data_path"] = str(digits / "validation")
    config["validation_data_path"] = None
    config["trainer"] = trainer
    encoder = {"type": "torchvision", "model": "squeezenet1_1", "requires_grad": not frozen}
    resize = {"type": "resize", "height": 32, "width": 32}
    config["dataset_reader"] = {
        "type": "image_classification_directory",
        "augmentation": [resize, {"type": "normalize"}],
    }
    config["model"] = {
        "type": "basic_image_classifier",
        "im2im_encoder": encoder,
        "im2vec_encoder": {"type": "pool", "input_channels": 512},
        "dropout": 0.3,
    }
    config["active_learning"] = {
        "strategy": strategy,
        "initial": {"size": 20},
        "query_size": 10,
        "budget": 40,
        "test_fraction": 0.3,
        "mc_samples": 5,
    }
    config = {key: value for key, value in config.items() if value is not None}
    torch.manual_seed(1)
    first = picks(config, tmp_path / "a")
    torch.manual_seed(2)
    torch.rand(10, device="cuda")
    assert picks(config, tmp_path / "b") == first
    asked = [id for ids in first for id in ids]
    assert len(asked) == len(set(asked)) == 40
