"""Learning curves of single runs, and the table that puts them side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Cost = Literal["labels", "objects"]
"""Horizontal axis of learning curves: labeled images, or the boxes (or classes) in their labels."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Metric over number of labels, or another cost, of one run.

    Args:
        strategy: The strategy.
        seed: The seed of the run; runs of one seed share split, first items and model start.
        labels: Label counts, strictly increasing, each at least 1, `[R]`.
        values: The metric there, as a fraction (0 to 1, higher is better), `[R]`.

    Raises:
        DataError: It has no points, or labels or values are not of that kind.
    """

    strategy: str
    seed: int
    labels: IntArray
    values: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", np.asarray(self.labels))
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float64))
        fault = self._fault()
        if fault:
            raise DataError(f"curve of {self.strategy}, seed {self.seed}: {fault}")
        object.__setattr__(self, "labels", self.labels.astype(np.int64))

    def _fault(self) -> str:
        labels, values = self.labels, self.values
        if labels.ndim != 1 or labels.shape != values.shape:
            return f"{labels.shape} labels and {values.shape} values; one value per label count"
        if len(labels) == 0:
            return "it has no points"
        if labels.dtype.kind not in "iu" or (labels < 1).any() or (np.diff(labels) <= 0).any():
            return f"label counts must be whole, at least 1 and increasing, not {labels.tolist()}"
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            return f"values must be fractions from 0 to 1, not {values.tolist()}"
        return ""


def curve_from_records(
    records: Sequence[RoundRecord],
    strategy: str,
    seed: int,
    metric: str = "accuracy",
    cost: Cost = "labels",
) -> Curve | None:
    """Return the curve of a run, or None where no round has the metric.

    Where several rounds had the same labels (nothing was labeled in between), the last one counts.
    A round in which the metric is no number is left out.

    Args:
        records: The rounds.
        strategy: The strategy.
        seed: The seed.
        metric: The metric.
        cost: The horizontal axis: the labels of a round or the objects in them. A round without
            any is left out.
    """
    points = {
        spent: value
        # Of two rounds with as many labels, such as after skips only, the later one counts
        for record in sorted(records, key=lambda record: record.round)
        if (spent := record.labels if cost == "labels" else record.objects) > 0
        and (value := record.metrics.get(metric)) is not None
        and math.isfinite(value)
    }
    if not points:
        return None
    labels = sorted(points)
    return Curve(strategy, seed, np.array(labels), np.array([points[label] for label in labels]))


def aubc(curve: Curve, log_x: bool = False) -> float:
    """Return the area under the curve divided by its range of labels: its mean height, a fraction.

    Trapezoids over the labels, or over their logarithm with `log_x`, which weighs each doubling of
    the labels alike. The area of one point is its height.
    """
    return float(mean_height(curve.labels, curve.values, log_x))


def mean_height(labels: IntArray, values: FloatArray, log_x: bool = False) -> FloatArray:
    """Return the `aubc` of each row of `values`, `[..., R]` at the label counts `labels`, `[R]`."""
    # One point has no area, and its height is its value
    if len(labels) == 1:
        height: FloatArray = values[..., 0]
        return height
    x = np.log(labels) if log_x else labels.astype(np.float64)
    middle = (values[..., 1:] + values[..., :-1]) / 2
    area: FloatArray = (middle * np.diff(x)).sum(axis=-1) / (x[-1] - x[0])
    return area


@dataclass(frozen=True, eq=False)
class CurveTable:
    """Curves of several strategies at the same label counts, a row per seed.

    Args:
        labels: The label counts, `[R]`.
        seeds: The seeds of each strategy, increasing; strategies in the order given.
        values: For each strategy the values `[seeds, R]`.
        interpolated: Whether some curve was not measured at these counts, but interpolated.
    """

    labels: IntArray
    seeds: Mapping[str, tuple[int, ...]]
    values: Mapping[str, FloatArray]
    interpolated: bool = False

    @property
    def strategies(self) -> tuple[str, ...]:
        """Their names, in the order given."""
        return tuple(self.seeds)

    def common_seeds(self, *strategies: str) -> tuple[int, ...]:
        """Return the seeds that all of these strategies have, increasing."""
        return tuple(sorted(set.intersection(*(set(self.seeds[name]) for name in strategies))))

    def rows(self, strategy: str, seeds: Sequence[int]) -> FloatArray:
        """Return the values of a strategy for these seeds, `[seeds, R]`."""
        where = {seed: row for row, seed in enumerate(self.seeds[strategy])}
        return self.values[strategy][[where[seed] for seed in seeds]]


def tabulate(curves: Sequence[Curve]) -> CurveTable:
    """Put curves side by side, at the label counts from the latest start to the earliest end.

    Curves that were measured at different counts are interpolated linearly at the counts of all.

    Raises:
        DataError: There are none, a strategy has a seed twice, or two curves share no label count.
    """
    if not curves:
        raise DataError("there are no curves to compare")
    by_cell: dict[str, dict[int, Curve]] = {}
    for curve in curves:
        cells = by_cell.setdefault(curve.strategy, {})
        if curve.seed in cells:
            raise DataError(f"{curve.strategy} has two curves for seed {curve.seed}; one is needed")
        cells[curve.seed] = curve
    labels = _shared_labels(curves)
    seeds = {name: tuple(sorted(cells)) for name, cells in by_cell.items()}
    values = {
        name: np.stack([_at(by_cell[name][seed], labels) for seed in seeds[name]]) for name in seeds
    }
    interpolated = any(not np.isin(labels, curve.labels).all() for curve in curves)
    return CurveTable(labels, seeds, values, interpolated)


def _shared_labels(curves: Sequence[Curve]) -> IntArray:
    first = max(curves, key=lambda curve: int(curve.labels[0]))
    last = min(curves, key=lambda curve: int(curve.labels[-1]))
    start, end = int(first.labels[0]), int(last.labels[-1])
    if start > end:
        raise DataError(
            f"{last.strategy}, seed {last.seed} ends at {end} labels, where {first.strategy}, "
            f"seed {first.seed} has not begun ({start}): they cannot be compared"
        )
    # All counts that any run measured, within the part that all have
    union = np.unique(np.concatenate([curve.labels for curve in curves]))
    return union[(union >= start) & (union <= end)]


def _at(curve: Curve, labels: IntArray) -> FloatArray:
    # Linear between the counts that the run measured
    values: FloatArray = np.interp(labels, curve.labels, curve.values)
    return values
