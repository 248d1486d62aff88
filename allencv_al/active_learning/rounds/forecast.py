"""Forecast of the labels that a target accuracy needs, from the learning curve so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allencv_al.active_learning.rounds.curves import curve_from_records
from allencv_al.active_learning.rounds.round_record import RoundRecord

FEWEST_ROUNDS = 5
# What is farther away than this many times the labels so far is not told
FARTHEST = 4.0
_REPLICATES = 300
_POWERS = np.geomspace(0.05, 2.0, 16)  # c of a - b * n^-c
_RATES = np.geomspace(0.25, 8.0, 16)  # c of a - b * exp(-c * n / last n)
_LEAST_SLOPE = 1.0  # in standard errors


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast of the labels in all that a target needs, or why there is none.

    Args:
        target: The accuracy to reach, a fraction.
        labels: Labels in all; None without a forecast.
        low: Lower end of the interval; also where the target is too far away for a forecast.
        high: Upper end; None if no number of labels within reach is certain to be enough.
        now: Labels so far.
        refusal: Why there is no forecast, a sentence without a period; None if there is one.
    """

    target: float
    now: int
    labels: int | None = None
    low: int | None = None
    high: int | None = None
    refusal: str | None = None

    def text(self, seconds_per_label: float | None = None) -> str:
        """Return the forecast as a sentence.

        Args:
            seconds_per_label: The annotators' pace; None if unknown.
        """
        target = f"{100 * self.target:.4g} %"
        if self.labels is None or self.low is None:
            return f"How many labels {target} needs cannot be told: {self.refusal}."
        more, low = self.labels - self.now, max(self.low - self.now, 0)
        ends = (
            f"{low:,} to {self.high - self.now:,}" if self.high is not None else f"at least {low:,}"
        )
        time = ""
        if seconds_per_label is not None:
            time = f", about {_duration(more * seconds_per_label)} at your pace"
        return f"{target} needs {more:,} ({ends}) labels more{time}."


def forecast(
    labels: Sequence[int] | NDArray[np.int64],
    values: Sequence[float] | NDArray[np.float64],
    target: float,
    error: float = 0.0,
    level: float = 0.8,
    seed: int = 0,
) -> Forecast:
    """Return how many labels a target accuracy needs, with an interval.

    Three families of curves, `a - b n^-c`, `a + b log n` and `a - b exp(-c n)`, are fitted to
    bootstrap replicates of the rounds (weights of Rubin's Bayesian bootstrap, times the number of
    labels, since late rounds say more about what comes: Figueroa et al. 2012, BMC MIDM 12:8); each
    replicate is shifted by the error that all rounds share because they are measured on the same
    images. Quantiles of the labels at which the replicates reach the target make the interval.

    Args:
        labels: Label counts of the measured rounds, increasing, `[R]`.
        values: The accuracy there, fractions, `[R]`.
        target: The accuracy to reach.
        error: Standard error of each accuracy, for the number of images it was measured on.
        level: Probability with which the interval contains the labels that are needed.
        seed: Seed of the bootstrap.
    """
    counts, heights = np.asarray(labels, np.float64), np.asarray(values, np.float64)
    now = int(counts[-1]) if len(counts) else 0
    if len(counts) < FEWEST_ROUNDS:
        return Forecast(
            target, now, refusal=f"there are {len(counts)} rounds, and {FEWEST_ROUNDS} are needed"
        )
    if not _is_rising(counts, heights):
        return Forecast(target, now, refusal="the accuracy does not rise beyond its noise")
    needed = _needed(counts, heights, target, error, np.random.default_rng(seed))
    middle = float(np.median(needed))
    tail = (1 - level) / 2
    low, high = (float(np.quantile(needed, share)) for share in (tail, 1 - tail))
    reached, least = max(middle, now), max(math.floor(low), now)
    if middle > FARTHEST * now:
        refusal = f"it may be more than {FARTHEST:g} times the {now} labels so far"
        return Forecast(target, now, low=least, refusal=refusal)
    return Forecast(
        target,
        now,
        math.ceil(reached),
        least,
        None if high > FARTHEST**2 * now else max(math.ceil(high), math.ceil(reached)),
    )


def forecast_of_run(records: Sequence[RoundRecord], target: float | None = None) -> Forecast | None:
    """Return the forecast of a run, by its audit or else by its test set.

    Args:
        records: The rounds of the run, in order.
        target: The accuracy to reach; None for half of the errors in the last audit.

    Returns:
        None if no round was measured, the target is reached, or there is neither audit nor target.
    """
    for metric in ("audit_accuracy", "accuracy") if target is not None else ("audit_accuracy",):
        curve = curve_from_records(records, "run", seed=0, metric=metric)
        if curve is None:
            continue
        value = float(curve.values[-1])
        goal = (1 + value) / 2 if target is None else target
        if value >= goal:
            return None
        images = _images(records, metric)
        # At 0 and 1 the share of right images would have no error at all
        spread = max(value * (1 - value), 0.01)
        error = math.sqrt(spread / images) if images else 0.0
        return forecast(curve.labels, curve.values, goal, error)
    return None


def forecast_text(
    records: Sequence[RoundRecord],
    target: float | None = None,
    seconds_per_label: float | None = None,
    says_why_not: bool = False,
) -> str:
    """Return the forecast of a run as a sentence; empty where there is none.

    Args:
        records: The rounds of the run, in order.
        target: See `forecast_of_run`.
        seconds_per_label: The annotators' pace; None if unknown.
        says_why_not: Whether to return why there is no forecast for a `target`.
    """
    found = forecast_of_run(records, target)
    if found is None or (found.refusal is not None and not (says_why_not and target is not None)):
        return ""
    return found.text(seconds_per_label)


def _images(records: Sequence[RoundRecord], metric: str) -> int:
    """Return the number of images that a metric was last measured on; 0 if unknown."""
    for record in reversed(records):
        if record.metrics.get(metric) is None:
            continue
        if metric == "audit_accuracy":
            return round(record.metrics.get("audit_labels") or 0)
        return sum(map(sum, record.confusion_matrix or ()))
    return 0


def _is_rising(counts: NDArray[np.float64], heights: NDArray[np.float64]) -> bool:
    """Return whether the later half of the rounds, three at least, rises beyond its scatter."""
    later = max(len(counts) // 2, 4)
    x, y = np.log(counts[-later:]), heights[-later:]
    x = x - x.mean()
    slope = float((x * y).sum() / (x * x).sum())
    scatter = y - y.mean() - slope * x
    error = math.sqrt(float((scatter**2).sum()) / (later - 2) / float((x * x).sum()))
    return slope > _LEAST_SLOPE * error


def _needed(
    counts: NDArray[np.float64],
    heights: NDArray[np.float64],
    target: float,
    error: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the labels at which each replicate reaches the target; far beyond where it does not.

    The farthest answer is finite, so that quantiles can be scaled.
    """
    last = counts[-1]
    # [F, R]: what each shape of curve makes of a label count; the height is a + b times it
    shapes = np.stack(
        [
            *(-(counts**-power) for power in _POWERS),
            *(-np.exp(-rate * counts / last) for rate in _RATES),
            np.log(counts),
        ]
    )
    families = np.array([0] * len(_POWERS) + [1] * len(_RATES) + [2])
    beyond = 1000.0 * last
    found = np.full(_REPLICATES, beyond)
    for replicate in range(_REPLICATES):
        weights = rng.exponential(size=len(counts)) * counts
        weights /= weights.sum()
        shifted = heights + error * rng.standard_normal()
        mine = np.flatnonzero(families == replicate % 3)
        a, b, loss = _fit(shapes[mine], shifted, weights)
        best = int(loss.argmin())
        at = (target - a[best]) / b[best] if b[best] > 0 else math.inf
        place = int(mine[best])
        if families[place] == 2:
            needed = math.exp(min(at, math.log(beyond)))
        elif at >= 0:
            needed = beyond  # the asymptote lies below the target
        elif families[place] == 0:
            exponent = -math.log(-at) / _POWERS[place]
            needed = math.exp(min(exponent, math.log(beyond)))
        else:
            needed = -math.log(-at) * last / _RATES[place - len(_POWERS)]
        found[replicate] = min(max(needed, 1.0), beyond)
    return found


def _fit(
    shapes: NDArray[np.float64], heights: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return height a, slope b and loss of the weighted least squares fit of each shape.

    No curve of a power or an exponential ends above 1: its asymptote `a` is at most that.
    """
    centers, middle = shapes @ weights, float(heights @ weights)
    spread = shapes - centers[:, None]
    b = (spread * (heights - middle)) @ weights / ((spread**2) @ weights)
    a = middle - b * centers
    if len(shapes) > 1:
        above = a > 1
        # Through a = 1, the best b has a closed form, too
        forced = ((heights - 1) * shapes) @ weights / ((shapes**2) @ weights)
        a, b = np.where(above, 1.0, a), np.where(above, forced, b)
    residuals = heights - a[:, None] - b[:, None] * shapes
    return a, b, (residuals**2) @ weights


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1.5:
        return f"{max(round(seconds), 1)} seconds"
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
