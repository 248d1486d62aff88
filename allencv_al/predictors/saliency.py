"""The pixels that speak for a class: smoothed gradients of any classifier, and a picture of them.

Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017 (arXiv:1706.03825).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from allencv_al.common.seeding import item_seed
from allencv_al.data.batch import collate, to_device
from allencv_al.data.frame import Frame, load_framed
from allencv_al.models.model import Model
from allencv_al.predictors.batched_inference import device_of
from allencv_al.predictors.outcomes import PredictionError
from allencv_al.predictors.predictor import Predictor

MOST_PIXELS = 512 * 512
"""The largest image that a model may see here: gradients take many times its memory."""

# The paper's: 10 to 20 % of the range of values; beyond some 50 copies the map changes no more,
# and 16 already show the same places
_NOISE, _COPIES = 0.15, 16
_AT_ONCE = 4
_CELLS = 14  # over the longer side: a person looks for places, not for pixels
_BRIGHTEST = 99.0  # percentile: single pixels would leave the rest dark
_HEAT = (255, 64, 0)
_MOST_OPAQUE = 200  # of 255


@dataclass(frozen=True, eq=False)
class Saliency:
    """The pixels of an image that speak for a class.

    Args:
        values: Absolute gradients of the logit, the largest of the channels, float32 `[H, W]`, of
            the image as the transforms gave it.
        frame: The place of that image in the decoded one.
        class_index: The class.
    """

    values: NDArray[np.float32]
    frame: Frame
    class_index: int

    def overlay(self, size: tuple[int, int]) -> Image.Image:
        """Return a picture to lay over the image: the redder, the more a place speaks for it.

        Args:
            size: Width and height of the upright image as it is shown.

        Returns:
            An RGBA image of this size; what the transforms cut off is transparent.
        """
        from scipy.ndimage import gaussian_filter  # 0.1 s, which a prediction should not pay

        values = gaussian_filter(self.values, max(self.values.shape) / _CELLS / 2)
        highest = float(np.percentile(values, _BRIGHTEST))
        shares = np.clip(values / highest, 0, 1) if highest > 0 else np.zeros_like(values)
        # From a point of the shown image over the decoded one to the transformed one
        x, y = (whole / shown for whole, shown in zip(self.frame.size, size, strict=True))
        a, b, c, d, e, f = self.frame.matrix
        opacity = Image.fromarray((_MOST_OPAQUE * shares).astype(np.uint8)).transform(
            size,
            Image.Transform.AFFINE,
            (a * x, b * y, c, d * x, e * y, f),
            Image.Resampling.BILINEAR,
        )
        picture = Image.new("RGBA", size, _HEAT)
        picture.putalpha(opacity)
        return picture

    def drawn(self, image: Image.Image) -> Image.Image:
        """Return a gray copy of an image with the overlay."""
        gray = image.convert("L").convert("RGBA")
        return Image.alpha_composite(gray, self.overlay(image.size)).convert("RGB")


def has_saliency(predictor: Predictor) -> bool:
    """Return whether the kind of labels of a model has logits of whole images."""
    return bool({"logits", "label_logits"} & set(predictor.model.task.outputs))


def saliency_of(
    predictor: Predictor,
    item: Any,
    class_name: str | None = None,
    seconds: float = float("inf"),
) -> Saliency:
    """Return how much each pixel of an image speaks for a class.

    Args:
        predictor: A predictor of a classifier.
        item: Anything that `Predictor.predict` takes.
        class_name: The class; the one with the largest logit by default.
        seconds: Time after which no further noisy copies are taken.

    Raises:
        ImageDecodeError: The image cannot be read.
        PredictionError: The image that the model sees has more than 512 x 512 pixels, there is no
            such class, or the model gives no logits that depend on the pixels.
    """
    instance = predictor.to_instance(item)
    reader, model = predictor.dataset_reader, predictor.model
    sample, frame = load_framed(reader, instance, item_seed(0, 0, instance.id))
    tensors = to_device(collate([instance], [sample]), device_of(model), reader.deferred)
    image = tensors["image"].float()
    pixels = image.shape[-2] * image.shape[-1]
    if pixels > MOST_PIXELS:
        raise PredictionError(
            f"the model sees {image.shape[-1]} x {image.shape[-2]} pixels of this image; expected "
            f"{MOST_PIXELS:,} at most to compute gradients: resize it"
        )
    index = None if class_name is None else _index_of(class_name, model.class_names())
    with _differentiable(model):
        if index is None:
            index = int(_logits(model, image)[0].argmax())
        values = smooth_gradients(model, image, index, seconds=seconds)
    return Saliency(values.abs().amax(dim=0).cpu().numpy(), frame, index)


def smooth_gradients(
    model: Model,
    image: Tensor,
    index: int,
    copies: int = _COPIES,
    seconds: float = float("inf"),
) -> Tensor:
    """Return the mean gradient of a logit over noisy copies of an image, `[C, H, W]`.

    Args:
        model: A classifier, in evaluation mode.
        image: The image, float `[1, C, H, W]`.
        index: The class.
        copies: Number of copies.
        seconds: Time after which no further ones are taken, but for the first four.

    Raises:
        PredictionError: The model gives no logits that depend on the pixels.
    """
    # Equal noise for equal images, whatever ran before
    generator = torch.Generator().manual_seed(0)
    spread = _NOISE * float(image.max() - image.min())
    total = torch.zeros_like(image[0])
    end, taken = time.monotonic() + seconds, 0
    while taken < copies and (not taken or time.monotonic() < end):
        shape = (min(_AT_ONCE, copies - taken), *image.shape[1:])
        noise = torch.randn(shape, generator=generator).to(image.device)
        # A leaf that wants its gradient: frozen encoders let it pass, too
        noisy = (image + spread * noise).detach().requires_grad_()
        logits = _logits(model, noisy)
        if not logits.requires_grad:
            raise PredictionError(f"{type(model).__name__} gives no gradients of its logits")
        (gradient,) = torch.autograd.grad(logits[:, index].sum(), noisy, allow_unused=True)
        if gradient is not None:
            total += gradient.sum(dim=0)
        taken += len(noisy)
    return total / taken


def _logits(model: Model, image: Tensor) -> Tensor:
    outputs = model(image=image)
    found = next((outputs[name] for name in ("logits", "label_logits") if name in outputs), None)
    if not isinstance(found, Tensor) or found.ndim != 2:
        raise PredictionError(
            f"saliency is of classes of whole images; {type(model).__name__} gives no logits of "
            "these"
        )
    return found


def _index_of(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise PredictionError(f'"{name}" is no class of the model')
    return list(names).index(name)


@contextmanager
def _differentiable(model: torch.nn.Module) -> Iterator[None]:
    """Switch to eval mode and gradients, and put back what was, module by module."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.enable_grad():
            yield
    finally:
        for module in training:
            module.training = True
