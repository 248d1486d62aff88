"""Muon for matrices and convolution filters, AdamW for everything else."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt
from torch import Tensor
from torch.optim.adamw import adamw

from allencv_al.common.config.signatures import Wrapped
from allencv_al.training.optimizers.base import AtLeastZero, Decay, Optimizer

LrAdjustment = Literal["original", "match_rms_adamw", "spectral_unclamped"]


class _Muon(torch.optim.Optimizer):
    def __init__(
        self,
        params: Any,
        lr: AtLeastZero = 1e-3,
        weight_decay: AtLeastZero = 0.1,
        momentum: AtLeastZero = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        ns_steps: int = 5,
        eps: AtLeastZero = 1e-7,
        adjust_lr_fn: LrAdjustment = "match_rms_adamw",
        betas: tuple[Decay, Decay] = (0.9, 0.999),
        adam_eps: Annotated[float, Gt(0)] = 1e-8,
        use_muon: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "ns_steps": ns_steps,
            "eps": eps,
            "adjust_lr_fn": adjust_lr_fn,
            "betas": betas,
            "adam_eps": adam_eps,
            "use_muon": use_muon,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: Computes the loss anew, if given; its value is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            due = [p for p in group["params"] if p.grad is not None]
            # Orthogonalizing means nothing for biases and the weights of norms
            matrices = [p for p in due if p.ndim >= 2 and group["use_muon"]]
            others = [p for p in due if p.ndim < 2 or not group["use_muon"]]
            self._step_matrices(matrices, group)
            self._step_others(others, group)
        return loss

    def _step_matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for alike in _by_shape(parameters):
            directions = torch.stack([self._direction(p, group) for p in alike])
            updates = orthogonalize(
                directions.flatten(2), group["ns_coefficients"], group["ns_steps"], group["eps"]
            )
            rows, columns = updates.shape[1:]
            rate = group["lr"] * lr_factor(group["adjust_lr_fn"], rows, columns)
            # Decoupled weight decay, before the update as in AdamW
            torch._foreach_mul_(alike, 1 - group["lr"] * group["weight_decay"])
            shaped = [update.view(alike[0].shape) for update in updates.to(alike[0].dtype)]
            torch._foreach_add_(alike, shaped, alpha=-rate)

    def _direction(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """Move the momentum and return the matrix to orthogonalize."""
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum

    def _step_others(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        if not parameters:
            return
        states = [self.state[p] for p in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if "step" not in state:
                # A tensor on the CPU, as torch's function for AdamW counts steps
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        adamw(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["adam_eps"],
            maximize=False,
        )


@Optimizer.register("muon")
class Muon(Optimizer, _Muon):
    """Muon (Jordan et al. 2024): momentum whose matrix is made nearly orthogonal at each step.

    It acts on parameters of two dimensions and more; a convolution filter `[out, in, h, w]` counts
    as the matrix `[out, in * h * w]`. Biases and the weights of normalization layers are updated
    by AdamW with the same learning rate and weight decay. Its authors advise AdamW for the last
    layer, too: give its group `{"use_muon": false}`.

    `torch.optim.Muon` gives the same updates for matrices, but takes nothing else.

    Args:
        lr: The learning rate.
        weight_decay: The part of each weight, times `lr`, that a step takes away.
        momentum: The decay of the running mean of the gradient.
        nesterov: Whether to look ahead along the momentum.
        ns_coefficients: The coefficients of the Newton-Schulz iteration, of powers 1, 3 and 5.
        ns_steps: Number of iterations; 5 bring all singular values near 1.
        eps: The smallest norm that a matrix is divided by.
        adjust_lr_fn: Scaling of the rate by the shape of a matrix with A rows and B columns:
            `original`, sqrt(max(1, A / B)); `spectral_unclamped`, sqrt(A / B); `match_rms_adamw`,
            0.2 * sqrt(max(A, B)), so that updates are as large as AdamW's and one `lr` suits both
            (Liu et al. 2025, arXiv:2502.16982).
        betas: AdamW's decays of the running means of the gradient and of its square.
        adam_eps: Added to AdamW's denominator.
        use_muon: Whether to use Muon at all; meant for groups.
    """

    wraps = Wrapped(_Muon, omit=("params",))


def orthogonalize(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Return matrices with the same singular vectors and singular values near 1.

    The Newton-Schulz iteration `X <- a X + b (X X') X + c (X X')^2 X`, in bfloat16 on a GPU.

    Args:
        matrices: `[N, A, B]`.
        coefficients: a, b and c.
        steps: Number of iterations.
        eps: The smallest Frobenius norm that a matrix is divided by.

    Returns:
        `[N, A, B]`, singular values between about 0.7 and 1.2 for the usual coefficients.
    """
    linear, cubic, quintic = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices  # the smaller Gram matrix is the cheaper one
    # bfloat16 suffices for singular values near 1; on CPUs without it float32 is faster
    x = x.to(torch.bfloat16) if x.is_cuda else x.float()
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(eps)
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=cubic, alpha=quintic)
        x = torch.baddbmm(x, polynomial, x, beta=linear)
    return (x.mT if tall else x).contiguous()


def lr_factor(adjustment: LrAdjustment, rows: int, columns: int) -> float:
    """Return what the learning rate of a matrix is multiplied by."""
    if adjustment == "match_rms_adamw":
        # Updates of AdamW have a root mean square of about 0.2 (Liu et al. 2025, arXiv:2502.16982)
        return 0.2 * math.sqrt(max(rows, columns))
    ratio = rows / columns
    return math.sqrt(ratio if adjustment == "spectral_unclamped" else max(1.0, ratio))


def _by_shape(parameters: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """Group parameters of the same shape: their iterations run as one batch."""
    alike: dict[Any, list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        alike[parameter.shape, parameter.dtype, parameter.device].append(parameter)
    return alike.values()
