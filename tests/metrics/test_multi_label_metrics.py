"""Metrics of several classes per image, beside scikit-learn's."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch import Tensor

from allencv_al.metrics.multi_label_metrics import MultiLabelMetrics

NAMES = ("ant", "bee", "cat", "dog")


def values_of(logits: Tensor, gold: Tensor, size: int) -> dict[str, Any]:
    metrics = MultiLabelMetrics(logits.shape[1])
    for some, labels in zip(logits.split(size), gold.split(size), strict=True):
        metrics(some, some >= 0, labels)
    return metrics.values(NAMES[: logits.shape[1]])


@pytest.mark.parametrize("seed", range(5))
def test_values_equal_scikit_learns_however_images_are_cut_into_batches(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Rounded, so that scores tie; no image shows the last class
    logits = torch.randn(60, 4, generator=generator).round(decimals=1)
    gold = (torch.rand(60, 4, generator=generator) < torch.tensor([0.5, 0.2, 0.1, 0])).float()
    truth, predicted = gold.numpy().astype(int), (logits >= 0).numpy().astype(int)
    found = values_of(logits, gold, 60)
    assert found == values_of(logits, gold, 7)
    near = {"abs": 1e-9}
    for average in ("macro", "micro"):
        scores = sklearn_metrics.precision_recall_fscore_support(
            truth, predicted, average=average, zero_division=np.nan
        )
        for name, value in zip(("precision", "recall", "f1"), scores, strict=False):
            assert found[f"{average}_{name}"] == pytest.approx(value, **near)
    whole = sklearn_metrics.accuracy_score(truth, predicted)
    assert found["subset_accuracy"] == pytest.approx(whole, **near)
    hamming = sklearn_metrics.hamming_loss(truth, predicted)
    assert found["hamming_loss"] == pytest.approx(hamming, **near)
    by_class = [
        sklearn_metrics.average_precision_score(truth[:, c], logits[:, c]) for c in range(3)
    ]
    assert list(found["per_class_average_precision"].values()) == [
        *map(pytest.approx, by_class),
        None,
    ]
    assert found["mean_average_precision"] == pytest.approx(np.mean(by_class), **near)
    json.dumps(found, allow_nan=False)


def test_what_is_not_known_counts_nowhere() -> None:
    logits = torch.tensor([[1.0, -1.0], [2.0, 3.0], [-1.0, -2.0]])
    gold = torch.tensor([[1.0, -1.0], [-1.0, -1.0], [1.0, 0.0]])
    found = values_of(logits, gold, 3)
    assert found["per_class_f1"] == {"ant": pytest.approx(2 / 3), "bee": None}
    assert found["hamming_loss"] == pytest.approx(1 / 3)
    assert found["subset_accuracy"] == 0.5, "the second image is not known at all"


def test_without_images_all_are_0_and_a_reset_begins_anew() -> None:
    metrics = MultiLabelMetrics(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = metrics.values(NAMES[:2])
    assert {value for value in empty.values() if isinstance(value, float)} == {0.0}
    metrics(torch.ones(3, 2), torch.ones(3, 2, dtype=torch.bool), torch.ones(3, 2))
    assert metrics.values(NAMES[:2], reset=True)["macro_f1"] == 1
    assert metrics.values(NAMES[:2]) == empty
