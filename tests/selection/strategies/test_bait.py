"""BAIT beside a twin that forms and inverts every matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.feature_scaling import FeatureScaling
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy

FORMS: list[dict[str, Any]] = [
    {},
    {"fisher": "full"},
    {"fisher": "full", "top_classes": 2},
]


def bait(**options: Any) -> QueryStrategy:
    strategy: QueryStrategy = QueryStrategy.from_params({"type": "bait", **options})
    return strategy


def make_pool(
    seed: int, count: int = 110, labeled: int = 4, width: int = 6, scale: float = 1.0
) -> Pool:
    generator = np.random.default_rng(seed)

    def array(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape).astype(np.float32)

    return Pool(
        [f"{index}.png" for index in range(count)],
        logits=2 * array(count, 3),
        embeddings=scale * array(count, width),
        labeled_embeddings=scale * array(labeled, width),
        labeled_logits=2 * array(labeled, 3),
    )


def information(p: NDArray, x: NDArray, options: dict[str, Any]) -> NDArray:
    """The Fisher information of one item, by its definition."""
    if options.get("fisher") != "full":
        return p.max() * (1 - p.max()) * np.outer(x, x)
    likeliest = np.argsort(-p)[: options.get("top_classes")]
    weights = p[likeliest] / p[likeliest].sum()
    errors = np.eye(len(p))[likeliest] - p
    return np.kron((weights[:, None] * errors).T @ errors, np.outer(x, x))


def plain(pool: Pool, count: int, options: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Forward and backward greedy choice, with each candidate's objective by a solver."""
    scaling = FeatureScaling.fit("standardize_l2", pool.embeddings[canonical_order(pool.ids, 0)])
    rows = scaling.apply(pool.embeddings).astype(np.float64)
    labeled = scaling.apply(pool.labeled_embeddings).astype(np.float64)
    of_pool, of_labeled = (
        [information(p, x, options) for p, x in zip(softmax(z, axis=1), xs, strict=True)]
        for z, xs in ((pool.logits, rows), (pool.labeled_logits, labeled))
    )
    known = len(labeled)
    fisher = sum([*of_pool, *of_labeled]) / (len(rows) + known)
    start = 2e-3 * np.trace(fisher) * np.eye(len(fisher))
    share = count / (known + count)
    chosen: list[int] = []
    falls: list[float] = []

    def value(items: list[int]) -> float:
        matrix = start + sum(of_labeled) / (known + count) + share * sum(of_pool[i] for i in items)
        return float(np.trace(np.linalg.solve(matrix, fisher)))

    while len(chosen) < min(2 * count, len(rows)):
        left = [item for item in range(len(rows)) if item not in chosen]
        values = [value([*chosen, item]) for item in left]
        falls.append(value(chosen) - min(values))
        chosen.append(left[int(np.argmin(values))])
    while len(chosen) > count:
        rest = [value(chosen[:place] + chosen[place + 1 :]) for place in range(len(chosen))]
        worst = int(np.argmin(rest))
        del chosen[worst], falls[worst]
    return [pool.ids[item] for item in chosen], falls


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("labeled", [0, 4])
@pytest.mark.parametrize("count", [110, 30])
def test_picks_and_scores_are_those_of_the_definition(
    options: dict[str, Any], labeled: int, count: int
) -> None:
    """Whether quadratic forms come from eigenvectors (many candidates) or from products."""
    pool = make_pool(labeled + count, count, labeled)
    selection = bait(**options).select(pool, 5, 0)
    ids, falls = plain(pool, 5, options)
    assert list(selection.ids) == ids
    np.testing.assert_allclose(selection.scores, falls, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_the_embeddings_changes_nothing(scale: float) -> None:
    expected = bait().select(make_pool(0), 8, 0).ids
    assert bait().select(make_pool(0, scale=scale), 8, 0).ids == expected


def test_without_scaling_the_regularization_follows_the_length_of_the_embeddings() -> None:
    expected = bait(scaling="none").select(make_pool(0), 8, 0).ids
    assert bait(scaling="none").select(make_pool(0, scale=100.0), 8, 0).ids == expected


def test_a_direction_that_is_labeled_is_not_asked_for_again() -> None:
    """Three directions, equally uncertain: the query is of the two without a label."""
    directions = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    pool = Pool(
        [str(index) for index in range(60)],
        logits=np.zeros((60, 2), np.float32),
        embeddings=directions,
        labeled_embeddings=directions[:1],
        labeled_logits=np.zeros((1, 2), np.float32),
    )
    chosen = bait(scaling="l2").select(pool, 2, 0).ids
    assert sorted(int(id) // 20 for id in chosen) == [1, 2]


def test_before_a_second_class_is_found_picks_lie_in_many_directions() -> None:
    """Where the information of all items is the same tiny number, it is no less spread."""
    pool = make_pool(0, width=4)
    one_class = np.tile(np.array([0, -30, -30], np.float32), (len(pool), 1))
    known = Pool(
        pool.ids,
        logits=one_class,
        embeddings=pool.embeddings,
        labeled_embeddings=pool.labeled_embeddings,
        labeled_logits=one_class[:4],
    )
    assert pool.embeddings is not None
    chosen = bait().select(known, 8, 0).ids
    directions = pool.embeddings[[pool.ids.index(id) for id in chosen]]
    assert np.linalg.svd(directions, compute_uv=False)[-1] > 1


def test_certain_items_are_still_told_apart_by_their_embeddings() -> None:
    pool = make_pool(0)
    assert pool.logits is not None
    certain = np.where(pool.logits == pool.logits.max(axis=1, keepdims=True), 0.0, -1000.0)
    selection = bait().select(
        Pool(
            pool.ids,
            logits=certain,
            embeddings=pool.embeddings,
            labeled_embeddings=pool.labeled_embeddings,
            labeled_logits=pool.labeled_logits,
        ),
        8,
        0,
    )
    assert (selection.scores > 0).all()


def test_a_larger_pool_is_sampled() -> None:
    pool = make_pool(0)
    few = bait(max_candidates=20, max_references=30).select(pool, 5, 3)
    order = canonical_order(pool.ids, 3)
    assert set(few.ids) <= {pool.ids[index] for index in order[:20]}


def test_the_full_form_refuses_matrices_that_do_not_fit() -> None:
    with pytest.raises(ConfigurationError, match=r"3 classes times 1400 .* choose binary"):
        bait(fisher="full").select(make_pool(0, 20, 2, width=1400), 5, 0)


def test_top_classes_belong_to_the_full_form() -> None:
    with pytest.raises(ConfigurationError, match="top_classes: expected none with the binary"):
        bait(top_classes=2)
