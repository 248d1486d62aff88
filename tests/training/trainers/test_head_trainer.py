"""The base of the trainers that fit a head on the embeddings of a frozen encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.colored_images import Images, model

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import TrainingError
from allencv_al.training.trainers.head_trainer import LinearHeadTrainer


class FirstClassTrainer(LinearHeadTrainer):
    """Predicts the first class; keeps what it was given."""

    def fit(self, ids: Any, features: Any, labels: Any) -> dict[str, Any]:
        self.given = ids, features, labels
        layer = self.model.linear_layer
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor([5.0, 0, 0, 0]))
        return {"chosen": 1}


def trainer(loader: Images, folder: Path | None = None, **options: Any) -> FirstClassTrainer:
    arguments = {"model": model(), "validation_data_loader": None, "cuda_device": -1, **options}
    return FirstClassTrainer(data_loader=loader, serialization_dir=folder, **arguments)


def test_all_images_are_fitted_at_once_by_their_embeddings() -> None:
    loader = Images((0, 1, 2, 3))
    fitted = trainer(loader)
    assert not fitted.has_result
    metrics = fitted.train()
    ids, features, labels = fitted.given
    assert fitted.has_result and ids[:8] == [*(f"0/{n}" for n in range(7)), "1/0"]
    np.testing.assert_allclose(features, loader.pixels, rtol=1e-6)
    assert np.array_equal(labels, loader.labels)
    assert (metrics["training_images"], metrics["chosen"]) == (60, 1)
    assert metrics["training_accuracy"] == pytest.approx(np.mean(loader.labels == 0))


def test_it_measures_and_leaves_what_an_archive_needs(tmp_path: Path) -> None:
    loader = Images((0, 1, 2, 3))
    metrics = trainer(loader, tmp_path, validation_data_loader=loader).train()
    assert metrics["validation_accuracy"] == pytest.approx(metrics["training_accuracy"])
    assert metrics["best_validation_accuracy"] == metrics["validation_accuracy"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    found = {path.name for path in tmp_path.iterdir()}
    assert {"best.safetensors", "environment.json", "confusion_matrix.png"} <= found


def test_weights_are_written_before_anything_is_measured(tmp_path: Path) -> None:
    class Unreadable(Images):
        def batches(self, epoch: int, start: int = 0) -> Any:
            raise OSError("it cannot be read")

    with pytest.raises(OSError, match="cannot be read"):
        trainer(Images((0, 1)), tmp_path, validation_data_loader=Unreadable((0, 1))).train()
    assert (tmp_path / "best.safetensors").is_file() and not (tmp_path / "metrics.json").exists()


def test_loaders_are_replaced() -> None:
    first, second = Images((0, 1)), Images((2,), count=9)
    fitted = trainer(first, validation_data_loader=first)
    fitted.replace_loaders(lambda loader, precision: second)
    metrics = fitted.train()
    assert metrics["training_images"] == 9 and metrics["validation_accuracy"] == 0


def test_an_encoder_that_trains_is_refused() -> None:
    encoder = {"type": "cifar_resnet", "depth": 20, "requires_grad": True}
    training = model(im2im_encoder=encoder, im2vec_encoder={"type": "pool", "input_channels": 64})
    with pytest.raises(ConfigurationError, match="requires_grad: false"):
        trainer(Images((0, 1)), model=training)


def test_unlabeled_images_cannot_be_fitted() -> None:
    with pytest.raises(TrainingError, match=r"no label for one of 0/0, 0/1, 0/2"):
        trainer(Images((0, 1), labeled=False)).train()


def test_without_images_there_is_nothing_to_fit() -> None:
    with pytest.raises(TrainingError, match="gave no batches"):
        trainer(Images((0, 1), count=0)).train()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_no_numbers_are_named(value: float) -> None:
    loader = Images((0, 1, 2))
    loader.pixels[8, 1] = value
    with pytest.raises(TrainingError, match=r"1 of 60 images hold NaN or infinity \(1/1\)"):
        trainer(loader).train()
