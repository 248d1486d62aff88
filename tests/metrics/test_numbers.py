"""Metrics of numbers beside SciPy, NumPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_absolute_error

from allencv_al.metrics import Metric

SEEDS = range(5)


def numbers(seed: int, offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(60, generator=generator, dtype=torch.float64)
    second = first + torch.randn(60, generator=generator, dtype=torch.float64)
    return offset + (2 * first).round(), offset + second  # ranks with ties


def in_batches(name: str, predictions: torch.Tensor, gold: torch.Tensor) -> object:
    metric = Metric.from_params(name)
    for part in (slice(0, 7), slice(7, 8), slice(8, None)):
        metric(predictions[part], gold[part])
    return metric.get_metric()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_numbers_are_those_of_the_libraries(seed: int, offset: float) -> None:
    predictions, gold = numbers(seed, offset)
    expected = {
        "mean_absolute_error": mean_absolute_error(gold, predictions),
        "covariance": np.cov(predictions, gold)[0, 1],
        "pearson_correlation": stats.pearsonr(predictions, gold).statistic,
        "spearman_correlation": stats.spearmanr(predictions, gold).statistic,
    }
    found = {name: in_batches(name, predictions, gold) for name in expected}
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["covariance", "pearson_correlation", "spearman_correlation"])
def test_one_pair_and_constant_values_have_no_correlation(name: str) -> None:
    one = torch.ones(1)
    assert in_batches(name, one, one) is None
    constant = in_batches(name, torch.ones(5), torch.arange(5.0))
    assert constant == (0.0 if name == "covariance" else None)


def test_a_row_is_right_as_a_whole() -> None:
    metric = Metric.from_params("boolean_accuracy")
    predictions = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]])
    gold = torch.tensor([[1, 2], [3, 0], [5, 0], [0, 0]])
    metric(predictions, gold)
    assert metric.get_metric(reset=True) == 0.25
    # As in AllenNLP: masked values are no mistakes, and a row without others does not count
    metric(predictions, gold, torch.tensor([[1, 1], [1, 0], [1, 1], [0, 0]]))
    assert metric.get_metric() == pytest.approx(2 / 3)


def test_an_average_takes_numbers_one_by_one() -> None:
    metric = Metric.from_params("average")
    for value in (1, 2.0, torch.tensor(6)):
        metric(value)
    assert metric.get_metric() == 3
