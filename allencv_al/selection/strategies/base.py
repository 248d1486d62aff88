"""The base of the query strategies."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from annotated_types import Ge, Gt, Interval
from numpy.typing import NDArray

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import ComponentError, ConfigurationError, DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import listed
from allencv_al.common.process import peak_bytes
from allencv_al.data.id_hash import id_hashes
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import OUTPUTS, Pool
from allencv_al.selection.selection import Picks, Selection
from allencv_al.selection.strategies.shared.pick_check import (
    checked_picks,
    checked_scores,
    checked_selection,
)
from allencv_al.tasks.base import LabelTask
from allencv_al.tasks.score_axes import Aggregate

_HERE = "allencv_al.selection.strategies"
_MEGABYTE = 2**20

Trial = Callable[[Sequence[str]], float]
"""Returns the test accuracy of the model once the items with these ids are labeled, too."""

PositiveFloat = Annotated[float, Gt(0)]
PositiveInt = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, le=1)]
Part = Annotated[float, Interval(gt=0, le=1)]


class QueryStrategy(Registrable):
    """Chooses the items to label next.

    A strategy that scores each item by itself overrides `score`; one whose picks depend on each
    other overrides `_pick`. `select` returns min(query_size, pool) distinct picks; ties are broken
    by a seeded hash of the id, so the order of the pool does not matter.

    Args:
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "random": f"{_HERE}.random",
        **dict.fromkeys(("least_confidence", "margin", "entropy", "ratio"), f"{_HERE}.uncertainty"),
        **dict.fromkeys(("variation_ratio", "mean_std", "bald", "power_bald"), f"{_HERE}.ensemble"),
        "batch_bald": f"{_HERE}.batch_bald",
        "epig": f"{_HERE}.epig",
        "k_center": f"{_HERE}.k_center",
        "auto": f"{_HERE}.auto",
        "badge": f"{_HERE}.badge",
        "bait": f"{_HERE}.bait",
        **dict.fromkeys(("drop_query", "alfa_mix"), f"{_HERE}.feature_changes"),
        "galaxy": f"{_HERE}.galaxy",
        "cluster_margin": f"{_HERE}.cluster_margin",
        "clue": f"{_HERE}.clue",
        "typiclust": f"{_HERE}.typiclust",
        **dict.fromkeys(("prob_cover", "max_herding", "uncertainty_herding"), f"{_HERE}.coverage"),
        **dict.fromkeys(("subsample", "deduplicate", "epsilon_random"), f"{_HERE}.narrowing"),
        **dict.fromkeys(("class_balanced", "mixture", "switch"), f"{_HERE}.combining"),
        "bands": f"{_HERE}.bands",
        **dict.fromkeys(("mmc", "label_cardinality", "cvirs"), f"{_HERE}.several_classes"),
        "ppal": f"{_HERE}.ppal",
        "strategy_file": f"{_HERE}.strategy_file",
    }

    needs: frozenset[str] = frozenset()
    """The arrays of the pool that the strategy reads, by the names of the fields of `Pool`."""

    reads_scores: ClassVar[bool] = False
    """Whether `scores` may take the place of `logits`, for labels of another kind."""

    aggregate: Aggregate | None = None
    """The way from the scores of pixels, boxes or labels to the image; None is the task's own."""

    needs_trials: ClassVar[bool] = False
    """Whether batches are tried out before one is chosen, which takes true labels."""

    memory_budget_mb = 512.0  # for a subclass whose constructor does not call this one

    def __init__(self, memory_budget_mb: PositiveFloat = 512.0) -> None:
        self.memory_budget_mb = memory_budget_mb

    def __str__(self) -> str:
        """Return how a message names the strategy: its registered name and its class."""
        kind = type(self)
        return f'the strategy "{name_of(self)}" ({kind.__module__}.{kind.__qualname__})'

    def for_task(self, task: LabelTask) -> Self:
        """Return the strategy for a kind of labels, which reads `scores` where there are no logits.

        Args:
            task: The task of the model.

        Raises:
            ConfigurationError: The strategy has no meaning for such labels; what fits is named.
        """
        fitted = self.fitted(task)
        lacking = _lacking(fitted, task)
        if lacking:
            raise ConfigurationError(
                f'"{name_of(self)}" reads {listed(lacking)}, and labels of the kind '
                f'"{task.name()}" have none; expected one of {", ".join(fitting_names(task))}'
            )
        return fitted

    def fitted(self, task: LabelTask) -> Self:
        """Return the strategy with the needs for a task, which may be more than the task has.

        Args:
            task: The task of the model.

        Raises:
            ConfigurationError: An option has no meaning for it.
        """
        if not self.reads_scores or "logits" in task.outputs or "logits" not in needs_of(self):
            return self
        fitted = copy.copy(self)
        fitted.needs = (needs_of(self) - {"logits"}) | {"scores"}
        fitted.aggregate = self.aggregate or task.aggregate
        return fitted

    def before_labels(self) -> QueryStrategy:
        """Return the strategy that chooses while no model is trained; by default this one."""
        return self

    def with_trial(self, trial: Trial) -> Self:
        """Return the strategy with a way to try batches, where `needs_trials`."""
        return self

    def score(self, pool: Pool) -> NDArray[np.float32] | None:
        """Return the score of each item, finite float32 `[N]`, higher = query first.

        None, the default, for a strategy that overrides `_pick`.
        """
        return None

    def select(
        self, pool: Pool, query_size: int, generator: np.random.Generator | int = 0
    ) -> Selection:
        """Choose the items to label next.

        Args:
            pool: The items, with the arrays in `needs`.
            query_size: The number of picks; a smaller pool is picked whole.
            generator: The seed, or a generator that draws it: equal seeds give equal picks.

        Raises:
            ConfigurationError: The pool lacks an array, or query_size is negative.
            DataError: Values are NaN or infinite.
            ComponentError: `score` or `_pick` returns a wrong type, shape or value.
        """
        if query_size < 0:
            raise ConfigurationError(f"query_size: expected at least 0, found {query_size}")
        seed = generator if isinstance(generator, int) else int(generator.integers(2**63))
        started, peak_before = time.perf_counter(), (peak_bytes() or 0)
        pool.check(needs_of(self))
        picks = self.pick(pool, min(query_size, len(pool)), seed)
        reasons = picks.reasons or ({},) * len(picks.indices)  # reasons are optional
        return Selection(
            ids=tuple(pool.ids[index] for index in picks.indices.tolist()),
            scores=picks.scores,
            reasons=tuple({"rank": rank, **reason} for rank, reason in enumerate(reasons)),
            seconds=time.perf_counter() - started,
            peak_bytes=max(0, (peak_bytes() or 0) - peak_before),
        )

    def pick(self, pool: Pool, count: int, seed: int) -> Picks:
        """Return `count` picks, as a strategy around this one takes them.

        Args:
            pool: The items, with the arrays in `needs`.
            count: The number of picks, at most the size of the pool.
            seed: Seed of random choices and of ties.

        Raises:
            ComponentError: `_pick` returns wrong picks.
        """
        if count == 0:
            return Picks.none()
        return checked_picks(self, self._pick(pool, count, seed), pool, count)

    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        """Return the picks; the default takes the highest scores.

        Args:
            pool: The items, with the arrays in `needs` checked to be finite.
            count: The number of picks, 1 to the size of the pool.
            seed: Seed of random choices and of ties.

        Returns:
            `count` distinct positions in the pool, int64 `[count]`, in the order of picking, with
            finite scores `[count]` and no reasons, or one dict of JSON values per pick.
        """
        scores = checked_scores(self, self.score(pool), pool)
        indices = highest(scores, count, pool, seed)
        return Picks(indices, scores[indices], self._reasons(pool, indices))

    def _reasons(self, pool: Pool, indices: NDArray[np.int64]) -> tuple[dict[str, Any], ...]:
        """Return why the items at `indices` have the highest scores; none by default."""
        return ()

    def rows_per_block(self, bytes_per_row: float) -> int:
        """Return the number of rows of a block, at `bytes_per_row` each."""
        return max(1, int(self.memory_budget_mb * _MEGABYTE / max(bytes_per_row, 1.0)))

    def blocks(self, count: int, bytes_per_row: float) -> Iterator[slice]:
        """Return slices that cover `count` rows, each within the memory budget."""
        return slices(count, self.rows_per_block(bytes_per_row))


def needs_of(strategy: QueryStrategy) -> frozenset[str]:
    """Return the arrays of the pool that a strategy needs.

    Raises:
        ComponentError: `needs` is not a set of names of arrays.
    """
    needs: Any = strategy.needs
    if isinstance(needs, str) or not isinstance(needs, Collection):
        found = repr_json(needs)
    else:
        unknown = [str(name) for name in needs if name not in OUTPUTS]
        if not unknown:
            return frozenset(needs)
        found = listed(sorted(unknown))
    raise ComponentError(
        f"{strategy}: needs: expected a set of some of {', '.join(OUTPUTS)}, found {found}"
    )


def outputs_for(needs: Collection[str]) -> frozenset[str]:
    """Return the outputs of a model that a strategy with these needs reads."""
    # labeled_embeddings are embeddings of other items, target_mc_logits are mc_logits
    return frozenset(name.removeprefix("labeled_").removeprefix("target_") for name in needs)


def fitting_names(task: LabelTask) -> list[str]:
    """Return the names of the strategies without required options that fit a kind of labels."""

    def fits(name: str) -> bool:
        try:
            strategy: QueryStrategy = QueryStrategy.from_params(name)
        except ConfigurationError:
            return False  # a wrapper: its needs are those of the wrapped strategy
        return not strategy.needs_trials and not _lacking(strategy.fitted(task), task)

    return [name for name in QueryStrategy.list_available() if fits(name)]


def _lacking(strategy: QueryStrategy, task: LabelTask) -> list[str]:
    return sorted(outputs_for(needs_of(strategy)) - set(task.outputs))


def name_of(strategy: QueryStrategy) -> str:
    """Return the registered name of a strategy, else the name of its class."""
    kind, builtin = type(strategy), QueryStrategy.builtin
    for name in QueryStrategy.list_available():
        # Modules of other strategies are not imported for this
        here = builtin.get(name, kind.__module__) == kind.__module__
        if here and QueryStrategy.resolve(name)[0] is kind:
            return name
    return kind.__name__


def selected(strategy: QueryStrategy, pool: Pool, query_size: int, seed: int) -> Selection:
    """Return the selection of `strategy.select`, checked if a subclass overrides it.

    Raises:
        ComponentError: The selection is wrong.
    """
    chosen = strategy.select(pool, query_size, seed)
    is_own = type(strategy).select is not QueryStrategy.select
    return checked_selection(strategy, chosen, pool, query_size) if is_own else chosen


def highest(
    scores: NDArray[np.floating[Any]], count: int, pool: Pool, seed: int
) -> NDArray[np.int64]:
    """Return the positions of the `count` highest scores, the highest first.

    Ties are broken by a seeded hash of the id, computed only for candidates.

    Raises:
        DataError: A score is NaN.
    """
    if np.isnan(scores).any():
        named = [pool.ids[i] for i in np.flatnonzero(np.isnan(scores))[:5].tolist()]
        raise DataError(f"the score of {', '.join(named)} is NaN")
    if count <= 0:
        return np.empty(0, np.int64)
    if count < len(scores):
        # partition is linear in the pool; only the items at or above the threshold are sorted
        threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= threshold)
    else:
        candidates = np.arange(len(scores))
    order = np.lexsort((_hashes(candidates, pool, seed), -scores[candidates].astype(np.float64)))
    return candidates[order[:count]].astype(np.int64)


def in_hash_order(indices: NDArray[np.int64], pool: Pool, seed: int) -> NDArray[np.int64]:
    """Return positions in the pool in the order of a seeded hash of the ids, to break ties."""
    return indices if len(indices) == 1 else indices[np.argsort(_hashes(indices, pool, seed))]


def _hashes(indices: NDArray[np.int64], pool: Pool, seed: int) -> NDArray[np.uint64]:
    return id_hashes((pool.ids[index] for index in indices.tolist()), seed)
