"""The base of models, devices, and batches of one image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.common import Params
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics import CategoricalAccuracy
from allencv_al.models import Model
from allencv_al.models.model import (
    checked_outputs,
    flushed_denormals,
    is_one_value_error,
    needs_several_items,
    one_value_message,
)
from allencv_al.modules import RegularizerApplicator


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (torch.nn.BatchNorm2d(4), (1, 4, 1, 1)),
        (torch.nn.GroupNorm(4, 4), (1, 4, 1, 1)),
    ],
)
def test_the_error_of_torch_is_recognized(layer: torch.nn.Module, shape: tuple[int, ...]) -> None:
    model = torch.nn.Sequential(layer)
    assert needs_several_items(model)
    with pytest.raises(ValueError, match="Expected more than 1") as caught:
        model(torch.zeros(shape))
    assert is_one_value_error(caught.value)
    assert not is_one_value_error(ValueError("another"))


def test_layers_that_evaluate_or_do_not_normalize_take_one_item() -> None:
    assert not needs_several_items(torch.nn.Sequential(torch.nn.BatchNorm2d(4)).eval())
    assert not needs_several_items(torch.nn.Linear(2, 2))


def test_the_message_has_the_remedy_for_the_size_of_the_batch() -> None:
    assert "a batch_size of 2 or more" in one_value_message(1, "cause")
    assert "batch_size" not in one_value_message(2, "cause")


def test_they_are_zero_within_and_as_before_afterwards(tiny_product: Callable[[], float]) -> None:
    assert tiny_product() > 0
    with flushed_denormals():
        assert tiny_product() == 0
        with flushed_denormals():
            assert tiny_product() == 0
        assert tiny_product() == 0
    assert tiny_product() > 0


class Pixels(Model):
    """A user's model: one batch norm, one linear layer."""

    def __init__(self, vocab: Vocabulary, regularizer: RegularizerApplicator | None = None) -> None:
        super().__init__(vocab, regularizer)
        self.norm = torch.nn.BatchNorm2d(3)
        self.linear = torch.nn.Linear(3, 2)
        self.accuracy = CategoricalAccuracy()

    def forward(
        self, image: torch.Tensor, label: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        logits = self.linear(self.norm(image).mean((2, 3)))
        if label is not None:
            self.accuracy(logits, label)
        return {"logits": logits}


@pytest.fixture
def vocab() -> Vocabulary:
    return Vocabulary({"labels": {"cat": 1, "dog": 1}})


def test_frozen_batch_norm_keeps_its_statistics_in_training(vocab: Vocabulary) -> None:
    model = Pixels(vocab)
    images = torch.rand(4, 3, 5, 5)
    model.norm.requires_grad_(False)  # as gradual unfreezing and no_grad do
    model.train()(images)
    assert model.norm.running_mean is not None
    assert model.norm.running_mean.eq(0).all()
    model.norm.requires_grad_(True)
    model.train()(images)
    assert model.norm.running_mean.ne(0).any()


def test_metrics_go_on_from_a_checkpoint(vocab: Vocabulary) -> None:
    first, second = Pixels(vocab), Pixels(vocab)
    second.load_state_dict(first.state_dict())
    assert first.metric_state() == {}
    first(torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 0, 1]))
    second(torch.rand(9, 3, 5, 5), torch.zeros(9, dtype=torch.int64))
    second.load_metric_state(first.metric_state())
    assert second.accuracy.get_metric() == first.accuracy.get_metric()
    second.load_metric_state({})
    assert second.accuracy.get_metric() == 0


def test_metrics_are_not_among_the_weights(vocab: Vocabulary) -> None:
    model = Pixels(vocab)
    before = set(model.state_dict())
    model(torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 0, 1]))
    assert set(model.state_dict()) == before


def test_the_penalty_is_that_of_the_regularizer(vocab: Vocabulary) -> None:
    assert Pixels(vocab).get_regularization_penalty() is None
    applicator = RegularizerApplicator.from_params({"regexes": [["linear.weight", "l1"]]})
    model = Pixels(vocab, applicator)
    penalty = model.get_regularization_penalty()
    assert penalty is not None
    assert penalty.item() == pytest.approx(0.01 * model.linear.weight.abs().sum().item())


def test_a_users_model_takes_part_by_one_decorator(vocab: Vocabulary) -> None:
    Model.register("pixels_of_a_test", exist_ok=True)(Pixels)
    config: dict[str, Any] = {"type": "pixels_of_a_test"}
    assert isinstance(Model.from_params(Params(config), vocab=vocab), Pixels)


class Odd(Pixels):
    """Reports what libraries give, and a loss of shape [1]."""

    def get_metrics(self, reset: bool = False) -> dict[str, Any]:
        return {"a": np.float32(0.5), "b": torch.tensor([1]), "c": np.arange(2), "d": torch.ones(2)}


def test_metrics_of_numpy_and_torch_become_numbers_and_lists(vocab: Vocabulary) -> None:
    assert Odd(vocab).collect_metrics() == {"a": 0.5, "b": 1, "c": [0, 1], "d": [1.0, 1.0]}


def test_a_loss_of_one_number_loses_its_dimension(vocab: Vocabulary) -> None:
    outputs = checked_outputs(Odd(vocab), {"loss": torch.ones(1, 1), "x": 1})
    assert outputs["loss"].shape == ()
    assert outputs["x"] == 1
