"""Probabilities of logits, compared with torch and by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.strategies.shared.softmax import (
    cached_blocks,
    members_softmax,
    prediction_reasons,
    shifted,
    softmax,
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_probabilities_are_those_of_torch(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(scale=5, size=(7, 4))
    probabilities, logarithms = softmax(logits, temperature)
    expected = torch.from_numpy(logits / temperature).log_softmax(dim=1).numpy()
    np.testing.assert_allclose(logarithms, expected, atol=1e-12)
    np.testing.assert_allclose(probabilities, np.exp(expected), atol=1e-12)


def test_members_have_the_probabilities_and_the_entropy_of_each() -> None:
    logits = np.random.default_rng(1).normal(size=(5, 3, 4))
    probabilities, negative_entropies = members_softmax(logits, 2.0)
    logarithms = torch.from_numpy(logits / 2).log_softmax(dim=2).numpy()
    np.testing.assert_allclose(probabilities, np.exp(logarithms).transpose(2, 1, 0), atol=1e-12)
    expected = (np.exp(logarithms) * logarithms).sum(axis=2).T
    np.testing.assert_allclose(negative_entropies, expected, atol=1e-12)


def test_shifted_logits_are_at_most_0_and_do_not_overflow() -> None:
    found = shifted(np.array([[1.0, 3.0], [3e38, -3e38]], np.float32), 2.0)
    assert found.tolist() == [[-1.0, 0.0], [0.0, -1000.0]]


def test_logits_without_a_class_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="at least one class"):
        softmax(np.zeros((3, 0)), 1.0)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8])
def test_blocks_cover_all_rows_and_none_has_a_single_one(count: int) -> None:
    strategy = cast(Any, SimpleNamespace(rows_per_block=lambda bytes_per_row: 3))
    blocks = list(cached_blocks(strategy, count, 8))
    assert [row for part in blocks for row in range(count)[part]] == list(range(count))
    assert count == 1 or all(part.stop - part.start > 1 for part in blocks)


def test_reasons_name_the_two_likeliest_classes() -> None:
    rows = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
    assert prediction_reasons(np.array([1, 0]), lambda some: rows[some]) == (
        {"predicted": 0, "probability": 0.4, "runner_up": 2, "runner_up_probability": 0.4},
        {"predicted": 1, "probability": 0.5, "runner_up": 2, "runner_up_probability": 0.3},
    )
