"""torchvision's residual networks, with a feature map of each of their four stages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from overrides import overrides
from torch import Tensor
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FrozenBatchNorm2d

from allencv_al.modules.im2im_encoders.pretrained_resnet import ResnetName, load_resnet
from allencv_al.modules.image_encoders.base import ImageEncoder, MapsEncoder
from allencv_al.modules.weights import NameMap

_STAGES = ("layer1", "layer2", "layer3", "layer4")
_NORMS = {"batch_norm": torch.nn.BatchNorm2d, "frozen_batch_norm": FrozenBatchNorm2d}


@ImageEncoder.register("resnet_encoder")
class ResnetMapsEncoder(MapsEncoder):
    """A residual network with four maps, at 1/4, 1/8, 1/16 and 1/32 of the image's size.

    He et al. 2015, arXiv:1512.03385. Parameters are `model.` and torchvision's names.

    Args:
        resnet_model: The network.
        pretrained: Whether to begin with torchvision's ImageNet weights (IMAGENET1K_V1), which are
            downloaded once. They expect the `normalize` transform.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        norm_layer: "frozen_batch_norm" keeps statistics and scale of all batch norms as they are
            in the weights, which small batches need.
        do_last_layer_pooling: Whether the last map is averaged to 1x1.
        weights_file: A file to begin with instead: a torchvision ResNet's state_dict, whose
            classification layer is left out.

    Raises:
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """

    def __init__(
        self,
        resnet_model: ResnetName,
        pretrained: bool = False,
        requires_grad: bool = True,
        norm_layer: Literal["batch_norm", "frozen_batch_norm"] = "batch_norm",
        do_last_layer_pooling: bool = False,
        weights_file: Path | None = None,
    ) -> None:
        network = models.get_model(resnet_model, weights=None, norm_layer=_NORMS[norm_layer])
        stages = IntermediateLayerGetter(network, {name: name for name in _STAGES})
        names = NameMap("torchvision", {"": "model."}, head="fc.")
        super().__init__(stages, 3, requires_grad, (names,))
        self._pools = do_last_layer_pooling
        load_resnet(self, resnet_model, pretrained, weights_file)

    @overrides
    def encode(self, image: Tensor) -> list[Tensor]:
        maps = list(self.model(image).values())
        if self._pools:
            maps[-1] = torch.nn.functional.adaptive_avg_pool2d(maps[-1], 1)
        return maps
