"""Metrics of epochs: their names, their files, and which epoch was the best."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from types import TracebackType
from typing import Any

import torch

from allencv_al.common.errors import CheckpointError, ConfigurationError, TrainingError
from allencv_al.common.process import peak_bytes
from allencv_al.common.progress import Progress

BYTES_PER_MB = 1 << 20

# What differs between two runs that are otherwise bit-equal
MEASURED_KEYS = ("training_duration", "peak_")

# Bounds the memory of losses on the device where steps are fast.
MOST_PENDING = 256
SECONDS_BETWEEN_LOOKS = 1.0


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

    @property
    def names(self) -> list[str]:
        """The names of the tracked metrics, without their signs."""
        return [name for _, name in self.tracked_metrics]

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
        # One NaN makes the sum NaN, which improves on nothing
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
        missing = [name for name in self.names if name not in metrics]
        if missing:
            raise ConfigurationError(
                f"validation_metric: the model did not produce {', '.join(map(repr, missing))}; "
                f"it produced {', '.join(map(repr, sorted(metrics))) or 'no metrics'}"
            )

    def require_numbers(self, metrics: Mapping[str, Any]) -> None:
        """Raise a ConfigurationError if a tracked metric is there but is not one number."""
        for name in self.names:
            if name in metrics and metrics[name] is None:
                raise ConfigurationError(
                    f"validation_metric: {name!r} is not defined for the validation images, which "
                    "may be of one class alone; take another metric, or other validation images"
                )
            if name in metrics and name not in scalars(metrics):
                raise ConfigurationError(
                    f"validation_metric: {name!r} is not one number, so no epoch can be the best "
                    f"by it; these are: {', '.join(sorted(scalars(metrics)))}"
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


def with_prefix(prefix: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics with a prefix before each name, as JSON values."""
    return {f"{prefix}_{name}": to_json(value) for name, value in metrics.items()}


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are one number, which alone can choose an epoch or make a curve."""
    return {
        name: float(value)
        for name, value in metrics.items()
        # Yes and no draw no curve, though Python counts a bool among the ints
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def to_json(value: Any) -> Any:
    """Return `value` as strict JSON: tensors become lists, what is not finite becomes null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def duration(seconds: float) -> str:
    """Return a duration as AllenNLP writes it (`0:01:23.456000`)."""
    return str(timedelta(seconds=seconds))


def peak_memory() -> dict[str, float]:
    """Return the most memory that was used so far, in MB, of this process and each GPU of it."""
    peaks: dict[str, float] = {}
    cpu = peak_bytes()
    if cpu is not None:
        peaks["peak_cpu_memory_MB"] = cpu / BYTES_PER_MB
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            used = torch.cuda.max_memory_allocated(index)
            if used:
                peaks[f"peak_gpu_{index}_memory_MB"] = used / BYTES_PER_MB
    return peaks


def without_measurements(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two bit-equal runs have in common: neither durations nor memory."""
    return {name: v for name, v in metrics.items() if not name.startswith(MEASURED_KEYS)}


class RunningLoss:
    """Adds up the losses of steps; they stay on the device until the mean is read.

    Losses are added one by one in the order of the steps, so that the sum has the same bits no
    matter how often it was read on the way.
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0
        self._pending: list[torch.Tensor] = []
        self._pending_ids: list[Sequence[str]] = []

    @property
    def count(self) -> int:
        """The steps so far."""
        return self._count + len(self._pending)

    def add(self, loss: torch.Tensor, ids: Sequence[str]) -> None:
        """Count the loss of one step.

        Args:
            loss: A detached scalar that nothing will overwrite.
            ids: The items of its batches, named if it turns out not to be finite.
        """
        self._pending.append(loss)
        self._pending_ids.append(ids)
        if len(self._pending) >= MOST_PENDING:
            self.settle()

    def settle(self) -> None:
        """Fetch what is pending; this waits for the device.

        Raises:
            TrainingError: If a loss is not a finite number.
        """
        if not self._pending:
            return
        values = torch.stack(self._pending).tolist()
        for value, ids in zip(values, self._pending_ids, strict=True):
            # Python floats, one by one: a sum on the device would depend on when it is read
            self._count += 1
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss of step {self._count} of the epoch is {value}, so training stops; "
                    f"the {len(ids)} items of its batch: {', '.join(ids)}. "
                    "A lower learning rate or grad_norm may help, if the items are sound"
                )
            self._total += value
        self._pending.clear()
        self._pending_ids.clear()

    def mean(self) -> float:
        """Return the mean over the steps so far, 0 before the first; this waits for the device."""
        self.settle()
        return self._total / self._count if self._count else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the sum so far; this waits for the device."""
        self.settle()
        return {"total": self._total, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a sum."""
        self._total, self._count = state["total"], state["count"]
        self._pending.clear()
        self._pending_ids.clear()


class LossProgress(AbstractContextManager["LossProgress"]):
    """A progress bar with the loss, redrawn once a second: each time waits for the device.

    Args:
        description: Text of the progress bar; None draws nothing.
        total: The steps of the epoch.
        done: Steps that earlier processes of this run did.
    """

    def __init__(self, description: str | None, total: int, done: int) -> None:
        self._bar: AbstractContextManager[Progress | None] = nullcontext()
        if description is not None:
            self._bar = Progress(description, total, "steps", done)
        self._progress: Progress | None = None
        self._new = 0
        # At once: a loss that is NaN from the start is soon seen
        self._next_look = time.monotonic()

    def __enter__(self) -> LossProgress:
        self._progress = self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.__exit__(kind, error, traceback)

    def due(self) -> bool:
        """Count one step; return whether to look at the loss now."""
        self._new += 1
        return time.monotonic() >= self._next_look

    def show(self, loss: float) -> None:
        """Draw the steps so far and their mean loss."""
        if self._progress is not None:
            self._progress.advance(self._new, f"loss {loss:.4f}")
        self._new = 0
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
