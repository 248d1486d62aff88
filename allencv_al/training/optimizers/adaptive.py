"""Optimizers that divide by a running size of the gradient, without Adam's first moment."""

from __future__ import annotations

import torch

from allencv_al.training.optimizers.base import Optimizer
from allencv_al.training.optimizers.parameter_groups import ParameterGroups


@Optimizer.register("rmsprop")
class RMSprop(Optimizer, torch.optim.RMSprop):
    """RMSprop (Tieleman and Hinton 2012, `torch.optim.RMSprop`).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: The learning rate.
        alpha: The decay of the running mean of squared gradients.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        momentum: The part of the last update that the next one keeps.
        centered: Whether to divide by the estimated variance instead of the mean square.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        parameter_groups: Groups by regular expressions that are searched for in the names of
            `model.named_parameters()`, each with options of its own where wanted:
            `[[["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]]`. What none
            matches is in the default group, which comes last and has the options above.
    """

    def __init__(
        self,
        model_parameters: list[tuple[str, torch.nn.Parameter]],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        foreach: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.RMSprop.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            foreach=foreach,
        )


@Optimizer.register("adagrad")
class Adagrad(Optimizer, torch.optim.Adagrad):
    """Adagrad (Duchi et al. 2011, `torch.optim.Adagrad`).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: The learning rate.
        lr_decay: How fast the rate falls with the steps: `lr / (1 + (step - 1) * lr_decay)`.
        weight_decay: The L2 penalty, added to the gradient.
        initial_accumulator_value: What the sum of squared gradients starts with.
        eps: Added to the denominator.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        fused: Whether to update in one kernel (CPU only).
        parameter_groups: Groups by regular expressions that are searched for in the names of
            `model.named_parameters()`, each with options of its own where wanted:
            `[[["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]]`. What none
            matches is in the default group, which comes last and has the options above.
    """

    def __init__(
        self,
        model_parameters: list[tuple[str, torch.nn.Parameter]],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        fused: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.Adagrad.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            foreach=foreach,
            fused=fused,
        )


@Optimizer.register("adadelta")
class Adadelta(Optimizer, torch.optim.Adadelta):
    """Adadelta (Zeiler 2012, arXiv:1212.5701, `torch.optim.Adadelta`).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: What the update is multiplied by.
        rho: The decay of the running means of squared gradients and updates.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        parameter_groups: Groups by regular expressions that are searched for in the names of
            `model.named_parameters()`, each with options of its own where wanted:
            `[[["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]]`. What none
            matches is in the default group, which comes last and has the options above.
    """

    def __init__(
        self,
        model_parameters: list[tuple[str, torch.nn.Parameter]],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.Adadelta.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            rho=rho,
            eps=eps,
            weight_decay=weight_decay,
            foreach=foreach,
        )
