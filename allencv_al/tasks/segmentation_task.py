"""A class for every pixel."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from overrides import overrides
from torch import Tensor

from allencv_al.common.errors import DataError
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import LabelTask
from allencv_al.tasks.single_label import softmax_scores


@LabelTask.register("segmentation")
class Segmentation(LabelTask):
    """A class for every pixel.

    The text of a label names the PNG file of the mask: `{"png": "masks/a.png"}`. Its pixels are
    class indices.
    """

    targets: ClassVar[tuple[str, ...]] = ("mask",)
    main_metric: ClassVar[str] = "+miou"
    widget: ClassVar[str | None] = "mask"

    @overrides
    def text_of(self, instance: Instance) -> str | None:
        if instance.mask is None:
            return None
        if not isinstance(instance.mask, Path):
            raise DataError(f"{instance.id}: a mask in memory has no file to name as its label")
        return json.dumps({"png": instance.mask.as_posix()}, ensure_ascii=False)

    @overrides
    def is_labeled(self, instance: Instance) -> bool:
        return instance.mask is not None

    @overrides
    def labeled(self, instance: Instance, text: str) -> Instance:
        fault = self.problem(text)
        if fault is not None:
            raise DataError(f"{instance.id}: {fault}")
        return replace(instance.unlabeled(), mask=Path(json.loads(text)["png"]))

    @overrides
    def problem(self, text: str, classes: Collection[str] | None = None) -> str | None:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict) or not isinstance(value.get("png"), str):
            return f'expected the file of a mask such as {{"png": "masks/a.png"}}, found {text}'
        return None

    @overrides
    def shown(self, text: str) -> str:
        return Path(json.loads(text)["png"]).name

    @overrides
    def unit_scores(self, outputs: Mapping[str, Any]) -> Tensor:
        # [B, C, H, W] to [B, H, W, 3]; the mean over the pixels
        return softmax_scores(outputs["logits"].movedim(1, -1)).mean(dim=(1, 2))
