"""The scaling of embeddings before the last linear layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allencv_al.common.feature_scaling import (
    SCALING_STEPS,
    FeatureScaling,
    FeatureScalingKind,
)


class EmbeddingScaling(torch.nn.Module):
    """A `FeatureScaling` as a part of a model; its statistics are buffers, saved with the weights.

    Before `fit`, the mean is 0 and the deviation 1.

    Args:
        kind: The steps.
        width: Values of an embedding.
    """

    mean: Tensor
    deviation: Tensor
    fitted: Tensor

    def __init__(self, kind: FeatureScalingKind, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("fitted", torch.tensor(not self.needs_statistics(kind)))
        self.is_bypassed = False

    @staticmethod
    def needs_statistics(kind: FeatureScalingKind) -> bool:
        """Return whether a kind of scaling has a mean, or a deviation too."""
        return SCALING_STEPS[kind].center

    def fit(self, embeddings: NDArray[np.floating[Any]]) -> None:
        """Set the statistics to those of unscaled embeddings `[N, D]`, best of the whole pool."""
        scaling = FeatureScaling.fit(self.kind, embeddings)
        self.mean.copy_(torch.from_numpy(scaling.mean))
        self.deviation.copy_(torch.from_numpy(scaling.deviation))
        self.fitted.fill_(True)

    @contextmanager
    def bypassed(self) -> Iterator[None]:
        """Return embeddings unscaled within this context."""
        self.is_bypassed = True
        try:
            yield
        finally:
            self.is_bypassed = False

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the scaled embeddings `[B, D]`."""
        if self.is_bypassed:
            return embeddings
        steps = SCALING_STEPS[self.kind]
        if steps.root:
            embeddings = embeddings.sign() * embeddings.abs().sqrt()
        if steps.center:
            embeddings = (embeddings - self.mean) / self.deviation
        if steps.unit_length:
            # Not `normalize`, whose epsilon shrinks short vectors; a vector of zeros stays one
            norms = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
            embeddings = embeddings / torch.where(norms > 0, norms, 1.0)
        return embeddings

    def extra_repr(self) -> str:
        """Return what `repr` shows, and fingerprints read: the kind and the width."""
        return f"{self.kind}, {len(self.mean)}"
