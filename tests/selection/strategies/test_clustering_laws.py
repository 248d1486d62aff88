"""Laws of the strategies that cluster or cover the pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.active_learning import Pool, QueryStrategy, Selection
from allencv_al.common.errors import ConfigurationError, DataError

NAMES = [
    "cluster_margin",
    "clue",
    "typiclust",
    "prob_cover",
    "max_herding",
    "uncertainty_herding",
]
PARAMETERS = [
    *((name, {}) for name in NAMES),
    ("cluster_margin", {"candidates_per_pick": 2, "num_clusters": 3}),
    ("clue", {"temperature": 0.1}),
    ("typiclust", {"max_clusters": 3, "min_cluster_size": 2, "neighbors": 3}),
    ("prob_cover", {"radius": 1.5, "max_references": 7, "max_candidates": 9}),
    ("uncertainty_herding", {"uncertainty": "entropy", "bandwidth": 1.0}),
]


def make_pool(count: int, seed: int, labeled: int, duplicates: bool) -> Pool:
    """A pool whose logits are sixteenths, to which whole numbers can be added without rounding."""
    generator = np.random.default_rng(seed)
    embeddings = generator.normal(3, 1, (count, 5)).astype(np.float32)
    if duplicates:
        embeddings = embeddings[generator.integers(0, max(1, count // 3), count)]
    return Pool(
        [f"{seed}/{i}.jpg" for i in range(count)],
        logits=(generator.integers(-40, 40, (count, 3)) / 16).astype(np.float32),
        embeddings=embeddings,
        labeled_embeddings=generator.normal(3, 1, (labeled, 5)).astype(np.float32)
        if labeled
        else None,
    )


pools = st.builds(
    make_pool,
    count=st.integers(1, 40),
    seed=st.integers(0, 1000),
    labeled=st.integers(0, 4),
    duplicates=st.booleans(),
)


def check_law(law: Callable[[QueryStrategy, Pool, int], None], name: str, values: dict) -> None:
    @settings(max_examples=12)
    @given(pools, st.integers(0, 45))
    def check(pool: Pool, query_size: int) -> None:
        law(QueryStrategy.by_name(name)(**values), pool, query_size)

    check()


def same(left: Selection, right: Selection) -> None:
    assert left.ids == right.ids
    assert left.scores.tolist() == right.scores.tolist()
    assert left.reasons == right.reasons


@pytest.mark.parametrize(("name", "values"), PARAMETERS)
def test_picks_are_distinct_and_as_many_as_asked_for(name: str, values: dict) -> None:
    def law(strategy: QueryStrategy, pool: Pool, query_size: int) -> None:
        selection = strategy.select(pool, query_size, 7)
        assert len(set(selection.ids)) == len(selection.ids) == min(query_size, len(pool))
        assert set(selection.ids) <= set(pool.ids)
        assert np.isfinite(selection.scores).all()
        assert [reason["rank"] for reason in selection.reasons] == list(range(len(selection)))

    check_law(law, name, values)


@pytest.mark.parametrize(("name", "values"), PARAMETERS)
def test_the_order_of_the_pool_changes_nothing(name: str, values: dict) -> None:
    def law(strategy: QueryStrategy, pool: Pool, query_size: int) -> None:
        shuffled = pool.take(np.random.default_rng(len(pool)).permutation(len(pool)))
        same(strategy.select(pool, query_size, 7), strategy.select(shuffled, query_size, 7))

    check_law(law, name, values)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", ["C", "F"])
def test_the_order_of_a_pool_of_several_blocks_changes_nothing(name: str, layout: str) -> None:
    generator = np.random.default_rng(5)
    pool = Pool(
        [str(i) for i in range(2500)],
        logits=generator.normal(size=(2500, 4)).astype(np.float32),
        embeddings=generator.normal(5, 1, (2500, 17)).astype(np.float32),
        labeled_embeddings=generator.normal(5, 1, (3, 17)).astype(np.float32),
    )
    shuffled = pool.take(generator.permutation(len(pool)))
    shuffled = replace(shuffled, embeddings=np.asarray(shuffled.embeddings, order=layout))
    strategy = QueryStrategy.by_name(name)()
    same(strategy.select(pool, 60, 3), strategy.select(shuffled, 60, 3))


def reasons_of_all() -> dict[str, Any]:
    pool = make_pool(3000, 1, 4, duplicates=False)
    selections = {name: QueryStrategy.by_name(name)().select(pool, 40, 3) for name in NAMES}
    return {name: [each.ids, each.reasons] for name, each in selections.items()}


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it change the last bit of a distance to a centroid."""
    from threadpoolctl import threadpool_limits

    found = []
    for threads in (1, 3):
        # scikit-learn takes more threads than there are cores only where this is set
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        with threadpool_limits(limits=threads):
            found.append(reasons_of_all())
    assert found[0] == found[1]


@pytest.mark.parametrize(("name", "values"), PARAMETERS)
def test_the_memory_budget_changes_nothing(name: str, values: dict) -> None:
    def law(strategy: QueryStrategy, pool: Pool, query_size: int) -> None:
        thrifty = QueryStrategy.by_name(name)(**values, memory_budget_mb=1e-4)
        same(strategy.select(pool, query_size, 7), thrifty.select(pool, query_size, 7))

    check_law(law, name, values)


@pytest.mark.parametrize(("name", "values"), PARAMETERS)
def test_a_constant_on_top_of_logits_changes_nothing(name: str, values: dict) -> None:
    def law(strategy: QueryStrategy, pool: Pool, query_size: int) -> None:
        assert pool.logits is not None
        shifts = np.arange(len(pool), dtype=np.float32)[:, None] - 9
        shifted = replace(pool, logits=pool.logits + shifts)
        same(strategy.select(pool, query_size, 7), strategy.select(shifted, query_size, 7))

    check_law(law, name, values)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_picks(name: str) -> None:
    pool = make_pool(40, 1, 0, duplicates=False)
    strategy = QueryStrategy.by_name(name)()
    same(strategy.select(pool, 9, 3), strategy.select(pool, 9, 3))
    same(
        strategy.select(pool, 9, np.random.default_rng(3)),
        strategy.select(pool, 9, np.random.default_rng(3)),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(name: str, value: float) -> None:
    pool = make_pool(9, 1, 2, duplicates=False)
    strategy = QueryStrategy.by_name(name)()
    for needed in strategy.needs:
        array = getattr(pool, needed).copy()
        array[4, 1] = value
        with pytest.raises(DataError, match=f"pool.{needed}: NaN or infinity for 1/4.jpg"):
            strategy.select(replace(pool, **{needed: array}), 3)
        with pytest.raises(ConfigurationError, match=f"needs {needed}"):
            strategy.select(replace(pool, **{needed: None}), 3)


@pytest.mark.parametrize("name", ["typiclust", "prob_cover", "max_herding", "uncertainty_herding"])
def test_labeled_embeddings_that_do_not_fit_are_errors(name: str) -> None:
    pool = make_pool(9, 1, 2, duplicates=False)
    strategy = QueryStrategy.by_name(name)()
    with pytest.raises(DataError, match="labeled_embeddings: NaN or infinity for row 0, row 1"):
        strategy.select(replace(pool, labeled_embeddings=np.full((2, 5), np.nan)), 3)
    with pytest.raises(ConfigurationError, match=r"expected 5 columns .*found shape \(2, 4\)"):
        strategy.select(replace(pool, labeled_embeddings=np.zeros((2, 4))), 3)


@pytest.mark.parametrize("name", NAMES)
def test_items_that_all_coincide_are_still_picked_once(name: str) -> None:
    pool = replace(make_pool(60, 1, 0, duplicates=False), embeddings=np.ones((60, 5), np.float32))
    for query_size in (1, 30, 60):
        assert len(set(QueryStrategy.by_name(name)().select(pool, query_size).ids)) == query_size


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_pool_gives_no_picks(name: str) -> None:
    empty = make_pool(3, 1, 0, duplicates=False).take(np.empty(0, np.int64))
    assert len(QueryStrategy.by_name(name)().select(empty, 5)) == 0


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("cluster_margin", {"candidates_per_pick": 0}, "candidates_per_pick: expected int >= 1"),
        ("cluster_margin", {"num_clusters": 0}, "num_clusters: expected int >= 1, found 0"),
        ("clue", {"temperature": 0.0}, "temperature: expected float > 0"),
        ("typiclust", {"max_clusters": 0}, "max_clusters: expected int >= 1, found 0"),
        ("typiclust", {"min_cluster_size": -1}, "min_cluster_size: expected int >= 0"),
        ("typiclust", {"neighbors": 0}, "neighbors: expected int >= 1"),
        ("prob_cover", {"radius": 0.0}, "radius: expected float > 0"),
        ("prob_cover", {"purity": 1.1}, "purity: expected float > 0 and <= 1, found 1.1"),
        ("prob_cover", {"num_classes": 0}, "num_classes: expected int >= 1"),
        ("prob_cover", {"max_references": 0}, "max_references: expected int >= 1"),
        ("max_herding", {"bandwidth": float("nan")}, "bandwidth: expected finite float > 0"),
        ("max_herding", {"neighbor": 0}, "neighbor: expected int >= 1"),
        ("max_herding", {"max_candidates": 0}, "max_candidates: expected int >= 1"),
        (
            "uncertainty_herding",
            {"uncertainty": "size"},
            "expected .*, found .size.",
        ),
        ("uncertainty_herding", {"temperature": -1.0}, "temperature: expected float > 0"),
    ],
)
def test_values_that_make_no_sense_are_errors(name: str, values: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        QueryStrategy.by_name(name)(**values)
