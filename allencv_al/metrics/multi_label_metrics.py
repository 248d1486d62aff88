"""All metrics of a model that answers yes or no for each class of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allencv_al.metrics.scores import mean_of_known, ratios


class MultiLabelMetrics:
    """Count what the metrics of several classes per image need.

    Scores are kept for `mean_average_precision`, which is exact: 4 bytes per image and class.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._reset()

    def __call__(self, logits: Tensor, predicted: Tensor, gold: Tensor) -> None:
        """Add a batch.

        Args:
            logits: Scores of each class, `[B, C]`.
            predicted: Whether each class is predicted, bool `[B, C]`.
            gold: 1 for each class that an image shows, 0 for others, below 0 where it is not known,
                `[B, C]`.
        """
        known, shown = gold >= 0, gold > 0
        wrong = known & (predicted != shown)
        hits = (predicted & shown).sum(0)
        # True positives, predicted and shown images of each class
        self._counts += torch.stack([hits, (predicted & known).sum(0), shown.sum(0)]).cpu().numpy()
        any_known = known.any(1)
        self._whole += int((any_known & ~wrong.any(1)).sum())
        self._images += int(any_known.sum())
        self._wrong += int(wrong.sum())
        self._pairs += int(known.sum())
        self._scores.append(logits.detach().float().cpu().numpy())
        self._gold.append(gold.detach().to(torch.int8).cpu().numpy())

    def values(self, class_names: Sequence[str], reset: bool = False) -> dict[str, Any]:
        """Return the metrics of the images so far, all of them JSON.

        A class that no image shows and none is predicted for has no F1 score, and one that none
        shows no average precision: it is None, and left out of the macro means. Without images
        all are 0.

        Args:
            class_names: A name for each class.
            reset: Whether to begin anew afterwards.
        """
        hits, predicted, shown = self._counts
        figures = {
            "f1": ratios(2 * hits, predicted + shown),
            "precision": ratios(hits, predicted),
            "recall": ratios(hits, shown),
            "average_precision": self._average_precisions(),
        }
        sums = [int(part.sum()) for part in self._counts]
        micro = {
            "f1": ratios([2 * sums[0]], [sums[1] + sums[2]])[0],
            "precision": ratios(sums[:1], sums[1:2])[0],
            "recall": ratios(sums[:1], sums[2:])[0],
        }
        metrics: dict[str, Any] = {}
        for name, value in micro.items():
            metrics[f"macro_{name}"] = mean_of_known(figures[name]) or 0.0
            metrics[f"micro_{name}"] = value or 0.0
        metrics["mean_average_precision"] = mean_of_known(figures["average_precision"]) or 0.0
        metrics["subset_accuracy"] = self._whole / max(self._images, 1)
        metrics["hamming_loss"] = self._wrong / max(self._pairs, 1)
        for name, values in figures.items():
            metrics[f"per_class_{name}"] = dict(zip(class_names, values, strict=True))
        if reset:
            self._reset()
        return metrics

    def scored(self) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Return the scores and gold values of the images so far, both `[N, C]`."""
        nothing = np.zeros((0, self._num_classes))
        return (
            np.concatenate([nothing.astype(np.float32), *self._scores]),
            np.concatenate([nothing.astype(np.int8), *self._gold]),
        )

    def _average_precisions(self) -> list[float | None]:
        from sklearn.metrics import average_precision_score  # 1 s to import

        scores, gold = self.scored()
        found: list[float | None] = []
        for own, truth in zip(scores.T, gold.T, strict=True):
            known = truth >= 0
            is_shown = truth[known] > 0
            value = average_precision_score(is_shown, own[known]) if is_shown.any() else None
            found.append(None if value is None else float(value))
        return found

    def _reset(self) -> None:
        # No tensor: a model is checked on a device without memory
        self._counts = np.zeros((3, self._num_classes), np.int64)
        self._whole = self._images = self._wrong = self._pairs = 0
        self._scores: list[NDArray[np.float32]] = []
        self._gold: list[NDArray[np.int8]] = []
