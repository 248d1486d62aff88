"""Metrics of classifiers against other libraries and by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from allencv_al.common import ConfigurationError
from allencv_al.metrics import (
    AveragePrecision,
    BalancedAccuracy,
    CategoricalAccuracy,
    ConfusionMatrix,
    ExpectedCalibrationError,
    MacroF1,
    Metric,
    PerClassAccuracy,
    RocAuc,
)
from allencv_al.metrics.classification import (
    ClassifierMetrics,
    log_odds,
    per_class_f1,
    per_class_precision,
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


@given(predictions())
def test_scores_of_classes_equal_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.metrics import precision_recall_fscore_support, recall_score

    scores, gold = data
    predicted, classes = scores.argmax(1), range(scores.shape[1])
    balanced, confusion = BalancedAccuracy(), ConfusionMatrix()
    for metric in (balanced, confusion):
        metric(torch.from_numpy(scores), torch.from_numpy(gold))
    # balanced_accuracy_score warns of classes that are predicted only
    recalls = recall_score(gold, predicted, labels=np.unique(gold), average=None)
    assert balanced.get_metric() == pytest.approx(np.mean(recalls))
    counts = confusion.state()
    assert counts is not None
    precision, _, f1, _ = precision_recall_fscore_support(
        gold, predicted, labels=classes, zero_division=np.nan
    )
    for found, expected in ((per_class_precision(counts), precision), (per_class_f1(counts), f1)):
        np.testing.assert_allclose(np.array(found, float), expected)


def test_balanced_accuracy_of_one_class_throughout_is_chance() -> None:
    from sklearn.metrics import balanced_accuracy_score

    gold = np.repeat([0, 1], [95, 5])
    metric = BalancedAccuracy()
    metric(torch.tensor([[1.0, 0.0]] * 100), torch.from_numpy(gold))
    assert metric.get_metric() == balanced_accuracy_score(gold, np.zeros(100)) == 0.5


def areas(logits: np.ndarray, gold: np.ndarray, inputs: str = "logits") -> np.ndarray:
    """Return ROC AUC and average precision of each class, `[2, C]`, NaN where undefined."""
    found = []
    for name in ("roc_auc", "average_precision"):
        metric = Metric.from_params({"type": name, "inputs": inputs})
        for begin in range(0, len(gold), 50):
            rows = slice(begin, begin + 50)
            metric(torch.from_numpy(logits[rows]), torch.from_numpy(gold[rows]))
        found.append(metric.get_metric())
    return np.array(found, float)


def oracle_areas(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    from sklearn.metrics import average_precision_score, roc_auc_score

    return np.array(
        [
            [function(gold == index, column) for index, column in enumerate(scores.T)]
            for function in (roc_auc_score, average_precision_score)
        ]
    )


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_areas_under_curves_equal_scikit_learn(classes: int) -> None:
    from scipy.special import softmax

    generator = np.random.default_rng(classes)
    gold = np.concatenate([np.arange(classes), generator.integers(classes, size=700)])
    logits = generator.normal(size=(len(gold), classes)) + 2 * np.eye(classes)[gold]
    probs = softmax(logits, axis=1)
    odds = np.log(probs) - np.log1p(-probs)
    # The same cells, so every digit is the same
    cells = np.floor(1024 * odds)
    np.testing.assert_allclose(areas(logits, gold), oracle_areas(cells, gold))
    np.testing.assert_allclose(areas(probs, gold, "probs"), oracle_areas(cells, gold))
    # Of exact scores: a few pairs of images lie in one cell
    np.testing.assert_allclose(areas(logits, gold), oracle_areas(odds, gold), atol=2e-3)


def test_counts_of_many_classes_stay_below_8_megabytes() -> None:
    metric = RocAuc()
    metric(torch.randn(64, 3000), torch.arange(64))
    state = metric.state()
    assert state is not None and state.numel() * state.element_size() <= 8 << 20


def test_log_odds_keep_their_digits_where_probabilities_are_1() -> None:
    logits = torch.tensor([[40.0, 0.0], [0.0, -30.0]], dtype=torch.float64)
    assert log_odds(logits).tolist() == [[40.0, pytest.approx(-40.0)], [30.0, pytest.approx(-30.0)]]


def test_areas_of_classes_without_images_or_others_are_undefined() -> None:
    logits, gold = torch.randn(9, 3), torch.tensor([0] * 9)
    for metric, expected in ((RocAuc(), [None] * 3), (AveragePrecision(), [1.0, None, None])):
        metric(logits, gold)
        assert metric.get_metric() == expected


def test_a_nan_has_the_lowest_score() -> None:
    metric = RocAuc()
    metric(torch.tensor([[torch.nan, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    assert metric.get_metric() == [0.0, 1.0]


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
