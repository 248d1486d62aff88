"""Scores of arrays, beside scikit-learn. Those of pipelines are tested through `metrics_of`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from allencv_al.metrics.scores import cohen_kappa, confusion_counts


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    first, second = zip(*pairs, strict=True)
    found = cohen_kappa(first, second)
    if found is None:
        assert len(set(first) | set(second)) == 1
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second))


def test_kappa_of_nothing_is_none() -> None:
    assert cohen_kappa([], []) is None
    assert cohen_kappa(["a", "a"], ["a", "a"]) is None


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    truth, predicted = np.array([[0, 2], [2, 2]]), np.array([[0, 1], [2, 1]])
    assert confusion_counts(truth, predicted, 3).tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 1]]
