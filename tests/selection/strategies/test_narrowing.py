"""Wrappers that leave another strategy fewer items or fewer picks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies import QueryStrategy
from allencv_al.selection.strategies.base import highest
from allencv_al.selection.strategies.narrowing import (
    Deduplicate,
    EpsilonRandom,
    Subsample,
)


class First(QueryStrategy):
    """Prefers what the first logit is highest for, and remembers what it was shown."""

    needs = frozenset({"logits"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Pool] = []

    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        self.seen.append(pool)
        assert pool.logits is not None
        scores: NDArray[Any] = pool.logits[:, 0]
        indices = highest(scores, count, pool, seed)
        return Picks(indices, scores[indices], tuple({"of": pool.ids[i]} for i in indices))


def pool_of(count: int, **arrays: Any) -> Pool:
    logits = np.stack([np.arange(count), np.zeros(count)], axis=1).astype(np.float32)
    return Pool([f"i{index}" for index in range(count)], logits=logits, **arrays)


def grid(values: list[float]) -> NDArray[np.float32]:
    return np.asarray([[value, 5.0] for value in values], np.float32)


def test_subsample_shows_only_so_many_items_and_only_what_is_needed() -> None:
    inner = First()
    pool = pool_of(100, embeddings=np.ones((100, 2)))
    selection = Subsample(inner, size=20).select(pool, 5)
    [seen] = inner.seen
    assert len(seen) == 20
    assert seen.embeddings is None
    best = sorted((int(id[1:]) for id in seen.ids), reverse=True)[:5]
    assert selection.ids == tuple(f"i{index}" for index in best)
    assert selection.scores.tolist() == best
    assert [reason["of"] for reason in selection.reasons] == list(selection.ids)


def test_subsample_by_fraction_rounds_up_and_never_below_the_query() -> None:
    inner = First()
    Subsample(inner, fraction=0.101).select(pool_of(100), 5)
    Subsample(inner, fraction=0.01).select(pool_of(100), 30)
    Subsample(inner, fraction=1.0).select(pool_of(100), 5)
    assert [len(pool) for pool in inner.seen] == [11, 30, 100]


def test_subsample_differs_by_seed_and_leaves_each_item_the_same_chance() -> None:
    shown = np.zeros(40)
    for seed in range(400):
        inner = First()
        Subsample(inner, size=10).select(pool_of(40), 1, seed)
        shown[[int(id[1:]) for id in inner.seen[0].ids]] += 1
    # 100 expected of each, with a standard deviation below 9
    assert shown.min() > 60
    assert shown.max() < 140


def test_a_subsample_of_everything_is_the_strategy_itself() -> None:
    pool = pool_of(30)
    assert Subsample(First(), fraction=1.0).select(pool, 7, 3).ids == First().select(pool, 7, 3).ids


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "size: expected this or fraction, found neither"),
        ({"size": 3, "fraction": 0.5}, "fraction, found both"),
        ({"size": 0}, "size: expected int >= 1, found 0"),
        ({"fraction": 0.0}, "fraction: expected float > 0 and <= 1, found 0.0"),
        ({"fraction": 1.5}, "fraction: .* found 1.5"),
        ({"fraction": float("nan")}, "fraction: .* found NaN"),
    ],
)
def test_subsample_says_which_value_is_wrong(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Subsample(First(), **arguments)


def test_epsilon_gives_its_share_of_places_to_chance_and_says_which() -> None:
    selection = EpsilonRandom(First(), epsilon=0.3).select(pool_of(2000), 1000)
    by = [reason["chosen_by"] for reason in selection.reasons]
    assert 240 < by.count("chance") < 360
    wanted = [int(id[1:]) for id, who in zip(selection.ids, by, strict=True) if who == "First"]
    assert wanted == list(range(1999, 1999 - len(wanted), -1))
    lucky = np.array([who == "chance" for who in by])
    assert (selection.scores[lucky] < 1).all()
    assert (selection.scores[lucky] > 0).all()
    # Chance has places everywhere, not only at the end
    assert lucky[:200].any()
    assert lucky[-200:].any()


@pytest.mark.parametrize(("epsilon", "expected"), [(0.0, {"First"}), (1.0, {"chance"})])
def test_epsilon_at_its_ends(epsilon: float, expected: set[str]) -> None:
    selection = EpsilonRandom(First(), epsilon=epsilon).select(pool_of(20), 20)
    assert {reason["chosen_by"] for reason in selection.reasons} == expected
    assert len(set(selection.ids)) == 20


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan")])
def test_epsilon_is_a_probability(epsilon: float) -> None:
    with pytest.raises(ConfigurationError, match=r"epsilon: expected .*float from 0 to 1"):
        EpsilonRandom(First(), epsilon=epsilon)


def test_deduplicate_keeps_the_first_of_what_is_near_and_picks_on() -> None:
    # i5 is picked first; i4 is exactly as near as the distance, i3 lies beyond
    pool = pool_of(6, embeddings=grid([0, 3, 3, 6, 9, 10]))
    selection = Deduplicate(First(), distance=1.0).select(pool, 4)
    assert selection.ids == ("i5", "i3", "i2", "i0")
    assert selection.scores.tolist() == [5, 3, 2, 0]
    assert not any("near_duplicate" in reason for reason in selection.reasons)


def test_deduplicate_fills_up_with_near_duplicates_that_it_marks() -> None:
    pool = pool_of(5, embeddings=grid([0, 0, 0, 9, 9]))
    selection = Deduplicate(First(), distance=0.0).select(pool, 10)
    assert selection.ids == ("i4", "i2", "i3", "i1", "i0")
    marks = [reason.get("near_duplicate", False) for reason in selection.reasons]
    assert marks == [False, False, True, True, True]


def test_deduplicate_keeps_out_what_is_near_to_labeled_items() -> None:
    pool = pool_of(4, embeddings=grid([0, 2, 4, 6]), labeled_embeddings=grid([6.5]))
    near = Deduplicate(First(), distance=1.0, labeled=True)
    assert near.needs == {"logits", "embeddings", "labeled_embeddings"}
    assert near.select(pool, 2).ids == ("i2", "i1")
    assert Deduplicate(First(), distance=1.0).select(pool, 2).ids == ("i3", "i2")


def test_no_two_of_a_batch_are_near_while_others_are_left() -> None:
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(40, 8)).astype(np.float32).repeat(10, axis=0)
    embeddings += generator.normal(size=embeddings.shape).astype(np.float32) * 1e-3
    pool = replace(pool_of(400), embeddings=embeddings)
    selection = Deduplicate(First(), distance=0.5).select(pool, 40)
    assert {int(id[1:]) // 10 for id in selection.ids} == set(range(40))


def test_a_pool_of_many_duplicates_takes_few_rounds() -> None:
    inner = First()
    pool = pool_of(2000, embeddings=grid([float(index // 100) for index in range(2000)]))
    selection = Deduplicate(inner, distance=0.5).select(pool, 20)
    assert {int(id[1:]) // 100 for id in selection.ids} == set(range(20))
    assert len(inner.seen) < 10


def test_the_quantile_is_of_distances_to_the_nearest_other_item() -> None:
    # Four of ten have a duplicate; the distances of the others are 1 and more
    embeddings = grid([0, 0, 5, 5, 10, 11, 20, 22, 30, 33])
    few = Deduplicate(First(), quantile=0.3).select(pool_of(10, embeddings=embeddings), 8)
    assert set(few.ids) == {"i1", "i3", "i4", "i5", "i6", "i7", "i8", "i9"}
    half = Deduplicate(First(), quantile=0.5).select(pool_of(10, embeddings=embeddings), 7)
    assert set(half.ids) == {"i1", "i3", "i5", "i6", "i7", "i8", "i9"}


def test_the_sample_of_a_quantile_does_not_depend_on_the_order_of_the_pool() -> None:
    """No two distances are the same, so that another sample of 256 gives another quantile."""
    pool = pool_of(600, embeddings=grid([0.5 * index**2 for index in range(600)]))
    shuffled = pool.take(np.random.default_rng(0).permutation(600))
    strategy = Deduplicate(First(), quantile=0.5)
    expected, found = strategy.select(pool, 600), strategy.select(shuffled, 600)
    assert found.ids == expected.ids
    assert found.reasons == expected.reasons


@pytest.mark.parametrize("count", [0, 1])
def test_a_quantile_of_a_pool_without_pairs(count: int) -> None:
    pool = pool_of(count, embeddings=np.zeros((count, 2)))
    assert len(Deduplicate(First(), quantile=0.5).select(pool, 3)) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "distance: expected this or quantile, found neither"),
        ({"distance": 1.0, "quantile": 0.5}, "quantile, found both"),
        ({"distance": -1.0}, "distance: .* found -1.0"),
        ({"distance": float("inf")}, "distance: .* found Infinity"),
        ({"quantile": 1.5}, "quantile: expected float from 0 to 1, found 1.5"),
    ],
)
def test_deduplicate_says_which_value_is_wrong(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Deduplicate(First(), **arguments)


def test_labeled_embeddings_of_another_width_are_an_error() -> None:
    pool = pool_of(3, embeddings=np.ones((3, 2)), labeled_embeddings=np.ones((1, 3)))
    with pytest.raises(ConfigurationError, match="labeled_embeddings: expected 2 columns"):
        Deduplicate(First(), distance=1.0, labeled=True).select(pool, 1)


def test_what_a_wrapper_needs_is_checked_for_values_that_are_not_finite() -> None:
    embeddings = np.ones((3, 2))
    embeddings[1] = np.nan
    with pytest.raises(DataError, match="embeddings: NaN or infinity for i1"):
        Deduplicate(First(), distance=1.0).select(pool_of(3, embeddings=embeddings), 1)
    with pytest.raises(ConfigurationError, match="needs logits"):
        Subsample(First(), size=1).select(Pool(["a"]), 1)
