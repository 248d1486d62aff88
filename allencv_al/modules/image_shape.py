"""Shapes of images and feature maps, as messages write them, and as a network changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.user_mistakes import UserCodeError, wrong_result

ImageShape = tuple[int, int | None, int | None]
"""Channels, height, width; None for a size that varies by image."""


def shape_text(channels: int, height: int | None, width: int | None) -> str:
    """Return `3x224x224`, with `?` for a size that varies."""
    sizes = ("?" if size is None else str(size) for size in (height, width))
    return "x".join([str(channels), *sizes])


def input_sizes(shape: ImageShape) -> dict[str, int]:
    """Return the sizes that are known, by the parameters of the encoders that take them."""
    names = ("input_channels", "input_height", "input_width")
    return {name: size for name, size in zip(names, shape, strict=True) if size is not None}


def run_on_meta(module: torch.nn.Module, channels: int, height: int, width: int) -> tuple[int, ...]:
    """Return the shape of `module`'s output, without the batch, computing no number."""
    output = outputs_on_meta(module, channels, height, width)
    if not isinstance(output, Tensor) or output.ndim == 0 or len(output) != 2:
        wanted = "one tensor with a row for each image, here 2"
        raise wrong_result(module, "forward", wanted, output)
    return tuple(output.shape[1:])


def outputs_on_meta(module: torch.nn.Module, channels: int, height: int, width: int) -> Any:
    """Return what `module` returns for two images, on the `meta` device.

    The module's tensors are stood in for by ones of the `meta` device, so that neither its
    weights nor its batch-norm statistics are touched.
    """
    stand_ins = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]
    }
    with torch.device("meta"), torch.no_grad():
        # Two images: batch norm in training mode refuses a single 1x1 map.
        return functional_call(module, stand_ins, (torch.empty(2, channels, height, width),))


@contextmanager
def misfit_reported(encoder: str, images: str, hint: str) -> Iterator[None]:
    """Turn whatever a network raises for images that it cannot take into a ConfigurationError.

    Args:
        encoder: The encoder's name for the message.
        images: The shape of the images.
        hint: The usual cause.
    """
    try:
        yield
    except (ConfigurationError, UserCodeError):
        raise
    except Exception as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigurationError(
            f"{encoder} cannot take images of {images} ({hint}): {cause}"
        ) from error


def probe_sizes(
    run: Callable[[int, int], ImageShape], height: int | None, width: int | None
) -> ImageShape:
    """Return an output shape where the input's height or width may be unknown.

    Two sizes are tried for what is unknown. What comes out the same both times does not depend on
    it (global pooling); the rest is unknown too.
    """
    if height is not None and width is not None:
        return run(height, width)
    small = run(height or 224, width or 224)
    try:
        large = run(height or 448, width or 448)
    except RuntimeError:  # some networks take one size only
        return small[0], None, None
    same = (a if a == b else None for a, b in zip(small[1:], large[1:], strict=True))
    return small[0], next(same), next(same)
