"""CLUE: the item nearest to each centroid of a pool weighted by uncertainty."""

from __future__ import annotations

import numpy as np
from overrides import overrides

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, QueryStrategy
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.central_items import central_items
from allencv_al.selection.strategies.uncertainty import Entropy


@QueryStrategy.register("clue")
class Clue(QueryStrategy):
    """Takes the item nearest to each centroid of an entropy-weighted k-means.

    There are as many clusters as items to pick; each item weighs the entropy of softmax(z / T).
    Picks come in the order of their cluster's weight, the heaviest first, which is their score; an
    item nearest to two centroids counts for the heavier. Prabhu et al., "Active domain adaptation
    via clustering uncertainty-weighted embeddings", ICCV 2021, arXiv 2010.08666.

    Args:
        temperature: T. The paper takes 1, and 0.1 where some labels of the target are known from
            the start; the lower, the more the sure items lose their weight.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Embeddings are read in blocks of 1,024 rows whatever it is, and k-means
            is fitted to a sample of 50,000.
    """

    needs = frozenset({"logits", "embeddings"})
    reads_scores = True

    def __init__(
        self, temperature: PositiveFloat = 1.0, memory_budget_mb: PositiveFloat = 512.0
    ) -> None:
        super().__init__(memory_budget_mb)
        self.temperature = temperature

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        rows = CanonicalRows(pool, seed)
        entropy = Entropy(
            temperature=self.temperature,
            aggregate=self.aggregate,
            memory_budget_mb=self.memory_budget_mb,
        )
        weights = entropy.score(pool)[rows.order]
        if count == len(pool):
            picks = np.argsort(-weights, kind="stable")
            return Picks(rows.order[picks], weights[picks])
        found = central_items(rows, count, seed, weights)
        picks = rows.order[found.positions]
        return Picks(picks, found.weights.astype(np.float32), found.reasons())
