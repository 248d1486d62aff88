"""The upper bound of a comparison: a strategy that looks at the true labels and the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.active_learning.rounds.curves import CurveTable, FloatArray, mean_height
from allencv_al.common.errors import ConfigurationError
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import (
    PositiveFloat,
    PositiveInt,
    QueryStrategy,
    Trial,
    name_of,
    needs_of,
)
from allencv_al.selection.strategies.shared.batch_parts import chosen_by, part_seed, pick_among

ORACLE = "oracle"
_DEFAULT = ("random", "margin", "k_center", "badge", "bait", "typiclust", "alfa_mix", "drop_query")
# Sizes of the parts as in BoSS: from 4 batches to 5,000 items
_LARGEST_PART = 5000


@QueryStrategy.register("oracle")
class Oracle(QueryStrategy):
    """Takes the batch that raises the test accuracy most: an upper bound, not a strategy to use.

    Several strategies are asked in turn for a batch, each from a random part of the pool; the model
    is trained with the true labels of each batch, and the batch of the highest test accuracy is
    taken. BoSS: Huseljic et al. 2026, arXiv 2603.13109. A report shows it apart and says which
    share of its gain over the baseline each strategy took.

    Args:
        strategies: The strategies that propose batches. Null: eight of them.
        candidates: Number of batches; 100 in the paper. The model is trained once for each.
        memory_budget_mb: Memory for a block of intermediate results of the wrapper, in MiB; the
            inner strategies have their own. The result is the same for every value.
    """

    needs_trials = True

    def __init__(
        self,
        strategies: list[QueryStrategy] | None = None,
        candidates: PositiveInt = 24,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.strategies = strategies or [QueryStrategy.from_params(name) for name in _DEFAULT]
        self.candidates = candidates
        self.needs = frozenset[str]().union(*(needs_of(each) for each in self.strategies))
        self._trial: Trial | None = None

    @overrides
    def with_trial(self, trial: Trial) -> Self:
        ready = type(self)(self.strategies, self.candidates, self.memory_budget_mb)
        ready._trial = trial
        return ready

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        if self._trial is None:
            raise ConfigurationError(
                "the strategy oracle looks at true labels and test images: only a run with the "
                "annotator ground_truth and test images can take it, as the cells of compare do"
            )
        found: list[tuple[float, Picks]] = []
        for number in range(self.candidates):
            strategy = self.strategies[number % len(self.strategies)]
            # Else two turns of one strategy would propose nearly the same batch
            own = part_seed(seed, f"oracle {number}")
            part = _random_part(pool, count, own)
            picks = chosen_by(pick_among(strategy, pool, part, count, own), name_of(strategy))
            accuracy = self._trial([pool.ids[index] for index in picks.indices.tolist()])
            found.append((accuracy, picks))
        # Of equal accuracies the first, so that a repeated run takes the same batch
        accuracy, best = max(found, key=lambda one: one[0])
        reasons = tuple({**reason, "test_accuracy": accuracy} for reason in best.reasons)
        return Picks(best.indices, np.full(count, accuracy, np.float32), reasons)


def _random_part(pool: Pool, count: int, seed: int) -> NDArray[np.int64]:
    """Return the positions of a random part of a pool, between 4 batches and 5,000 items."""
    largest = min(len(pool), max(_LARGEST_PART, 4 * count))
    smallest = min(4 * count, largest)
    size = int(np.random.default_rng(seed % 2**64).integers(smallest, largest + 1))
    return np.sort(canonical_order(pool.ids, seed)[:size])


@dataclass(frozen=True, eq=False)
class UpperBound:
    """The results of an oracle, which are no strategy's.

    Args:
        strategy: Its name.
        seeds: The seeds, increasing.
        aubc_mean: Mean over the seeds of the area under the curve.
        labels: The label counts, `[R]`.
        mean_curve: Mean over the seeds, `[R]`.
        gain_shares: For each strategy the share of the gain over the baseline that it took, of the
            seeds that all three have; None without a baseline or a gain.
    """

    strategy: str
    seeds: tuple[int, ...]
    aubc_mean: float
    labels: NDArray[np.int64]
    mean_curve: FloatArray
    gain_shares: dict[str, float | None]

    def note(self, baseline: str | None) -> str:
        """Return the bound in words."""
        text = (
            f"{self.strategy} looks at the test images: an upper bound, which takes part in no "
            f"test or ranking. Its AUBC is {100 * self.aubc_mean:.2f}%."
        )
        shares = [
            f"{name} {100 * share:.0f}%"
            for name, share in self.gain_shares.items()
            if share is not None
        ]
        if not shares:
            return text
        return f"{text} Of its gain over {baseline} the strategies took: {', '.join(shares)}."


def upper_bounds(
    table: CurveTable, oracles: Sequence[str], baseline: str | None
) -> tuple[UpperBound, ...]:
    """Return the results of the oracles among the curves.

    Args:
        table: The curves of strategies and oracles.
        oracles: Names of the oracles.
        baseline: The strategy that gains are measured from; None if it was not run.
    """
    return tuple(_upper_bound(table, name, oracles, baseline) for name in oracles)


def _upper_bound(
    table: CurveTable, oracle: str, oracles: Sequence[str], baseline: str | None
) -> UpperBound:
    shares: dict[str, float | None] = {}
    for name in table.strategies:
        if baseline is None or name == baseline or name in oracles:
            continue
        seeds = table.common_seeds(oracle, baseline, name)
        # Of the seeds that all three have: a harder seed must not count for one of them only
        shares[name] = _share(table, (baseline, name, oracle), seeds) if seeds else None
    rows = table.values[oracle]
    return UpperBound(
        oracle,
        table.seeds[oracle],
        float(mean_height(table.labels, rows).mean()),
        table.labels,
        rows.mean(axis=0),
        shares,
    )


def _share(table: CurveTable, names: tuple[str, str, str], seeds: Sequence[int]) -> float | None:
    low, own, high = (
        float(mean_height(table.labels, table.rows(name, seeds)).mean()) for name in names
    )
    return (own - low) / (high - low) if high > low else None
