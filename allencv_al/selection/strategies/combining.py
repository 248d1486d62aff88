"""Wrappers that divide a batch among classes or strategies, or switch between strategies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.config.registrable import FromParams
from allencv_al.common.errors import ConfigurationError, Fault
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import (
    Part,
    PositiveFloat,
    PositiveInt,
    QueryStrategy,
    name_of,
    needs_of,
)
from allencv_al.selection.strategies.shared.batch_parts import (
    WrappingStrategy,
    apportion,
    chosen_by,
    interleaved,
    part_seed,
    pick_after,
    pick_among,
    reasons_of,
)
from allencv_al.selection.strategies.shared.distances import labeled_rows, near_any
from allencv_al.tasks.base import LabelTask

_COVERAGE_SAMPLE = 10_000  # a share of it has a standard error of at most 0.5 %


def _check_target(target: Sequence[float] | None) -> Iterator[tuple[str, str]]:
    if target is not None and not sum(target) > 0:
        yield "target", f"expected a share above 0 for at least one class, found {target}"


@QueryStrategy.register("class_balanced")
class ClassBalanced(WrappingStrategy):
    """Divides the batch among the predicted classes and lets a strategy choose within each.

    Classes with too few labels come first, so that labels and batch together approach the target;
    predictions stand in for unknown labels. A class with too few items leaves its places to the
    others. The strategy sees one class at a time.

    Args:
        strategy: The strategy that chooses among the items of one predicted class.
        target: The share that each class should have of all labels, in the order of the classes:
            numbers of at least 0, of which only the ratios matter. A class with 0 gets a place only
            when nothing else is left. All classes alike if absent.
        memory_budget_mb: Memory for a block of intermediate results of the wrapper, in MiB; the
            inner strategy has its own. The result is the same for every value.
    """

    joint_rules = (_check_target,)

    def __init__(
        self,
        strategy: QueryStrategy,
        target: list[Annotated[float, Ge(0)]] | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(strategy, memory_budget_mb)
        self.target = target

    @overrides
    def own_needs(self) -> frozenset[str]:
        return frozenset({"logits"})

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        assert pool.logits is not None
        classes = pool.logits.shape[1]
        predicted = self._predicted(pool.logits)
        sequence = apportion(
            self._shares(classes),
            _labels_of(pool, classes),
            np.bincount(predicted, minlength=classes),
            count,
            canonical_order(map(str, range(classes)), part_seed(seed, "class_balanced")),
        )
        places = np.bincount(np.asarray(sequence, np.int64), minlength=classes)
        parts: list[Picks] = []
        for index in range(classes):
            members = np.flatnonzero(predicted == index) if places[index] else np.empty(0, np.int64)
            own_seed = part_seed(seed, f"class {index}")
            found = pick_among(self.strategy, pool, members, int(places[index]), own_seed)
            reasons = tuple({**reason, "predicted": index} for reason in reasons_of(found))
            parts.append(Picks(found.indices, found.scores, reasons))
        return interleaved(parts, sequence)

    def _predicted(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        predicted = np.empty(len(logits), np.int64)
        for rows in self.blocks(len(logits), 8 * logits.shape[1]):
            predicted[rows] = np.asarray(logits[rows]).argmax(axis=1)
        return predicted

    def _shares(self, classes: int) -> NDArray[np.float64]:
        if self.target is None:
            return np.ones(classes)
        if len(self.target) != classes:
            raise ConfigurationError(
                f"target: expected one share for each of {classes} classes, "
                f"found {len(self.target)}"
            )
        return np.asarray(self.target, np.float64)


def _sum_problem(fractions: Sequence[float]) -> str | None:
    total = math.fsum(fractions)
    # Thirds written with two digits are 0.99
    return (
        f"expected fractions that add up to 1, found {total:g}" if abs(total - 1) > 0.011 else None
    )


class MixturePart(FromParams):
    """One strategy of a mixture.

    Args:
        strategy: The strategy that chooses this part of the batch.
        fraction: The share of the batch that it chooses: above 0, up to 1.
    """

    def __init__(self, strategy: QueryStrategy, fraction: Part) -> None:
        self.strategy = strategy
        self.fraction = fraction


@QueryStrategy.register("mixture")
class Mixture(QueryStrategy):
    """Divides the batch among several strategies by fractions.

    The strategies choose one after the other, as listed, from the items that earlier ones left; a
    strategy that reads embeddings treats earlier picks as labeled, so it does not cover them again.
    Picks alternate in the batch, so that every first part of it has the same fractions. Scores of
    different strategies are not on one scale.

    Args:
        strategies: The strategies, each with the fraction of the batch that it chooses; the
            fractions add up to 1.
        memory_budget_mb: Memory for a block of intermediate results of the wrapper, in MiB; the
            inner strategies have their own. The result is the same for every value.
    """

    def __init__(
        self, strategies: list[MixturePart], memory_budget_mb: PositiveFloat = 512.0
    ) -> None:
        super().__init__(memory_budget_mb)
        problem = _sum_problem([part.fraction for part in strategies])
        if problem:
            raise ConfigurationError(f"strategies: {problem}")
        self.strategies = strategies
        self.needs = frozenset[str]().union(*(needs_of(part.strategy) for part in strategies))

    @overrides
    def fitted(self, task: LabelTask) -> Self:
        parts = [MixturePart(part.strategy.fitted(task), part.fraction) for part in self.strategies]
        return type(self)(parts, self.memory_budget_mb)

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        parts = config.children("strategies")
        known = len(parts) == len(config.get("strategies") or ())
        # Not in joint_rules: the sum is checked although a strategy among the parts has faults
        if known and all(part.sound("fraction") for part in parts):
            problem = _sum_problem([part.get("fraction") for part in parts])
            if problem:
                yield config.fault("strategies", problem)

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        kinds = len(self.strategies)
        fractions = np.asarray([part.fraction for part in self.strategies])
        none_yet, no_limit = np.zeros(kinds, np.int64), np.full(kinds, count)
        sequence = apportion(fractions, none_yet, no_limit, count)
        everything = np.arange(len(pool))
        chosen = np.empty(0, np.int64)
        parts: list[Picks] = []
        for index, part in enumerate(self.strategies):
            places, own_seed = sequence.count(index), part_seed(seed, f"mixture {index}")
            found = pick_after(part.strategy, pool, everything, chosen, places, own_seed)
            chosen = np.concatenate([chosen, found.indices])
            parts.append(chosen_by(found, name_of(part.strategy), part=index))
        return interleaved(parts, sequence)


def _check_switch(
    when: str, threshold: float, radius: float | None, num_classes: int | None
) -> Iterator[tuple[str, str]]:
    coverage = when == "coverage"
    if coverage and threshold > 1:
        yield "threshold", f"expected a share from 0 to 1 with coverage, found {threshold}"
    if coverage == (radius is None):
        wanted = "a distance" if coverage else f"none with {when}"
        yield "radius", f"expected {wanted}, found {'none' if radius is None else radius}"
    if coverage and num_classes is not None:
        yield "num_classes", f"expected none with coverage, found {num_classes}"


@QueryStrategy.register("switch")
class Switch(QueryStrategy):
    """Uses one strategy at first, and another once enough is labeled.

    With few labels typical items help most, with many labels uncertain ones: Hacohen,
    Dekel & Weinshall, "Active learning on a budget", ICML 2022. The pool must have what either
    strategy needs.

    Args:
        before: The strategy below the threshold.
        after: The strategy from the threshold on.
        when: The value that the threshold is compared with: `labels_per_class`, the number of
            labels divided by that of classes (needs `labeled_labels` of the pool); or `coverage`,
            the share of the pool that has a labeled item within `radius` (needs embeddings of both;
            measured on a seeded sample of 10,000).
        threshold: The value from which `after` chooses: at least 0, for coverage at most 1.
        radius: For coverage: the Euclidean distance within which an item counts as covered, in the
            units of the embeddings, above 0.
        num_classes: For labels_per_class: the number of classes. If absent it is that of the
            logits, which are then needed.
        memory_budget_mb: Memory for a block of intermediate results of the wrapper, in MiB; the
            inner strategies have their own. The result is the same for every value.
    """

    joint_rules = (_check_switch,)

    def __init__(
        self,
        before: QueryStrategy,
        after: QueryStrategy,
        when: Literal["labels_per_class", "coverage"],
        threshold: Annotated[float, Ge(0)],
        radius: PositiveFloat | None = None,
        num_classes: PositiveInt | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.before, self.after = before, after
        self.when, self.threshold = when, threshold
        self.radius, self.num_classes = radius, num_classes
        # The number of classes is the width of the logits, unless it is given
        own: set[str] = set() if num_classes is not None else {"logits"}
        if when == "coverage":
            own = {"embeddings", "labeled_embeddings"}
        self.needs = needs_of(before) | needs_of(after) | own

    @overrides
    def fitted(self, task: LabelTask) -> Self:
        return type(self)(
            self.before.fitted(task),
            self.after.fitted(task),
            self.when,
            self.threshold,
            self.radius,
            self.num_classes,
            self.memory_budget_mb,
        )

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        covered = self.when == "coverage"
        value = self._coverage(pool, seed) if covered else self._labels_per_class(pool)
        strategy = self.before if value < self.threshold else self.after
        picks = pick_among(strategy, pool, np.arange(len(pool)), count, seed)
        return chosen_by(picks, name_of(strategy), **{self.when: value})

    def _labels_per_class(self, pool: Pool) -> float:
        if pool.labeled_labels is None:
            raise ConfigurationError(
                "pool.labeled_labels: switch by labels_per_class expects them (none labeled: an "
                "empty array), found none"
            )
        classes = self.num_classes
        if classes is None:
            assert pool.logits is not None
            classes = pool.logits.shape[1]
        return len(pool.labeled_labels) / classes

    def _coverage(self, pool: Pool, seed: int) -> float:
        assert pool.embeddings is not None and self.radius is not None
        if not len(pool):
            return 1.0
        order = canonical_order(pool.ids, part_seed(seed, "switch"))[:_COVERAGE_SAMPLE]
        labeled = labeled_rows(pool)
        near = near_any(pool.embeddings, order, labeled, self.radius, self.memory_budget_mb)
        return float(near.mean())


def _labels_of(pool: Pool, classes: int) -> NDArray[np.int64]:
    """Return the number of labels of each class; zeros if the pool has no labels."""
    labels = pool.labeled_labels
    if labels is None or not len(labels):
        return np.zeros(classes, np.int64)
    if labels.min() < 0 or labels.max() >= classes:
        raise ConfigurationError(
            f"pool.labeled_labels: expected classes 0 to {classes - 1}, as pool.logits has "
            f"columns, found {int(labels.min())} to {int(labels.max())}"
        )
    return np.bincount(labels, minlength=classes)
