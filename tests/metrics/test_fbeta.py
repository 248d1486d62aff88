"""Precision, recall, F scores and areas beside scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from allencv_al.common import ConfigurationError
from allencv_al.metrics import Metric

AVERAGES = [None, "micro", "macro", "weighted"]


def scores(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of 5 classes, of which one occurs nowhere and one only in predictions."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(50, 5, generator=generator, dtype=torch.float64)
    logits[:, 4] = -9
    return logits, torch.randint(3, (50,), generator=generator)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("labels", [None, [2, 0], [4, 1]], ids=str)
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_fbeta(average: Any, labels: Any, beta: float) -> None:
    logits, gold = scores(0)
    metric = Metric.from_params(
        {"type": "fbeta", "average": average, "labels": labels, "beta": beta}
    )
    metric(logits[:20], gold[:20])
    metric(logits[20:], gold[20:])
    *expected, _ = precision_recall_fscore_support(
        *(gold, logits.argmax(1)),
        beta=beta,
        labels=labels or range(5),
        average=average,
        zero_division=0,
    )
    found: Any = metric.get_metric()
    assert list(found) == ["precision", "recall", "fscore"]
    for value, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-9)


@pytest.mark.parametrize("average", AVERAGES)
def test_fbeta_multi_label(average: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    probs = torch.rand(40, 6, generator=generator)
    gold = torch.randint(2, (40, 6), generator=generator)
    gold[:, 5] = 0
    metric = Metric.from_params({"type": "fbeta_multi_label", "average": average, "threshold": 0.3})
    metric(probs, gold)
    *expected, _ = precision_recall_fscore_support(
        gold, probs >= 0.3, average=average, zero_division=0
    )
    found: Any = metric.get_metric(reset=True)
    for value, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-9)
    unknown = gold.clone()
    unknown[:, 0] = -1  # counts neither as a hit nor as a mistake
    metric(probs, unknown)
    *expected, _ = precision_recall_fscore_support(
        gold[:, 1:], probs[:, 1:] >= 0.3, average="micro", zero_division=0
    )
    if average == "micro":
        np.testing.assert_allclose(list(metric.get_metric().values()), expected)  # type: ignore[union-attr]


def test_f1_is_of_one_class() -> None:
    logits, gold = scores(2)
    metric = Metric.from_params({"type": "f1", "positive_label": 2})
    metric(logits, gold)
    expected = precision_recall_fscore_support(gold == 2, logits.argmax(1) == 2, average="binary")
    assert metric.get_metric() == pytest.approx(
        dict(zip(("precision", "recall", "f1"), expected[:3], strict=True))
    )


def test_auc_is_exact_for_scores_and_for_logits() -> None:
    logits, gold = scores(3)
    metric = Metric.from_params({"type": "auc", "positive_label": 2})
    metric(logits[:7], gold[:7])
    metric(logits[7:], gold[7:])
    expected = roc_auc_score(gold == 2, logits.softmax(1)[:, 2])
    assert metric.get_metric(reset=True) == pytest.approx(expected, abs=1e-12)
    metric(logits[:, 2], gold)  # AllenNLP's way: scores of the class alone
    assert metric.get_metric(reset=True) == pytest.approx(roc_auc_score(gold == 2, logits[:, 2]))
    metric(logits, torch.zeros_like(gold))
    assert metric.get_metric() is None


def test_a_class_beyond_the_predictions_is_named() -> None:
    metric = Metric.from_params({"type": "auc", "positive_label": 5})
    with pytest.raises(ValueError, match="positive_label: expected an index below 5"):
        metric(*scores(0))
    metric = Metric.from_params({"type": "fbeta", "labels": [1, 7]})
    metric(*scores(0))
    with pytest.raises(ValueError, match="labels: expected indices below 5"):
        metric.get_metric()


def test_limits_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="beta"):
        Metric.from_params({"type": "fbeta", "beta": 0})
