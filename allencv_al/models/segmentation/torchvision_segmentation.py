"""torchvision's segmentation networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from overrides import overrides
from torch import Tensor
from torch.nn import functional as F

from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.models.segmentation.segmentation_model import ClassCount, SegmentationModel
from allencv_al.modules.initializer_applicator import InitializerApplicator
from allencv_al.modules.regularizers import RegularizerApplicator
from allencv_al.modules.torchvision_networks import network_weights_faults, network_with_weights
from allencv_al.tasks.segmentation_task import VOID

SegmentationName = Literal[
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet101",
    "deeplabv3_resnet50",
    "fcn_resnet101",
    "fcn_resnet50",
    "lraspp_mobilenet_v3_large",
]
_AUX_WEIGHT = 0.5  # as in torchvision's training script
_FRESH_MOMENTUM = 0.1


def _aux_is_there(model: str, aux_loss: bool) -> Iterator[tuple[str, str]]:
    if aux_loss and model.startswith("lraspp"):
        yield "aux_loss", f"{model} has no second output; expected false"


@Model.register("torchvision_segmentation")
class TorchvisionSegmentation(SegmentationModel):
    """A segmentation network of torchvision, by name.

    With weights: `lraspp_mobilenet_v3_large` on a CPU, `deeplabv3_resnet50` on a GPU; they expect
    images with the `normalize` transform. Without any, a small network learns more (model
    `semantic_segmentation`). Metrics as there. Parameters are `model.` and torchvision's names.

    Args:
        vocab: The names of the classes, if it has as many.
        model: The network's name.
        num_classes: Number of classes, C; masks hold 0 to C - 1.
        weights: Weights of the whole network: the name of published ones ("DEFAULT"), which are
            downloaded once, or null. Layers of another number of classes start at random.
        weights_backbone: Weights of the backbone alone: the name of published ones ("DEFAULT"), or
            null.
        aux_loss: Whether to learn from a second output, half as strongly (FCN, DeepLab).
        ignore_index: Index of void pixels, which are left out of loss and metrics.
        initializer: Initial values by regular expressions on parameter names.
        regularizer: Penalties that training adds to the loss.
        metrics: Registered metrics beside the model's own; they take pixels for items.

    Raises:
        WeightsError: The weights are absent and cannot be downloaded.
    """

    joint_rules = (_aux_is_there, network_weights_faults)

    def __init__(
        self,
        vocab: Vocabulary,
        model: SegmentationName,
        num_classes: ClassCount,
        weights: str | None = None,
        weights_backbone: str | None = None,
        aux_loss: bool = False,
        ignore_index: Annotated[int, Ge(0)] = VOID,
        initializer: InitializerApplicator | None = None,
        regularizer: RegularizerApplicator | None = None,
        metrics: AddableMetrics = None,
    ) -> None:
        super().__init__(vocab, num_classes, ignore_index, regularizer=regularizer, metrics=metrics)
        options: dict[str, Any] = {} if model.startswith("lraspp") else {"aux_loss": aux_loss}
        self.model = network_with_weights(
            model, weights, weights_backbone, num_classes=num_classes, **options
        )
        if weights is None and weights_backbone is None:
            # MobileNetV3's momentum of 0.01 is for long trainings: after some hundred steps from
            # random weights its statistics lag, and evaluation finds background alone
            for module in self.model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = _FRESH_MOMENTUM
        if initializer is not None:
            initializer(self)

    @overrides
    def scores(self, image: Tensor) -> dict[str, Tensor]:
        found = self.model(image)
        return {"logits": found["out"], **({"aux": found["aux"]} if "aux" in found else {})}

    @overrides
    def deepest_map(self, image: Tensor) -> Tensor:
        network: Any = self.model
        maps = network.backbone(image)
        deepest: Tensor = maps["high" if "high" in maps else "out"]
        return deepest

    @overrides
    def more_loss(self, found: Mapping[str, Tensor], gold: Tensor) -> Tensor | None:
        if "aux" not in found:
            return None
        losses = F.cross_entropy(
            found["aux"].float(), gold, ignore_index=self.ignore_index, reduction="sum"
        )
        return _AUX_WEIGHT * losses / (gold != self.ignore_index).sum().clamp(min=1)
