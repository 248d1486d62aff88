"""The strategy that needs no choice: typical items first, then Fisher information."""

from __future__ import annotations

from overrides import overrides

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.bait import Bait
from allencv_al.selection.strategies.base import PositiveFloat, QueryStrategy, name_of
from allencv_al.selection.strategies.shared.batch_parts import chosen_by
from allencv_al.selection.strategies.shared.distances import labeled_rows
from allencv_al.selection.strategies.typiclust import TypiClust


@QueryStrategy.register("auto")
class Auto(QueryStrategy):
    """Chooses by what measured best at each number of labels, with nothing to set.

    Before the first label: typical items of as many clusters as are asked for (`typiclust`), on
    scaled embeddings. From then on `bait`, whose probabilities are as sure as the labels allow:
    with few labels they are nearly equal, so that items are chosen that cover the pool; the better
    the model knows the pool, the more the uncertain ones count.

    Args:
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    needs = Bait.needs

    def __init__(self, memory_budget_mb: PositiveFloat = 512.0) -> None:
        super().__init__(memory_budget_mb)
        self.first = TypiClust(memory_budget_mb=memory_budget_mb)
        self.later = Bait(memory_budget_mb=memory_budget_mb)

    @overrides
    def before_labels(self) -> QueryStrategy:
        return self.first

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        strategy = self.later if len(labeled_rows(pool)) else self.first
        return chosen_by(strategy.pick(pool, count, seed), name_of(strategy))
