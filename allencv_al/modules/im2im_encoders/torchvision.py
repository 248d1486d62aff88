"""The feature part of any torchvision classifier."""

from __future__ import annotations

from collections.abc import Iterator

from allencv_al.modules.im2im_encoders.base import FeatureEncoder, Im2ImEncoder
from allencv_al.modules.torchvision_networks import (
    build_classifier,
    feature_part,
    load_initial_weights,
    name_problem,
    weights_problem,
)


def _known_names(model: str, weights: str | None) -> Iterator[tuple[str, str]]:
    if problem := name_problem(model):
        yield "model", problem
    if problem := weights_problem(model, weights):
        yield "weights", problem


@Im2ImEncoder.register("torchvision")
class TorchvisionEncoder(FeatureEncoder):
    """A convolutional classifier of torchvision up to its pooling, chosen by name.

    For an image of 224x224, `squeezenet1_1` gives 512x13x13, `mobilenet_v3_small` 576x7x7,
    `efficientnet_b0` 1280x7x7, `convnext_tiny` 768x7x7, `resnet50` 2048x7x7 (13x13 or 7x7 maps
    want `pool`, or a `flatten` of that size). Vision transformers have no feature map: the im2vec
    encoder `torchvision` takes them. Parameters are `model.N`.

    Args:
        model: The classifier's name in torchvision.
        weights: Initial weights: the name of weights that torchvision publishes ("DEFAULT",
            "IMAGENET1K_V1"; downloaded once), a local file with the classifier's state_dict (or a
            `model.safetensors` of ours), a folder with one, or null for random weights. Its
            classifier is left out.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.

    Raises:
        ConfigurationError: torchvision has no such classifier or weights.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit; the message says
            which file to put where.
    """

    joint_rules = (_known_names,)

    def __init__(self, model: str, weights: str | None = None, requires_grad: bool = True) -> None:
        part = feature_part(model, build_classifier(model))
        super().__init__(part.sequential(), 3, requires_grad, (part.name_map("torchvision"),))
        load_initial_weights(self, model, weights)
