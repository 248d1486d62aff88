"""From the uncertainty of units (pixels, boxes, labels) to that of their image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from allencv_al.tasks.score_axes import AGGREGATES, UNIT_SCORES


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


def softmax_scores(logits: Tensor) -> Tensor:
    """Return the uncertainty of distributions over classes: `[..., C]` to `[..., 3]`.

    The columns are those of `UNIT_SCORES`: 1 minus the largest probability, 1 minus the distance of
    the two largest, and the entropy in nats.

    Args:
        logits: Class scores before softmax.
    """
    logs = logits.float().log_softmax(dim=-1)
    shares = logs.exp()
    best = shares.topk(min(2, shares.shape[-1]), dim=-1).values
    margin = best[..., 0] - best[..., 1] if best.shape[-1] > 1 else torch.ones_like(best[..., 0])
    # A probability of 0 has a logarithm of -inf, and adds nothing
    entropy = -torch.where(shares > 0, shares * logs, torch.zeros_like(logs)).sum(dim=-1)
    return torch.stack([1 - best[..., 0], 1 - margin, entropy], dim=-1)


def sigmoid_scores(logits: Tensor) -> Tensor:
    """Return the uncertainty of each yes or no: `[...]` to `[..., 3]`, as in `UNIT_SCORES`.

    Args:
        logits: Scores before the sigmoid.
    """
    p = logits.float().sigmoid()
    likelier = torch.maximum(p, 1 - p)
    entropy = torch.special.entr(p) + torch.special.entr(1 - p)
    return torch.stack([1 - likelier, 1 - (2 * likelier - 1), entropy], dim=-1)


def mean_log_odds(logits: Sequence[Tensor]) -> Tensor:
    """Return the log-odds of the mean probability of several models.

    Args:
        logits: The scores of each before the sigmoid, of one shape.
    """
    every = torch.stack([one.float() for one in logits])
    # log p and log (1 - p) of the mean p: no digit of a sure model is lost
    return F.logsigmoid(every).logsumexp(dim=0) - F.logsigmoid(-every).logsumexp(dim=0)
