"""Any classifier of torchvision, from an image to the vector before its last layer."""

from __future__ import annotations

from collections.abc import Iterator

from torchvision import models

from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder, VectorEncoder
from allencv_al.modules.torchvision_networks import (
    build_classifier,
    load_initial_weights,
    name_problem,
    vector_part,
    weight_names,
    weights_problem,
)

_SIZED = "vit_"


def _known_names(model: str, weights: str | None) -> Iterator[tuple[str, str]]:
    if problem := name_problem(model, with_feature_map=False):
        yield "model", problem
    if problem := weights_problem(model, weights):
        yield "weights", problem


def _sized_networks(model: str, img_size: int | None) -> Iterator[tuple[str, str]]:
    if img_size is not None and not model.startswith(_SIZED):
        yield "img_size", f"{model} is not built for one size: leave it out"


@Im2VecEncoder.register("torchvision")
class TorchvisionVectorEncoder(VectorEncoder):
    """A classifier of torchvision without its last layer, chosen by name.

    It stands alone in a model, without an `im2im_encoder`: vision transformers, Swin, and all
    convolutional ones. The vector is what the last layer gets (`squeezenet1_1`, whose last layer
    comes before the pooling: the average of the feature map), with the layers and the dropout that
    come before it. Parameters are `model.` and torchvision's own names; the blocks of `vit_b_16`
    are `model.encoder.layers.encoder_layer_0` to `_11`.

    Args:
        model: The classifier's name in torchvision.
        weights: Initial weights: the name of weights that torchvision publishes ("DEFAULT",
            "IMAGENET1K_V1"; downloaded once), a local file with the classifier's state_dict (or a
            `model.safetensors` of ours), a folder with one, or null for random weights. Its
            classifier is left out.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        img_size: Height and width of the images in pixels, for which a vision transformer is built;
            by default those of the published weights, else 224.

    Raises:
        ConfigurationError: torchvision has no such classifier or weights.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit; the message says
            which file to put where.
    """

    joint_rules = (_known_names, _sized_networks)

    def __init__(
        self,
        model: str,
        weights: str | None = None,
        requires_grad: bool = True,
        img_size: Count | None = None,
    ) -> None:
        size = img_size or _size_of(model, weights)
        options = {"image_size": size} if model.startswith(_SIZED) else {}
        network = build_classifier(model, **options)
        names = vector_part(network)
        super().__init__(network, 3, requires_grad, (size, size), (names,))
        load_initial_weights(self, model, weights)


def _size_of(model: str, weights: str | None) -> int:
    """Return the size of the images that published weights were trained on."""
    if weights not in weight_names(model):
        return 224
    least: int = models.get_model_weights(model)[weights].meta["min_size"][0]
    return max(least, 224)
