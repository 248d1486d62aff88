"""Wrappers that divide a batch among classes or strategies, or switch between strategies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies import QueryStrategy
from allencv_al.selection.strategies.base import highest
from allencv_al.selection.strategies.combining import (
    ClassBalanced,
    Mixture,
    MixturePart,
    Switch,
)
from allencv_al.selection.strategies.random import RandomStrategy


class ByColumn(QueryStrategy):
    """Prefers the highest of one column of the embeddings; remembers the pools it was shown."""

    needs = frozenset({"embeddings"})

    def __init__(self, column: int = 0) -> None:
        super().__init__()
        self.column = column
        self.seen: list[Pool] = []

    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        self.seen.append(pool)
        assert pool.embeddings is not None
        scores = pool.embeddings[:, self.column]
        indices = highest(scores, count, pool, seed)
        labeled = 0 if pool.labeled_embeddings is None else len(pool.labeled_embeddings)
        reason = {"nearest_labeled": labeled - 1} if labeled else {}
        return Picks(indices, scores[indices], (reason,) * count)


def pool_of(classes: list[int], num_classes: int = 3, **more: Any) -> Pool:
    count = len(classes)
    columns = np.stack([np.arange(count), -np.arange(count)], axis=1).astype(np.float32)
    return Pool(
        [f"i{index}" for index in range(count)],
        logits=np.eye(num_classes, dtype=np.float32)[classes],
        embeddings=columns,
        **more,
    )


def classes_of(selection: Any) -> list[int]:
    return [reason["predicted"] for reason in selection.reasons]


def test_classes_take_turns_and_each_gives_its_best() -> None:
    selection = ClassBalanced(ByColumn()).select(pool_of([0] * 10 + [1] * 5 + [2] * 5), 6)
    assert sorted(selection.ids) == sorted(["i9", "i8", "i14", "i13", "i19", "i18"])
    assert set(classes_of(selection)[:3]) == {0, 1, 2}
    assert selection.ids[:3] == tuple(
        {0: "i9", 1: "i14", 2: "i19"}[c] for c in classes_of(selection)[:3]
    )
    assert selection.scores.tolist() == [float(id[1:]) for id in selection.ids]


def test_classes_that_the_labels_are_short_of_come_first() -> None:
    labels = np.array([0] * 4 + [1] * 2)
    pool = pool_of([0, 1, 2] * 10, labeled_labels=labels)
    assert np.bincount(classes_of(ClassBalanced(ByColumn()).select(pool, 6))).tolist() == [0, 2, 4]


def test_the_target_is_met_by_labels_and_batch_together() -> None:
    pool = pool_of([0, 1, 2] * 30, labeled_labels=np.array([1] * 10))
    balanced = ClassBalanced(ByColumn(), target=[2, 1, 1])
    counts = np.bincount(classes_of(balanced.select(pool, 30)), minlength=3)
    assert counts.tolist() == [20, 0, 10]


def test_a_class_without_a_share_comes_when_nothing_else_is_left() -> None:
    pool = pool_of([0, 0, 1, 1, 2, 2])
    balanced = ClassBalanced(ByColumn(), target=[0, 1, 0])
    assert classes_of(balanced.select(pool, 6))[:2] == [1, 1]
    assert len(balanced.select(pool, 6)) == 6


def test_a_class_that_runs_out_leaves_its_places_to_the_others() -> None:
    pool = pool_of([0] * 10 + [1])
    assert np.bincount(classes_of(ClassBalanced(ByColumn()).select(pool, 6))).tolist() == [5, 1]


@pytest.mark.parametrize("target", [[], [0, 0, 0], [-1, 1, 1], [float("nan"), 1, 1]])
def test_a_target_is_shares(target: list[float]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"target(\.0: expected .*float >= 0|: expected a share above 0)"
    ):
        ClassBalanced(ByColumn(), target=target)


def test_targets_and_labels_must_fit_the_classes() -> None:
    with pytest.raises(ConfigurationError, match="one share for each of 3 classes, found 2"):
        ClassBalanced(ByColumn(), target=[1, 1]).select(pool_of([0, 1]), 1)
    with pytest.raises(ConfigurationError, match=r"expected classes 0 to 2, .* found 0 to 3"):
        ClassBalanced(ByColumn()).select(pool_of([0, 1], labeled_labels=np.array([0, 3])), 1)


def mixture(*fractions: float) -> Mixture:
    return Mixture([MixturePart(ByColumn(column % 2), f) for column, f in enumerate(fractions)])


def test_a_mixture_alternates_and_no_part_takes_what_another_took() -> None:
    selection = mixture(0.5, 0.5).select(pool_of([0] * 7), 7)
    assert selection.ids == ("i6", "i0", "i5", "i1", "i4", "i2", "i3")
    assert [reason["part"] for reason in selection.reasons] == [0, 1, 0, 1, 0, 1, 0]
    assert {reason["chosen_by"] for reason in selection.reasons} == {"ByColumn"}


def test_fractions_hold_in_the_whole_batch_and_in_its_first_half() -> None:
    selection = mixture(0.7, 0.2, 0.1).select(pool_of([0] * 200), 100)
    parts = [reason["part"] for reason in selection.reasons]
    assert np.bincount(parts).tolist() == [70, 20, 10]
    assert np.bincount(parts[:50]).tolist() == [35, 10, 5]


def test_later_parts_take_what_was_chosen_for_labeled_and_name_it() -> None:
    first, second = ByColumn(0), ByColumn(1)
    pool = pool_of([0] * 6, labeled_embeddings=np.full((3, 2), 9.0, np.float32))
    parts = [MixturePart(first, 0.5), MixturePart(second, 0.5)]
    selection = Mixture(parts).select(pool, 4)
    [seen] = second.seen
    assert seen.ids == ["i0", "i1", "i2", "i3"]
    assert seen.labeled_embeddings is not None
    assert seen.labeled_embeddings.tolist() == [[9, 9]] * 3 + [[5, -5], [4, -4]]
    assert selection.reasons[0]["nearest_labeled"] == 2
    assert selection.reasons[1]["nearest_selected"] == "i4"
    assert "nearest_labeled" not in selection.reasons[1]


def test_parts_by_chance_draw_different_numbers() -> None:
    halves = [MixturePart(RandomStrategy(), 0.5), MixturePart(RandomStrategy(), 0.5)]
    selection = Mixture(halves).select(pool_of([0] * 50), 20)
    assert len(set(selection.ids)) == 20
    assert {reason["chosen_by"] for reason in selection.reasons} == {"random"}


@pytest.mark.parametrize("fractions", [(), (0.5, 0.4), (0.6, 0.6)])
def test_fractions_add_up_to_one(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="strategies: expected fractions that add up to 1"):
        mixture(*fractions)


def test_a_fraction_is_above_zero() -> None:
    with pytest.raises(ConfigurationError, match=r"fraction: .* found 0"):
        MixturePart(ByColumn(), 0.0)


@pytest.mark.parametrize(("labels", "expected"), [(0, "before"), (8, "before"), (9, "after")])
def test_switch_by_labels_per_class(labels: int, expected: str) -> None:
    switch = Switch(ByColumn(0), ByColumn(1), "labels_per_class", 3)
    pool = pool_of([0] * 5, labeled_labels=np.zeros(labels, np.int64))
    selection = switch.select(pool, 2)
    assert selection.ids == {"before": ("i4", "i3"), "after": ("i0", "i1")}[expected]
    assert selection.reasons[0]["labels_per_class"] == labels / 3
    assert switch.needs == {"embeddings", "logits"}


def test_switch_with_a_number_of_classes_needs_no_logits() -> None:
    switch = Switch(ByColumn(0), ByColumn(1), "labels_per_class", 3, num_classes=2)
    assert switch.needs == {"embeddings"}
    pool = pool_of([0] * 5, labeled_labels=np.zeros(6, np.int64))
    assert switch.select(pool, 1).ids == ("i0",)


def test_switch_by_labels_asks_for_labels() -> None:
    with pytest.raises(ConfigurationError, match=r"pool\.labeled_labels"):
        Switch(ByColumn(), ByColumn(), "labels_per_class", 1).select(pool_of([0]), 1)


@pytest.mark.parametrize(("threshold", "expected"), [(0.6, "i0"), (0.61, "i4")])
def test_switch_by_the_share_of_items_near_to_labeled_ones(threshold: float, expected: str) -> None:
    # Of five items at (i, -i) those within √2 of (1, -1)
    pool = pool_of([0] * 5, labeled_embeddings=np.array([[1.0, -1.0]], np.float32))
    switch = Switch(ByColumn(0), ByColumn(1), "coverage", threshold, radius=1.5)
    selection = switch.select(pool, 1)
    assert selection.ids == (expected,)
    assert selection.reasons[0]["coverage"] == pytest.approx(0.6)


def test_without_labels_nothing_is_covered() -> None:
    pool = pool_of([0] * 5, labeled_embeddings=np.empty((0, 2), np.float32))
    switch = Switch(ByColumn(0), ByColumn(1), "coverage", 0.1, radius=1.5)
    assert switch.select(pool, 1).ids == ("i4",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"when": "coverage", "threshold": 0.5}, "radius: expected a distance, found none"),
        ({"when": "coverage", "threshold": 1.5, "radius": 1.0}, "threshold: .* from 0 to 1"),
        ({"when": "coverage", "threshold": 0.5, "radius": 0.0}, "radius: expected float > 0"),
        ({"when": "coverage", "threshold": 0.5, "radius": 1.0, "num_classes": 3}, "num_classes"),
        ({"when": "labels_per_class", "threshold": -1.0}, "threshold: expected float >= 0"),
        ({"when": "labels_per_class", "threshold": 1.0, "radius": 1.0}, "radius: expected none"),
        ({"when": "labels_per_class", "threshold": 1.0, "num_classes": 0}, "int >= 1, found 0"),
    ],
)
def test_switch_says_which_value_is_wrong(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Switch(ByColumn(), ByColumn(), **arguments)
