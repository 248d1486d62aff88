"""Stochastic gradient descent."""

from __future__ import annotations

import torch

from allencv_al.common.config.signatures import Wrapped
from allencv_al.training.optimizers.base import ANNOTATIONS, Optimizer


@Optimizer.register("sgd")
class SGD(Optimizer, torch.optim.SGD):
    """Stochastic gradient descent, with momentum if asked for (`torch.optim.SGD`).

    Args:
        lr: The learning rate.
        momentum: The part of the last update that the next one keeps.
        dampening: How much of the new gradient the momentum leaves out.
        weight_decay: The L2 penalty, added to the gradient.
        nesterov: Whether to look ahead along the momentum (needs momentum, no dampening).
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        fused: Whether to update in one kernel; faster on GPUs.
    """

    wraps = Wrapped(
        torch.optim.SGD,
        omit=("params", "maximize", "differentiable"),
        annotations=ANNOTATIONS,
    )
