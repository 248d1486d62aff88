"""Wrappers around strategies of every kind, and around others; `test_laws.py` has more laws."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies import QueryStrategy
from allencv_al.selection.strategies.base import name_of

LINES = {
    "subsample": '{type: "subsample", strategy: "margin", fraction: 0.5}',
    "deduplicate": '{type: "deduplicate", strategy: "margin", distance: 1.5}',
    "class_balanced with target": (
        '{type: "class_balanced", strategy: "random", target: [1, 2, 0]}'
    ),
    "mixture": (
        '{type: "mixture", strategies: [{strategy: s, fraction: 1/3} '
        'for s in ["margin", "k_center", "random"]]}'
    ),
    "switch by coverage": (
        '{type: "switch", when: "coverage", threshold: 0.2, radius: 2, before: "k_center", '
        'after: "margin"}'
    ),
    "nested": (
        '{type: "subsample", size: 12, strategy: {type: "class_balanced", strategy: {type: '
        '"epsilon_random", strategy: {type: "deduplicate", distance: 1, strategy: "margin"}}}}'
    ),
}


@functools.cache
def config_of(line: str) -> str:
    return evaluate_snippet("a line", line, {})


def build(name: str, **more: Any) -> QueryStrategy:
    return QueryStrategy.from_params({**json.loads(config_of(LINES[name])), **more})


def random_pool(seed: int, count: int) -> Pool:
    """Return a pool on a coarse grid, so that there are ties of every kind."""
    generator = np.random.default_rng(seed)

    def rows(*shape: int) -> Any:
        return generator.integers(0, 3, shape).astype(np.float32)

    return Pool(
        [f"item {index}" for index in generator.permutation(count)],
        logits=rows(count, 3),
        embeddings=rows(count, 4),
        labeled_embeddings=rows(3, 4),
        labeled_labels=generator.integers(0, 3, 3),
    )


pools = given(seed=st.integers(0, 10_000), count=st.integers(0, 25), query=st.integers(0, 12))


def chosen(strategy: QueryStrategy, pool: Pool, query: int, seed: int) -> Any:
    selection = strategy.select(pool, query, seed)
    reasons = json.loads(json.dumps(selection.reasons))
    return list(selection.ids), selection.scores.tolist(), reasons


@pytest.mark.parametrize("name", ["class_balanced with target", "mixture"])
@settings(max_examples=25)
@pools
def test_the_order_of_the_pool_changes_nothing(
    name: str, seed: int, count: int, query: int
) -> None:
    pool = random_pool(seed, count)
    order = np.random.default_rng(seed + 1).permutation(count)
    assert chosen(build(name), pool.take(order), query, seed) == chosen(
        build(name), pool, query, seed
    )


def test_needs_are_those_of_the_inner_strategies_and_its_own() -> None:
    assert build("subsample").needs == {"logits"}
    assert build("deduplicate").needs == {"logits", "embeddings"}
    assert build("class_balanced with target").needs == {"logits"}
    assert build("mixture").needs == {"logits", "embeddings"}
    assert build("switch by coverage").needs == {"logits", "embeddings", "labeled_embeddings"}
    assert build("nested").needs == {"logits", "embeddings"}


def test_reasons_tell_the_way_through_nested_wrappers() -> None:
    mixed = (
        '{type: "mixture", strategies: [{fraction: 1, strategy: {type: "epsilon_random", '
        'epsilon: 0, strategy: "margin"}}]}'
    )
    strategy = QueryStrategy.from_params(json.loads(config_of(mixed)))
    [reason] = strategy.select(random_pool(0, 5), 1).reasons
    assert reason["chosen_by"] == "epsilon_random/margin"
    assert reason["part"] == 0
    assert "runner_up" in reason


def test_a_strategy_without_a_name_is_called_by_its_class() -> None:
    class Mine(QueryStrategy):
        pass

    assert name_of(Mine()) == "Mine"
    assert name_of(build("mixture")) == "mixture"
