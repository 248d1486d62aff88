"""BatchBALD: the batch whose labels are jointly most informative about the model's parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, PositiveInt, QueryStrategy, highest
from allencv_al.selection.strategies.ensemble import Bald, members_logits
from allencv_al.selection.strategies.shared.softmax import softmax

_CELLS_AT_A_TIME = 2**15  # 128 KB of float32; fixed, so that sums do not depend on the budget
_SMALLEST = np.float32(1e-30)  # log of 0 is never taken; 0 · log(1e-30) is 0


@dataclass(frozen=True)
class LabelConfigurations:
    """Possible labels of the batch so far, each with its posterior over the members.

    Either all of them with their probabilities, or an equally weighted sample. Given
    labels y of the batch B, the next item's entropy is that of the mixture of the members'
    predictions, weighted by p(s | y_B); averaged over y this is H[y_i | y_B], and less the members'
    own entropy it is the information gain of the item: I[y_i; s | y_B].

    Args:
        probabilities: Of each of the M configurations, `[M]`, with sum 1.
        posteriors: p(s | configuration) of each member, `[M, S]`, rows with sum 1.
    """

    probabilities: NDArray[np.float32]
    posteriors: NDArray[np.float32]

    @classmethod
    def none_yet(cls, members: int) -> LabelConfigurations:
        """Return the one configuration of the empty batch, with no preference among members."""
        return cls(np.ones(1, np.float32), np.full((1, members), 1 / members, np.float32))

    def expected_entropy(self, member_probabilities: NDArray[np.float64]) -> float:
        """Return H[y_i | y_B] of an item from its members' probabilities, `[S, C]`."""
        narrow = member_probabilities.astype(np.float32)
        total = 0.0
        for rows in slices(len(self.probabilities), _CELLS_AT_A_TIME // max(narrow.shape[1], 1)):
            mixtures = self.posteriors[rows] @ narrow
            mixtures *= np.log(np.maximum(mixtures, _SMALLEST))
            total -= float((self.probabilities[rows] @ mixtures).sum(dtype=np.float64))
        return total

    def extended(
        self, member_probabilities: NDArray[np.float64], most: int, generator: np.random.Generator
    ) -> LabelConfigurations:
        """Return the configurations of the batch with one more item.

        All of them if they are at most `most`, else a systematic sample of `most`: the count of
        each differs from its expectation by less than one.
        """
        classes = member_probabilities.shape[1]
        joint: NDArray[np.float64] = self.posteriors @ member_probabilities
        joint *= self.probabilities[:, None]
        weights = joint.ravel()
        if weights.size <= most:
            chosen = np.flatnonzero(weights > 0)
            probabilities = weights[chosen]
        else:
            cumulative = np.cumsum(weights)
            points = (np.arange(most) + generator.random()) / most * cumulative[-1]
            # Rounding may put the last point at the total, where searchsorted is out of range
            chosen = np.minimum(np.searchsorted(cumulative, points, "right"), weights.size - 1)
            probabilities = np.ones(most)
        before, labels = np.divmod(chosen, classes)
        posteriors = self.posteriors[before] * member_probabilities.T[labels]
        posteriors /= posteriors.sum(axis=1, keepdims=True)
        probabilities = probabilities / probabilities.sum()
        return LabelConfigurations(probabilities.astype(np.float32), posteriors.astype(np.float32))


@QueryStrategy.register("batch_bald")
class BatchBald(Bald):
    """Builds the batch greedily: each pick adds most to the joint mutual information.

    The joint entropy is exact while all combinations of labels fit into `num_configurations`, and
    estimated from a sample of them afterwards. Items are looked at again only where an upper bound
    (BALD, or the gain for a smaller batch) leaves them a chance. The members must be the same
    functions for every item. For batches above about 20, `power_bald` is as good and much cheaper.
    Kirsch, van Amersfoort & Gal, "BatchBALD: efficient and diverse batch acquisition for deep
    Bayesian active learning", NeurIPS 2019.

    Args:
        num_configurations: The number of label combinations to hold.
        num_candidates: Only this many items of the highest BALD are considered, or the size of the
            query if that is more.
        temperature: Divisor of the logits before softmax.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    def __init__(
        self,
        num_configurations: PositiveInt = 10_000,
        num_candidates: PositiveInt = 10_000,
        temperature: PositiveFloat = 1.0,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(temperature, memory_budget_mb)
        self.num_configurations = num_configurations
        self.num_candidates = num_candidates

    @overrides
    def score(self, pool: Pool) -> None:
        return None

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        bald = self._scores(pool)
        # In this order, which only ids and values decide, the first of equals is taken
        candidates = highest(bald, min(max(self.num_candidates, count), len(pool)), pool, seed)
        order, gains = self._greedy(pool, candidates, bald[candidates], count, seed)
        indices = candidates[order]
        reasons = self._reasons(pool, indices)
        for index, gain, reason in zip(indices.tolist(), gains, reasons, strict=True):
            reason["bald"] = float(bald[index])
            reason["shared_with_batch"] = max(0.0, float(bald[index]) - gain)
        return Picks(indices, np.asarray(gains, np.float32), reasons)

    def _greedy(
        self,
        pool: Pool,
        candidates: NDArray[np.int64],
        bald: NDArray[np.float64],
        count: int,
        seed: int,
    ) -> tuple[list[int], list[float]]:
        """Return the positions of the picks in `candidates`, with the gain of each in nats."""
        logits = members_logits(pool)
        generator = np.random.default_rng(seed % 2**64)
        configurations = LabelConfigurations.none_yet(logits.shape[1])
        bounds = bald.copy()
        order: list[int] = []
        gains: list[float] = []
        while len(order) < count:
            fresh = np.zeros(len(bounds), np.bool_)
            # The first pick's gain is its BALD, which is exact; later bounds are old gains
            fresh[:] = not order
            best = int(bounds.argmax())
            while not fresh[best]:
                probabilities, logarithms = softmax(logits[candidates[best]], self.temperature)
                own = -float((probabilities * logarithms).sum()) / len(probabilities)
                bounds[best] = max(0.0, configurations.expected_entropy(probabilities) - own)
                fresh[best] = True
                best = int(bounds.argmax())
            order.append(best)
            gains.append(float(bounds[best]))
            bounds[best] = -np.inf
            if len(order) < count:
                probabilities, _ = softmax(logits[candidates[best]], self.temperature)
                configurations = configurations.extended(
                    probabilities, self.num_configurations, generator
                )
        return order, gains
