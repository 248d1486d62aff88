"""A copy of a model for inference alone: batch norms folded away, weights in the number format."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from allencv_al.models.model import Model
from allencv_al.models.precision import StepPrecision

logger = logging.getLogger(__name__)

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# Layers whose weights autocast converts
_CONVERTED = (*_CONVOLUTIONS, nn.Linear)
# Of the length of the outputs; float32 alone moves those of deep networks by some 1e-6
_TOLERANCE = 1e-5
_NOISE_SIDE = 64  # pixels


def inference_copy(model: Model, precision: StepPrecision, image_shape: Sequence[int]) -> Model:
    """Return a copy whose `embed` is faster; the model itself where there is nothing to gain.

    A batch norm that follows a convolution, and nothing else, becomes a part of its weights
    (Jacob et al. 2018, arXiv:1712.05877, section 3.2). One image of noise, in float32, shows which
    ones do, and that the copy then gives the same embedding. In half precision the weights of plain
    convolutions and linear layers lie in the format, and in the memory order, in which autocast
    wants them: it would convert them anew for each batch.

    Args:
        model: The model; it is not changed.
        precision: Number format in whose `autocast` the copy runs.
        image_shape: Channels, height and width of the images.

    Returns:
        A model in eval mode, on the same device, that must not be trained.
    """
    has_norms = any(isinstance(module, _NORMS) for module in model.modules())
    if not (precision.is_mixed or has_norms):
        return model
    try:
        folded = _folded(model, image_shape) if has_norms else None
        if folded is None and not precision.is_mixed:
            return model
        converted = copy.deepcopy(model) if folded is None else folded
    except Exception as error:  # a part of a user's own that cannot be copied: slower, no more
        logger.debug("%s cannot be copied: %s", type(model).__name__, error)
        return model
    if precision.dtype is not None:
        for module in converted.modules():
            # A subclass may compute with its weights in its own way, which needs their precision
            if type(module) in _CONVERTED:
                module.to(precision.dtype)
    return converted.to(memory_format=torch.channels_last).eval()


@dataclass(frozen=True)
class _Pair:
    """A convolution with the batch norm behind it, and what computes the same.

    Args:
        convolution: The convolution.
        norm: The batch norm.
        weight: The weight of a convolution that does the work of both.
        bias: Its bias.
        rest: The other parts of the batch norm: timm's have an activation.
    """

    convolution: nn.Module
    norm: nn.Module
    weight: nn.Parameter
    bias: nn.Parameter
    rest: nn.Module


class _Pairs:
    """The pairs of a network, found while it computes one image."""

    def __init__(self) -> None:
        self._calls: Counter[nn.Module] = Counter()
        self._outputs: list[Tensor] = []  # alive, so that no other tensor gets the id of one
        self._origin: dict[int, tuple[nn.Module, Tensor]] = {}
        self._pairs: list[_Pair] = []

    def found(self) -> list[_Pair]:
        """Return the pairs of which each part was called once."""
        calls = self._calls
        return [pair for pair in self._pairs if calls[pair.convolution] == calls[pair.norm] == 1]

    @contextmanager
    def watching(self, network: nn.Module) -> Iterator[None]:
        """Watch what the network computes within this context."""
        handles = []
        for module in network.modules():
            if module._forward_hooks or module._forward_pre_hooks:  # it computes something else
                continue
            if isinstance(module, _CONVOLUTIONS):
                handles.append(module.register_forward_hook(self._after_convolution))
            elif isinstance(module, _NORMS) and module.running_mean is not None:
                handles.append(module.register_forward_hook(self._after_norm))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _after_convolution(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._calls[module] += 1
        # A weight that is computed (`torch.nn.utils.parametrize`) is no parameter
        if len(inputs) == 1 and module._parameters.get("weight") is not None:
            self._outputs.append(output)
            self._origin[id(output)] = module, inputs[0]

    def _after_norm(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._calls[module] += 1
        if len(inputs) != 1 or id(inputs[0]) not in self._origin:
            return
        convolution, image = self._origin[id(inputs[0])]
        pair = _fused(convolution, module)
        # Also a subclass, with a `forward` of its own, may be a pair: its outputs tell
        if _agree(_output(pair, image), output):
            self._pairs.append(pair)


def _folded(model: Model, image_shape: Sequence[int]) -> Model | None:
    """Return a copy without the batch norms that can be folded; None if it gives other outputs."""
    channels, *sides = image_shape
    small = (channels, *(min(side, _NOISE_SIDE) for side in sides))
    # Most networks take images of any size; a small one shows the same in a tenth of the time
    for shape in dict.fromkeys((small, tuple(image_shape))):
        folded = _folded_by_noise(model, shape)
        if folded is not None:
            return folded
    return None


def _folded_by_noise(model: Model, image_shape: Sequence[int]) -> Model | None:
    # On the CPU: there float32 is no other format, as it may be in the convolutions of a GPU
    folded = copy.deepcopy(model).to("cpu").eval()
    noise = torch.randn(1, *image_shape, generator=torch.Generator().manual_seed(0))
    pairs = _Pairs()
    try:
        with torch.no_grad():
            with pairs.watching(folded):
                expected = folded.embed(noise)
            found = pairs.found()
            for pair in found:
                _set_weights(pair.convolution, pair.weight, pair.bias)
            _replace(folded, {pair.norm: pair.rest for pair in found})
            is_equal = bool(found) and bool(expected.any())
            is_equal = is_equal and _agree(folded.embed(noise), expected)
    except Exception as error:  # a network that looks at its layers, or takes no noise
        logger.debug("%s: batch norms are not folded: %s", type(model).__name__, error)
        return None
    if not is_equal:
        return None
    logger.debug("%s: %d batch norms are folded", type(model).__name__, len(found))
    return folded.to(next(model.parameters()).device)


def _fused(convolution: nn.Module, norm: nn.Module) -> _Pair:
    weight, bias = fuse_conv_bn_weights(
        *(convolution.weight, convolution.bias),  # type: ignore[arg-type]
        *(norm.running_mean, norm.running_var, norm.eps),  # type: ignore[arg-type]
        *(norm.weight, norm.bias),  # type: ignore[arg-type]
    )
    return _Pair(convolution, norm, weight, bias, nn.Sequential(*norm.children()))


def _output(pair: _Pair, image: Tensor) -> Tensor:
    """Return what the pair's convolution with its new weights gives, then the rest."""
    convolution = pair.convolution
    before = convolution.weight, convolution.bias
    _set_weights(convolution, pair.weight, pair.bias)
    try:
        # Not a call, which would be watched
        output: Tensor = pair.rest(type(convolution).forward(convolution, image))
    finally:
        _set_weights(convolution, *before)
    return output


def _set_weights(convolution: nn.Module, weight: Any, bias: Any) -> None:
    convolution.weight, convolution.bias = weight, bias


def _replace(network: nn.Module, others: dict[nn.Module, nn.Module]) -> None:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if child in others:
                setattr(module, name, others[child])


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Return whether the outputs are equal but for rounding; what is not finite is not."""
    distance = torch.linalg.vector_norm(found - expected)
    return bool(distance <= _TOLERANCE * torch.linalg.vector_norm(expected))
