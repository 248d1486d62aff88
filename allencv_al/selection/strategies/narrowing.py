"""Wrappers that restrict the items or the picks of another strategy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.config.configurable import (
    Problem,
    not_one_of_two,
)
from allencv_al.data.id_hash import canonical_order, id_uniforms
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import (
    Part,
    PositiveFloat,
    PositiveInt,
    QueryStrategy,
    Share,
    highest,
    name_of,
)
from allencv_al.selection.strategies.shared.batch_parts import (
    WrappingStrategy,
    chosen_by,
    concatenated,
    interleaved,
    part_seed,
    pick_after,
    pick_among,
    reasons_of,
)
from allencv_al.selection.strategies.shared.distances import (
    distances_to,
    labeled_rows,
    near_any,
    nearest_other,
)

_CANDIDATES_AT_A_TIME = 256  # compared by products with those kept, row by row among themselves
_QUANTILE_SAMPLE = 256


def _size_or_fraction(size: int | None, fraction: float | None) -> Iterator[Problem]:
    return not_one_of_two(size=size, fraction=fraction)


@QueryStrategy.register("subsample")
class Subsample(WrappingStrategy):
    """Lets another strategy choose from a random part of the pool.

    Makes a costly strategy affordable on a large pool, and a greedy one more diverse. The ids and
    the seed decide which items remain.

    Args:
        strategy: The strategy that chooses among the remaining items.
        size: Number of remaining items, at least 1. Give this or `fraction`.
        fraction: Remaining share of the pool: above 0, up to 1. In either case at least as many
            items remain as are to be picked.
        memory_budget_mb: Memory for a block of intermediate results of the wrapper, in MiB; the
            inner strategy has its own. The result is the same for every value.
    """

    joint_rules = (_size_or_fraction,)

    def __init__(
        self,
        strategy: QueryStrategy,
        size: PositiveInt | None = None,
        fraction: Part | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(strategy, memory_budget_mb)
        self.size = size
        self.fraction = fraction

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        share = 1.0 if self.fraction is None else self.fraction
        wanted = math.ceil(share * len(pool)) if self.size is None else self.size
        # At least as many as are asked for, or the batch would be short
        size = min(max(wanted, count), len(pool))
        own_seed = part_seed(seed, "subsample")
        remaining = highest(id_uniforms(pool.ids, own_seed), size, pool, own_seed)
        # Sorted: a strategy must not see the order of the draw
        return pick_among(self.strategy, pool, np.sort(remaining), count, seed)


@QueryStrategy.register("epsilon_random")
class EpsilonRandom(WrappingStrategy):
    """Fills each place of the batch at random with a small probability, else by a strategy.

    So a batch does not depend on a wrong model alone, and every item has a chance. The score of a
    random pick is its draw in (0, 1), as with `random`; its reason is `chosen_by: chance`.

    Args:
        strategy: The strategy that fills the other places.
        epsilon: The probability that a place is filled at random, 0 to 1.
        memory_budget_mb: Memory for a block of intermediate results of the wrapper, in MiB; the
            inner strategy has its own. The result is the same for every value.
    """

    def __init__(
        self, strategy: QueryStrategy, epsilon: Share = 0.1, memory_budget_mb: PositiveFloat = 512.0
    ) -> None:
        super().__init__(strategy, memory_budget_mb)
        self.epsilon = epsilon

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        own_seed = part_seed(seed, "epsilon_random")
        by_chance = np.random.default_rng(own_seed).random(count) < self.epsilon
        chances = int(by_chance.sum())
        wanted = pick_among(self.strategy, pool, np.arange(len(pool)), count - chances, seed)
        draws = id_uniforms(pool.ids, own_seed) if chances else np.empty(0)
        draws[wanted.indices if chances else []] = -1.0  # below all draws: never picked twice
        drawn = highest(draws, chances, pool, own_seed)
        lucky = Picks(drawn, draws[drawn].astype(np.float32))
        parts = [chosen_by(wanted, name_of(self.strategy)), chosen_by(lucky, "chance")]
        return interleaved(parts, by_chance.astype(int).tolist())


def _distance_or_quantile(distance: float | None, quantile: float | None) -> Iterator[Problem]:
    return not_one_of_two(distance=distance, quantile=quantile)


@QueryStrategy.register("deduplicate")
class Deduplicate(WrappingStrategy):
    """Keeps near duplicates of picked items out of the batch.

    The strategy inside picks; of picks near each other the first stays. Missing places are filled
    from the items that are near no item of the batch. If none is left, near duplicates fill them,
    with `near_duplicate` in their reasons. Distances are
    Euclidean, between `embeddings`; an item at exactly the distance is a duplicate.

    Args:
        strategy: The strategy that chooses among the items.
        distance: The largest distance of near duplicates, in the units of the embeddings, at least
            0 (0: equal rows only). Give this or `quantile`.
        quantile: Takes for the distance this quantile, 0 to 1, of the distances from items to their
            nearest other item in the pool (measured on a seeded sample of 256): with 0.3, about
            three items in ten have a near duplicate.
        labeled: Whether to keep out near duplicates of labeled items, too; needs
            `labeled_embeddings`.
        memory_budget_mb: Memory for a block of intermediate results of the wrapper, in MiB; the
            inner strategy has its own. The result is the same for every value.
    """

    joint_rules = (_distance_or_quantile,)

    def __init__(
        self,
        strategy: QueryStrategy,
        distance: Annotated[float, Ge(0)] | None = None,
        quantile: Share | None = None,
        labeled: bool = False,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        self.labeled = labeled
        super().__init__(strategy, memory_budget_mb)
        self.distance = distance
        self.quantile = quantile

    @overrides
    def own_needs(self) -> frozenset[str]:
        return frozenset({"embeddings", *(["labeled_embeddings"] if self.labeled else [])})

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        embeddings = pool.embeddings
        assert embeddings is not None
        distance = self._distance(pool, embeddings, seed)
        left = np.arange(len(pool))
        if self.labeled:
            left = self._far_from(embeddings, left, labeled_rows(pool), distance)
        accepted = np.empty(0, np.int64)
        parts: list[Picks] = []
        asked = count
        while len(accepted) < count and len(left):
            found = pick_after(self.strategy, pool, left, accepted, asked, seed)
            places = self._apart(embeddings, found.indices, distance)[: count - len(accepted)]
            parts.append(_only(found, places))
            new = found.indices[places]
            accepted = np.concatenate([accepted, new])
            if len(accepted) < count:
                left = self._far_from(embeddings, left, np.asarray(embeddings[new]), distance)
                # Also where `distance` is 0 and rounding keeps an item apart from itself
                left = left[~np.isin(left, new)]
            # With many near duplicates, larger requests need fewer repetitions
            mostly_near = 2 * len(new) < len(found.indices)
            asked = 2 * asked if mostly_near else count - len(accepted)
        if len(accepted) < count:
            everything = np.arange(len(pool))
            missing = count - len(accepted)
            again = pick_after(self.strategy, pool, everything, accepted, missing, seed)
            marked = tuple({**reason, "near_duplicate": True} for reason in reasons_of(again))
            parts.append(Picks(again.indices, again.scores, marked))
        return concatenated(parts)

    def _distance(self, pool: Pool, embeddings: FloatArray, seed: int) -> float:
        if self.quantile is None:
            assert self.distance is not None
            return self.distance
        if len(pool) < 2:
            return 0.0
        order = canonical_order(pool.ids, part_seed(seed, "deduplicate"))
        nearest = nearest_other(embeddings, order[:_QUANTILE_SAMPLE], self.memory_budget_mb)
        # A distance that occurs: interpolation would depend on how the sample is rounded
        return float(np.quantile(nearest, self.quantile, method="lower"))

    def _far_from(
        self, embeddings: FloatArray, among: NDArray[np.int64], others: FloatArray, distance: float
    ) -> NDArray[np.int64]:
        return among[~near_any(embeddings, among, others, distance, self.memory_budget_mb)]

    def _apart(
        self, embeddings: FloatArray, candidates: NDArray[np.int64], distance: float
    ) -> NDArray[np.int64]:
        """Return the places of the candidates that are near no candidate kept before."""
        kept: list[int] = []
        for start in range(0, len(candidates), _CANDIDATES_AT_A_TIME):
            some = candidates[start : start + _CANDIDATES_AT_A_TIME]
            rows = np.asarray(embeddings[some])
            before = np.asarray(embeddings[candidates[kept]])
            free = ~near_any(embeddings, some, before, distance, self.memory_budget_mb)
            for place in range(len(some)):
                if free[place]:
                    kept.append(start + place)
                    # This marks the item itself, too, which is kept already
                    free &= distances_to(rows, rows[place]) > distance
        return np.asarray(kept, np.int64)


def _only(picks: Picks, places: NDArray[np.int64]) -> Picks:
    reasons = reasons_of(picks)
    some = tuple(reasons[place] for place in places.tolist())
    return Picks(picks.indices[places], picks.scores[places], some)
