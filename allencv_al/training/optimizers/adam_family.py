"""Adam and its kin."""

from __future__ import annotations

import torch

from allencv_al.training.optimizers.base import Optimizer
from allencv_al.training.optimizers.parameter_groups import ParameterGroups


@Optimizer.register("adam")
class Adam(Optimizer, torch.optim.Adam):
    """Adam (Kingma and Ba 2014, arXiv:1412.6980, `torch.optim.Adam`).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: The learning rate.
        betas: The decays of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        amsgrad: Whether to divide by the largest running mean so far (Reddi et al. 2018).
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
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.Adam.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            foreach=foreach,
            fused=fused,
        )


@Optimizer.register("adamw")
class AdamW(Optimizer, torch.optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: The learning rate.
        betas: The decays of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: The part of each weight, times `lr`, that a step takes away.
        amsgrad: Whether to divide by the largest running mean so far (Reddi et al. 2018).
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
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.AdamW.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            foreach=foreach,
            fused=fused,
        )


@Optimizer.register("adamax")
class Adamax(Optimizer, torch.optim.Adamax):
    """Adam with the infinity norm (Kingma and Ba 2014, section 7.1, `torch.optim.Adamax`).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: The learning rate.
        betas: The decays of the running mean of the gradient and of its largest size.
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
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.Adamax.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            foreach=foreach,
        )


@Optimizer.register("nadam")
class NAdam(Optimizer, torch.optim.NAdam):
    """Adam with Nesterov momentum (Dozat 2016, `torch.optim.NAdam`).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: The learning rate.
        betas: The decays of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        momentum_decay: How fast the momentum's schedule grows.
        decoupled_weight_decay: Whether to decay the weights as `adamw` does instead.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        parameter_groups: Groups by regular expressions that are searched for in the names of
            `model.named_parameters()`, each with options of its own where wanted:
            `[[["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]]`. What none
            matches is in the default group, which comes last and has the options above.
    """

    def __init__(
        self,
        model_parameters: list[tuple[str, torch.nn.Parameter]],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        foreach: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.NAdam.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            foreach=foreach,
        )


@Optimizer.register("radam")
class RAdam(Optimizer, torch.optim.RAdam):
    """Rectified Adam (Liu et al. 2019, arXiv:1908.03265, `torch.optim.RAdam`).

    Args:
        model_parameters: Names and parameters, given by the trainer.
        lr: The learning rate.
        betas: The decays of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: The L2 penalty, added to the gradient.
        decoupled_weight_decay: Whether to decay the weights as `adamw` does instead.
        foreach: Whether to update all parameters in a few calls; chosen by PyTorch if not given.
        parameter_groups: Groups by regular expressions that are searched for in the names of
            `model.named_parameters()`, each with options of its own where wanted:
            `[[["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]]`. What none
            matches is in the default group, which comes last and has the options above.
    """

    def __init__(
        self,
        model_parameters: list[tuple[str, torch.nn.Parameter]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        foreach: bool | None = None,
        parameter_groups: ParameterGroups | None = None,
    ) -> None:
        self._construct(
            torch.optim.RAdam.__init__,
            model_parameters,
            parameter_groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            foreach=foreach,
        )
