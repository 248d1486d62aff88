"""A small data set and the configs of small runs, which take a second or two each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CLASSES = ("one", "two", "zero")  # sorted, as a vocabulary is

Config = dict[str, Any]
MakeConfig = Callable[..., Config]


def write_digits(folder: Path, per_class: int = 20, first: int = 0) -> Path:
    """Write handwritten digits of three classes, 8 x 8 pixels, as `folder/CLASS/NUMBER.png`."""
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=3)
    names = ("zero", "one", "two")
    for digit, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        numbers = np.flatnonzero(digits.target == digit)[first : first + per_class]
        for number in numbers.tolist():
            pixels = (digits.images[number] * 15.9).astype(np.uint8)
            Image.fromarray(pixels).convert("RGB").save(folder / name / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 60 digits of the classes zero, one and two; tests must not change it."""
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def make_digits() -> Callable[..., Path]:
    """Return a function that writes digits to a folder of a test's own."""
    return write_digits


@pytest.fixture
def linear_config(digits: Path) -> MakeConfig:
    """Return a function that makes the config of a linear classifier on the pixels.

    Its encoder has nothing to train, so images are encoded once. Keyword arguments are keys of the
    block `active_learning`; a `_` begins those of the config itself.
    """

    def make(data: Path = digits, **keys: Any) -> Config:
        config: Config = {
            "dataset_reader": {"type": "image_classification_directory"},
            "train_data_path": str(data),
            "model": {
                "type": "basic_image_classifier",
                "im2vec_encoder": {
                    "type": "flatten",
                    "input_channels": 3,
                    "input_height": 8,
                    "input_width": 8,
                },
            },
            "trainer": {"type": "logistic_regression", "cuda_device": -1},
            "active_learning": {
                "initial": {"size": 4},
                "query_size": 4,
                "budget": 12,
                "test_fraction": 0.4,
            },
        }
        return _with(config, keys)

    return make


@pytest.fixture
def network_config(digits: Path) -> MakeConfig:
    """Return a function that makes the config of a small network that trains; see above."""

    def make(data: Path = digits, **keys: Any) -> Config:
        config: Config = {
            "dataset_reader": {"type": "image_classification_directory"},
            "train_data_path": str(data),
            "model": {
                "type": "basic_image_classifier",
                "im2im_encoder": {
                    "type": "feedforward",
                    "input_channels": 3,
                    "num_layers": 1,
                    "hidden_channels": 4,
                    "activations": "relu",
                },
                "im2vec_encoder": {
                    "type": "flatten",
                    "input_channels": 4,
                    "input_height": 8,
                    "input_width": 8,
                },
                "dropout": 0.2,
            },
            "data_loader": {"batch_size": 4},
            "trainer": {
                "type": "gradient_descent",
                "num_epochs": 1,
                "cuda_device": -1,
                "precision": "fp32",
                "optimizer": {"type": "adam", "lr": 0.01},
                "enable_default_callbacks": False,
                "run_confidence_checks": False,
            },
            "active_learning": {
                "initial": {"size": 4},
                "query_size": 4,
                "budget": 12,
                "test_fraction": 0.4,
            },
        }
        return _with(config, keys)

    return make


def _with(config: Config, keys: Config) -> Config:
    for key, value in keys.items():
        target = config if key.startswith("_") else config["active_learning"]
        target[key.removeprefix("_")] = value
    # None takes a key away: most of them may not be null
    config["active_learning"] = {
        key: value for key, value in config["active_learning"].items() if value is not None
    }
    return {key: value for key, value in config.items() if value is not None}
