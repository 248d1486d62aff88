from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from allencv_al.common import ConfigurationError
from allencv_al.metrics import CategoricalAccuracy, Metric


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
