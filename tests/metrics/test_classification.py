"""Metrics of classifiers against other libraries and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from allencv_al.common import ConfigurationError
from allencv_al.metrics import (
    CategoricalAccuracy,
    ConfusionMatrix,
    ExpectedCalibrationError,
    MacroF1,
    Metric,
    PerClassAccuracy,
)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores without ties, since scikit-learn breaks ties the other way."""
    size, classes = draw(st.integers(1, 30)), draw(st.integers(3, 8))
    order = draw(st.permutations(range(size * classes)))
    gold = draw(hnp.arrays(np.int64, size, elements=st.integers(0, classes - 1)))
    return np.array(order, dtype=np.float32).reshape(size, classes), gold


@given(predictions())
def test_equals_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.metrics import accuracy_score

    scores, gold = data
    metric = CategoricalAccuracy()
    metric(torch.from_numpy(scores), torch.from_numpy(gold))
    assert metric.get_metric() == pytest.approx(accuracy_score(gold, scores.argmax(1)))


@given(predictions(), st.integers(1, 10))
def test_top_k_equals_scikit_learn(data: tuple[np.ndarray, np.ndarray], k: int) -> None:
    from sklearn.metrics import top_k_accuracy_score

    scores, gold = data
    classes = scores.shape[1]
    metric = CategoricalAccuracy(top_k=k)
    metric(torch.from_numpy(scores), torch.from_numpy(gold))
    expected = (
        1.0 if k >= classes else top_k_accuracy_score(gold, scores, k=k, labels=range(classes))
    )
    assert metric.get_metric() == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2])
def test_of_equal_scores_the_lower_index_comes_first(k: int) -> None:
    metric = CategoricalAccuracy(top_k=k)
    metric(torch.zeros(4, 4), torch.arange(4))
    assert metric.get_metric() == k / 4


def test_a_nan_is_never_right() -> None:
    metric = CategoricalAccuracy(top_k=2)
    metric(torch.full((3, 4), torch.nan), torch.tensor([1, 2, 3]))
    assert metric.get_metric() == 0


def test_top_k_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="top_k: expected int >= 1, found 0"):
        CategoricalAccuracy(top_k=0)
    with pytest.raises(ConfigurationError, match="top_k: expected int >= 1, found 0"):
        Metric.from_params({"type": "categorical_accuracy", "top_k": 0})


def test_any_number_of_small_batches_is_counted_and_none_is_kept() -> None:
    from sklearn.metrics import accuracy_score

    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(700, 3, generator=generator)
    gold = torch.randint(3, (700,), generator=generator)
    metric, resumed = CategoricalAccuracy(), CategoricalAccuracy()
    for row in range(700):
        metric(scores[row : row + 1], gold[row : row + 1])
        assert len(metric._pending) < 300
        if row == 299:
            resumed.load_state(metric.state())
        elif row > 299:
            resumed(scores[row : row + 1], gold[row : row + 1])
    expected = accuracy_score(gold, scores.argmax(1))
    assert metric.get_metric() == resumed.get_metric() == pytest.approx(expected)
    assert metric.state().tolist() == resumed.state().tolist() == [round(expected * 700), 700]


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


@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(2, 12), st.floats(0.1, 10))
def test_equals_torchmetrics(seed: int, size: int, classes: int, scale: float) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(size, classes, generator=generator)
    gold = torch.randint(classes, (size,), generator=generator)
    # torchmetrics 1.9 puts a confidence of exactly 1 into a bin of its own, the paper into the last
    assume(bool((logits.softmax(-1) < 1).all()))
    metric = ExpectedCalibrationError()
    metric(logits, gold)
    expected = multiclass_calibration_error(logits.softmax(-1), gold, classes, n_bins=15)
    assert metric.get_metric() == pytest.approx(expected.item(), abs=1e-5)


def test_hand_made_value() -> None:
    # Bin (0.5, 0.6] holds .6 right and .55 wrong: |1/2 - .575|; (0.9, 1] holds .95 right: .05.
    probs = torch.tensor([[0.6, 0.4], [0.55, 0.45], [0.05, 0.95]])
    metric = ExpectedCalibrationError(num_bins=10, inputs="probs")
    metric(probs, torch.tensor([0, 1, 1]))
    assert metric.get_metric() == pytest.approx((2 * 0.075 + 0.05) / 3, abs=1e-6)


def test_certain_and_right_is_perfect() -> None:
    metric = ExpectedCalibrationError()
    metric(torch.eye(3) * 1000, torch.arange(3))
    assert metric.get_metric() == 0


def test_num_bins_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="num_bins: expected int >= 1, found 0"):
        ExpectedCalibrationError(num_bins=0)


def test_full_confidence_is_in_the_last_bin() -> None:
    # (14/15, 1] holds 1.0 right and 0.96 wrong: |1/2 - 0.98|.
    probs = torch.tensor([[1.0, 0.0], [0.96, 0.04]])
    metric = ExpectedCalibrationError(inputs="probs")
    metric(probs, torch.tensor([0, 1]))
    assert metric.get_metric() == pytest.approx(0.48, abs=1e-6)
