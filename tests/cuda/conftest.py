"""What runs on a GPU. Without one these tests skip; `ALLENCV_AL_REQUIRE_GPU=1` makes that fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import Lazy
from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.sample_data.digits import write_digits
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.training.checkpoints.checkpointer import Checkpointer
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.trainers.gradient_descent_trainer import GradientDescentTrainer

Config = dict[str, Any]

READER: Config = {
    "type": "image_classification_directory",
    "augmentation": [{"type": "normalize", "mean": [0.3, 0.3, 0.3], "std": [0.4, 0.4, 0.4]}],
}
# Convolutions, batch norms with running statistics, and a dropout that draws on the device
MODEL: Config = {
    "type": "basic_image_classifier",
    "im2im_encoder": {"type": "cifar_resnet", "depth": 8, "base_width": 8},
    "im2vec_encoder": {"type": "pool", "input_channels": 32},
    "dropout": 0.2,
}
CLASSES = tuple("0123456789")


@pytest.fixture(scope="session", autouse=True)
def gpu() -> torch.device:
    """The first GPU."""
    if not torch.cuda.is_available():
        reason = "torch finds no GPU"
        if os.environ.get("ALLENCV_AL_REQUIRE_GPU"):
            pytest.fail(f"required by ALLENCV_AL_REQUIRE_GPU, but {reason}")
        pytest.skip(reason)
    return torch.device("cuda", 0)


@pytest.fixture(scope="session")
def digits(gpu: torch.device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,797 handwritten digits in three splits; tests must not change them."""
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture
def make_config(digits: Path) -> Callable[..., Config]:
    """Return a function that makes the config of a small training; options are the trainer's."""

    def make(**trainer: Any) -> Config:
        return {
            "dataset_reader": READER,
            "train_data_path": str(digits / "train"),
            "validation_data_path": str(digits / "validation"),
            "model": MODEL,
            "data_loader": {"batch_size": 32},
            "trainer": {
                "num_epochs": 6,
                "cuda_device": 0,
                "validation_metric": "+accuracy",
                "optimizer": {"type": "adamw", "lr": 0.01},
                **trainer,
            },
        }

    return make


@pytest.fixture(scope="session")
def vocab() -> Vocabulary:
    """The classes of the digits."""
    return Vocabulary({"labels": dict.fromkeys(CLASSES, 1)})


@pytest.fixture(scope="session")
def make_model(vocab: Vocabulary) -> Callable[..., Model]:
    """Return a function that makes the same small classifier each time; options are its own."""

    def make(seed: int = 0, **options: Any) -> Model:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Model.from_params({**MODEL, **options}, vocab=vocab)

    return make


@pytest.fixture
def make_trainer(
    digits: Path, vocab: Vocabulary, make_model: Callable[..., Model]
) -> Callable[..., GradientDescentTrainer]:
    """Return a function that makes a trainer of a new model; options are the trainer's."""
    reader = DatasetReader.from_params(READER)
    datasets = {split: reader.read(digits / split) for split in ("train", "validation")}

    def loader(split: str, **options: Any) -> DataLoader:
        parts = {"dataset": datasets[split], "vocab": vocab}
        return DataLoader.from_params({"batch_size": 64, **options}, **parts)

    def make(folder: Path | None = None, **options: Any) -> GradientDescentTrainer:
        defaults: dict[str, Any] = {
            "model": make_model(),
            "data_loader": loader("train", batches_per_epoch=6),
            "validation_data_loader": loader("validation", evaluating=True),
            "serialization_dir": folder,
            "num_epochs": 2,
            "cuda_device": 0,
            "precision": "fp32",
            "enable_default_callbacks": False,
            "optimizer": Lazy(Optimizer.by_name("adam"), lr=0.01),
            "checkpointer": None if folder is None else Lazy(Checkpointer),
        }
        torch.manual_seed(1)  # the device's generator too, which dropout draws from
        return GradientDescentTrainer(**{**defaults, **options})

    return make


@pytest.fixture
def little_memory(gpu: torch.device) -> Iterator[Callable[[int], None]]:
    """Return a function that leaves this process so many bytes of the GPU's memory."""
    total = torch.cuda.get_device_properties(gpu).total_memory

    def leave(bytes_left: int) -> None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        used = torch.cuda.memory_reserved(gpu)
        torch.cuda.set_per_process_memory_fraction((used + bytes_left) / total, gpu)

    yield leave
    torch.cuda.set_per_process_memory_fraction(1.0, gpu)
    torch.cuda.empty_cache()
