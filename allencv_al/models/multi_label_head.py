"""The part behind the logits of a classifier whose images have several classes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from allencv_al.metrics.multi_label_metrics import MultiLabelMetrics
from allencv_al.models.decision_threshold import best_f1_threshold

Thresholds = float | Literal["f1"]


class MultiLabelHead(torch.nn.Module):
    """A sigmoid for each class, its binary cross-entropy, and the threshold from which it is said.

    Thresholds are log-odds in a buffer, saved with the weights.

    Args:
        num_classes: C.
        thresholds: The probability from which a class is predicted; or "f1", each class's own, that
            `fit` finds.
    """

    thresholds: Tensor

    def __init__(self, num_classes: int, thresholds: Thresholds) -> None:
        super().__init__()
        self.fits_thresholds = thresholds == "f1"
        share = 0.5 if isinstance(thresholds, str) else thresholds
        odds = torch.full((num_classes,), share, dtype=torch.float64).logit()
        self.register_buffer("thresholds", odds)
        # In no checkpoint: an evaluation is begun anew
        self.metrics = MultiLabelMetrics(num_classes)

    def outputs(self, logits: Tensor) -> dict[str, Tensor]:
        """Return `label_logits` and `probs`, both `[B, C]`."""
        return {"label_logits": logits, "probs": logits.sigmoid()}

    def losses(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return `loss`, the mean over all pairs of image and class that are known; `loss_sum`.

        Args:
            logits: `[B, C]`.
            labels: 1 for each class that an image shows, 0 for others, below 0 where it is not
                known, float `[B, C]`.
            weights: Factors of the loss of an image that shows a class, `[C]`.
        """
        known = (labels >= 0).to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(
            logits, labels.clamp(min=0), weight=known, pos_weight=weights, reduction="none"
        )
        total = each.sum()
        return {"loss": total / known.sum().clamp(min=1), "loss_sum": total}

    def decide(self, logits: Tensor) -> Tensor:
        """Return whether each class is predicted, bool `[B, C]`."""
        return self.over_thresholds(logits) >= 0

    def over_thresholds(self, logits: Tensor) -> Tensor:
        """Return by how much log-odds exceed the thresholds, float32 `[B, C]`."""
        # In float64, so that rounding moves no difference to the other side of 0
        return (logits.double() - self.thresholds).float()

    def count(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch to the metrics; the arguments are those of `losses`."""
        self.metrics(logits, self.decide(logits), labels)

    def readable(self, outputs: dict[str, Any], names: list[str]) -> dict[str, Any]:
        """Return `classes`, the names of the predicted ones, and `probabilities` of all by name."""
        decided = self.decide(outputs.pop("label_logits")).tolist()
        outputs["classes"] = [
            [name for name, is_shown in zip(names, row, strict=True) if is_shown] for row in decided
        ]
        rows = outputs.pop("probs").tolist()
        outputs["probabilities"] = [dict(zip(names, row, strict=True)) for row in rows]
        return outputs

    def fit(self, logits: NDArray[np.float32], labels: NDArray[np.int8]) -> int:
        """Set each class's threshold to the one with its largest F1 score; return how many.

        A class that all of the images show, or none, keeps its threshold.

        Args:
            logits: Those of validation images, `[N, C]`.
            labels: As in `losses`, `[N, C]`.
        """
        fitted = 0
        for index, (odds, shown) in enumerate(zip(logits.T, labels.T, strict=True)):
            known = shown >= 0
            found = best_f1_threshold(odds[known].astype(np.float64), shown[known] > 0)
            if found is not None:
                self.thresholds[index] = found
                fitted += 1
        return fitted


def balanced_weights(labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the weights that give the images of each class the sum of the others', `[C]`.

    A class that no image shows, or all do, has the weight 1.

    Args:
        labels: As in `MultiLabelHead.losses`, `[N, C]`.
    """
    shown, others = (labels > 0).sum(axis=0), (labels == 0).sum(axis=0)
    both = (shown > 0) & (others > 0)
    weights = np.ones(labels.shape[1])
    weights[both] = others[both] / shown[both]
    return weights
