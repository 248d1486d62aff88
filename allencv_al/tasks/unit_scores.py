"""From the uncertainty of units (pixels, boxes, labels) to that of their image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from allencv_al.tasks.base import AGGREGATES, UNIT_SCORES


def aggregated(units: Tensor, top: int = 1) -> Tensor:
    """Return the scores of images: `[B, U, 3]` to `[B, 3, 4]`, the axes of `AGGREGATES`.

    An image without units has scores of 0.

    Args:
        units: The scores of U units of each image, the columns of `UNIT_SCORES`.
        top: Number of units whose mean is `top`; fewer where there are fewer.
    """
    if not units.shape[1]:
        return units.new_zeros(len(units), len(UNIT_SCORES), len(AGGREGATES))
    total = units.sum(dim=1)
    highest = units.topk(min(top, units.shape[1]), dim=1, sorted=False).values
    ways = {
        "mean": total / units.shape[1],
        "sum": total,
        "max": units.amax(dim=1),
        "top": highest.mean(dim=1),
    }
    return torch.stack([ways[name] for name in AGGREGATES], dim=-1)


def log_mean(logits: Sequence[Tensor], dim: int = -1) -> Tensor:
    """Return logits of the mean of several models' probabilities.

    Args:
        logits: The logits of each model, of one shape.
        dim: The dimension of the classes.
    """
    logs = torch.stack([one.float().log_softmax(dim=dim) for one in logits])
    return logs.logsumexp(dim=0) - math.log(len(logits))
