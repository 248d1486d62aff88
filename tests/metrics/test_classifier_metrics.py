"""All metrics of a classifier, beside scikit-learn's."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from allencv_al.metrics.classifier_metrics import ClassifierMetrics

NAMES = ("ant", "bee", "cat", "dog", "emu", "fox", "gnu")


def batch(count: int = 40) -> tuple[Tensor, Tensor]:
    """Return logits and labels; the last class has no image."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(count, len(NAMES), generator=generator)
    return logits, torch.randint(len(NAMES) - 1, (count,), generator=generator)


def values_of(logits: Tensor, gold: Tensor, size: int = 16) -> dict[str, Any]:
    metrics = ClassifierMetrics(logits.shape[1])
    for some, labels in zip(logits.split(size), gold.split(size), strict=True):
        metrics(some, labels)
    return metrics.values(NAMES[: logits.shape[1]])


def test_values_equal_scikit_learns() -> None:
    from sklearn.metrics import confusion_matrix, f1_score, top_k_accuracy_score

    logits, labels = batch()
    metrics = values_of(logits, labels)
    predicted, gold = logits.argmax(-1).numpy(), labels.numpy()
    assert metrics["accuracy"] == pytest.approx(np.mean(predicted == gold))
    probs = logits.softmax(-1).numpy()
    top = top_k_accuracy_score(gold, probs, k=5, labels=range(len(NAMES)))
    assert metrics["top_5_accuracy"] == pytest.approx(top)
    present = sorted({*gold.tolist(), *predicted.tolist()})
    by_class = f1_score(gold, predicted, labels=present, average=None, zero_division=0)
    assert [metrics["per_class_f1"][NAMES[c]] for c in present] == pytest.approx(list(by_class))
    matrix = confusion_matrix(gold, predicted, labels=range(len(NAMES)))
    assert metrics["confusion_matrix"] == matrix.tolist()
    recall = matrix.diagonal()[:6] / matrix.sum(1)[:6]
    assert list(metrics["per_class_accuracy"]) == list(NAMES)
    assert list(metrics["per_class_accuracy"].values()) == [*map(pytest.approx, recall), None]
    assert metrics["balanced_accuracy"] == pytest.approx(recall.mean())
    areas = metrics["per_class_roc_auc"].values()
    assert metrics["roc_auc"] == pytest.approx(np.mean([area for area in areas if area]))
    assert list(areas)[6] is None and metrics["per_class_average_precision"]["gnu"] is None
    assert 0 < metrics["expected_calibration_error"] < 1
    json.dumps(metrics, allow_nan=False)


def test_the_division_into_batches_changes_nothing() -> None:
    whole = values_of(*batch(), size=40)
    for size in (1, 7):
        parts = values_of(*batch(), size=size)
        error = "expected_calibration_error"  # a sum of floats
        assert parts.pop(error) == pytest.approx(whole[error])
        assert parts == {name: value for name, value in whole.items() if name != error}


def test_a_reset_begins_anew() -> None:
    metrics, (logits, gold) = ClassifierMetrics(len(NAMES)), batch()
    nothing = metrics.values(NAMES)
    metrics(logits, gold)
    counted = metrics.values(NAMES)
    assert counted == metrics.values(NAMES, reset=True) != nothing
    assert metrics.values(NAMES) == nothing


def test_images_of_one_class_have_no_areas_under_curves() -> None:
    logits, gold = batch()
    metrics = values_of(logits[:, :3], torch.zeros_like(gold))
    assert metrics["roc_auc"] is None and metrics["average_precision"] == 1.0
    json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize(("classes", "has_top"), [(5, False), (6, True)])
def test_the_accuracy_of_the_first_five_needs_a_sixth_class(classes: int, has_top: bool) -> None:
    assert ("top_5_accuracy" in ClassifierMetrics(classes).values(NAMES[:classes])) == has_top
