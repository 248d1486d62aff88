"""Activation functions by name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional as F

from allencv_al.common import Registrable

_NAMES = (
    "elu",
    "gelu",
    "gelu_fast",
    "gelu_new",
    "hard_swish",
    "hardtanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "swish",
    "tanh",
    "tanhshrink",
    "threshold",
)


class Activation(torch.nn.Module, Registrable):
    """A function between layers: any shape in, the same shape out."""

    builtin: ClassVar[dict[str, str]] = dict.fromkeys(_NAMES, "allencv_al.modules.activations")
    default_implementation: ClassVar[str | None] = "relu"

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, values: Tensor) -> Tensor:
        """Return the function of `values`, in its shape."""
        raise NotImplementedError


@Activation.register("linear")
class Linear(Activation):
    """No change: f(x) = x."""

    def forward(self, values: Tensor) -> Tensor:
        return values


@Activation.register("relu")
class ReLU(Activation):
    """Rectified linear unit: max(0, x)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.relu(values)


@Activation.register("relu6")
class ReLU6(Activation):
    """ReLU cut at 6: min(max(0, x), 6)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.relu6(values)


@Activation.register("leaky_relu")
class LeakyReLU(Activation):
    """ReLU with a slope below zero.

    Args:
        negative_slope: The slope there.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, values: Tensor) -> Tensor:
        return F.leaky_relu(values, self.negative_slope)


@Activation.register("prelu")
class PReLU(Activation):
    """ReLU with a learned slope below zero (He et al. 2015, arXiv:1502.01852).

    Args:
        initial_slope: The slope before training.
    """

    def __init__(self, initial_slope: float = 0.25) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1,), initial_slope))

    def forward(self, values: Tensor) -> Tensor:
        return F.prelu(values, self.weight)


@Activation.register("elu")
class ELU(Activation):
    """Exponential linear unit (Clevert et al. 2015, arXiv:1511.07289).

    Args:
        alpha: The limit below zero is -alpha.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, values: Tensor) -> Tensor:
        return F.elu(values, self.alpha)


@Activation.register("selu")
class SELU(Activation):
    """Self-normalizing ELU (Klambauer et al. 2017, arXiv:1706.02515)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.selu(values)


@Activation.register("gelu")
class GELU(Activation):
    """Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.gelu(values)


@Activation.register("silu")
@Activation.register("swish")
class SiLU(Activation):
    """x * sigmoid(x), also known as swish (Ramachandran et al. 2017, arXiv:1710.05941)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.silu(values)


@Activation.register("mish")
class Mish(Activation):
    """x * tanh(softplus(x)) (Misra 2019, arXiv:1908.08681)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.mish(values)


@Activation.register("hard_swish")
class HardSwish(Activation):
    """Piecewise form of swish (Howard et al. 2019, arXiv:1905.02244)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.hardswish(values)


@Activation.register("sigmoid")
class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    def forward(self, values: Tensor) -> Tensor:
        return values.sigmoid()


@Activation.register("tanh")
class Tanh(Activation):
    """Hyperbolic tangent."""

    def forward(self, values: Tensor) -> Tensor:
        return values.tanh()


@Activation.register("softplus")
class Softplus(Activation):
    """log(1 + exp(x))."""

    def forward(self, values: Tensor) -> Tensor:
        return F.softplus(values)


@Activation.register("gelu_new")
@Activation.register("gelu_fast")
class TanhGELU(Activation):
    """GELU by its tanh approximation (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.gelu(values, approximate="tanh")


def _ordered(min_val: float, max_val: float) -> Iterator[tuple[str, str]]:
    if min_val >= max_val:
        yield "max_val", f"expected more than min_val, found {max_val}"


@Activation.register("hardtanh")
class Hardtanh(Activation):
    """Values cut at both ends.

    Args:
        min_val: The least value.
        max_val: The greatest value.
    """

    joint_rules = (_ordered,)

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, values: Tensor) -> Tensor:
        return F.hardtanh(values, self.min_val, self.max_val)


@Activation.register("log_sigmoid")
class LogSigmoid(Activation):
    """log(1 / (1 + exp(-x)))."""

    def forward(self, values: Tensor) -> Tensor:
        return F.logsigmoid(values)


@Activation.register("softshrink")
class Softshrink(Activation):
    """Values moved toward zero by a constant, at most to zero.

    Args:
        lambd: The constant.
    """

    def __init__(self, lambd: Annotated[float, Ge(0)] = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, values: Tensor) -> Tensor:
        return F.softshrink(values, self.lambd)


@Activation.register("softsign")
class Softsign(Activation):
    """x / (1 + |x|)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.softsign(values)


@Activation.register("tanhshrink")
class Tanhshrink(Activation):
    """x - tanh(x)."""

    def forward(self, values: Tensor) -> Tensor:
        return F.tanhshrink(values)


@Activation.register("threshold")
class Threshold(Activation):
    """x above a threshold, a constant elsewhere.

    Args:
        threshold: The threshold.
        value: The constant.
    """

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value

    def forward(self, values: Tensor) -> Tensor:
        return F.threshold(values, self.threshold, self.value)
