"""The optimizers of `torch.optim`, with its parameters and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from allencv_al.common.config.signatures import Wrapped
from allencv_al.training.optimizers.base import ANNOTATIONS, Optimizer


def _wrapped(optimizer: Callable[..., Any], *omit: str) -> Wrapped:
    # The step of the trainer runs outside CUDA graphs, minimizes, and is not differentiated
    omitted = ("params", "maximize", "capturable", "differentiable", *omit)
    return Wrapped(optimizer, omitted, annotations=ANNOTATIONS)


@Optimizer.register("sgd")
class SGD(Optimizer, torch.optim.SGD):
    """Stochastic gradient descent, with momentum if asked for (`torch.optim.SGD`).

    Args:
        lr: The learning rate.
        momentum: The part of the last update that the next one keeps.
        dampening: Share of the new gradient that the momentum ignores.
        weight_decay: The L2 penalty, added to the gradient.
        nesterov: Whether to look ahead along the momentum (needs momentum, no dampening).
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        fused: Whether to update in one kernel; faster on GPUs.
    """

    wraps = _wrapped(torch.optim.SGD)


@Optimizer.register("adam")
class Adam(Optimizer, torch.optim.Adam):
    """Adam (Kingma and Ba 2014, arXiv:1412.6980, `torch.optim.Adam`).

    Args:
        lr: The learning rate.
        betas: The decays of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        amsgrad: Whether to divide by the largest running mean so far (Reddi et al. 2018).
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        fused: Whether to update in one kernel; faster on GPUs.
    """

    wraps = _wrapped(torch.optim.Adam, "decoupled_weight_decay")


@Optimizer.register("adamw")
class AdamW(Optimizer, torch.optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Args:
        lr: The learning rate.
        betas: The decays of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: The part of each weight, times `lr`, that a step takes away.
        amsgrad: Whether to divide by the largest running mean so far (Reddi et al. 2018).
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        fused: Whether to update in one kernel; faster on GPUs.
    """

    wraps = _wrapped(torch.optim.AdamW)


@Optimizer.register("adamax")
class Adamax(Optimizer, torch.optim.Adamax):
    """Adam with the infinity norm (Kingma and Ba 2014, section 7.1, `torch.optim.Adamax`).

    Args:
        lr: The learning rate.
        betas: The decays of the running mean of the gradient and of its largest size.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
    """

    wraps = _wrapped(torch.optim.Adamax)


@Optimizer.register("nadam")
class NAdam(Optimizer, torch.optim.NAdam):
    """Adam with Nesterov momentum (Dozat 2016, `torch.optim.NAdam`).

    Args:
        lr: The learning rate.
        betas: The decays of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        momentum_decay: Growth of the momentum's schedule.
        decoupled_weight_decay: Whether to decay the weights as `adamw` does instead.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
    """

    wraps = _wrapped(torch.optim.NAdam)


@Optimizer.register("radam")
class RAdam(Optimizer, torch.optim.RAdam):
    """Rectified Adam (Liu et al. 2019, arXiv:1908.03265, `torch.optim.RAdam`).

    Args:
        lr: The learning rate.
        betas: The decays of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        decoupled_weight_decay: Whether to decay the weights as `adamw` does instead.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
    """

    wraps = _wrapped(torch.optim.RAdam)


@Optimizer.register("rmsprop")
class RMSprop(Optimizer, torch.optim.RMSprop):
    """RMSprop (Tieleman and Hinton 2012, `torch.optim.RMSprop`).

    Args:
        lr: The learning rate.
        alpha: The decay of the running mean of squared gradients.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        momentum: The part of the last update that the next one keeps.
        centered: Whether to divide by the estimated variance instead of the mean square.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
    """

    wraps = _wrapped(torch.optim.RMSprop)


@Optimizer.register("adagrad")
class Adagrad(Optimizer, torch.optim.Adagrad):
    """Adagrad (Duchi et al. 2011, `torch.optim.Adagrad`).

    Args:
        lr: The learning rate.
        lr_decay: Decay of the rate with the steps: `lr / (1 + (step - 1) * lr_decay)`.
        weight_decay: The L2 penalty, added to the gradient.
        initial_accumulator_value: Initial value of the sum of squared gradients.
        eps: Added to the denominator.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        fused: Whether to update in one kernel (CPU only).
    """

    wraps = _wrapped(torch.optim.Adagrad)


@Optimizer.register("adadelta")
class Adadelta(Optimizer, torch.optim.Adadelta):
    """Adadelta (Zeiler 2012, arXiv:1212.5701, `torch.optim.Adadelta`).

    Args:
        lr: Factor of the update.
        rho: The decay of the running means of squared gradients and updates.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
    """

    wraps = _wrapped(torch.optim.Adadelta)
