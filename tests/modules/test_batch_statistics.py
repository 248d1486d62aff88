"""Layers that refuse a batch with one value per channel."""

from __future__ import annotations

import pytest
import torch

from allencv_al.modules.batch_statistics import (
    is_one_value_error,
    needs_several_items,
    one_value_message,
)


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
