"""Laws of the strategies that cluster or cover the pool, beside those of every strategy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

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


def same(left: Selection, right: Selection) -> None:
    assert left.ids == right.ids
    assert left.scores.tolist() == right.scores.tolist()
    assert left.reasons == right.reasons


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_a_pool_of_several_blocks_changes_nothing(name: str) -> None:
    generator = np.random.default_rng(5)
    pool = Pool(
        [str(i) for i in range(2500)],
        logits=generator.normal(size=(2500, 4)).astype(np.float32),
        embeddings=generator.normal(5, 1, (2500, 17)).astype(np.float32),
        labeled_embeddings=generator.normal(5, 1, (3, 17)).astype(np.float32),
    )
    shuffled = pool.take(generator.permutation(len(pool)))
    strategy = QueryStrategy.by_name(name)()
    expected = strategy.select(pool, 60, 3)
    for layout in ("C", "F"):
        rows = np.asarray(shuffled.embeddings, order=layout)
        same(strategy.select(replace(shuffled, embeddings=rows), 60, 3), expected)


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
