"""torchvision's residual networks with ImageNet weights, as AllenCV's tutorial uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Interval

from allencv_al.modules.im2im_encoders.base import FeatureEncoder, Im2ImEncoder
from allencv_al.modules.network_encoder import NetworkEncoder
from allencv_al.modules.torchvision_networks import (
    build_classifier,
    feature_part,
    published_weights,
)
from allencv_al.modules.weights import load_weights, reading_enabled

ResnetName = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
_STEM = 4  # conv1, bn1, relu, maxpool


def load_resnet(
    encoder: NetworkEncoder, resnet_model: str, pretrained: bool, weights_file: Path | None
) -> None:
    """Read the initial weights of an encoder around a residual network.

    Args:
        encoder: The encoder.
        resnet_model: The network's name.
        pretrained: Whether to begin with torchvision's ImageNet weights.
        weights_file: A file to begin with instead.

    Raises:
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """
    if weights_file is not None:
        encoder.read_weights_file(weights_file)
    elif pretrained and reading_enabled():
        # V1 as in AllenCV: V2 came later and gives other features
        tensors = published_weights(resnet_model, "IMAGENET1K_V1")
        if tensors is not None:
            load_weights(encoder, tensors, f"torchvision's {resnet_model}", encoder.name_maps)
    encoder.warn_if_frozen_at_random(pretrained or weights_file is not None)


@Im2ImEncoder.register("pretrained_resnet")
class ResnetEncoder(FeatureEncoder):
    """A residual network without its classifier (He et al. 2015, arXiv:1512.03385).

    `model` is a sequence, so that optimizer groups can name its parts: `model.0` (convolution),
    `.1` (batch norm), `.4` to `.7` (the four stages); the last part is average pooling. So the
    output is 512x1x1 (resnet18, resnet34) or 2048x1x1 for an image of any size, which
    `{"type": "flatten"}` takes as it is.

    Args:
        resnet_model: The network.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        num_layers: Number of the four stages to keep, counted from the image.
        pretrained: Whether to begin with torchvision's ImageNet weights (IMAGENET1K_V1), which are
            downloaded once. They expect the `normalize` transform.
        weights_file: A file to begin with instead: a torchvision ResNet's state_dict, or the
            `model.safetensors` of a run of ours. The classification layer in it is left out.
        do_last_layer_pooling: Whether the last part averages the map to 1x1. Without, the map of
            a 224x224 image is 7x7.

    Raises:
        WeightsError: The weights are absent, cannot be downloaded, or do not fit; the message says
            which file to put where.
    """

    def __init__(
        self,
        resnet_model: ResnetName,
        requires_grad: bool = False,
        num_layers: Annotated[int, Interval(ge=1, le=4)] = 4,
        pretrained: bool = True,
        weights_file: Path | None = None,
        do_last_layer_pooling: bool = True,
    ) -> None:
        part = feature_part(resnet_model, build_classifier(resnet_model))
        part = part.up_to(_STEM + num_layers)
        model = part.sequential()
        # A part of the network here, as in AllenCV, though pooling is an im2vec encoder's
        if do_last_layer_pooling:
            model.append(torch.nn.AdaptiveAvgPool2d(1))
        super().__init__(model, 3, requires_grad, (part.name_map("torchvision"),))
        load_resnet(self, resnet_model, pretrained, weights_file)


@Im2ImEncoder.register("resnet")
class UnpooledResnetEncoder(ResnetEncoder):
    """The network of `pretrained_resnet` with AllenCV's defaults of `resnet`: a map, that trains.

    Args:
        resnet_model: The network.
        pretrained: Whether to begin with torchvision's ImageNet weights, as in `pretrained_resnet`.
        do_last_layer_pooling: Whether the last part averages the map to 1x1.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        weights_file: A file to begin with instead.

    Raises:
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """

    def __init__(
        self,
        resnet_model: ResnetName,
        pretrained: bool = True,
        do_last_layer_pooling: bool = False,
        requires_grad: bool = True,
        weights_file: Path | None = None,
    ) -> None:
        super().__init__(
            resnet_model,
            requires_grad,
            pretrained=pretrained,
            weights_file=weights_file,
            do_last_layer_pooling=do_last_layer_pooling,
        )
