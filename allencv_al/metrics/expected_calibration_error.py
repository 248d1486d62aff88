"""Expected calibration error: the difference between confidence and accuracy."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric


@Metric.register("expected_calibration_error")
class ExpectedCalibrationError(Metric):
    """The mean gap between confidence and accuracy (Guo et al. 2017, arXiv:1706.04599, eq. 3).

    Images are sorted into bins of equal width by the probability of the predicted class; each
    bin's `|accuracy - mean confidence|` counts by its share of the images. 0 is perfect.

    Args:
        num_bins: Number of bins over (0, 1]; 15 in the paper.
        inputs: Whether the predictions are logits, or probabilities that sum to 1.

    Raises:
        ConfigurationError: `num_bins` is below 1.
    """

    def __init__(
        self, num_bins: Annotated[int, Ge(1)] = 15, inputs: Literal["logits", "probs"] = "logits"
    ) -> None:
        super().__init__()
        self.num_bins = num_bins
        self.inputs = inputs

    @overrides
    def get_metric(self, reset: bool = False) -> float:
        value = super().get_metric(reset)
        assert isinstance(value, float)
        return value

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        sums = self._sums_like((self.num_bins, 3), torch.float64, predictions)
        probs = predictions.float()
        if self.inputs == "logits":
            probs = probs.softmax(-1)
        confidence, predicted = probs.max(-1)
        # Bins are closed above, as in the paper: (0, 1/M], (1/M, 2/M] ...
        bins = (confidence * self.num_bins).ceil().long() - 1
        bins = bins.clamp(0, self.num_bins - 1)
        values = torch.stack(
            [torch.ones_like(confidence), confidence, (predicted == gold).float()], dim=1
        )
        # A product with one-hot rows, because index_add_ adds in no fixed order on a GPU.
        one_hot = torch.nn.functional.one_hot(bins, self.num_bins)
        sums += one_hot.T.double() @ values.double()

    @overrides
    def _value(self, sums: Tensor | None) -> float:
        if sums is None or not sums[:, 0].any():
            return 0.0
        counts, confidence, correct = sums.T
        return float((correct - confidence).abs().sum() / counts.sum())
