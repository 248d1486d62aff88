"""The threshold from which a rare class is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allencv_al.metrics.classification import ConfusionMatrix, log_odds
from allencv_al.metrics.scores import ratios


class DecisionThreshold(torch.nn.Module):
    """A part of a classifier that predicts one class from a threshold of its probability on.

    Below it the likeliest of the other classes is predicted. Before `fit`, the likeliest class of
    all is. The threshold is a buffer, saved with the weights; it is kept as log-odds, which tell
    apart probabilities near 0 and 1.

    Args:
        index: The class.
    """

    threshold: Tensor
    fitted: Tensor

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.register_buffer("fitted", torch.tensor(False))
        self._counts = ConfusionMatrix()

    def fit(self, odds: NDArray[np.float64], is_class: NDArray[np.bool_]) -> None:
        """Set the threshold to the one with the largest F1 score of the class, if there is one.

        Args:
            odds: The log-odds of the class for labeled images, `[N]`.
            is_class: Whether an image is of the class, `[N]`.
        """
        found = best_f1_threshold(odds, is_class)
        self.fitted.fill_(found is not None)
        if found is not None:
            self.threshold.fill_(found)

    def decide(self, logits: Tensor) -> Tensor:
        """Return the predicted class of each row of logits `[B, C]`, int64 `[B]`."""
        return self.decided(logits) if self.fitted else logits.argmax(dim=-1)

    def decided(self, logits: Tensor) -> Tensor:
        """Return what `decide` returns once there is a threshold."""
        others = logits.clone()
        others[:, self.index] = -torch.inf
        is_class = self.log_odds(logits) >= self.threshold
        return torch.where(is_class, self.index, others.argmax(dim=-1))

    def log_odds(self, logits: Tensor) -> Tensor:
        """Return the log-odds of the class for logits `[B, C]`, float64 `[B]`."""
        return log_odds(logits.double())[:, self.index]

    def count(self, logits: Tensor, gold: Tensor) -> None:
        """Add a batch to the metrics: logits `[B, C]` and class indices `[B]`."""
        decided = torch.nn.functional.one_hot(self.decide(logits), logits.shape[1])
        self._counts(decided, gold)

    def metrics(self, reset: bool = False) -> dict[str, Any]:
        """Return the threshold as a probability, and figures of the class; nothing before `fit`.

        Args:
            reset: Whether to begin anew afterwards.
        """
        counts = self._counts.state()
        if reset:
            self._counts.reset()
        if counts is None or not self.fitted:  # on the meta device there are no counts
            return {}
        hits = counts.diagonal()[self.index]
        own, predicted = counts.sum(1)[self.index], counts.sum(0)[self.index]
        tops, bottoms = (
            torch.stack([hits, hits, 2 * hits]),
            torch.stack([predicted, own, own + predicted]),
        )
        names = ("decision_precision", "decision_recall", "decision_f1")
        found = dict(zip(names, ratios(tops, bottoms), strict=True))
        return {"decision_threshold": float(self.threshold.sigmoid()), **found}


def best_f1_threshold(odds: NDArray[np.float64], is_class: NDArray[np.bool_]) -> float | None:
    """Return the log-odds with the largest F1 score of a class, in the middle between two scores.

    Among equally good ones it is the one nearest to the probability 0.5. Without an image of the
    class, or of another one, there is none.

    Args:
        odds: The log-odds of the class for labeled images, `[N]`.
        is_class: Whether an image is of the class, `[N]`.
    """
    if is_class.all() or not is_class.any():
        return None
    order = np.argsort(-odds, kind="stable")
    scores, hits = odds[order], np.cumsum(is_class[order])
    predicted = np.arange(1, len(scores) + 1)
    f1 = 2 * hits / (predicted + is_class.sum())
    # A threshold cannot divide equal scores
    ends = np.append(scores[:-1] > scores[1:], True)
    middles = np.append((scores[:-1] + scores[1:]) / 2, scores[-1] - 1)
    best = np.flatnonzero(ends & (f1 >= f1[ends].max() - 1e-12))
    return float(middles[best[np.abs(middles[best]).argmin()]])
