"""`auto`: two strategies in turn, and which one at what time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.auto import Auto
from allencv_al.selection.strategies.bait import Bait
from allencv_al.selection.strategies.base import QueryStrategy, needs_of
from allencv_al.selection.strategies.typiclust import TypiClust


def make_pool(labeled: int) -> Pool:
    generator = np.random.default_rng(0)
    return Pool(
        [f"{index}.png" for index in range(200)],
        logits=generator.normal(size=(200, 3)).astype(np.float32),
        embeddings=generator.normal(size=(200, 8)).astype(np.float32),
        labeled_embeddings=generator.normal(size=(labeled, 8)).astype(np.float32),
        labeled_logits=generator.normal(size=(labeled, 3)).astype(np.float32),
        labeled_labels=generator.integers(0, 3, labeled),
    )


def test_the_first_query_is_of_typical_items_and_needs_no_model() -> None:
    first = Auto().before_labels()
    assert needs_of(first) == {"embeddings"}
    without = replace(make_pool(0), logits=None, labeled_logits=None)
    expected = TypiClust().select(without, 6, 1).ids
    assert first.select(without, 6, 1).ids == expected
    assert Auto().select(make_pool(0), 6, 1).ids == expected


def test_with_labels_it_is_bait_and_says_so() -> None:
    selection = Auto().select(make_pool(5), 6, 1)
    assert selection.ids == Bait().select(make_pool(5), 6, 1).ids
    assert {reason["chosen_by"] for reason in selection.reasons} == {"bait"}


def test_other_strategies_have_no_other_way_before_the_first_label() -> None:
    for name in ("random", "margin", "typiclust"):
        strategy: QueryStrategy = QueryStrategy.from_params(name)
        assert strategy.before_labels() is strategy
