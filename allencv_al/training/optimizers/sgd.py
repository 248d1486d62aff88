"""Stochastic gradient descent."""

from __future__ import annotations

import torch

from allencv_al.training.optimizers.base import Optimizer
from allencv_al.training.optimizers.parameter_groups import ParameterGroups


@Optimizer.register("sgd")
class SGD(Optimizer, torch.optim.SGD):
    """Stochastic gradient descent, with momentum if asked for (`torch.optim.SGD`).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: The learning rate.
        momentum: The part of the last update that the next one keeps.
        dampening: How much of the new gradient the momentum leaves out.
        weight_decay: The L2 penalty, added to the gradient.
        nesterov: Whether to look ahead along the momentum (needs momentum, no dampening).
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        fused: Whether to update in one kernel; faster on GPUs.
        parameter_groups: Groups by regular expressions that are searched for in the names of
            `model.named_parameters()`, each with options of its own where wanted:
            `[[["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]]`. What none
            matches is in the default group, which comes last and has the options above.
    """

    def __init__(
        self,
        model_parameters: list[tuple[str, torch.nn.Parameter]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.SGD.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            foreach=foreach,
            fused=fused,
        )
