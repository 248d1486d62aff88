"""Strategies for images with several classes each."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.strategies.base import PositiveFloat, QueryStrategy

_NEEDS = frozenset({"label_logits"})
_BLOCK_FLOATS = 1 << 22
# A margin of 0 has no inverse; logits are float32
_SMALLEST_MARGIN = 1e-6


@QueryStrategy.register("mmc")
class MaximumLossReduction(QueryStrategy):
    """Score each item by the loss that its likeliest label would take away.

    The likeliest label has as many classes as the model expects, the sum of their probabilities,
    rounded; the score is the sum of (1 - y f) / 2 over classes, with y = 1 or -1 and f = 2p - 1.
    Yang et al., "Effective multi-label active learning for text classification", KDD 2009.

    Args:
        memory_budget_mb: Memory for a block of intermediate results, in MiB; without effect here.
    """

    needs = _NEEDS

    @overrides
    def score(self, pool: Pool) -> NDArray[np.float32]:
        p = _probabilities(pool)
        expected = np.rint(p.sum(axis=1, keepdims=True))
        # Ranks from 0 for the likeliest; equal ones in the order of the classes
        ranks = (-p).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        signs = np.where(ranks < expected, 1.0, -1.0)
        scores: NDArray[np.float32] = ((1 - signs * (2 * p - 1)) / 2).sum(axis=1).astype(np.float32)
        return scores


@QueryStrategy.register("label_cardinality")
class LabelCardinality(QueryStrategy):
    """Score each item by how far its number of classes is from the usual, and how unsure they are.

    The inconsistency is the distance of the number of predicted classes from the mean number in the
    labels so far (without labels, in the predictions); the margin that between the least likely
    predicted class and the likeliest other one. The score is margin^-beta times
    inconsistency^(1 - beta).
    Li & Guo, "Active learning with multi-label SVM classification", IJCAI 2013, who choose beta
    anew in each round.

    Args:
        beta: The weight of the margin: 0 is the inconsistency alone, 1 the margin alone.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; without effect here.
    """

    needs = _NEEDS

    def __init__(
        self,
        beta: Annotated[float, Interval(ge=0, le=1)] = 0.5,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.beta = beta

    @overrides
    def score(self, pool: Pool) -> NDArray[np.float32]:
        p = _probabilities(pool)
        if not len(p):  # no items have no usual number of classes
            return np.zeros(0, np.float32)
        shown = p >= 0.5
        counts = shown.sum(axis=1)
        known = pool.labeled_counts
        usual = counts.mean() if known is None or not len(known) else (known > 0).sum(axis=1).mean()
        inconsistency = np.abs(counts - usual)
        # Where all classes are predicted, or none, the margin is to what would change that
        least = np.where(shown, p, np.inf).min(axis=1, initial=np.inf)
        most = np.where(shown, -np.inf, p).max(axis=1, initial=-np.inf)
        least, most = np.minimum(least, 1.0), np.maximum(most, 0.0)
        margin = np.maximum(least - most, _SMALLEST_MARGIN)
        scores: NDArray[np.float32] = (
            margin**-self.beta * inconsistency ** (1 - self.beta)
        ).astype(np.float32)
        return scores


@QueryStrategy.register("cvirs")
class CategoryVectorInconsistency(QueryStrategy):
    """Score each item by its uncertainty among the pool, and how unlike its label is to all so far.

    The uncertainty is the mean over the classes of (N - rank) / (N - 1), where the item with the
    smallest margin |2p - 1| has rank 1. It is multiplied by the mean distance of the predicted
    label to the labels so far: the normalized entropy distance of two vectors of yes and no, and 1
    where they are opposite. Without labels it is the uncertainty alone.
    Reyes et al., "Effective active learning strategy for multi-label learning", Neurocomputing
    2018.

    Args:
        memory_budget_mb: Memory for a block of intermediate results, in MiB; without effect here.
    """

    needs = _NEEDS

    @overrides
    def score(self, pool: Pool) -> NDArray[np.float32]:
        p = _probabilities(pool)
        if not len(p):
            return np.zeros(0, np.float32)
        # In the order of |2p - 1|, and exactly equal for yes and no
        scores = _rank_shares(np.abs(np.asarray(pool.label_logits, np.float64)))
        known = pool.labeled_counts
        if known is not None and len(known):
            shown, back = np.unique(p >= 0.5, axis=0, return_inverse=True)
            labels, times = np.unique(known > 0, axis=0, return_counts=True)
            weights = times / times.sum()
            inconsistency = np.empty(len(shown))
            for rows in slices(len(shown), max(1, _BLOCK_FLOATS // len(labels))):
                inconsistency[rows] = entropy_distances(shown[rows], labels) @ weights
            scores = scores * inconsistency[back.reshape(-1)]
        return scores.astype(np.float32)


def entropy_distances(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> FloatArray:
    """Return the normalized entropy distance of each pair of vectors of yes and no, `[N, M]`.

    It is (2 H(a, b) - H(a) - H(b)) / H(a, b) over the joint shares of their values, 0 for equal
    vectors, and 1 for opposite ones.

    Args:
        first: `[N, C]`.
        second: `[M, C]`.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    classes = a.shape[1]
    both, only_first, only_second = a @ b.T, a @ (1 - b).T, (1 - a) @ b.T
    neither = classes - both - only_first - only_second
    joint = sum(_entropy(part / classes) for part in (both, only_first, only_second, neither))
    own, other = (_entropy(x.mean(axis=1)) + _entropy(1 - x.mean(axis=1)) for x in (a, b))
    assert isinstance(joint, np.ndarray)
    total = 2 * joint - own[:, None] - other[None]
    # A joint entropy of 0: both vectors are all yes or all no
    distances = np.divide(total, joint, out=np.zeros_like(joint), where=joint > 0)
    return np.where(both + neither == 0, 1.0, distances)


def _entropy(shares: FloatArray) -> FloatArray:
    safe = np.where(shares > 0, shares, 1.0)
    return -safe * np.log(safe)


def _rank_shares(margins: FloatArray) -> FloatArray:
    items = len(margins)
    shares = np.zeros(items)
    for own in margins.T:
        # Equal margins have one rank, so that the order of the pool changes nothing
        ranks = np.searchsorted(np.sort(own), own, side="left") + 1
        shares += (items - ranks) / max(items - 1, 1)
    found: FloatArray = shares / margins.shape[1]
    return found


def _probabilities(pool: Pool) -> FloatArray:
    assert pool.label_logits is not None
    logits = np.asarray(pool.label_logits, np.float64)
    found: FloatArray = 0.5 * (1 + np.tanh(logits / 2))
    return found
