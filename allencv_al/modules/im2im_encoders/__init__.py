"""Encoders from an image to a feature map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.modules.im2im_encoders.base import FeatureEncoder as FeatureEncoder
    from allencv_al.modules.im2im_encoders.base import Im2ImEncoder as Im2ImEncoder
    from allencv_al.modules.im2im_encoders.cifar_resnet import (
        CifarResnetEncoder as CifarResnetEncoder,
    )
    from allencv_al.modules.im2im_encoders.conv_levels import (
        ConvLevelsEncoder as ConvLevelsEncoder,
    )
    from allencv_al.modules.im2im_encoders.feedforward_encoder import (
        FeedforwardEncoder as FeedforwardEncoder,
    )
    from allencv_al.modules.im2im_encoders.pretrained_resnet import ResnetEncoder as ResnetEncoder
    from allencv_al.modules.im2im_encoders.timm import TimmEncoder as TimmEncoder
    from allencv_al.modules.im2im_encoders.torchvision import (
        TorchvisionEncoder as TorchvisionEncoder,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "CifarResnetEncoder": "allencv_al.modules.im2im_encoders.cifar_resnet",
        "ConvLevelsEncoder": "allencv_al.modules.im2im_encoders.conv_levels",
        "FeatureEncoder": "allencv_al.modules.im2im_encoders.base",
        "FeedforwardEncoder": "allencv_al.modules.im2im_encoders.feedforward_encoder",
        "Im2ImEncoder": "allencv_al.modules.im2im_encoders.base",
        "ResnetEncoder": "allencv_al.modules.im2im_encoders.pretrained_resnet",
        "TimmEncoder": "allencv_al.modules.im2im_encoders.timm",
        "TorchvisionEncoder": "allencv_al.modules.im2im_encoders.torchvision",
    },
)
