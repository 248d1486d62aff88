"""`QueryStrategy.select`: what it returns and refuses, and the order of ties."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.common.errors import ComponentError, ConfigurationError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import QueryStrategy, highest


class Preferred(QueryStrategy):
    """Scores that the test gives."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = np.asarray(scores, np.float32)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        return self.scores


class Fixed(QueryStrategy):
    """Picks that the test gives."""

    def __init__(self, *indices: int) -> None:
        super().__init__()
        self.indices = np.asarray(indices, np.int64)

    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        reasons = tuple({"nearest": f"n{index}"} for index in self.indices)
        return Picks(self.indices, self.indices.astype(np.float32), reasons)


POOL = Pool(["a", "b", "c", "d"])


def test_a_strategy_of_ones_own_needs_only_scores() -> None:
    selection = Preferred(0.1, 0.9, 0.4, 0.2).select(POOL, 2)
    assert selection.ids == ("b", "c")
    assert selection.scores.dtype == np.float32
    np.testing.assert_allclose(selection.scores, [0.9, 0.4])
    assert selection.reasons == ({"rank": 0}, {"rank": 1})
    assert len(selection) == 2
    assert selection.seconds > 0
    assert selection.peak_bytes >= 0


def test_reasons_stand_with_their_rank() -> None:
    selection = Fixed(2, 0).select(POOL, 2)
    assert selection.ids == ("c", "a")
    assert selection.reasons == ({"rank": 0, "nearest": "n2"}, {"rank": 1, "nearest": "n0"})
    json.dumps(selection.reasons)


@pytest.mark.parametrize(("query_size", "expected"), [(0, 0), (3, 3), (4, 4), (99, 4)])
def test_as_many_as_asked_for_or_all(query_size: int, expected: int) -> None:
    assert len(Preferred(1, 2, 3, 4).select(POOL, query_size)) == expected


def test_a_negative_query_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="query_size: expected at least 0, found -1"):
        Preferred(1, 2, 3, 4).select(POOL, -1)


def test_a_strategy_that_picks_twice_is_found_out() -> None:
    with pytest.raises(ComponentError, match="indices twice: 1"):
        Fixed(1, 1).select(POOL, 2)


def test_a_strategy_that_says_nothing_is_found_out() -> None:
    with pytest.raises(ComponentError, match=r"expected a method score .* found neither"):
        QueryStrategy().select(POOL, 1)


def test_a_score_that_is_nan_is_named() -> None:
    with pytest.raises(ComponentError, match=r"not finite for b \(nan\), d \(nan\);"):
        Preferred(1, float("nan"), 2, float("nan")).select(POOL, 1)


@pytest.mark.parametrize("budget", [0, -1, float("nan")])
def test_a_budget_is_positive(budget: float) -> None:
    with pytest.raises(ConfigurationError, match=r"memory_budget_mb: expected (finite )?float > 0"):
        QueryStrategy(memory_budget_mb=budget)


def test_blocks_cover_all_rows_within_the_budget() -> None:
    strategy = QueryStrategy(memory_budget_mb=1)
    blocks = list(strategy.blocks(10, bytes_per_row=2**18))
    assert [(rows.start, rows.stop) for rows in blocks] == [(0, 4), (4, 8), (8, 10)]
    assert [len(range(10)[rows]) for rows in QueryStrategy(1e-9).blocks(3, 1e9)] == [1, 1, 1]


def test_ties_are_broken_by_the_seed_and_not_by_place() -> None:
    tied = Preferred(1, 1, 1, 1)
    orders = {tied.select(POOL, 4, seed).ids for seed in range(20)}
    assert len(orders) > 5
    backwards = Pool(["d", "c", "b", "a"])
    for seed in range(20):
        assert tied.select(POOL, 2, seed).ids == tied.select(backwards, 2, seed).ids


def test_each_of_the_tied_is_picked_about_equally_often() -> None:
    tied = Preferred(1, 1, 1, 1)
    firsts = [tied.select(POOL, 1, seed).ids[0] for seed in range(1000)]
    assert all(180 < firsts.count(id) < 320 for id in POOL.ids)


def test_a_generator_gives_the_seed() -> None:
    tied = Preferred(1, 1, 1, 1)
    once, again = (np.random.default_rng(3) for _ in range(2))
    assert [tied.select(POOL, 4, once).ids for _ in range(5)] == [
        tied.select(POOL, 4, again).ids for _ in range(5)
    ]


def test_the_highest_are_those_that_a_full_sort_gives() -> None:
    generator = np.random.default_rng(0)
    pool = Pool([f"{number}" for number in range(200)])
    scores = generator.integers(0, 30, 200).astype(np.float32)
    whole = highest(scores, 200, pool, seed=1)
    assert (np.diff(scores[whole]) <= 0).all()
    for count in (0, 1, 7, 199):
        np.testing.assert_array_equal(highest(scores, count, pool, seed=1), whole[:count])


def test_infinite_scores_have_their_place() -> None:
    infinity = float("inf")
    scores = np.array([-infinity, 1, infinity, -infinity])
    assert highest(scores, 2, POOL, seed=0).tolist() == [2, 1]
    with pytest.raises(ComponentError, match=r"not finite for a .-inf., c"):
        Preferred(*scores).select(POOL, 2)  # no file holds them
