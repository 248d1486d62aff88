"""Initial values of parameters."""

from __future__ import annotations

import inspect
import itertools
import math
from abc import abstractmethod
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from overrides import overrides
from torch import Tensor
from torch.nn import init

from allencv_al.common import Registrable
from allencv_al.common.config.signatures import Wrapped, signature_of
from allencv_al.common.errors import ConfigurationError, WeightsError
from allencv_al.modules.weights import read_weights, reading_enabled

_NAMES = (
    "block_orthogonal",
    "constant",
    "dirac",
    "eye",
    "kaiming_normal",
    "kaiming_uniform",
    "lstm_hidden_bias",
    "normal",
    "orthogonal",
    "pretrained",
    "sparse",
    "uniform",
    "uniform_unit_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zero",
)
Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
_NONLINEARITY = {"nonlinearity": Nonlinearity}
_OMITTED = ("tensor", "generator")  # given by the call; PyTorch's own


class Initializer(Registrable):
    """Fills one parameter, in place, before training."""

    builtin: ClassVar[dict[str, str]] = dict.fromkeys(_NAMES, "allencv_al.modules.initializers")
    default_implementation: ClassVar[str | None] = "normal"

    @abstractmethod
    def __call__(self, parameter: Tensor, name: str) -> None:
        """Fill `parameter`.

        Args:
            parameter: Of any shape the initializer can fill.
            name: Its path in the model.
        """
        raise NotImplementedError


class _TorchInitializer(Initializer):
    """An initializer that calls one function of `torch.nn.init`, with the same parameters."""

    def __init__(self, *values: Any, **options: Any) -> None:
        named = dict(zip(signature_of(cast(Hashable, type(self))).arguments, values, strict=False))
        assert self.wraps is not None
        # Bound here, so that a wrong option is an error now and not when training starts
        function, self._options = self.wraps.resolve(), self.wraps.call({**named, **options})
        inspect.signature(function).bind(None, **self._options)
        self._function = function

    @overrides
    def __call__(self, parameter: Tensor, name: str) -> None:
        self._function(parameter, **self._options)


@Initializer.register("normal")
class Normal(_TorchInitializer):
    """Values from a normal distribution.

    Args:
        mean: Its mean.
        std: Its standard deviation.
    """

    wraps = Wrapped(init.normal_, omit=_OMITTED, defaults={"std": 0.1})


@Initializer.register("uniform")
class Uniform(_TorchInitializer):
    """Values from a uniform distribution.

    Args:
        a: The least value.
        b: The greatest value.
    """

    wraps = Wrapped(init.uniform_, omit=_OMITTED)


@Initializer.register("constant")
class Constant(_TorchInitializer):
    """One value everywhere.

    Args:
        val: The value.
    """

    wraps = Wrapped(init.constant_, omit=_OMITTED)


@Initializer.register("zero")
class Zero(_TorchInitializer):
    """Zeros."""

    wraps = Wrapped(init.zeros_, omit=_OMITTED)


@Initializer.register("eye")
class Eye(_TorchInitializer):
    """The identity matrix; for parameters of two dimensions."""

    wraps = Wrapped(init.eye_, omit=_OMITTED)


@Initializer.register("dirac")
class Dirac(_TorchInitializer):
    """Convolutions that pass as many input channels through as they can.

    For parameters of three to five dimensions.

    Args:
        groups: Groups of the convolution.
    """

    wraps = Wrapped(init.dirac_, omit=_OMITTED)


@Initializer.register("xavier_uniform")
class XavierUniform(_TorchInitializer):
    """Glorot and Bengio 2010, uniform; for parameters of at least two dimensions.

    Args:
        gain: A factor on the bound.
    """

    wraps = Wrapped(init.xavier_uniform_, omit=_OMITTED)


@Initializer.register("xavier_normal")
class XavierNormal(_TorchInitializer):
    """Glorot and Bengio 2010, normal; for parameters of at least two dimensions.

    Args:
        gain: A factor on the standard deviation.
    """

    wraps = Wrapped(init.xavier_normal_, omit=_OMITTED)


@Initializer.register("kaiming_uniform")
class KaimingUniform(_TorchInitializer):
    """He et al. 2015 (arXiv:1502.01852), uniform; for parameters of at least two dimensions.

    Args:
        a: Negative slope of the leaky ReLU that follows.
        mode: Keep the variance in the forward pass (`fan_in`) or the backward pass (`fan_out`).
        nonlinearity: The function that follows.
    """

    wraps = Wrapped(init.kaiming_uniform_, omit=_OMITTED, annotations=_NONLINEARITY)


@Initializer.register("kaiming_normal")
class KaimingNormal(_TorchInitializer):
    """He et al. 2015 (arXiv:1502.01852), normal; for parameters of at least two dimensions.

    Args:
        a: Negative slope of the leaky ReLU that follows.
        mode: Keep the variance in the forward pass (`fan_in`) or the backward pass (`fan_out`).
        nonlinearity: The function that follows.
    """

    wraps = Wrapped(init.kaiming_normal_, omit=_OMITTED, annotations=_NONLINEARITY)


@Initializer.register("orthogonal")
class Orthogonal(_TorchInitializer):
    """An orthogonal matrix (Saxe et al. 2013, arXiv:1312.6120); two dimensions or more.

    Args:
        gain: A factor on it.
    """

    wraps = Wrapped(init.orthogonal_, omit=_OMITTED)


@Initializer.register("block_orthogonal")
class BlockOrthogonal(Initializer):
    """Orthogonal matrices side by side, as for gates that share one parameter.

    Args:
        split_sizes: The size of a block in each dimension of the parameter, a divisor of it.
        gain: A factor on each matrix.
    """

    def __init__(self, split_sizes: list[int], gain: float = 1.0) -> None:
        if len(split_sizes) < 2 or min(split_sizes) < 1:
            raise ConfigurationError(
                f"split_sizes: expected two sizes or more, each at least 1, found {split_sizes}"
            )
        self.split_sizes = split_sizes
        self.gain = gain

    @overrides
    def __call__(self, parameter: Tensor, name: str) -> None:
        sizes = list(parameter.shape)
        fits = len(sizes) == len(self.split_sizes)
        if not fits or any(
            size % block for size, block in zip(sizes, self.split_sizes, strict=True)
        ):
            raise ValueError(f"{sizes} cannot be divided into blocks of {self.split_sizes}")
        starts = (range(0, n, block) for n, block in zip(sizes, self.split_sizes, strict=True))
        for corner in itertools.product(*starts):
            place = tuple(slice(a, a + n) for a, n in zip(corner, self.split_sizes, strict=True))
            block = parameter.new_empty(self.split_sizes)
            parameter.data[place] = init.orthogonal_(block, self.gain)


@Initializer.register("uniform_unit_scaling")
class UniformUnitScaling(Initializer):
    """Uniform values that keep the variance of what passes through (Sussillo and Abbott 2014).

    Between plus and minus gain * sqrt(3 / n), where n is the product of all dimensions but the
    last (arXiv:1412.6558; the same estimate of the input's size as AllenNLP's).

    Args:
        nonlinearity: The activation behind the parameter, which has the gain.
    """

    def __init__(self, nonlinearity: Nonlinearity = "linear") -> None:
        self.nonlinearity = nonlinearity

    @overrides
    def __call__(self, parameter: Tensor, name: str) -> None:
        # As in AllenNLP the last dimension is that of the outputs, unlike in torch's own layers
        inputs = math.prod(parameter.shape[:-1])
        # Uniform values in [-bound, bound] have the variance bound² / 3
        bound = init.calculate_gain(self.nonlinearity) * math.sqrt(3 / max(inputs, 1))
        init.uniform_(parameter, -bound, bound)


@Initializer.register("lstm_hidden_bias")
class LstmHiddenBias(Initializer):
    """1 for the forget gate of an LSTM's bias, 0 for its other gates (Jozefowicz et al. 2015)."""

    @overrides
    def __call__(self, parameter: Tensor, name: str) -> None:
        if parameter.dim() != 1 or len(parameter) % 4:
            raise ValueError("expected one dimension, four gates of equal size")
        size = len(parameter) // 4
        init.zeros_(parameter)
        # Torch's order of the gates: input, forget, cell, output
        parameter.data[size : 2 * size] = 1.0


@Initializer.register("sparse")
class Sparse(_TorchInitializer):
    """Normal values with zeros among them (Martens 2010); for parameters of two dimensions.

    Args:
        sparsity: The share of each column that is zero.
        std: Standard deviation of the others.
    """

    wraps = Wrapped(init.sparse_, omit=_OMITTED)


@Initializer.register("pretrained")
class Pretrained(Initializer):
    """A tensor of the same name and shape from a weights file.

    Args:
        weights_file_path: The file: `.safetensors`, or `.pth` and the like (tensors only).
        parameter_name_overrides: The file's name for a parameter, where it is another.
    """

    def __init__(
        self, weights_file_path: Path, parameter_name_overrides: dict[str, str] | None = None
    ) -> None:
        self._path = weights_file_path
        self._overrides = parameter_name_overrides or {}
        self._weights = read_weights(weights_file_path) if reading_enabled() else {}

    @overrides
    def __call__(self, parameter: Tensor, name: str) -> None:
        if not reading_enabled():
            return
        source = self._overrides.get(name, name)
        if source not in self._weights:
            held = ", ".join(self._weights)
            raise WeightsError(f"{self._path} has no {source!r} for {name}; it has {held}")
        found = self._weights[source]
        if found.shape != parameter.shape:
            raise WeightsError(
                f"{self._path}: {source} has shape {tuple(found.shape)}, "
                f"but {name} has {tuple(parameter.shape)}"
            )
        parameter.data.copy_(found)
