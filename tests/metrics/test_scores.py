"""Scores of arrays, beside scikit-learn. Those of pipelines are tested through `metrics_of`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.metrics.scores import class_scores, cohen_kappa, confusion_counts, one_against_rest


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import cohen_kappa_score

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


def test_scores_without_a_denominator_are_none() -> None:
    scores = class_scores([0, 0, 1], [0, 1, 1], [0, 1, 2])
    assert scores["precision"] == [1.0, 0.5, None]
    assert scores["recall"] == [0.5, 1.0, None]
    assert scores["f1_score"] == [pytest.approx(2 / 3), pytest.approx(2 / 3), None]
    assert class_scores([], [], [4])["recall"] == [None]


def test_tables_have_the_true_positives_first() -> None:
    tables = one_against_rest([0, 0, 0, 1], [0, 1, 1, 1], [0, 1])
    assert tables.tolist() == [[[1, 2], [0, 1]], [[1, 0], [2, 1]]]
    assert one_against_rest([], [], [4]).tolist() == [[[0, 0], [0, 0]]]
    absent = one_against_rest([0], [0], [3]).tolist()
    assert absent == [[[0, 0], [0, 1]]] and isinstance(absent[0][0][0], int)  # JSON shows 0.0
