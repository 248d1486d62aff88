"""Parts of a batch: dividing it, picking each part, and joining the picks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.seeding import item_seed
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, QueryStrategy, needs_of
from allencv_al.tasks.base import LabelTask

# Above every ratio of a count to a positive share, and below infinity, which stands for "full"
_AFTER_ALL_SHARES = 1e200


def apportion(
    shares: NDArray[np.float64],
    counts: NDArray[np.int64],
    available: NDArray[np.int64],
    places: int,
    first_of_ties: Sequence[int] | NDArray[np.int64] | None = None,
) -> list[int]:
    """Return the owner of each place, so that counts stay close to the shares at every point.

    Each place goes to the owner with the least (count + 1/2) / share, the divisor method of Webster
    and Sainte-Laguë. An owner with a share of 0 gets a place only when all others are full.

    Args:
        shares: The target of each owner, at least 0, `[n]`; only their ratios matter.
        counts: The places that each has already, `[n]`.
        available: The places that each can still get, `[n]`, at least `places` in total.
        places: The number of places to divide.
        first_of_ties: A permutation of 0 to n - 1, the winners of ties first; None: by index.
    """
    order = np.arange(len(shares)) if first_of_ties is None else np.asarray(first_of_ties)
    share, left = shares[order].astype(np.float64), available[order].astype(np.int64)
    weight = np.full(len(share), _AFTER_ALL_SHARES)
    np.divide(1.0, share, out=weight, where=share > 0)
    # Webster's rule (Sainte-Laguë): the half rounds quotas to the nearest, and favors no size
    have = counts[order] + 0.5
    priority = np.where(left > 0, have * weight, np.inf)
    sequence: list[int] = []
    for _ in range(places):
        # The first of equals, in the order that `first_of_ties` gave
        winner = int(priority.argmin())
        have[winner] += 1
        left[winner] -= 1
        priority[winner] = have[winner] * weight[winner] if left[winner] > 0 else np.inf
        sequence.append(int(order[winner]))
    return sequence


_WIDE = ("mc_logits", "embeddings")


class WrappingStrategy(QueryStrategy):
    """The base of the strategies with one other strategy inside.

    Args:
        strategy: The strategy that chooses among the items.
        memory_budget_mb: Memory for a block of intermediate results of the wrapper, in MiB; the
            inner strategy has its own. The result is the same for every value.
    """

    def __init__(self, strategy: QueryStrategy, memory_budget_mb: PositiveFloat = 512.0) -> None:
        super().__init__(memory_budget_mb)
        self.strategy = strategy
        self.needs = needs_of(strategy) | self.own_needs()

    def own_needs(self) -> frozenset[str]:
        """Return the arrays that the wrapper itself reads; none by default."""
        return frozenset()

    @overrides
    def fitted(self, task: LabelTask) -> Self:
        fitted = copy.copy(self)
        fitted.strategy = self.strategy.fitted(task)
        fitted.needs = needs_of(fitted.strategy) | self.own_needs()
        return fitted


def part_seed(seed: int, part: str) -> int:
    """Return the seed of a part, so that two parts do not draw the same numbers."""
    return item_seed(seed, 0, part)


def pick_among(
    strategy: QueryStrategy, pool: Pool, among: NDArray[np.int64], count: int, seed: int
) -> Picks:
    """Return the picks of a strategy among the items at `among`, as positions in the whole pool.

    Only rows of what the strategy needs, and of logits, are taken along, and no more than 64 MiB of
    an array are copied; none if `among` is the whole pool.
    """
    count = min(count, len(among))
    if count <= 0:
        return Picks.none()
    # Only the arrays that are read are cut: those of a large pool are memory-mapped files
    part = pool if len(among) == len(pool) else _with_needed(pool, strategy.needs).take(among)
    picks = strategy.pick(part, count, seed)
    indices = picks.indices if part is pool else among[picks.indices]
    return Picks(indices, picks.scores, reasons_of(picks))


def pick_after(
    strategy: QueryStrategy,
    pool: Pool,
    among: NDArray[np.int64],
    chosen: NDArray[np.int64],
    count: int,
    seed: int,
) -> Picks:
    """Return the picks of a strategy that counts the items `chosen` before as labeled.

    So no part of a batch covers again the items that another part covers. Labels of the chosen
    items are unknown, so `labeled_labels` is unchanged, and shorter than the other arrays.
    """
    among = among[~np.isin(among, chosen)]
    if not len(chosen) or pool.embeddings is None or "embeddings" not in strategy.needs:
        return pick_among(strategy, pool, among, count, seed)
    known = 0 if pool.labeled_embeddings is None else len(pool.labeled_embeddings)
    labeled = replace(
        pool,
        labeled_embeddings=_extended(pool.labeled_embeddings, pool.embeddings, chosen),
        labeled_logits=_extended(pool.labeled_logits, pool.logits, chosen),
    )
    picks = pick_among(strategy, labeled, among, count, seed)
    names = [pool.ids[index] for index in chosen.tolist()]
    reasons = tuple(_with_names(reason, known, names) for reason in picks.reasons)
    return Picks(picks.indices, picks.scores, reasons)


def _extended(
    labeled: FloatArray | None, rows: FloatArray | None, chosen: NDArray[np.int64]
) -> FloatArray | None:
    if rows is None:
        return labeled
    added = np.asarray(rows[chosen])
    return added if labeled is None else np.concatenate([np.asarray(labeled), added])


def reasons_of(picks: Picks) -> tuple[Mapping[str, Any], ...]:
    """Return one reason for each pick, empty where the strategy gave none."""
    return picks.reasons or ({},) * len(picks.indices)


def chosen_by(picks: Picks, name: str, **more: Any) -> Picks:
    """Return the picks with the part that chose them in their reasons: `mixture/margin`."""

    def path(reason: Mapping[str, Any]) -> str:
        return f"{name}/{reason['chosen_by']}" if "chosen_by" in reason else name

    reasons = tuple({**reason, **more, "chosen_by": path(reason)} for reason in reasons_of(picks))
    return Picks(picks.indices, picks.scores, reasons)


def interleaved(parts: Sequence[Picks], sequence: Sequence[int]) -> Picks:
    """Return one list of picks; each place takes the next pick of the part in `sequence`."""
    starts = np.cumsum([0, *(len(part.indices) for part in parts)])
    following = starts[:-1].copy()
    order = np.empty(len(sequence), np.int64)
    for place, part in enumerate(sequence):
        order[place] = following[part]
        following[part] += 1
    return _joined(parts, order)


def concatenated(parts: Sequence[Picks]) -> Picks:
    """Return one list of picks: those of each part after those of the one before."""
    return _joined(parts, np.arange(sum(len(part.indices) for part in parts)))


def _joined(parts: Sequence[Picks], order: NDArray[np.int64]) -> Picks:
    if not len(order):
        return Picks.none()
    indices = np.concatenate([part.indices for part in parts])[order].astype(np.int64)
    scores = np.concatenate([np.asarray(part.scores, np.float32) for part in parts])[order]
    reasons = [reason for part in parts for reason in reasons_of(part)]
    return Picks(indices, scores, tuple(reasons[place] for place in order.tolist()))


def _with_needed(pool: Pool, needs: frozenset[str]) -> Pool:
    """Return the pool without the wide arrays that the strategy does not need.

    Logits stay: some strategies read the number of classes from them without needing them.
    """
    unused: dict[str, Any] = dict.fromkeys(name for name in _WIDE if name not in needs)
    return replace(pool, **unused)


def _with_names(reason: Mapping[str, Any], known: int, names: Sequence[str]) -> Mapping[str, Any]:
    """Replace the index of an earlier pick, which the strategy treated as labeled, by its id."""
    nearest = reason.get("nearest_labeled")
    if not isinstance(nearest, int) or nearest < known:
        return reason
    rest = {key: value for key, value in reason.items() if key != "nearest_labeled"}
    return {**rest, "nearest_selected": names[nearest - known]}
