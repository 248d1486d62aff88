"""The base of the transforms, of those that apply at random, and what a normalization computes."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast, get_args

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.config.registrable import Registrable
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.errors import ConfigurationError
from allencv_al.data.instance import Image, Sample

if TYPE_CHECKING:
    from torch import Tensor, device

Channels = tuple[float, float, float]

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)

Pixels = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, le=1)]
Range = tuple[float, float]
NumberOrRange = float | Range

_ENDLESS = float("inf")

Size = tuple[int | None, int | None]

_HERE = "allencv_al.data.transforms"


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


@dataclass(frozen=True, slots=True)
class FromTo:
    """Mark of a number or pair in an annotation; a single number is from itself to itself.

    Args:
        low: The least number allowed.
        high: The greatest number allowed.
        above: Exclusive lower bound of all numbers.
    """

    low: float = -_ENDLESS
    high: float = _ENDLESS
    above: float = -_ENDLESS

    def __call__(self, name: str, value: NumberOrRange) -> Range:
        """Return the pair (from, to) for the parameter `name`."""
        start, end = (value, value) if isinstance(value, (int, float)) else value
        if not self.low <= start <= end <= self.high:  # false for NaN, too
            raise ConfigurationError(
                f"{name}: expected a number or [from, to]{self._bounds()} with from <= to, "
                f"found {value if isinstance(value, (int, float)) else list(value)}"
            )
        if not start > self.above:
            raise ConfigurationError(
                f"{name}: expected numbers above {self.above:g}, found {start:g}"
            )
        return start, end

    def _bounds(self) -> str:
        if self.low == -_ENDLESS:
            return ""
        if self.high == _ENDLESS:
            return f" from {self.low:g} on"
        return f" within {self.low:g}..{self.high:g}"


@dataclass(frozen=True, slots=True)
class Symmetric:
    """Mark of a number or pair in an annotation; a single number n is from -n to n.

    Args:
        limit: The largest magnitude allowed.
    """

    limit: float = _ENDLESS

    def __call__(self, name: str, value: NumberOrRange) -> Range:
        """Return the pair (from, to) for the parameter `name`."""
        if not isinstance(value, (int, float)):
            return FromTo(-self.limit, self.limit)(name, value)
        if not 0 <= value <= self.limit:
            most = "" if self.limit == _ENDLESS else f" to {self.limit:g}"
            raise ConfigurationError(f"{name}: expected a number from 0{most}, found {value}")
        return -value, value


@dataclass(frozen=True, slots=True)
class Factors:
    """Mark of factors, from 0 on, in an annotation; a single number n is from 1 - n to 1 + n."""

    def __call__(self, name: str, value: NumberOrRange) -> Range:
        """Return the pair (from, to) for the parameter `name`."""
        if not isinstance(value, (int, float)):
            return FromTo(0)(name, value)
        _, most = Symmetric()(name, value)
        return max(0.0, 1 - most), 1 + most


def convert_ranges(instance: Any) -> None:
    """Replace values of marked annotations by pairs, in the arguments of the constructor.

    Raises:
        ConfigurationError: A pair is in the wrong order, or beyond its limits.
    """
    for name, convert in _marked(cast(Hashable, type(instance))).items():
        value = getattr(instance, name)
        if value is not None:
            setattr(instance, name, convert(name, value))


@functools.cache
def _marked(cls: Any) -> Mapping[str, Callable[[str, NumberOrRange], Range]]:
    return {
        name: mark
        for name, argument in signature_of(cls).arguments.items()
        for part in (argument.annotation, *get_args(argument.annotation))  # of a union, too
        for mark in getattr(part, "__metadata__", ())
        if isinstance(mark, FromTo | Symmetric | Factors)
    }


class ImageTransform(Registrable):
    """One step from a decoded image to what the model sees.

    A custom transform implements `apply`::

        @ImageTransform.register("invert")
        class Invert(ImageTransform):
            def apply(self, sample, generator):
                sample.image = 255 - sample.image
                return sample

    One that changes the size should say so in `output_size`; one that moves pixels must move
    `mask`, `boxes` and `keypoints` with them.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "affine": f"{_HERE}.rotation",
        "bgr_normalize": f"{_HERE}.normalize",
        "center_crop": f"{_HERE}.cropping",
        "channel_shuffle": f"{_HERE}.color",
        "coarse_dropout": f"{_HERE}.noise",
        "color_jitter": f"{_HERE}.color",
        "elastic_transform": f"{_HERE}.distortion",
        "flip": f"{_HERE}.flips",
        "gauss_noise": f"{_HERE}.noise",
        "gaussian_blur": f"{_HERE}.noise",
        "grid_distortion": f"{_HERE}.distortion",
        "horizontal_flip": f"{_HERE}.flips",
        "hue_saturation_value": f"{_HERE}.color",
        "longest_max_size": f"{_HERE}.resizing",
        "normalize": f"{_HERE}.normalize",
        "pad_if_needed": f"{_HERE}.cropping",
        "pretrained": f"{_HERE}.pretrained",
        "rand_augment": f"{_HERE}.augment_policies",
        "random_bbox_safe_crop": f"{_HERE}.cropping",
        "random_brightness_contrast": f"{_HERE}.color",
        "random_crop": f"{_HERE}.cropping",
        "random_resized_crop": f"{_HERE}.cropping",
        "resize": f"{_HERE}.resizing",
        "rotate": f"{_HERE}.rotation",
        "smallest_max_size": f"{_HERE}.resizing",
        "to_gray": f"{_HERE}.color",
        "trivial_augment": f"{_HERE}.augment_policies",
        "vertical_flip": f"{_HERE}.flips",
    }

    needs_raw_pixels: ClassVar[bool] = False
    """Whether it works on brightness 0..255 only, so that it cannot follow `normalize`."""

    draws_at_random: ClassVar[bool] = True
    """Whether two images, or the same one twice, may be treated differently when it fires."""

    only_moves_pixels: bool = False
    """Whether each pixel of its result is one of the image, unchanged. A `normalize` before such
    transforms can as well be done after them, for the whole batch at once."""

    @abstractmethod
    def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Transform one sample.

        Args:
            sample: The image and its labels. Its fields may be replaced; what is inside its
                arrays may not be changed.
            generator: The only source of randomness, so that the result depends on the run's seed,
                the epoch and the item alone.
        """

    def output_size(self, height: int | None, width: int | None) -> Size:
        """Return the height and width that come out, None where images differ or it is unknown.

        Args:
            height: The height that goes in; None where it is not known.
            width: The width that goes in; None where it is not known.

        Raises:
            ConfigurationError: An image of that size cannot be transformed.
        """
        return None, None

    @property
    def is_random(self) -> bool:
        """Whether the same image may come out differently the next time."""
        return self.draws_at_random

    @property
    def steps(self) -> tuple[ImageTransform, ...]:
        """The transforms that this one is short for, in order: by default itself."""
        return (self,)

    @property
    def scales_to(self) -> int | None:
        """The most pixels of the sides that it scales every image to; None if it does not.

        Every image whose shorter side is longer than that comes out smaller. A photograph may then
        be decoded at a part of its size, if this transform is the first.
        """
        return None

    def as_normalization(self) -> Normalization | None:
        """Return the same as an operation on a whole batch, where there is one."""
        return None

    def __call__(self, image: Image, seed: int | None = None) -> Image:
        """Transform an image that has no labels.

        Args:
            image: uint8 `[H, W, 3]`, RGB.
            seed: The same number gives the same result; None gives a new one each time.
        """
        return self.apply(Sample(image), np.random.default_rng(seed)).image


class ChanceTransform(ImageTransform):
    """A transform that fires with some probability.

    Args:
        p: Probability of being applied, 0..1.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    def __init__(self, p: Share = 0.5, always_apply: bool = False) -> None:
        self.p = 1.0 if always_apply else p

    @overrides
    def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
        if self.p < 1 and generator.random() >= self.p:
            return sample
        return self.fire(sample, generator)

    @property
    @overrides
    def is_random(self) -> bool:
        return self.p > 0 and (self.p < 1 or self.draws_at_random)

    @abstractmethod
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Transform one sample; called when the transform fires."""

    def fired_size(self, height: int | None, width: int | None) -> Size:
        """Return the height and width that come out when it fires."""
        return height, width

    @overrides
    def output_size(self, height: int | None, width: int | None) -> Size:
        if self.p == 0:
            return height, width
        fired = self.fired_size(height, width)
        if self.p == 1:
            return fired
        before = (height, width)
        kept = [new if new == old else None for new, old in zip(fired, before, strict=True)]
        return kept[0], kept[1]

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        """Yield what the constructor says of values that have the right type."""
        known = config.target.signature.arguments
        names = [name for name in config.names if name in known]
        required = [name for name, argument in known.items() if argument.required]
        if not config.sound(*names, *required):
            return
        try:
            cls(**{name: config.build(name) for name in names})  # cheap: nothing is imported yet
        except ConfigurationError as error:
            name, _, message = str(error).partition(": ")
            yield config.fault(name, message) if name in known else config.fault("", str(error))
