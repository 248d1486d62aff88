"""EPIG: the information of an item's label about the labels of target items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.selection.strategies.ensemble import (
    TINY,
    EnsembleStrategy,
    members_logits,
)
from allencv_al.selection.strategies.shared.softmax import cached_blocks, members_softmax

# Cells of the joint distributions in memory at a time: 256 KB of float32, which fit the cache.
# Fixed, because float32 sums depend on the block size, and picks must not depend on the budget.
_JOINT_CELLS = 2**16
_TARGET_CELLS = 2**22
_BYTES_PER_PROBABILITY = 32  # logits, float64 softmax and ratios, float32 copies
_SMALLEST = np.float32(1e-30)  # log of 0 is never taken; 0 · log(1e-30) is 0


@QueryStrategy.register("epig")
class Epig(EnsembleStrategy):
    """Prefers items whose labels are most informative about the labels of the target items.

    The expected predictive information gain: the mean over target items x* of the mutual
    information of y and y* under the joint (1/S) Σ_s p_s(y | x) p_s(y* | x*), in nats. Unlike BALD
    it ignores information that matters only for items off the target distribution. The members must
    be the same functions for every item. Bickford Smith et al., "Prediction-oriented Bayesian
    active learning", AISTATS 2023.
    """

    needs = frozenset({"mc_logits", "target_mc_logits"})

    @overrides
    def _scores(self, pool: Pool) -> NDArray[np.float64]:
        logits, targets = members_logits(pool), pool.target_mc_logits
        assert targets is not None
        _check_targets(logits.shape, targets.shape)
        _, members, classes = logits.shape
        bytes_per_row = members * classes * _BYTES_PER_PROBABILITY
        totals = np.zeros(len(logits))
        for some in slices(len(targets), _TARGET_CELLS // max(members * classes, 1)):
            target_ratios, target_means = self._ratios(targets[some])
            for rows in cached_blocks(self, len(logits), bytes_per_row):
                ratios, means = self._ratios(logits[rows])
                totals[rows] += _informations(ratios, means, target_ratios, target_means)
        return np.maximum(totals / len(targets), 0)

    def _ratios(self, block: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return p_s / p̄ `[n, S, C]` and p̄ `[n, C]` of members' logits `[n, S, C]`."""
        probabilities, _ = members_softmax(block, self.temperature)
        means = probabilities.mean(axis=1)
        probabilities /= np.maximum(means, TINY)[:, None]
        ratios = np.ascontiguousarray(probabilities.transpose(2, 1, 0), dtype=np.float32)
        return ratios, np.ascontiguousarray(means.T, dtype=np.float32)


def _informations(
    ratios: NDArray[np.float32],
    means: NDArray[np.float32],
    target_ratios: NDArray[np.float32],
    target_means: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return the sum over targets of the mutual information of each item's label with theirs.

    That is Σ p̄(y) p̄(y*) (r log r − r + 1), where r = (1/S) Σ_s p_s(y) p_s(y*) / (p̄(y) p̄(y*)),
    as the mean of r is 1. Unlike a difference of entropies it loses nothing where labels are nearly
    independent, r ≈ 1: there a term is about (r − 1)² / 2, in which rounding of r does not show.
    """
    count, members, classes = ratios.shape
    items = np.ascontiguousarray(ratios.transpose(0, 2, 1)) / np.float32(members)
    totals = np.zeros(count)
    for some in slices(len(target_means), _JOINT_CELLS // classes**2):
        columns = target_ratios[some].transpose(1, 0, 2).reshape(members, -1)
        weights = target_means[some].ravel()
        # One product per item, always of the same shape, so that no item's sums depend on its
        # neighbors
        for rows in slices(count, _JOINT_CELLS // (classes * weights.size)):
            joint = np.matmul(items[rows], columns)
            terms = np.log(np.maximum(joint, _SMALLEST))
            terms *= joint
            joint -= 1
            terms -= joint
            by_class = np.matmul(terms, weights)
            totals[rows] += (by_class * means[rows]).sum(axis=1, dtype=np.float64)
    return totals


def _check_targets(found: tuple[int, ...], of_targets: tuple[int, ...]) -> None:
    if len(of_targets) != 3 or not of_targets[0] or of_targets[1:] != found[1:]:
        raise ConfigurationError(
            f"pool.target_mc_logits: expected at least one target with {found[1]} members and "
            f"{found[2]} classes, like pool.mc_logits, found shape {of_targets}"
        )
