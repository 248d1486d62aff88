"""ProbCover, MaxHerding and Uncertainty Herding against dense twins and hand-made truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from fixtures.coverage_pools import SEED, blobs, distances, make_pool
from numpy.typing import NDArray

from allencv_al.active_learning import Pool, Selection
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.strategies.coverage import (
    MaxHerding,
    ProbCover,
    UncertaintyHerding,
)


def dense_greedy(
    pool: Pool, similarity: NDArray, to_labeled: NDArray, count: int
) -> tuple[list[str], list[float]]:
    """Plain greedy coverage; of equal gains the first in canonical order wins."""
    order = canonical_order(pool.ids, SEED)
    covered = to_labeled.max(axis=1, initial=0)
    free = np.ones(len(pool), bool)
    ids, gains = [], []
    for _ in range(count):
        gain = np.maximum(similarity - covered[:, None], 0).sum(axis=0)
        gain = np.where(free, gain, -1)
        best = order[gain[order].argmax()]
        ids.append(pool.ids[best])
        gains.append(gain[best])
        covered = np.maximum(covered, similarity[:, best])
        free[best] = False
    return ids, gains


@pytest.mark.parametrize("labeled", [0, 5])
@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0])
def test_prob_cover_equals_its_dense_twin(labeled: int, radius: float) -> None:
    pool = make_pool(labeled=labeled)
    near = (distances(pool.embeddings, pool.embeddings) < radius).astype(float)
    near_labeled = (distances(pool.embeddings, pool.labeled_embeddings) < radius).astype(float)
    ids, gains = dense_greedy(pool, near, near_labeled, 80)
    selection = ProbCover(radius=radius).select(pool, 80, SEED)
    assert list(selection.ids) == ids
    assert selection.scores.tolist() == gains
    assert [reason["newly_covered"] for reason in selection.reasons] == gains
    covered = near_labeled.max(axis=1, initial=0).sum() + np.cumsum(gains)
    assert [r["coverage"] for r in selection.reasons] == pytest.approx(covered / 300)


def gaussian(distance: NDArray, bandwidth: float) -> NDArray:
    return np.exp(-(distance**2) / (2 * bandwidth**2))


def check_greedy(pool: Pool, selection: Selection, bandwidth: float, weights: NDArray) -> None:
    """Each pick must be the dense twin's, or tie with it but for rounding.

    Exact ties are common: of two items apart from all others, either covers both.
    """
    similarity = gaussian(distances(pool.embeddings, pool.embeddings), bandwidth)
    to_labeled = gaussian(distances(pool.embeddings, pool.labeled_embeddings), bandwidth)
    covered = to_labeled.max(axis=1, initial=0)
    free = np.ones(len(pool), bool)
    for id, score in zip(selection.ids, selection.scores, strict=True):
        raised = np.maximum(similarity - covered[:, None], 0) * weights[:, None]
        gains = np.where(free, raised.sum(axis=0), -1)
        pick = pool.ids.index(id)
        assert gains[pick] == pytest.approx(gains.max(), rel=1e-5)
        assert score == pytest.approx(gains[pick], rel=1e-4)
        covered = np.maximum(covered, similarity[:, pick])
        free[pick] = False


@pytest.mark.parametrize("labeled", [0, 5])
@pytest.mark.parametrize("bandwidth", [0.3, 0.7, 5.0])
def test_max_herding_is_greedy(labeled: int, bandwidth: float) -> None:
    pool = make_pool(labeled=labeled)
    selection = MaxHerding(bandwidth=bandwidth).select(pool, 60, SEED)
    check_greedy(pool, selection, bandwidth, np.ones(len(pool)))


@pytest.mark.parametrize("uncertainty", ["margin", "entropy", "least_confidence"])
def test_uncertainty_herding_is_greedy(uncertainty: str) -> None:
    pool = make_pool(labeled=3)
    odds = np.exp(pool.logits.astype(np.float64) / 2)
    p = np.sort(odds / odds.sum(axis=1, keepdims=True), axis=1)[:, ::-1]
    weights = {
        "margin": 1 - (p[:, 0] - p[:, 1]),
        "entropy": -(p * np.log(p)).sum(axis=1),
        "least_confidence": 1 - p[:, 0],
    }[uncertainty]
    strategy = UncertaintyHerding(uncertainty=uncertainty, temperature=2.0, bandwidth=0.7)
    check_greedy(pool, strategy.select(pool, 60, SEED), 0.7, weights)


def test_max_herding_equals_scikit_activeml() -> None:
    from skactiveml import pool as peer

    pool = make_pool()
    bandwidth = 0.7
    query = peer.MaxHerding(
        metric="rbf",
        metric_dict={"gamma": 1 / (2 * bandwidth**2)},
        normalize_samples=False,
        random_state=0,
    )
    centered = pool.embeddings - np.float32(100)
    indices = query.query(X=centered, y=np.full(len(pool), np.nan), batch_size=30)
    selection = MaxHerding(bandwidth=bandwidth).select(pool, 30, SEED)
    assert list(selection.ids) == [pool.ids[index] for index in indices]


@pytest.mark.parametrize("strategy", [ProbCover(), MaxHerding(bandwidth=1.0)])
def test_clusters_far_apart_are_covered_largest_first(strategy: ProbCover | MaxHerding) -> None:
    pool = blobs([20, 50, 30, 40])
    selection = strategy.select(pool, 4, SEED)
    assert [id.split("/")[0] for id in selection.ids] == ["1", "3", "2", "0"]


def test_prob_cover_counts_what_each_pick_newly_covers() -> None:
    selection = ProbCover(radius=3.0).select(blobs([20, 50, 30, 40]), 5, SEED)
    assert [reason["newly_covered"] for reason in selection.reasons] == [50, 40, 30, 20, 0]


def test_prob_cover_halves_its_own_radius_once_all_is_covered() -> None:
    pool = blobs([20, 50, 30, 40])
    selection = ProbCover(num_classes=4).select(pool, 12, SEED)
    newly = [reason["newly_covered"] for reason in selection.reasons]
    assert len({id.split("/")[0] for id in selection.ids[:4]}) == 4 and sum(newly[:4]) == 140
    coverage = [reason["coverage"] for reason in selection.reasons]
    assert coverage[3] == 1 > coverage[4], "of a smaller radius"
    assert min(newly) > 0
    # Labels that cover the pool by the first radius change nothing else
    labeled = replace(pool, labeled_embeddings=pool.embeddings[[5, 40, 80, 120]])
    reasons = ProbCover(num_classes=4).select(labeled, 3, SEED).reasons
    assert all(reason["newly_covered"] > 0 for reason in reasons)


def test_prob_cover_takes_each_item_once_where_all_coincide() -> None:
    pool = Pool([f"{index}.png" for index in range(9)], embeddings=np.ones((9, 3), np.float32))
    selection = ProbCover().select(pool, 9, SEED)
    assert len(set(selection.ids)) == 9
    assert [reason["newly_covered"] for reason in selection.reasons] == [9] + [0] * 8


def test_what_is_labeled_need_not_be_covered_again() -> None:
    pool = blobs([20, 50, 30])
    labeled = Pool(pool.ids, embeddings=pool.embeddings, labeled_embeddings=pool.embeddings[20:21])
    selection = ProbCover(radius=3.0).select(labeled, 2, SEED)
    assert [id.split("/")[0] for id in selection.ids] == ["2", "0"]


def test_uncertainty_herding_turns_to_what_the_model_is_unsure_of() -> None:
    pool = blobs([20, 50, 30])
    logits = np.full((100, 3), [20, 0, 0], np.float32)
    logits[:20] = 0
    unsure = Pool(pool.ids, embeddings=pool.embeddings, logits=logits)
    assert UncertaintyHerding(bandwidth=1.0).select(unsure, 1, SEED).ids[0].startswith("0/")


def test_a_sample_of_references_and_candidates_still_finds_the_clusters() -> None:
    pool = blobs([200, 500, 300, 400])
    selection = ProbCover(max_references=200, max_candidates=100).select(pool, 4, SEED)
    assert Counter(id.split("/")[0] for id in selection.ids) == Counter("0123")
    # Scaled up from the sample to the pool
    assert sum(reason["newly_covered"] for reason in selection.reasons) == 1400
    order = canonical_order(pool.ids, SEED)
    assert set(selection.ids) <= {pool.ids[index] for index in order[:100]}


def test_few_candidates_do_not_make_the_query_smaller() -> None:
    assert len(MaxHerding(max_candidates=5).select(make_pool(50), 30)) == 30


@pytest.mark.parametrize("strategy", [ProbCover(radius=0.01), MaxHerding()])
def test_clusters_much_tighter_than_they_are_apart_are_told_from_each_other(
    strategy: ProbCover | MaxHerding,
) -> None:
    """Where float32 distances within a cluster would be nothing but rounding."""
    pool = blobs([40, 60, 50], spread=0.001)
    selection = strategy.select(pool, 3, SEED)
    assert [id.split("/")[0] for id in selection.ids] == ["1", "2", "0"]
    for id in selection.ids:
        members = pool.embeddings[[other[0] == id[0] for other in pool.ids]].astype(np.float64)
        center = np.linalg.norm(members - members.mean(axis=0), axis=1)
        position = [other for other in pool.ids if other[0] == id[0]].index(id)
        if isinstance(strategy, MaxHerding):
            assert center[position] < np.quantile(center, 0.3)


def few_labels(labels: list[int], labeled: NDArray) -> Pool:
    pool = make_pool()
    logits = np.random.default_rng(0).normal(size=(len(pool), 3)).astype(np.float32)
    return Pool(
        pool.ids,
        logits=logits,
        embeddings=pool.embeddings,
        labeled_embeddings=labeled.astype(np.float32),
        labeled_labels=np.array(labels),
    )


def test_the_bandwidth_of_uncertainty_herding_is_the_smallest_distance_of_labeled_items() -> None:
    labeled = np.random.default_rng(1).normal(100, 3, (5, 4))
    pool = few_labels([0, 1, 2, 0, 1], labeled)
    pairs = distances(pool.labeled_embeddings, pool.labeled_embeddings)
    least = pairs[np.triu_indices(5, 1)].min()
    own = UncertaintyHerding(temperature=1.0, scaling="none").select(pool, 6, SEED)
    given = UncertaintyHerding(temperature=1.0, bandwidth=float(least / np.sqrt(2)))
    assert own.ids == given.select(pool, 6, SEED).ids


def test_labeled_duplicates_do_not_make_a_kernel_that_covers_only_themselves() -> None:
    labeled = np.repeat(np.random.default_rng(1).normal(100, 3, (1, 4)), 5, axis=0)
    labeled[1] += 1e-3
    pool = few_labels([0] * 5, labeled)
    nearest = np.sort(distances(pool.embeddings, pool.embeddings), axis=1)[:, 1]
    own = UncertaintyHerding(temperature=1.0, scaling="none").select(pool, 6, SEED)
    given = UncertaintyHerding(temperature=1.0, bandwidth=float(np.median(nearest)))
    assert own.ids == given.select(pool, 6, SEED).ids


def test_labels_at_random_turn_uncertainty_herding_into_max_herding() -> None:
    """Calibrated, such a model is equally unsure of everything."""
    generator = np.random.default_rng(3)
    labeled = generator.normal(100, 3, (60, 4))
    pool = few_labels(generator.integers(0, 3, 60).tolist(), labeled)
    herding = MaxHerding(bandwidth=2.0, scaling="standardize_l2").select(pool, 3, SEED)
    unsure = UncertaintyHerding(bandwidth=2.0, scaling="standardize_l2").select(pool, 3, SEED)
    sure = UncertaintyHerding(bandwidth=2.0, scaling="standardize_l2", temperature=0.05)
    assert unsure.ids == herding.ids != sure.select(pool, 3, SEED).ids
