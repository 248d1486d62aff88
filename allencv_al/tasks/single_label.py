"""One class per image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from overrides import overrides

from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import LabelTask

if TYPE_CHECKING:
    from torch import Tensor


@LabelTask.register("single_label")
class SingleLabel(LabelTask):
    """One class per image; the text of a label is the name of the class."""

    main_metric: ClassVar[str] = "+accuracy"
    outputs: ClassVar[tuple[str, ...]] = ("logits", "mc_logits", "embeddings")
    widget: ClassVar[str | None] = "choices"

    @overrides
    def labeled(self, instance: Instance, text: str) -> Instance:
        # Masks and boxes stay: a model of the user's own may take them beside the class
        return replace(instance, label=text)

    @overrides
    def read(self, written: str) -> str:
        return class_name(written)

    @overrides
    def problem(self, text: str, classes: Collection[str] | None = None) -> str | None:
        if classes is None or text in classes:
            return None
        return f"{repr_json(text)} is no class{did_you_mean(text, classes)}"

    @overrides
    def class_names(self, text: str) -> tuple[str, ...]:
        return (text,)

    @overrides
    def renamed(self, text: str, rename: Callable[[str], str]) -> str:
        return rename(text)

    @overrides
    def predicted(self, readable: Mapping[str, Any]) -> list[str] | None:
        return readable.get("class")

    @overrides
    def stratum(self, text: str) -> str:
        return text

    @overrides
    def unit_scores(self, outputs: Mapping[str, Any]) -> Tensor:
        from allencv_al.tasks.unit_scores import aggregated, softmax_scores

        # One unit: the image
        return aggregated(softmax_scores(outputs["logits"]).unsqueeze(1))

    @overrides
    def mean_outputs(self, members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        from allencv_al.tasks.unit_scores import log_mean

        return {"logits": log_mean([one["logits"] for one in members])}
