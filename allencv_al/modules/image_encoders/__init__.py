"""Encoders from an image to feature maps of several scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.modules.image_encoders.base import ImageEncoder as ImageEncoder
    from allencv_al.modules.image_encoders.base import MapsEncoder as MapsEncoder
    from allencv_al.modules.image_encoders.conv_maps import ConvMapsEncoder as ConvMapsEncoder
    from allencv_al.modules.image_encoders.feature_pyramid import FeaturePyramid as FeaturePyramid
    from allencv_al.modules.image_encoders.resnet_maps import (
        ResnetMapsEncoder as ResnetMapsEncoder,
    )
    from allencv_al.modules.image_encoders.timm_maps import TimmMapsEncoder as TimmMapsEncoder

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ConvMapsEncoder": "allencv_al.modules.image_encoders.conv_maps",
        "FeaturePyramid": "allencv_al.modules.image_encoders.feature_pyramid",
        "ImageEncoder": "allencv_al.modules.image_encoders.base",
        "MapsEncoder": "allencv_al.modules.image_encoders.base",
        "ResnetMapsEncoder": "allencv_al.modules.image_encoders.resnet_maps",
        "TimmMapsEncoder": "allencv_al.modules.image_encoders.timm_maps",
    },
)
