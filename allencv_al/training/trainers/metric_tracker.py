"""Track the best epoch, and decide when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from allencv_al.common.errors import CheckpointError, ConfigurationError


class MetricTracker:
    """Follows one validation metric, or the signed sum of several, from epoch to epoch.

    Only a strictly better score counts as an improvement. NaN never does; any number is better than
    NaN.

    Args:
        metric_name: The metric's name after `+` if it grows as the model improves (`+accuracy`) or
            `-` if it falls (`-loss`); the scores of a list are added up.
        patience: After how many epochs without improvement to stop; None never stops.

    Raises:
        ConfigurationError: A name without its sign, or a patience below 1.
    """

    def __init__(self, metric_name: str | Sequence[str], patience: int | None = None) -> None:
        names = [metric_name] if isinstance(metric_name, str) else list(metric_name)
        self.tracked_metrics = parse_metric_names(names)
        if patience is not None and (
            not isinstance(patience, int) or isinstance(patience, bool) or patience < 1
        ):
            raise ConfigurationError(
                f"patience: expected null or a whole number of at least 1, found {patience!r}"
            )
        self._patience = patience
        self.clear()

    def clear(self) -> None:
        """Forget all epochs."""
        self._best_so_far: float | None = None
        self._epochs_with_no_improvement = 0
        self._is_best_so_far = False
        self._epoch_number = 0
        self.best_epoch: int | None = None
        self.best_epoch_metrics: dict[str, Any] = {}

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Add the validation metrics of an epoch.

        Raises:
            ConfigurationError: A tracked metric is not among them.
        """
        score = self.combined_score(metrics)
        self._is_best_so_far = self._beats_the_best(score)
        if self._is_best_so_far:
            self._best_so_far = score
            self._epochs_with_no_improvement = 0
            self.best_epoch = self._epoch_number
            self.best_epoch_metrics = dict(metrics)
        else:
            self._epochs_with_no_improvement += 1
        self._epoch_number += 1

    def _beats_the_best(self, score: float) -> bool:
        best = self._best_so_far
        if best is None:
            return True  # a NaN, too: the first epoch has nothing to be worse than
        if math.isnan(best):
            return not math.isnan(score)
        return score > best

    def is_best_so_far(self) -> bool:
        """Return whether the last epoch added is the best."""
        return self._is_best_so_far

    def should_stop_early(self) -> bool:
        """Return whether patience has run out."""
        return self._patience is not None and self._epochs_with_no_improvement >= self._patience

    def combined_score(self, metrics: Mapping[str, Any]) -> float:
        """Return the signed sum of the tracked metrics: higher is better.

        Raises:
            ConfigurationError: One of them is not among `metrics`.
        """
        self.require(metrics)
        return sum(sign * float(metrics[name]) for sign, name in self.tracked_metrics)

    def scheduler_metric(self, metrics: Mapping[str, Any]) -> float:
        """Return the metric for learning rate schedulers: a single one unsigned, or the signed sum.

        Raises:
            ConfigurationError: A tracked metric is not among `metrics`.
        """
        self.require(metrics)
        if len(self.tracked_metrics) == 1:
            return float(metrics[self.tracked_metrics[0][1]])
        return self.combined_score(metrics)

    def require(self, metrics: Mapping[str, Any]) -> None:
        """Raise a ConfigurationError if a tracked metric is not among `metrics`."""
        missing = [name for _, name in self.tracked_metrics if name not in metrics]
        if missing:
            raise ConfigurationError(
                f"validation_metric: the model did not produce {', '.join(map(repr, missing))}; "
                f"it produced {', '.join(map(repr, sorted(metrics))) or 'no metrics'}"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the state after the epochs so far."""
        return {
            "best_so_far": self._best_so_far,
            "epochs_with_no_improvement": self._epochs_with_no_improvement,
            "is_best_so_far": self._is_best_so_far,
            "epoch_number": self._epoch_number,
            "best_epoch": self.best_epoch,
            "best_epoch_metrics": dict(self.best_epoch_metrics),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a state."""
        missing = self.state_dict().keys() - state_dict.keys()
        if missing:
            raise CheckpointError(f"this is no state of a metric tracker: it lacks {missing}")
        self._best_so_far = state_dict["best_so_far"]
        self._epochs_with_no_improvement = state_dict["epochs_with_no_improvement"]
        self._is_best_so_far = state_dict["is_best_so_far"]
        self._epoch_number = state_dict["epoch_number"]
        self.best_epoch = state_dict["best_epoch"]
        self.best_epoch_metrics = dict(state_dict["best_epoch_metrics"])


def parse_metric_names(names: Sequence[str]) -> list[tuple[float, str]]:
    """Return the sign and the name of each metric.

    Raises:
        ConfigurationError: There is none, or one has no sign.
    """
    faults = [name for name in names if not name.startswith(("+", "-")) or len(name) < 2]
    if faults or not names:
        found = ", ".join(map(repr, faults)) or "none"
        raise ConfigurationError(
            f'validation_metric: expected names that start with "+" (higher is better) or "-" '
            f"(lower is better), found {found}"
        )
    return [(1.0 if name[0] == "+" else -1.0, name[1:]) for name in names]
