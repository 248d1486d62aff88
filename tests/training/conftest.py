"""A small model and loader that train in milliseconds, with everything a real one has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from allencv_al.common import Lazy
from allencv_al.data.batch import Batch
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics.classification import CategoricalAccuracy, ConfusionMatrix
from allencv_al.models.model import Model
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.trainers.gradient_descent_trainer import GradientDescentTrainer

CLASSES = ("cat", "dog", "owl")


class SmallModel(Model):
    """Batch norm has running statistics, dropout draws random numbers, metrics have sums."""

    def __init__(self, vocab: Vocabulary, seed: int = 0) -> None:
        super().__init__(vocab)
        torch.manual_seed(seed)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.linear = torch.nn.Linear(4, len(CLASSES))
        self._accuracy = CategoricalAccuracy()
        self._confusion = ConfusionMatrix()

    def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> dict[str, Any]:
        features = F.relu(self.norm(self.conv(image))).mean(dim=(2, 3))
        logits = self.linear(F.dropout(features, 0.3, self.training)).float()
        outputs = {"logits": logits, "probs": logits.softmax(-1)}
        if label is not None:
            outputs["loss"] = F.cross_entropy(logits, label)
            self._accuracy(logits, label)
            self._confusion(logits, label)
        return outputs

    def get_metrics(self, reset: bool = False) -> dict[str, Any]:
        return {
            "accuracy": self._accuracy.get_metric(reset),
            "confusion_matrix": self._confusion.get_metric(reset),
        }


class SmallLoader:
    """Batches that depend on the epoch and their number only, as the real loaders' do."""

    def __init__(self, count: int = 5, batch_size: int = 6, seed: int = 7) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.hook: Callable[[int, int], None] = lambda epoch, index: None
        self.shuffle = True

    def __len__(self) -> int:
        return self.count

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        torch.rand(1)  # as torch's loader draws a seed for its workers
        for index in range(start, self.count):
            self.hook(epoch, index)
            generator = torch.Generator().manual_seed(self.seed + 1000 * epoch + index)
            label = torch.randint(len(CLASSES), (self.batch_size,), generator=generator)
            image = torch.rand(self.batch_size, 3, 6, 6, generator=generator)
            image[:, 0] += label[:, None, None] * 0.3
            ids = [f"e{epoch}/b{index}/{item}.png" for item in range(self.batch_size)]
            yield Batch({"image": image, "label": label}, ids, index=index)

    def to_device(
        self,
        batch: Batch,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> dict[str, Any]:
        return {name: tensor.to(device) for name, tensor in batch.tensors.items()}

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def vocab() -> Vocabulary:
    return Vocabulary({"labels": dict.fromkeys(CLASSES, 1)})


@pytest.fixture(scope="session")
def small_model(vocab: Vocabulary) -> Callable[..., SmallModel]:
    return lambda **options: SmallModel(vocab, **options)


@pytest.fixture(scope="session")
def small_loader() -> type[SmallLoader]:
    return SmallLoader


@pytest.fixture(scope="session")
def make_trainer(vocab: Vocabulary) -> Callable[..., GradientDescentTrainer]:
    """Return a function that makes a trainer of a new model; options are the trainer's."""

    def make(folder: Path | None = None, **options: Any) -> GradientDescentTrainer:
        defaults: dict[str, Any] = {
            "model": SmallModel(vocab),
            "data_loader": SmallLoader(),
            "validation_data_loader": SmallLoader(count=2, seed=99),
            "serialization_dir": folder,
            "num_epochs": 3,
            "cuda_device": -1,
            "precision": "fp32",
            "enable_default_callbacks": False,
            "optimizer": Lazy(Optimizer.by_name("adam"), lr=0.01),
        }
        torch.manual_seed(1)
        return GradientDescentTrainer(**{**defaults, **options})

    return make
