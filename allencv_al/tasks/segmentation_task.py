"""A class for every pixel."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from overrides import overrides
from PIL import Image
from torch import Tensor

from allencv_al.common.errors import DataError
from allencv_al.data.drawn_masks import DrawnMask, Region, layers_of, palette_png
from allencv_al.data.frame import Frame
from allencv_al.data.image_io import load_mask
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import Judgment, LabelTask
from allencv_al.tasks.unit_scores import aggregated, log_mean, softmax_scores

VOID = 255
"""Index of pixels without a class, in the masks of Pascal VOC and of most others."""

_TOP_SHARE = 0.01  # of the pixels
_LEAST_SHARE = 0.005  # of what a person is shown
_OPACITY = 140  # of 255


@LabelTask.register("segmentation")
class Segmentation(LabelTask):
    """A class for every pixel.

    The text of a label names the PNG file of the mask from the folder of its image,
    `{"png": "../masks/a.png"}`, whose pixels are class indices; or it holds the mask,
    `{"size": [height, width], "counts": {"1": "..."}}`: for each class index but 0 its pixels as
    the compressed `counts` of COCO.
    """

    targets: ClassVar[tuple[str, ...]] = ("mask",)
    main_metric: ClassVar[str] = "+miou"
    # An accuracy of 0.9 is no success where most pixels are background
    record_names: ClassVar[Mapping[str, str]] = {"accuracy": "pixel_accuracy"}
    widget: ClassVar[str | None] = "mask"
    names_image: ClassVar[bool] = False

    @overrides
    def text_of(self, instance: Instance) -> str | None:
        if instance.mask is None:
            return None
        if not isinstance(instance.mask, Path):
            return mask_text(load_mask(instance.mask))
        return json.dumps({"png": _from_image(instance.mask, instance)}, ensure_ascii=False)

    @overrides
    def is_labeled(self, instance: Instance) -> bool:
        return instance.mask is not None

    @overrides
    def labeled(self, instance: Instance, text: str) -> Instance:
        fault = self.problem(text)
        if fault is not None:
            raise DataError(f"{instance.id}: {fault}")
        value = json.loads(text)
        if "png" in value:
            mask: Path | DrawnMask = _of_image(value["png"], instance)
        else:
            mask = _drawn_mask(instance.id, value)
        return replace(instance.unlabeled(), mask=mask)

    @overrides
    def problem(self, text: str, classes: Collection[str] | None = None) -> str | None:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):  # a request may nest lists without end
            value = None
        if isinstance(value, dict) and isinstance(value.get("png"), str):
            return None
        if not isinstance(value, dict) or not {"size", "counts"} <= set(value):
            return (
                'expected the file of a mask such as {"png": "masks/a.png"}, or size and counts, '
                f"found {text[:80]}"
            )
        try:
            _drawn_mask("", value).pixels()
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            return f"expected a mask of size and counts: {error}"
        return None

    @overrides
    def value(self, text: str) -> Any:
        return json.loads(text)

    @overrides
    def shown(self, text: str) -> str:
        value = json.loads(text)
        if "png" in value:
            return Path(value["png"]).name
        return f"classes {', '.join(value['counts'])}" if value["counts"] else "background"

    @overrides
    def in_image(self, prediction: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
        mask = prediction.get("mask")
        if not isinstance(mask, Image.Image):
            return dict(prediction)
        # Pixels that the transforms cut off have no class
        moved = mask.transform(
            frame.size,
            Image.Transform.AFFINE,
            frame.matrix,
            Image.Resampling.NEAREST,
            fillcolor=VOID,
        )
        return {**prediction, "mask": moved}

    @overrides
    def judged(
        self, instance: Instance, prediction: Mapping[str, Any], class_names: Sequence[str]
    ) -> list[Judgment]:
        mask = prediction.get("mask")
        if instance.mask is None or not isinstance(mask, Mapping):
            return []
        truth, found = load_mask(instance.mask), np.asarray(_stored(mask))
        if truth.shape != found.shape:
            return []
        # Pixels that have no class on either side are left out
        pairs = (truth.astype(np.int64) * 256 + found)[(truth != VOID) & (found != VOID)]
        kinds, counts = np.unique(pairs, return_counts=True)
        shares = (counts / truth.size).tolist()
        named = dict(enumerate(class_names))
        return [
            Judgment(named.get(one, str(one)), named.get(other, str(other)), share)
            for (one, other), share in zip(
                (divmod(kind, 256) for kind in kinds.tolist()), shares, strict=True
            )
            if share >= _LEAST_SHARE
        ]

    @overrides
    def caption(self, prediction: Mapping[str, Any]) -> str | None:
        shares = prediction.get("shares")
        if not isinstance(shares, Mapping):
            return None
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        seen = [(name, share) for name, share in ranked if share >= _LEAST_SHARE]
        return ", ".join(f"{name} {100 * share:.0f} %" for name, share in seen)

    @overrides
    def draft(self, prediction: Mapping[str, Any]) -> tuple[str, float] | None:
        mask = prediction.get("mask")
        if not isinstance(mask, Mapping) or not isinstance(mask.get("png"), str):
            return None
        stored = Image.open(io.BytesIO(base64.b64decode(mask["png"])))
        # That each of all pixels is right has no probability worth a number
        return mask_text(np.asarray(stored)), 0.0

    @overrides
    def mask_png(self, text: str, image: str | Path | bytes) -> bytes | None:
        mask = self.labeled(Instance("", image), text).mask
        assert mask is not None
        return palette_png(load_mask(mask), PALETTE)

    @overrides
    def drawn(
        self, image: Image.Image, prediction: Mapping[str, Any], scale: float = 1.0
    ) -> Image.Image:
        mask = prediction.get("mask")
        if not isinstance(mask, Mapping) or not isinstance(mask.get("png"), str):
            return image
        return _mask_drawn(image, _stored(mask))

    @overrides
    def label_drawn(
        self, image: Image.Image, instance: Instance, scale: float = 1.0
    ) -> Image.Image:
        if instance.mask is None:
            return image
        mask = Image.fromarray(load_mask(instance.mask))
        mask.putpalette(PALETTE)
        return _mask_drawn(image, mask)

    @overrides
    def unit_scores(self, outputs: Mapping[str, Any]) -> Tensor:
        # [B, C, H, W] to [B, H * W, 3]
        units = softmax_scores(outputs["logits"].movedim(1, -1)).flatten(1, 2)
        return aggregated(units, top=max(1, round(_TOP_SHARE * units.shape[1])))

    @overrides
    def mean_outputs(self, members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        return {"logits": log_mean([one["logits"] for one in members], dim=1)}


def _stored(mask: Mapping[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(mask["png"])))


def _mask_drawn(image: Image.Image, mask: Image.Image) -> Image.Image:
    classes = mask.resize(image.size, Image.Resampling.NEAREST)
    # Background and void pixels show the image
    shown = classes.point([0, *[_OPACITY] * 254, 0], "L")
    return Image.composite(classes.convert("RGB"), image, shown)


def _voc_palette() -> list[int]:
    """Return Pascal VOC's colors of all indices: bits of the index, spread from the top."""
    colors = []
    for index in range(256):
        for channel in range(3):
            bits = ((index >> (3 * level + channel) & 1) << 7 - level for level in range(3))
            colors.append(sum(bits))
    return colors


# Of all indices: with fewer colors Pillow writes fewer bits of each pixel, and void ones change
PALETTE = _voc_palette()
"""The color of each class in a picture of a mask: red, green and blue of index 0, of 1, ..."""


def _from_image(mask: Path, instance: Instance) -> str:
    """Return the path of a mask from the folder of its image: a data set may be moved."""
    if not isinstance(instance.image, str | Path):
        return mask.as_posix()
    try:
        return Path(os.path.relpath(mask, Path(instance.image).parent)).as_posix()
    except ValueError:  # on another drive of Windows
        return mask.absolute().as_posix()


def _of_image(path: str, instance: Instance) -> Path:
    if not isinstance(instance.image, str | Path):
        return Path(path)
    # By its letters: a folder of images may be a link, and its masks lie beside the link
    return Path(os.path.normpath(Path(instance.image).parent / path))


def mask_text(mask: NDArray[np.uint8]) -> str:
    """Return the text of a label that holds a mask `[H, W]` of class indices."""
    height, width = mask.shape
    counts = {str(index): region.counts for index, region in layers_of(mask)}
    return json.dumps({"size": [height, width], "counts": counts})


def _drawn_mask(name: str, value: Mapping[str, Any]) -> DrawnMask:
    height, width = map(int, value["size"])
    layers = tuple(
        (int(index), Region(counts=str(counts))) for index, counts in value["counts"].items()
    )
    if not all(0 <= index <= 255 for index, _ in layers):
        raise ValueError(f"class indices are 0..255, found {', '.join(value['counts'])}")
    return DrawnMask(name, (width, height), layers)
