"""The base of all metrics."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from allencv_al.common import Registrable

_PACKAGE = "allencv_al.metrics"

MetricValue = (
    float | None | list[float | None] | list[list[int]] | dict[str, float] | dict[str, list[float]]
)
"""The value of a metric: JSON; None if it is undefined."""

MetricInput = Literal["classes", "labels", "numbers", "boxes", "value"]
"""The predictions and gold values that a metric takes; `Metric.takes` explains them."""


class Metric(Registrable):
    """One or several numbers over all batches since the last reset.

    A call adds a batch on its device without synchronizing; only `get_metric` synchronizes, and a
    call with a mask. Without any batch every number is 0.
    """

    builtin: ClassVar[dict[str, str]] = {
        "auc": f"{_PACKAGE}.fbeta",
        "average": f"{_PACKAGE}.numbers",
        "average_precision": f"{_PACKAGE}.classification",
        "balanced_accuracy": f"{_PACKAGE}.classification",
        "boolean_accuracy": f"{_PACKAGE}.numbers",
        "categorical_accuracy": f"{_PACKAGE}.classification",
        "confusion_matrix": f"{_PACKAGE}.classification",
        "covariance": f"{_PACKAGE}.numbers",
        "entropy": f"{_PACKAGE}.classification",
        "expected_calibration_error": f"{_PACKAGE}.classification",
        "f1": f"{_PACKAGE}.fbeta",
        "fbeta": f"{_PACKAGE}.fbeta",
        "fbeta_multi_label": f"{_PACKAGE}.fbeta",
        "frequency_weighted_iou": f"{_PACKAGE}.segmentation",
        "macro_f1": f"{_PACKAGE}.classification",
        "mean_absolute_error": f"{_PACKAGE}.numbers",
        "mean_average_precision": f"{_PACKAGE}.mean_average_precision",
        "mean_dice": f"{_PACKAGE}.segmentation",
        "miou": f"{_PACKAGE}.segmentation",
        "pearson_correlation": f"{_PACKAGE}.numbers",
        "per_class_accuracy": f"{_PACKAGE}.classification",
        "per_class_dice": f"{_PACKAGE}.segmentation",
        "per_class_iou": f"{_PACKAGE}.segmentation",
        "roc_auc": f"{_PACKAGE}.classification",
        "spearman_correlation": f"{_PACKAGE}.numbers",
    }

    takes: ClassVar[MetricInput] = "classes"
    """The kind of its inputs: "classes", scores `[..., C]` and class indices `[...]` (of images, or
    of pixels); "labels", scores `[..., L]` and for each label 0 or 1; "numbers", two tensors of
    one shape; "boxes", lists of the boxes of images; "value", a number of the model's own code."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._range = ClassRange()

    def __call__(self, predictions: Any, gold: Any = None, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            predictions: Logits or probabilities `[..., C]`, float.
            gold: Class indices `[...]`, int64, from 0 to below C.
            mask: The items that count, bool `[...]`; all by default.

        Raises:
            ValueError: The shapes do not match, or a class index is out of range. On a GPU,
                `get_metric` and `state` find such an index, since they synchronize.
        """
        if predictions.ndim < 2 or gold.shape != predictions.shape[:-1]:
            raise self._misfit("predictions [..., C] and gold [...]", predictions, gold)
        predictions = predictions.detach()
        if predictions.ndim > 2:
            predictions, gold = predictions.flatten(0, -2), gold.flatten()
        predictions, gold = self._masked(predictions, gold, mask)
        self._update(predictions, self._range.add(gold, predictions.shape[1]))

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

    def _masked(
        self, predictions: Tensor, gold: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the rows of both that a mask of as many items selects."""
        if mask is None:
            return predictions, gold
        if mask.numel() != len(gold):
            raise self._misfit("a mask with a value for each gold one", mask, gold)
        kept = mask.flatten().bool()
        return predictions[kept], gold[kept]

    def _misfit(self, expected: str, *found: Tensor) -> ValueError:
        shapes = " and ".join(str(list(tensor.shape)) for tensor in found)
        return ValueError(f"{type(self).__name__}: expected {expected}, found {shapes}")

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
