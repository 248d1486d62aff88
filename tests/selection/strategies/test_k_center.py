"""Greedy k-center beside a brute-force twin, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy


def k_center(memory_budget_mb: float = 512.0) -> QueryStrategy:
    return QueryStrategy.from_params({"type": "k_center", "memory_budget_mb": memory_budget_mb})


def pool_of(embeddings: np.ndarray, labeled: np.ndarray | None = None) -> Pool:
    ids = [f"{index}.png" for index in range(len(embeddings))]
    return Pool(ids, embeddings=embeddings, labeled_embeddings=labeled)


def brute_force(
    embeddings: np.ndarray, labeled: np.ndarray | None, count: int
) -> tuple[list[str], list[float]]:
    """All distances from their definition, in float64; ties go to the first."""
    rows = embeddings.astype(np.float64)
    from_each = np.sqrt(((rows[:, None] - rows) ** 2).sum(axis=2))
    picked: list[int] = []
    near = np.full(len(rows), np.inf)
    if labeled is None or not len(labeled):
        picked = [int(np.argmin(((rows - rows.mean(axis=0)) ** 2).sum(axis=1)))]
        near = from_each[picked[0]].copy()
    else:
        for center in labeled.astype(np.float64):
            near = np.minimum(near, np.sqrt(((rows - center) ** 2).sum(axis=1)))
    scores: list[float] = [float(near.max())] * len(picked)
    while len(picked) < count:
        best = int(near.argmax())
        picked.append(best)
        scores.append(float(near[best]))
        near = np.minimum(near, from_each[best])
    return [f"{index}.png" for index in picked], scores


def features(kind: str, count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((count, 24))
    if kind == "clustered":
        rows = rows * 0.02 + 5 * generator.standard_normal((9, 24))[generator.integers(0, 9, count)]
    elif kind == "tight":
        rows = rows * 1e-5 + generator.standard_normal((9, 24))[generator.integers(0, 9, count)]
    elif kind == "far from the origin":
        rows = np.round(rows, 1) + 30_000
    elif kind == "an outlier":
        rows[3] *= 1e4
    elif kind == "relu":
        rows = np.maximum(rows, 0)
    return rows


KINDS = ["gaussian", "clustered", "tight", "far from the origin", "an outlier", "relu"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labeled_count", [0, 1, 150])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_picks_what_brute_force_picks(kind: str, labeled_count: int, dtype: type) -> None:
    rows = features(kind, 550).astype(dtype)
    embeddings, labeled = rows[:400], rows[400 : 400 + labeled_count]
    selection = k_center().select(pool_of(embeddings, labeled), 60)
    ids, scores = brute_force(embeddings, labeled, 60)
    assert list(selection.ids) == ids
    np.testing.assert_allclose(selection.scores, scores, rtol=1e-5)


def test_half_precision_features_are_taken_as_they_are() -> None:
    embeddings = features("gaussian", 200).astype(np.float16)
    assert (
        list(k_center().select(pool_of(embeddings), 20).ids) == brute_force(embeddings, None, 20)[0]
    )


def test_more_items_than_are_kept_at_hand() -> None:
    generator = np.random.default_rng(1)
    embeddings = generator.random((9_000, 2)).astype(np.float32)
    near = np.full(9_000, np.inf)
    rows = embeddings.astype(np.float64)
    expected = [int(np.argmin(((rows - rows.mean(axis=0)) ** 2).sum(axis=1)))]
    while len(expected) < 80:
        near = np.minimum(near, ((rows - rows[expected[-1]]) ** 2).sum(axis=1))
        expected.append(int(near.argmax()))
    selection = k_center().select(pool_of(embeddings), 80)
    assert list(selection.ids) == [f"{index}.png" for index in expected]


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 60),
    labeled_count=st.integers(0, 5),
    query_size=st.integers(0, 70),
    budget=st.sampled_from([1e-6, 0.02, 0.1, 512.0]),
    levels=st.sampled_from([2, 5, 1000]),
)
@settings(max_examples=60)
def test_order_and_blocks_change_nothing(
    seed: int, count: int, labeled_count: int, query_size: int, budget: float, levels: int
) -> None:
    generator = np.random.default_rng(seed)
    # Few levels make many ties and duplicates
    embeddings = generator.integers(0, levels, (count, 3)).astype(np.float32)
    labeled = generator.integers(0, levels, (labeled_count, 3)).astype(np.float32)
    pool = pool_of(embeddings, labeled)
    selection = k_center().select(pool, query_size, seed)
    assert len(set(selection.ids)) == len(selection) == min(query_size, count)
    order = generator.permutation(count)
    again = k_center(budget).select(pool.take(order), query_size, seed)
    assert again.ids == selection.ids
    np.testing.assert_allclose(again.scores, selection.scores, rtol=1e-6)
    np.testing.assert_array_equal(
        k_center().select(pool, query_size, seed).scores, selection.scores
    )


def test_ties_are_broken_by_the_seed() -> None:
    pool = pool_of(np.eye(40, dtype=np.float32))
    assert len({k_center().select(pool, 3, seed).ids for seed in range(8)}) > 1


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_no_duplicate_before_all_distinct_items(offset: float) -> None:
    distinct = np.random.default_rng(0).standard_normal((20, 16)).astype(np.float32) + offset
    embeddings = np.tile(distinct, (15, 1))
    selection = k_center().select(pool_of(embeddings), 50, 3)
    chosen = [int(id.split(".")[0]) for id in selection.ids]
    assert {index % 20 for index in chosen[:20]} == set(range(20))
    assert len(set(chosen)) == 50
    assert not selection.scores[20:].any()


def test_what_duplicates_labeled_items_comes_last() -> None:
    generator = np.random.default_rng(0)
    labeled = generator.standard_normal((30, 16)).astype(np.float32)
    fresh = generator.standard_normal((5, 16)).astype(np.float32)
    selection = k_center().select(pool_of(np.concatenate([labeled, fresh]), labeled), 8)
    assert set(selection.ids[:5]) == {f"{index}.png" for index in range(30, 35)}


def test_equal_items_all_may_be_chosen() -> None:
    pool = pool_of(np.ones((5000, 4), np.float32))
    assert len(set(k_center().select(pool, 5000).ids)) == 5000


def test_reasons_name_the_nearest_item_and_the_distance() -> None:
    embeddings = np.array([[0.0], [10.0], [4.0]], np.float32)
    warm = k_center().select(pool_of(embeddings, np.array([[100.0], [1.0]], np.float32)), 2)
    assert warm.reasons == (
        {"rank": 0, "nearest_labeled": 1, "distance": 9.0},
        {"rank": 1, "nearest_labeled": 1, "distance": 3.0},
    )
    cold = k_center().select(pool_of(embeddings), 3)
    assert cold.ids == ("2.png", "1.png", "0.png")
    assert cold.reasons == (
        {"rank": 0, "nearest": "mean"},
        {"rank": 1, "nearest_selected": "2.png", "distance": 6.0},
        {"rank": 2, "nearest_selected": "2.png", "distance": 4.0},
    )
    assert cold.scores.tolist() == [6.0, 6.0, 4.0]


def test_faulty_input_is_named() -> None:
    embeddings = np.ones((4, 3), np.float32)
    embeddings[2, 1] = np.nan
    with pytest.raises(DataError, match=r"2\.png"):
        k_center().select(pool_of(embeddings), 1)
    fine = np.ones((4, 3), np.float32)
    with pytest.raises(DataError, match=r"labeled_embeddings.*row 2"):
        k_center().select(pool_of(fine, embeddings), 1)
    with pytest.raises(ConfigurationError, match="expected 3 columns"):
        k_center().select(pool_of(fine, np.ones((4, 2), np.float32)), 1)
    with pytest.raises(ConfigurationError, match="embeddings"):
        k_center().select(Pool(["a"]), 1)


@pytest.mark.parametrize("kind", ["gaussian", "relu"])
def test_picks_what_scikit_activeml_picks(kind: str) -> None:
    from skactiveml import pool

    rows = features(kind, 500)
    labels = np.where(np.arange(500) < 50, 0.0, np.nan)
    theirs = pool.CoreSet(random_state=0).query(rows, labels, batch_size=40)
    selection = k_center().select(pool_of(rows[50:], rows[:50]), 40)
    assert list(selection.ids) == [f"{index - 50}.png" for index in theirs]
