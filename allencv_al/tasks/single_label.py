"""One class per image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import LabelTask
from allencv_al.tasks.unit_scores import aggregated, log_mean


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
        # One unit: the image
        return aggregated(softmax_scores(outputs["logits"]).unsqueeze(1))

    @overrides
    def mean_outputs(self, members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        return {"logits": log_mean([one["logits"] for one in members])}


def softmax_scores(logits: Tensor) -> Tensor:
    """Return the uncertainty of distributions over classes: `[..., C]` to `[..., 3]`.

    The columns are those of `UNIT_SCORES`: 1 minus the largest probability, 1 minus the distance of
    the two largest, and the entropy in nats.

    Args:
        logits: Class scores before softmax.
    """
    logs = logits.float().log_softmax(dim=-1)
    shares = logs.exp()
    best = shares.topk(min(2, shares.shape[-1]), dim=-1).values
    margin = best[..., 0] - best[..., 1] if best.shape[-1] > 1 else torch.ones_like(best[..., 0])
    # A probability of 0 has a logarithm of -inf, and adds nothing
    entropy = -torch.where(shares > 0, shares * logs, torch.zeros_like(logs)).sum(dim=-1)
    return torch.stack([1 - best[..., 0], 1 - margin, entropy], dim=-1)
