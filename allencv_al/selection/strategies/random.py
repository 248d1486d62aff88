"""Random choice, the baseline of all strategies."""

from __future__ import annotations

from overrides import overrides

from allencv_al.data.id_hash import id_uniforms
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import QueryStrategy, highest


@QueryStrategy.register("random")
class RandomStrategy(QueryStrategy):
    """Chooses uniformly at random; needs no model.

    The score of an item is a number in (0, 1) drawn from its id and the seed, so it does not depend
    on the other items of the pool.
    """

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        draws = id_uniforms(pool.ids, seed)
        indices = highest(draws, count, pool, seed)
        return Picks(indices, draws[indices].astype("float32"))
