"""Batches of one image, and models with batch norms, which may have no statistics of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from overrides import overrides

from allencv_al.common import Lazy
from allencv_al.common.errors import DataError
from allencv_al.data.data_loaders import MultiprocessDataLoader
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.training.learning_rate_finder import try_learning_rates
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.trainers.gradient_descent_trainer import GradientDescentTrainer

VOCAB = Vocabulary({"labels": {"cat": 1, "dog": 1}})
Layer = Callable[[], torch.nn.Module]


class Listed(DatasetReader):
    @overrides
    def _read(self, path: Path) -> list[Instance]:
        return []


class Pooled(Model):
    """The norm sees one value per image and channel."""

    def __init__(self, norm: torch.nn.Module) -> None:
        super().__init__(VOCAB)
        torch.manual_seed(0)
        self.norm = norm
        self.linear = torch.nn.Linear(3, 2)

    def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> dict[str, Any]:
        pooled = image.mean(dim=(2, 3), keepdim=not isinstance(self.norm, torch.nn.BatchNorm1d))
        logits = self.linear(self.norm(pooled).flatten(1))
        outputs = {"logits": logits}
        if label is not None:
            outputs["loss"] = torch.nn.functional.cross_entropy(logits, label)
        return outputs


def dataset(size: int, broken: tuple[int, ...] = (), folder: Path | None = None) -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (size, 4, 4, 3), dtype=np.uint8)
    items: list[Instance] = []
    for index in range(size):
        image: Any = pixels[index]
        if index in broken:
            assert folder is not None
            image = folder / f"{index}.png"
            image.write_text("no image")
        items.append(Instance(id=f"{index}.png", image=image, label=("cat", "dog")[index % 2]))
    return Dataset(Listed(max_unreadable=1.0), items)


def make_trainer(
    data: Dataset, norm: torch.nn.Module, folder: Path | None = None, **loader: Any
) -> GradientDescentTrainer:
    return GradientDescentTrainer(
        Pooled(norm),
        MultiprocessDataLoader(data, VOCAB, **{"batch_size": 4, **loader}),
        serialization_dir=folder,
        num_epochs=2,
        cuda_device=-1,
        precision="fp32",
        enable_default_callbacks=False,
        run_confidence_checks=False,
        optimizer=Lazy(Optimizer.by_name("sgd"), lr=0.1),
    )


@pytest.mark.parametrize(
    "norm",
    [
        lambda: torch.nn.BatchNorm1d(3),
        lambda: torch.nn.BatchNorm2d(3, affine=False),
        lambda: torch.nn.GroupNorm(3, 3),
    ],
)
def test_a_last_single_image_is_learned_from_with_the_batch_before(norm: Layer) -> None:
    trainer = make_trainer(dataset(9), norm())
    assert trainer.train()["epoch"] == 1
    assert trainer.steps_completed == 4
    assert [len(batch) for batch in trainer.data_loader.batches(0)] == [4, 5]


def test_without_such_layers_batches_stay_as_they_are() -> None:
    frozen = torch.nn.BatchNorm1d(3).requires_grad_(False)
    for norm in (torch.nn.Identity(), torch.nn.LayerNorm([3, 1, 1]), frozen):
        trainer = make_trainer(dataset(9), norm)
        trainer.train()
        assert trainer.steps_completed == 6


def test_a_single_image_that_is_left_over_by_unreadable_ones_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = dataset(6, broken=(5,), folder=tmp_path)
    trainer = make_trainer(data, torch.nn.BatchNorm1d(3), shuffle=False)
    assert trainer.train()["epoch"] == 1
    assert trainer.steps_completed == 2
    assert "epoch 0/1 without 4.png" in caplog.text


@pytest.mark.parametrize(("size", "batch_size"), [(1, 4), (4, 1)])
def test_where_nothing_can_be_merged_the_error_says_what_would_be_right(
    size: int, batch_size: int
) -> None:
    trainer = make_trainer(dataset(size), torch.nn.BatchNorm1d(3), batch_size=batch_size)
    with pytest.raises(DataError, match=r"batch of \d.png: .*expected a batch_size of 2 or more"):
        trainer.train()


def test_a_norm_that_sees_one_value_in_any_batch_says_so() -> None:
    trainer = make_trainer(dataset(4), torch.nn.InstanceNorm2d(3))
    with pytest.raises(DataError, match=r"one value per channel of each image.*larger images"):
        trainer.train()


def test_batch_size_1_works_where_the_maps_are_large_enough() -> None:
    class Large(Pooled):
        def forward(self, image: Any, label: Any = None) -> dict[str, Any]:
            logits = self.linear(self.norm(image).mean(dim=(2, 3)))
            return {"loss": torch.nn.functional.cross_entropy(logits, label), "logits": logits}

    trainer = make_trainer(dataset(3), torch.nn.BatchNorm2d(3), batch_size=1)
    trainer.model.forward = Large(trainer.model.norm).forward  # type: ignore[method-assign,arg-type]
    trainer.train()
    assert trainer.steps_completed == 6


def test_find_lr_merges_too() -> None:
    trainer = make_trainer(dataset(9), torch.nn.BatchNorm1d(3))
    assert len(try_learning_rates(trainer, trainer.data_loader, num_batches=11).losses) == 11


def test_a_run_that_goes_on_sees_the_same_batches(tmp_path: Path) -> None:
    whole = make_trainer(dataset(9), torch.nn.BatchNorm1d(3), num_workers=1)
    whole.train()
    whole.data_loader.close()
    parted = make_trainer(dataset(9), torch.nn.BatchNorm1d(3), tmp_path)
    parted.num_epochs = 1
    parted.train()
    recovered = make_trainer(dataset(9), torch.nn.BatchNorm1d(3), tmp_path)
    recovered.train(recover=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, recovered.model.state_dict()[name])
