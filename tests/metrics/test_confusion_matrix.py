from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from allencv_al.metrics import ConfusionMatrix, MacroF1, PerClassAccuracy

CLASSES = 4


@st.composite
def labels(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    size = draw(st.integers(1, 40))
    classes = st.integers(0, draw(st.integers(0, CLASSES - 1)))  # often some classes are absent
    gold, predicted = (draw(hnp.arrays(np.int64, size, elements=classes)) for _ in range(2))
    return torch.from_numpy(gold), torch.from_numpy(predicted)


def scores(predicted: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(predicted, CLASSES).float()


@given(labels())
def test_counts_equal_scikit_learn(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    from sklearn.metrics import confusion_matrix

    gold, predicted = data
    metric = ConfusionMatrix()
    metric(scores(predicted), gold)
    expected = confusion_matrix(gold, predicted, labels=range(CLASSES)).tolist()
    assert metric.get_metric() == expected


@given(labels())
def test_macro_f1_equals_scikit_learn_and_torchmetrics(
    data: tuple[torch.Tensor, torch.Tensor],
) -> None:
    from sklearn.metrics import f1_score
    from torchmetrics.functional.classification import multiclass_f1_score

    gold, predicted = data
    metric = MacroF1()
    metric(scores(predicted), gold)
    value = metric.get_metric()
    assert value == pytest.approx(f1_score(gold, predicted, average="macro", zero_division=0))
    assert value == pytest.approx(
        multiclass_f1_score(predicted, gold, CLASSES, average="macro").item()
    )


@given(labels())
def test_per_class_accuracy_equals_torchmetrics(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    from torchmetrics.functional.classification import multiclass_accuracy

    gold, predicted = data
    metric = PerClassAccuracy()
    metric(scores(predicted), gold)
    expected = multiclass_accuracy(predicted, gold, CLASSES, average=None).tolist()
    present = set(gold.tolist())
    value = metric.get_metric()
    assert isinstance(value, list)
    assert [v is None for v in value] == [i not in present for i in range(CLASSES)]
    assert [v or 0.0 for v in value] == pytest.approx(expected)


def test_rows_are_the_images_class() -> None:
    metric = ConfusionMatrix()
    metric(scores(torch.tensor([1, 1])), torch.tensor([0, 0]))
    matrix = metric.get_metric()
    assert matrix[0][1] == 2  # type: ignore[index]
