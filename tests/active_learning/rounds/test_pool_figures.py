"""Figures of the pool: accuracy, coverage radius."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from allencv_al.active_learning.rounds.pool_figures import (
    CoverageRadius,
    PoolFigures,
    pool_accuracy,
)
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.tasks import label_task


def test_the_pool_accuracy_counts_labels_and_predictions() -> None:
    truth = {"a": "x", "b": "x", "c": "y", "d": "y", "e": "y"}
    labels = {"a": "x", "b": "y"}  # the annotator was wrong once
    predicted = {"c": "y", "d": "x"}  # nothing is known of e
    assert pool_accuracy(truth, labels, predicted) == 2 / 4
    assert pool_accuracy({}, labels, predicted) is None
    assert pool_accuracy({"e": "y"}, {}, {}) is None
    # What is labeled counts by its label, whatever the model says
    assert pool_accuracy({"a": "x"}, {"a": "x"}, {"a": "y"}) == 1.0


def test_one_and_the_same_class_in_two_rounds_is_full_agreement(tmp_path: Path) -> None:
    learner: Any = SimpleNamespace(task=label_task(), class_names=lambda: ["cat", "dog"], items=[])
    learner.knows_labels = lambda: False
    settings: Any = SimpleNamespace(
        evaluate_pool=False,
        stop=[SimpleNamespace(needs_agreement=True)],
        annotator=SimpleNamespace(needs_known_labels=False),
    )
    figures = PoolFigures(learner, settings, lambda round: tmp_path / str(round))
    outputs = PoolOutputs(["a", "b"], logits=np.array([[1, 0], [2, 0]], np.float32))
    found = []
    for round in (1, 2):
        (tmp_path / str(round)).mkdir()
        found.append(figures.measure(round, {}, outputs, lambda: outputs)["agreement"])
    assert found == [None, 1.0]


def distances(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    differences = rows.astype(np.float64)[:, None] - others.astype(np.float64)[None]
    return np.sqrt((differences**2).sum(axis=2))


def pool_of(ids: list[str], embeddings: NDArray[np.float32]) -> PoolOutputs:
    rows = [int(id) for id in ids]
    return PoolOutputs(ids, embeddings=embeddings[rows])


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
    coverage = CoverageRadius()
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
        # Bit-equal to the figures of a process that starts here, as a resumed run does
        again = CoverageRadius().radius(pool_of(pool, embeddings), pool_of(labeled, embeddings))
        assert found == again


def test_where_nothing_is_labeled_or_left_there_is_no_radius() -> None:
    embeddings = np.zeros((3, 2), np.float32)
    nothing, something = pool_of([], embeddings), pool_of(["1", "2"], embeddings)
    assert CoverageRadius().radius(something, nothing) is None
    assert CoverageRadius().radius(nothing, something) is None
    assert CoverageRadius().radius(something, pool_of(["0"], embeddings)) == 0.0


def test_only_new_labels_are_compared_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    from allencv_al.active_learning.rounds import pool_figures

    batches: list[int] = []
    nearest = pool_figures._nearest_squares

    def counted(rows: NDArray[np.float32], batch: NDArray[np.float32]) -> NDArray[np.float64]:
        batches.append(len(batch))
        return nearest(rows, batch)

    monkeypatch.setattr(pool_figures, "_nearest_squares", counted)
    embeddings = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    coverage = CoverageRadius()
    for labeled in (5, 8, 8, 20):
        ids = [str(n) for n in range(50)]
        coverage.radius(pool_of(ids[labeled:], embeddings), pool_of(ids[:labeled], embeddings))
    assert batches == [5, 3, 12]
