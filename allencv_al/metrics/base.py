"""The base of all metrics."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from allencv_al.common import Registrable

_PACKAGE = "allencv_al.metrics"

MetricValue = float | list[float | None] | list[list[int]]
"""The value of a metric: JSON; None if it is undefined."""


class Metric(Registrable):
    """One or several numbers over all batches since the last reset.

    A call adds a batch on its device without synchronizing; only `get_metric` synchronizes.
    Without any batch every number is 0.
    """

    builtin: ClassVar[dict[str, str]] = {
        "average_precision": f"{_PACKAGE}.classification",
        "balanced_accuracy": f"{_PACKAGE}.classification",
        "categorical_accuracy": f"{_PACKAGE}.classification",
        "confusion_matrix": f"{_PACKAGE}.classification",
        "expected_calibration_error": f"{_PACKAGE}.classification",
        "macro_f1": f"{_PACKAGE}.classification",
        "per_class_accuracy": f"{_PACKAGE}.classification",
        "roc_auc": f"{_PACKAGE}.classification",
    }

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._range = ClassRange()

    def __call__(self, predictions: Tensor, gold: Tensor) -> None:
        """Add a batch.

        Args:
            predictions: Logits or probabilities `[B, C]`, float.
            gold: Class indices `[B]`, int64, from 0 to below C.

        Raises:
            ValueError: The shapes do not match, or a class index is out of range. On a GPU,
                `get_metric` and `state` find such an index, since they synchronize.
        """
        if predictions.ndim != 2 or gold.shape != predictions.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}: expected predictions [B, C] and gold [B], found "
                f"{list(predictions.shape)} and {list(gold.shape)}"
            )
        self._update(predictions.detach(), self._range.add(gold, predictions.shape[1]))

    def get_metric(self, reset: bool = False) -> MetricValue:
        """Return the value so far.

        Args:
            reset: Whether to reset the sums afterwards.
        """
        self._range.check()
        self._settle()
        # The one synchronization with the device
        value = self._value(None if self._sums is None else self._sums.cpu())
        if reset:
            self.reset()
        return value

    def reset(self) -> None:
        """Reset the sums to zero; their memory is kept."""
        self._range = ClassRange()
        self._settle()
        if self._sums is not None:
            self._sums.zero_()

    def state(self) -> Tensor | None:
        """Return a copy of the sums on the CPU, for a checkpoint; None before the first batch."""
        self._range.check()
        self._settle()
        return None if self._sums is None else self._sums.detach().clone().cpu()

    def load_state(self, state: Tensor | None) -> None:
        """Restore what `state` returned, on any device."""
        # Batches that still wait would be added to the restored sums
        self._settle()
        self._sums = None if state is None else state.clone()

    @abstractmethod
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        """Add a batch to `self._sums`."""
        raise NotImplementedError

    def _settle(self) -> None:
        """Add the batches that `_update` deferred to `self._sums`; nothing by default."""

    @abstractmethod
    def _value(self, sums: Tensor | None) -> MetricValue:
        """Return the metric for sums on the CPU; None if there was no batch yet."""
        raise NotImplementedError

    def _sums_like(self, shape: tuple[int, ...], dtype: torch.dtype, near: Tensor) -> Tensor:
        """Return the tensor of sums, made (or moved) where `near` is."""
        sums = self._sums
        if sums is None or sums.shape != shape:
            # Under inference_mode the tensor could not be changed outside of it later.
            with torch.inference_mode(False):
                sums = torch.zeros(shape, dtype=dtype, device=near.device)
        elif sums.device != near.device:
            with torch.inference_mode(False):
                sums = sums.to(near.device)
        self._sums = sums
        return sums


def within_classes(gold: Tensor, num_classes: int) -> Tensor:
    """Return class indices that are safe to index with.

    On the CPU a wrong index is an error at once. On a GPU, where reading the values would
    synchronize (and indexing with them would abort the process), they are clamped; `ClassRange`
    remembers them and raises an error that names the index, so that no count is silently wrong.

    Args:
        gold: Class indices `[B]`.
        num_classes: Number of classes.

    Raises:
        ValueError: An index is outside 0 to `num_classes` - 1; torch's -100 for "ignore", too.
    """
    if gold.device.type != "cpu":
        return gold.clamp(0, num_classes - 1)
    if gold.numel():
        low, high = gold.aminmax()
        _require(int(low), int(high), num_classes)
    return gold


class ClassRange:
    """The smallest and largest class index seen, kept on the device until `check`."""

    def __init__(self) -> None:
        self._seen: tuple[Tensor, Tensor] | None = None
        self._num_classes = 0

    def add(self, gold: Tensor, num_classes: int) -> Tensor:
        """Record the indices of a batch; return indices that are safe to index with."""
        safe = within_classes(gold, num_classes)
        if safe is not gold and gold.numel():
            low, high = gold.aminmax()
            if self._seen is not None:
                low = torch.minimum(low, self._seen[0].to(low.device))
                high = torch.maximum(high, self._seen[1].to(high.device))
            self._seen, self._num_classes = (low, high), num_classes
        return safe

    def check(self) -> None:
        """Synchronize, check the indices seen, and reset.

        Raises:
            ValueError: An index was outside the classes.
        """
        seen, self._seen = self._seen, None
        if seen is not None:
            _require(int(seen[0]), int(seen[1]), self._num_classes)


def _require(low: int, high: int, num_classes: int) -> None:
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"class index {low if low < 0 else high}: expected 0 to {num_classes - 1}, since there "
            f"are {num_classes} classes"
        )
