"""What holds of every query strategy, wrappers included."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.selection.pool.unlabeled_pool import OUTPUTS, Pool
from allencv_al.selection.selection import Selection
from allencv_al.selection.strategies.base import QueryStrategy

# What a strategy needs to be told; a wrapper, whom it wraps
OPTIONS: dict[str, dict[str, Any]] = {
    "batch_bald": {"num_configurations": 20},
    "subsample": {"strategy": {"type": "margin"}, "fraction": 0.5},
    "epsilon_random": {"strategy": {"type": "margin"}, "epsilon": 0.5},
    "deduplicate": {"strategy": {"type": "margin"}, "distance": 0.5},
    "class_balanced": {"strategy": {"type": "entropy"}},
    "mixture": {
        "strategies": [
            {"strategy": {"type": "k_center"}, "fraction": 0.5},
            {"strategy": {"type": "bald"}, "fraction": 0.5},
        ]
    },
    "switch": {
        "before": {"type": "typiclust"},
        "after": {"type": "margin"},
        "when": "labels_per_class",
        "threshold": 1,
        "num_classes": 3,
    },
}
_FILE = Path(__file__).with_name("expert.yaml")
OPTIONS["strategy_file"] = {"path": str(_FILE)}
OPTIONS["bands"] = {
    "bands": [
        {"score": "margin", "num_items": 2, "take": "lowest"},
        {"score": "entropy", "num_items": 1, "over": 0.2, "under": 0.8},
        {"score": "random", "num_items": 1},
    ]
}
# What other values take another way through the code
MORE: dict[str, dict[str, Any]] = {
    "cluster_margin of few": {
        "type": "cluster_margin",
        "candidates_per_pick": 2,
        "num_clusters": 3,
    },
    "clue of sharp outputs": {"type": "clue", "temperature": 0.1},
    "typiclust of few": {
        "type": "typiclust",
        "max_clusters": 3,
        "min_cluster_size": 2,
        "neighbors": 3,
    },
    "prob_cover of few": {
        "type": "prob_cover",
        "radius": 1.5,
        "max_references": 7,
        "max_candidates": 9,
    },
    "uncertainty_herding by entropy": {
        "type": "uncertainty_herding",
        "uncertainty": "entropy",
        "bandwidth": 1.0,
    },
    "bait of all classes": {"type": "bait", "fisher": "full"},
    "power_bald by rank": {"type": "power_bald", "variant": "softrank"},
    "power_bald by value": {"type": "power_bald", "variant": "softmax"},
    "deduplicate by quantile": {
        "type": "deduplicate",
        "strategy": {"type": "random"},
        "quantile": 0.5,
    },
    "deduplicate labeled": {
        "type": "deduplicate",
        "strategy": {"type": "k_center"},
        "distance": 1,
        "labeled": True,
    },
    "nested": {
        "type": "subsample",
        "size": 9,
        "strategy": {
            "type": "class_balanced",
            "strategy": {
                "type": "epsilon_random",
                "strategy": {
                    "type": "deduplicate",
                    "strategy": {"type": "margin"},
                    "distance": 1,
                },
            },
        },
    },
    "switch by coverage": {
        "type": "switch",
        "before": {"type": "k_center"},
        "after": {"type": "margin"},
        "when": "coverage",
        "threshold": 0.5,
        "radius": 1.5,
    },
}
NAMES = [*QueryStrategy.builtin, *MORE]
ROWS_OF_POOL = ("label_logits", "logits", "mc_logits", "objects", "embeddings")
ONE_ROW, A_FEW_ROWS, A_FEW_WIDE_ROWS = 1e-9, 0.002, 0.05

every_strategy = pytest.mark.parametrize("name", NAMES)
few_examples = settings(max_examples=10)


@functools.cache  # a strategy keeps nothing from one selection to the next
def build(name: str, memory_budget_mb: float = 512.0) -> QueryStrategy:
    def with_budget(value: Any) -> Any:
        if isinstance(value, list):
            return [with_budget(item) for item in value]
        if not isinstance(value, dict):
            return value
        filled = {key: with_budget(item) for key, item in value.items()}
        return {**filled, "memory_budget_mb": memory_budget_mb} if "type" in value else filled

    config = with_budget(MORE.get(name) or {"type": name, **OPTIONS.get(name, {})})
    strategy: QueryStrategy = QueryStrategy.from_params(config)
    return strategy


def random_pool(seed: int, count: int, levels: int | None = None, classes: int = 3) -> Pool:
    """Return a pool with everything; with `levels`, of few values, so that there are ties.

    Values are then multiples of 1/8: adding another such number loses nothing. No strategy may
    write into the arrays.
    """
    generator = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        if levels is None:
            values = generator.standard_normal(shape).astype(np.float32)
        else:
            values = (generator.integers(-levels, levels + 1, shape) / 8).astype(np.float32)
        values.setflags(write=False)
        return values

    labeled = int(generator.integers(0, 5))
    objects = np.abs(array(count, 5, 3 + 4))
    objects[:, :, 0] = generator.integers(-1, classes, (count, 5))
    objects[objects[:, :, 0] < 0, 1:] = 0
    objects[:, :, 1] = objects[:, :, 1].clip(0.05, 1)
    objects.setflags(write=False)
    return Pool(
        [f"photo {number}" for number in generator.permutation(10 * count)[:count]],
        logits=array(count, classes),
        mc_logits=array(count, 4, classes),
        embeddings=array(count, 4),
        labeled_embeddings=array(labeled, 4),
        labeled_logits=array(labeled, classes),
        labeled_labels=generator.integers(0, classes, labeled),
        target_mc_logits=array(3, 4, classes),
        label_logits=array(count, classes),
        objects=objects,
        labeled_counts=generator.integers(0, 2, (labeled, classes)),
    )


@st.composite
def small_pools(draw: st.DrawFn, smallest: int = 0) -> Pool:
    """Pools of a few items; often with ties, at times with nothing but ties."""
    return random_pool(
        seed=draw(st.integers(0, 2**32)),
        count=draw(st.integers(smallest, 20)),
        levels=draw(st.sampled_from([0, 1, 2, 20])),
        classes=draw(st.integers(2, 4)),
    )


sizes = st.integers(0, 22)
seeds = st.integers(-(2**31), 2**63)


def assert_same(found: Selection, expected: Selection) -> None:
    assert found.ids == expected.ids
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.reasons == expected.reasons


@every_strategy
@few_examples
@given(pool=small_pools(), query_size=sizes, seed=seeds)
def test_picks_are_distinct_and_as_many_as_asked_for(
    name: str, pool: Pool, query_size: int, seed: int
) -> None:
    selection = build(name).select(pool, query_size, seed)
    assert len(selection) == len(set(selection.ids)) == min(query_size, len(pool))
    assert set(selection.ids) <= set(pool.ids)
    assert selection.scores.shape == (len(selection),)
    assert selection.scores.dtype == np.float32
    assert not np.isnan(selection.scores).any()
    assert [reason["rank"] for reason in selection.reasons] == list(range(len(selection)))
    json.dumps(selection.reasons, allow_nan=False)


@every_strategy
@few_examples
@given(pool=small_pools(), query_size=sizes, seed=seeds, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_pool_changes_nothing(
    name: str, pool: Pool, query_size: int, seed: int, shuffle: Any
) -> None:
    order = list(range(len(pool)))
    shuffle.shuffle(order)
    shuffled = pool.take(np.asarray(order, np.int64))
    expected = build(name).select(pool, query_size, seed)
    assert_same(build(name).select(shuffled, query_size, seed), expected)


@every_strategy
@few_examples
@given(pool=small_pools(), query_size=sizes, seed=seeds, budget=st.floats(1e-6, 1e-3))
def test_the_memory_budget_changes_nothing(
    name: str, pool: Pool, query_size: int, seed: int, budget: float
) -> None:
    expected = build(name).select(pool, query_size, seed)
    assert_same(build(name, ONE_ROW).select(pool, query_size, seed), expected)
    assert_same(build(name, budget).select(pool, query_size, seed), expected)


@every_strategy
@few_examples
@given(pool=small_pools(), query_size=sizes, seed=seeds, shift=st.integers(-80, 80))
def test_a_constant_added_to_logits_changes_nothing(
    name: str, pool: Pool, query_size: int, seed: int, shift: int
) -> None:
    assert pool.logits is not None
    assert pool.mc_logits is not None
    assert pool.target_mc_logits is not None
    of_row = np.float32(shift / 8) * (np.arange(len(pool), dtype=np.float32) % 3)[:, None]
    of_member = np.float32(shift / 8) * np.arange(4, dtype=np.float32)[None, :, None]
    shifted = replace(
        pool,
        logits=pool.logits + of_row,
        mc_logits=pool.mc_logits + of_row[:, None] + of_member,
        target_mc_logits=pool.target_mc_logits + of_member,
    )
    expected = build(name).select(pool, query_size, seed)
    assert_same(build(name).select(shifted, query_size, seed), expected)


@every_strategy
@pytest.mark.parametrize("seed", range(2))
def test_neither_order_nor_budget_matter_in_a_larger_pool(name: str, seed: int) -> None:
    pool = random_pool(seed, count=300, levels=None if seed else 3)
    expected = build(name).select(pool, 20, seed)
    order = np.random.default_rng(seed).permutation(300)
    for budget in (512.0, ONE_ROW, A_FEW_ROWS, A_FEW_WIDE_ROWS):
        assert_same(build(name, budget).select(pool.take(order), 20, seed), expected)


@every_strategy
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_an_error_that_names_ids(name: str, value: float) -> None:
    strategy = build(name)
    pool = random_pool(0, count=6)
    for array in sorted(strategy.needs):
        values = getattr(pool, array).copy()
        values[-1:, ..., 0] = value
        if not values.size:
            continue
        where = pool.ids[-1] if array in ROWS_OF_POOL else f"row {len(values) - 1}"
        with pytest.raises(DataError, match=f"pool.{array}: NaN or infinity for {where}$"):
            strategy.select(replace(pool, **{array: values}), 2)


@every_strategy
def test_what_is_absent_is_named(name: str) -> None:
    strategy = build(name)
    assert strategy.needs <= set(OUTPUTS)
    for array in sorted(strategy.needs):
        absent: dict[str, Any] = {array: None}
        with pytest.raises(ConfigurationError, match=f"needs {array}, found none"):
            strategy.select(replace(random_pool(0, count=6), **absent), 2)


@every_strategy
def test_what_is_not_needed_may_be_absent(name: str) -> None:
    strategy = build(name)
    pool = random_pool(0, count=9)
    absent: dict[str, Any] = dict.fromkeys(set(OUTPUTS) - strategy.needs)
    without = replace(pool, **absent)
    if not any(array.startswith("labeled") for array in absent):
        assert_same(strategy.select(without, 4, 1), strategy.select(pool, 4, 1))
    assert len(strategy.select(without, 4, 1)) == 4


@every_strategy
@few_examples
@given(pool=small_pools(), query_size=sizes, seed=seeds)
def test_a_score_says_what_is_picked(name: str, pool: Pool, query_size: int, seed: int) -> None:
    strategy = build(name)
    scores = strategy.score(pool)
    if scores is None:
        return
    assert scores.shape == (len(pool),)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    selection = strategy.select(pool, query_size, seed)
    of_id = dict(zip(pool.ids, scores.tolist(), strict=True))
    assert selection.scores.tolist() == [of_id[id] for id in selection.ids]
    assert selection.scores.tolist() == sorted(scores.tolist(), reverse=True)[: len(selection)]


@every_strategy
@few_examples
@given(pool=small_pools(), query_size=sizes, seed=seeds)
def test_the_same_seed_gives_the_same_picks(
    name: str, pool: Pool, query_size: int, seed: int
) -> None:
    strategy, fresh = build(name), build.__wrapped__(name)
    expected = fresh.select(pool, query_size, seed)
    assert_same(strategy.select(pool, query_size, seed), expected)
    once = fresh.select(pool, query_size, np.random.default_rng(abs(seed)))
    assert_same(strategy.select(pool, query_size, np.random.default_rng(abs(seed))), once)


@every_strategy
def test_another_seed_breaks_ties_otherwise(name: str) -> None:
    pool = random_pool(0, count=12, levels=0)
    assert len({build(name).select(pool, 12, seed).ids for seed in range(10)}) > 1


def picks_of_all() -> dict[str, list[str]]:
    pool = random_pool(0, count=40)
    return {name: list(build(name).select(pool, 10, 3).ids) for name in NAMES}


def test_another_process_picks_the_same() -> None:
    """Whatever its hash seed, from which the order of sets follows."""
    command = (
        "import importlib.util, json, sys;"
        f"spec = importlib.util.spec_from_file_location('laws', {__file__!r});"
        "laws = importlib.util.module_from_spec(spec); spec.loader.exec_module(laws);"
        "json.dump(laws.picks_of_all(), sys.stdout)"
    )
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == picks_of_all()
