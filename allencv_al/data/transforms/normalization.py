"""The arithmetic of normalization: per image, or for a whole batch at once on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.data.instance import Image

if TYPE_CHECKING:
    from torch import Tensor, device

Channels = tuple[float, float, float]

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


class Normalization:
    """`(x - mean * max_pixel_value) / (std * max_pixel_value)` per channel, on any device.

    Args:
        mean: Mean of each channel, as a share of `max_pixel_value`.
        std: Standard deviation of each channel, as a share of `max_pixel_value`.
        max_pixel_value: Brightness of white.
        reverse_channels: Take RGB and give BGR; `mean` and `std` are those of B, G, R.
    """

    def __init__(
        self,
        mean: Channels = IMAGENET_MEAN,
        std: Channels = IMAGENET_STD,
        max_pixel_value: float = 255.0,
        reverse_channels: bool = False,
    ) -> None:
        self.mean = mean
        self.std = std
        self.max_pixel_value = max_pixel_value
        self.reverse_channels = reverse_channels
        self._constants: dict[device, tuple[Tensor, Tensor]] = {}

    def __call__(self, batch: Tensor, out: Tensor | None = None) -> Tensor:
        """Normalize a batch of images.

        Args:
            batch: `[B, 3, H, W]`, uint8 as a rule; it is not changed. Its memory format is kept.
            out: float32 `[B, 3, H, W]` to write into. A buffer that is used again saves the page
                faults of a fresh one, which cost more than the arithmetic.

        Returns:
            float32 `[B, 3, H, W]` on the same device; `out` if given.
        """
        import torch  # 1.4 s; a caller with a batch has imported it already

        if self.reverse_channels:
            batch = batch.flip(1)
        if out is not None:
            values = out.copy_(batch, non_blocking=True)
        else:
            values = batch.float()
            values = values.clone() if values is batch else values
        if values.device not in self._constants:
            self._constants[values.device] = self._on_device_of(values)
        factor, shift = self._constants[values.device]
        return torch.addcmul(shift, values, factor, out=values)  # one pass over memory, in place

    def of_image(self, image: Image) -> NDArray[np.float32]:
        """Normalize one image, `[H, W, 3]`; it is not changed."""
        height, width = image.shape[:2]
        # Constants as long as a row: broadcasting over 3 channels is 6 times slower.
        factor, shift = (
            np.tile(np.array(values, dtype=np.float32), width) for values in self._linear()
        )
        source = image[:, :, ::-1] if self.reverse_channels else image
        values = np.ascontiguousarray(source).reshape(height, width * 3).astype(np.float32)
        values *= factor
        values += shift
        return values.reshape(height, width, 3)

    def _linear(self) -> tuple[list[float], list[float]]:
        """Return the same as a factor and a shift per channel."""
        factor = [1 / (std * self.max_pixel_value) for std in self.std]
        return factor, [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]

    def _on_device_of(self, values: Tensor) -> tuple[Tensor, Tensor]:
        factor, shift = (values.new_tensor(constants) for constants in self._linear())
        return factor.reshape(1, 3, 1, 1), shift.reshape(1, 3, 1, 1)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_constants": {}}  # tensors of a device stay in their process
