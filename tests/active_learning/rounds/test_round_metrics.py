"""The figures of a round against scikit-learn, and against what is too simple to be wrong."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
)

from allencv_al.active_learning.learners.base import TestOutputs
from allencv_al.active_learning.rounds.round_metrics import (
    Coverage,
    class_entropy,
    measure_test,
    pool_accuracy,
    predicted_classes,
    redundancy,
    top_probabilities,
)
from allencv_al.active_learning.rounds.round_record import Pick, RoundRecord
from allencv_al.selection.pool.pool_outputs import PoolOutputs


def outputs(seed: int, items: int, classes: int, missing: int = 0) -> TestOutputs:
    """Return random logits that are right more often than not; some classes may not occur."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes - missing, items)
    logits = generator.normal(0, 1.5, (items, classes)).astype(np.float32)
    logits[np.arange(items), labels] += 1.5
    return TestOutputs(logits, labels, {})


@pytest.mark.parametrize(
    ("items", "classes", "missing"), [(200, 3, 0), (57, 10, 2), (5, 4, 1), (1, 2, 0)]
)
def test_the_metrics_of_a_test_are_those_of_scikit_learn(
    items: int, classes: int, missing: int
) -> None:
    found = outputs(items, items, classes, missing)
    metrics, confusion = measure_test(found)
    predicted = found.logits.argmax(axis=1)
    names = list(range(classes))
    probabilities = np.exp(found.logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():  # a class that is predicted and does not occur
        warnings.simplefilter("ignore", UserWarning)
        balanced = balanced_accuracy_score(found.labels, predicted)
    assert metrics["accuracy"] == accuracy_score(found.labels, predicted)
    assert metrics["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
    assert metrics["macro_f1"] == pytest.approx(
        f1_score(found.labels, predicted, average="macro"), abs=1e-6
    )
    assert metrics["negative_log_likelihood"] == pytest.approx(
        log_loss(found.labels, probabilities, labels=names), rel=1e-6
    )
    assert confusion == confusion_matrix(found.labels, predicted, labels=names).tolist()
    assert json.loads(json.dumps(metrics)) == metrics


def test_the_calibration_error_has_fifteen_bins() -> None:
    found = outputs(1, 500, 4)
    logits = found.logits.astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    confidence = probabilities.max(axis=1)
    right = found.logits.argmax(axis=1) == found.labels
    bins = np.minimum((confidence * 15).astype(int), 14)
    expected = sum(
        abs(right[bins == place].mean() - confidence[bins == place].mean()) * (bins == place).mean()
        for place in range(15)
        if (bins == place).any()
    )
    metrics, _ = measure_test(found)
    assert metrics["expected_calibration_error"] == pytest.approx(expected, abs=1e-6)


def test_the_pool_accuracy_counts_labels_and_predictions() -> None:
    truth = {"a": "x", "b": "x", "c": "y", "d": "y", "e": "y"}
    labels = {"a": "x", "b": "y"}  # the annotator was wrong once
    predicted = {"c": "y", "d": "x"}  # nothing is known of e
    assert pool_accuracy(truth, labels, predicted) == 2 / 4
    assert pool_accuracy({}, labels, predicted) is None
    assert pool_accuracy({"e": "y"}, {}, {}) is None
    # What is labeled counts by its label, whatever the model says
    assert pool_accuracy({"a": "x"}, {"a": "x"}, {"a": "y"}) == 1.0


def test_the_entropy_of_a_batch_is_in_nats() -> None:
    assert class_entropy({"a": 5, "b": 5}) == pytest.approx(math.log(2))
    assert class_entropy({"a": 3}) == 0.0
    assert str(class_entropy({"a": 3})) == "0.0"
    assert class_entropy({"a": 2, "b": 0}) == 0.0
    assert class_entropy({}) is None


def test_the_probability_of_the_likeliest_class() -> None:
    logits = np.array([[0.0, 0.0], [math.log(3.0), 0.0], [900.0, -900.0]], np.float32)
    assert top_probabilities(logits) == pytest.approx([0.5, 0.75, 1.0])
    assert predicted_classes(logits[1:], ["a", "b"]) == ["a", "a"]


# --- where the items lie --------------------------------------------------------------------------


def distances(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    differences = rows.astype(np.float64)[:, None] - others.astype(np.float64)[None]
    return np.sqrt((differences**2).sum(axis=2))


def pool_of(ids: list[str], embeddings: NDArray[np.float32]) -> PoolOutputs:
    rows = [int(id) for id in ids]
    return PoolOutputs(ids, embeddings=embeddings[rows])


@pytest.mark.parametrize("count", [2, 3, 40])
def test_redundancy_is_the_mean_distance_to_the_nearest_other(count: int) -> None:
    rows = np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32)
    table = distances(rows, rows)
    np.fill_diagonal(table, np.inf)
    assert redundancy(rows) == pytest.approx(table.min(axis=1).mean(), rel=1e-12)


def test_redundancy_of_twins_is_exactly_zero_and_of_one_item_unknown() -> None:
    rows = np.full((3, 4), 1e4 / 3, np.float32)
    assert redundancy(rows) == 0.0
    assert redundancy(rows[:1]) is None
    assert redundancy(rows[:0]) is None


@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    offset=st.sampled_from([0.0, 50.0]),
    steps=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=6
    ),
)
def test_the_coverage_radius_kept_up_to_date_is_that_of_brute_force(
    seed: int, scale: float, offset: float, steps: list[tuple[int, int, int]]
) -> None:
    """Labels come, items come, items go unanswered, a label is taken back."""
    generator = np.random.default_rng(seed)
    embeddings = (generator.normal(size=(120, 6)) * scale + offset * scale).astype(np.float32)
    pool, labeled, unseen = ([str(n) for n in part] for part in np.split(np.arange(120), [40, 43]))
    coverage = Coverage()
    for answers, arrivals, undone in steps:
        labeled += [pool.pop(int(generator.integers(len(pool)))) for _ in range(answers)]
        pool += [unseen.pop() for _ in range(arrivals)]
        if undone and len(labeled) > 1:
            pool.append(labeled.pop(0))
        generator.shuffle(pool)
        found = coverage.radius(pool_of(pool, embeddings), pool_of(labeled, embeddings))
        rows, targets = (pool_of(ids, embeddings).embeddings for ids in (pool, labeled))
        assert rows is not None and targets is not None
        expected = distances(rows, targets).min(axis=1).max()
        assert found == pytest.approx(expected, rel=1e-6)
        # To the bit what somebody finds who begins here: a run that was killed and goes on
        again = Coverage().radius(pool_of(pool, embeddings), pool_of(labeled, embeddings))
        assert found == again


def test_where_nothing_is_labeled_or_left_there_is_no_radius() -> None:
    embeddings = np.zeros((3, 2), np.float32)
    nothing, something = pool_of([], embeddings), pool_of(["1", "2"], embeddings)
    assert Coverage().radius(something, nothing) is None
    assert Coverage().radius(nothing, something) is None
    assert Coverage().radius(something, pool_of(["0"], embeddings)) == 0.0


def test_only_new_labels_are_compared_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    from allencv_al.active_learning.rounds import round_metrics

    batches: list[int] = []
    nearest = round_metrics._nearest_squares

    def counted(rows: NDArray[np.float32], batch: NDArray[np.float32]) -> NDArray[np.float64]:
        batches.append(len(batch))
        return nearest(rows, batch)

    monkeypatch.setattr(round_metrics, "_nearest_squares", counted)
    embeddings = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    coverage = Coverage()
    for labeled in (5, 8, 8, 20):
        ids = [str(n) for n in range(50)]
        coverage.radius(pool_of(ids[labeled:], embeddings), pool_of(ids[:labeled], embeddings))
    assert batches == [5, 3, 12]


# --- the record -----------------------------------------------------------------------------------


def test_a_record_reads_back_from_json_as_it_was() -> None:
    record = RoundRecord(
        round=3,
        labels=40,
        metrics={"accuracy": 0.75, "agreement": None},
        confusion_matrix=[[3, 1], [0, 4]],
        classes=("cat", "dog"),
        batch_classes={"cat": 2},
        seconds={"train": 0.5},
        select_peak_mb=1.5,
        picks=(Pick("a", 0.5, {"rank": 0}, "cat", "dog"), Pick("b", 0.25, {}, outcome="waiting")),
        pool_size=100,
        unreadable={"c": "truncated"},
        notes=("done",),
    )
    assert RoundRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert RoundRecord.from_json({"round": 0, "labels": 0}) == RoundRecord(0, 0)
