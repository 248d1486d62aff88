"""Several classes per image, or none of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import Judgment, LabelTask
from allencv_al.tasks.score_axes import Aggregate

if TYPE_CHECKING:
    from torch import Tensor

SEPARATOR = ";"
"""Between the class names of a label that a person writes."""


@LabelTask.register("multi_label")
class MultiLabel(LabelTask):
    """Several classes per image.

    The text of a label is the JSON array of the classes that the image shows, distinct and in
    alphabetical order: `["cat", "dog"]`. `[]` says that it shows none of them. A person may also
    write `cat; dog`.
    """

    targets: ClassVar[tuple[str, ...]] = ("labels",)
    main_metric: ClassVar[str] = "+macro_f1"
    outputs: ClassVar[tuple[str, ...]] = ("scores", "label_logits", "embeddings")
    # Not the mean: an image with two doubtful classes is worth more than one with one
    aggregate: ClassVar[Aggregate] = "sum"
    widget: ClassVar[str | None] = "tags"
    writing: ClassVar[str] = "several classes as cat; dog, none of them as []"

    @overrides
    def text_of(self, instance: Instance) -> str | None:
        return None if instance.labels is None else tags_text(instance.labels)

    @overrides
    def labeled(self, instance: Instance, text: str) -> Instance:
        fault = self.problem(text)
        if fault is not None:
            raise DataError(f"{instance.id}: {fault}")
        return replace(instance.unlabeled(), labels=self.class_names(text))

    @overrides
    def is_labeled(self, instance: Instance) -> bool:
        return instance.labels is not None

    @overrides
    def classes_in(self, instance: Instance) -> tuple[str, ...]:
        return instance.labels or ()

    @overrides
    def read(self, written: str) -> str:
        # A semicolon, since names hold commas more often, and a CSV file would need quotes
        names: Any = [name for name in written.split(SEPARATOR) if name.strip()] or [""]
        if written.lstrip().startswith("["):
            try:
                names = json.loads(written)
            except (ValueError, RecursionError):
                return written
        is_plain = all(isinstance(name, str) and name.strip() for name in names)
        return tags_text(names) if is_plain else written

    @overrides
    def problem(self, text: str, classes: Collection[str] | None = None) -> str | None:
        try:
            names = json.loads(text)
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(n, str) and n.strip() for n in names):
            shown = '["cat", "dog"] or cat; dog, [] for none'
            return f"expected class names such as {shown}, found {text[:80]}"
        for name in names:
            if classes is not None and class_name(name) not in classes:
                return f"{repr_json(name[:80])} is no class{did_you_mean(name, classes)}"
        return None

    @overrides
    def class_names(self, text: str) -> tuple[str, ...]:
        return tuple(json.loads(text))

    @overrides
    def renamed(self, text: str, rename: Callable[[str], str]) -> str:
        return tags_text(map(rename, self.class_names(text)))

    @overrides
    def shown(self, text: str) -> str:
        return ", ".join(self.class_names(text)) or "(none)"

    @overrides
    def value(self, text: str) -> Any:
        return json.loads(text)

    @overrides
    def predicted(self, readable: Mapping[str, Any]) -> list[str] | None:
        names = readable.get("classes")
        return None if names is None else [tags_text(row) for row in names]

    @overrides
    def judged(
        self, instance: Instance, prediction: Mapping[str, Any], class_names: Sequence[str]
    ) -> list[Judgment]:
        predicted, shares = prediction.get("classes"), prediction.get("probabilities")
        if instance.labels is None or not isinstance(predicted, list):
            return []
        expected, said = set(instance.labels), set(predicted)
        of = shares if isinstance(shares, Mapping) else {}
        # What is not predicted is sure to the degree that its probability is small
        return [
            Judgment(
                name if name in expected else "",
                name if name in said else "",
                of.get(name) or 0.0 if name in said else 1 - (of.get(name) or 0.0),
            )
            for name in sorted(expected | said)
        ]

    @overrides
    def stratum(self, text: str) -> str:
        return text

    @overrides
    def caption(self, prediction: Mapping[str, Any]) -> str | None:
        names = prediction.get("classes")
        return None if not isinstance(names, list) else ", ".join(names) or "(none)"

    @overrides
    def draft(self, prediction: Mapping[str, Any]) -> tuple[str, float] | None:
        names, probabilities = prediction.get("classes"), prediction.get("probabilities")
        if not isinstance(names, list) or not isinstance(probabilities, Mapping):
            return None
        shares = ((p if name in names else 1 - p) for name, p in probabilities.items())
        return tags_text(names), math.prod(shares)

    @overrides
    def unit_scores(self, outputs: Mapping[str, Any]) -> Tensor:
        from allencv_al.tasks.unit_scores import aggregated, sigmoid_scores

        return aggregated(sigmoid_scores(outputs["label_logits"]))

    @overrides
    def mean_outputs(self, members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        from allencv_al.tasks.unit_scores import mean_log_odds

        return {"label_logits": mean_log_odds([one["label_logits"] for one in members])}


def tags_text(names: Iterable[str]) -> str:
    """Return the text of a label with these classes."""
    return json.dumps(sorted({class_name(name) for name in names}), ensure_ascii=False)
