"""All values of a feature map in a row."""

from __future__ import annotations

from collections.abc import Iterator

from overrides import overrides
from torch import Tensor

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.modules.feedforward import Count, FeedForward
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder
from allencv_al.modules.image_shape import shape_text


@Im2VecEncoder.register("flatten")
class FlattenEncoder(Im2VecEncoder):
    """All values of a feature map in a row, channel by channel, each row by row.

    In a model, `input_channels`, `input_height` and `input_width` need not be given: they are those
    of the images and of the encoder before it. Where the images vary in size, so that height and
    width are not known, they must.

    Args:
        input_channels: Channels of the map.
        input_height: Its height.
        input_width: Its width.
        feedforward: Layers after it; their `input_dim`, the product of the three numbers, need not
            be given.

    Raises:
        ConfigurationError: A number is below 1, or `feedforward` takes vectors of another length.
    """

    injected = ("input_channels", "input_height", "input_width")

    def __init__(
        self,
        input_channels: Count,
        input_height: Count,
        input_width: Count,
        feedforward: Lazy[FeedForward] | None = None,
    ) -> None:
        super().__init__()
        self._shape = (input_channels, input_height, input_width)
        self._length = input_channels * input_height * input_width
        self.feedforward: FeedForward | None = None
        if feedforward is None:
            return
        self.feedforward = Lazy.wrap(feedforward).construct(input_dim=self._length)
        found = self.feedforward.get_input_dim()
        if found != self._length:
            raise ConfigurationError(f"feedforward: {_wrong_length(self._shape, found)}")

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        layers = config.child("feedforward")
        sizes = FlattenEncoder.injected
        if layers is None or not {*sizes} <= config.names or "input_dim" not in layers.names:
            return
        if not (config.sound(*sizes) and layers.sound("input_dim")):
            return
        shape = (config.get(sizes[0]), config.get(sizes[1]), config.get(sizes[2]))
        if layers.get("input_dim") != shape[0] * shape[1] * shape[2]:
            yield layers.fault("input_dim", _wrong_length(shape, layers.get("input_dim")))

    @overrides
    def get_input_channels(self) -> int:
        return self._shape[0]

    @overrides
    def get_output_dim(self) -> int:
        return self._length if self.feedforward is None else self.feedforward.get_output_dim()

    @overrides
    def check_input(self, channels: int, height: int | None, width: int | None) -> None:
        found = (channels, height, width)
        pairs = zip(found, self._shape, strict=True)
        if any(size is not None and size != expected for size, expected in pairs):
            raise ConfigurationError(
                f"flatten takes {shape_text(*self._shape)}, but what comes in is "
                f"{shape_text(*found)} (channels x height x width)"
            )

    @overrides
    def forward(self, image: Tensor) -> Tensor:
        if image.shape[1:] != self._shape:
            _, channels, height, width = image.shape
            self.check_input(channels, height, width)
        vectors = image.flatten(1)
        if self.feedforward is None:
            return vectors
        output: Tensor = self.feedforward(vectors)
        return output


def _wrong_length(shape: tuple[int, int, int], found: int) -> str:
    length = shape[0] * shape[1] * shape[2]
    return f"expected {length}, the length of a flattened {shape_text(*shape)}, found {found}"
