"""Activation functions by name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterator
from typing import Annotated, Any, ClassVar, cast

import torch
from annotated_types import Ge
from torch import Tensor

from allencv_al.common import Registrable
from allencv_al.common.config.signatures import Wrapped, signature_of

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

# In place, values that the backward pass needs may be overwritten; the others are for PyTorch's own
# use, or old names
_OMITTED = ("inplace", "num_parameters", "device", "dtype", "min_value", "max_value")


class Activation(torch.nn.Module, Registrable):
    """A function between layers: any shape in, the same shape out."""

    builtin: ClassVar[dict[str, str]] = dict.fromkeys(_NAMES, "allencv_al.modules.activations")
    default_implementation: ClassVar[str | None] = "relu"

    @abstractmethod
    def forward(self, values: Tensor) -> Tensor:
        """Return the function of `values`, in its shape."""
        raise NotImplementedError


class _TorchActivation(Activation):
    """An activation that a class of `torch.nn` computes, with the same parameters.

    A subclass names that class as its second base; keywords are those of `Wrapped`.
    """

    def __init_subclass__(cls, omit: tuple[str, ...] = (), **wrapped: Any) -> None:
        super().__init_subclass__()
        cls.wraps = Wrapped(cls.__bases__[1], (*_OMITTED, *omit), **wrapped)

    def __init__(self, *values: Any, **options: Any) -> None:
        named = dict(zip(signature_of(cast(Hashable, type(self))).arguments, values, strict=False))
        assert self.wraps is not None
        super().__init__(**self.wraps.call({**named, **options}))

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = super(Activation, self).forward(values)  # that of the class of `torch.nn`
        return output


@Activation.register("linear")
class Linear(Activation):
    """No change: f(x) = x."""

    def forward(self, values: Tensor) -> Tensor:
        return values


@Activation.register("relu")
class ReLU(_TorchActivation, torch.nn.ReLU):
    """Rectified linear unit: max(0, x)."""


@Activation.register("relu6")
class ReLU6(_TorchActivation, torch.nn.ReLU6):
    """ReLU cut at 6: min(max(0, x), 6)."""


@Activation.register("leaky_relu")
class LeakyReLU(_TorchActivation, torch.nn.LeakyReLU):
    """ReLU with a slope below zero.

    Args:
        negative_slope: The slope there.
    """


@Activation.register("prelu")
class PReLU(_TorchActivation, torch.nn.PReLU, rename={"init": "initial_slope"}):
    """ReLU with a learned slope below zero (He et al. 2015, arXiv:1502.01852).

    Args:
        initial_slope: The slope before training.
    """


@Activation.register("elu")
class ELU(_TorchActivation, torch.nn.ELU):
    """Exponential linear unit (Clevert et al. 2015, arXiv:1511.07289).

    Args:
        alpha: The limit below zero is -alpha.
    """


@Activation.register("selu")
class SELU(_TorchActivation, torch.nn.SELU):
    """Self-normalizing ELU (Klambauer et al. 2017, arXiv:1706.02515)."""


@Activation.register("gelu")
class GELU(_TorchActivation, torch.nn.GELU, omit=("approximate",)):
    """Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""


@Activation.register("silu")
@Activation.register("swish")
class SiLU(_TorchActivation, torch.nn.SiLU):
    """x * sigmoid(x), also known as swish (Ramachandran et al. 2017, arXiv:1710.05941)."""


@Activation.register("mish")
class Mish(_TorchActivation, torch.nn.Mish):
    """x * tanh(softplus(x)) (Misra 2019, arXiv:1908.08681)."""


@Activation.register("hard_swish")
class HardSwish(_TorchActivation, torch.nn.Hardswish):
    """Piecewise form of swish (Howard et al. 2019, arXiv:1905.02244)."""


@Activation.register("sigmoid")
class Sigmoid(_TorchActivation, torch.nn.Sigmoid):
    """1 / (1 + exp(-x))."""


@Activation.register("tanh")
class Tanh(_TorchActivation, torch.nn.Tanh):
    """Hyperbolic tangent."""


@Activation.register("softplus")
class Softplus(_TorchActivation, torch.nn.Softplus, omit=("beta", "threshold")):
    """log(1 + exp(x))."""


@Activation.register("gelu_new")
@Activation.register("gelu_fast")
class TanhGELU(
    _TorchActivation, torch.nn.GELU, omit=("approximate",), defaults={"approximate": "tanh"}
):
    """GELU by its tanh approximation (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""


def _ordered(min_val: float, max_val: float) -> Iterator[tuple[str, str]]:
    if min_val >= max_val:
        yield "max_val", f"expected more than min_val, found {max_val}"


@Activation.register("hardtanh")
class Hardtanh(_TorchActivation, torch.nn.Hardtanh):
    """Values cut at both ends.

    Args:
        min_val: The least value.
        max_val: The greatest value.
    """

    joint_rules = (_ordered,)


@Activation.register("log_sigmoid")
class LogSigmoid(_TorchActivation, torch.nn.LogSigmoid):
    """log(1 / (1 + exp(-x)))."""


@Activation.register("softshrink")
class Softshrink(
    _TorchActivation, torch.nn.Softshrink, annotations={"lambd": Annotated[float, Ge(0)]}
):
    """Values moved toward zero by a constant, at most to zero.

    Args:
        lambd: The constant.
    """


@Activation.register("softsign")
class Softsign(_TorchActivation, torch.nn.Softsign):
    """x / (1 + |x|)."""


@Activation.register("tanhshrink")
class Tanhshrink(_TorchActivation, torch.nn.Tanhshrink):
    """x - tanh(x)."""


@Activation.register("threshold")
class Threshold(_TorchActivation, torch.nn.Threshold):
    """x above a threshold, a constant elsewhere.

    Args:
        threshold: The threshold.
        value: The constant.
    """
