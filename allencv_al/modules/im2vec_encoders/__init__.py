"""Encoders from a feature map, or an image, to a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder as Im2VecEncoder
    from allencv_al.modules.im2vec_encoders.base import VectorEncoder as VectorEncoder
    from allencv_al.modules.im2vec_encoders.flatten import FlattenEncoder as FlattenEncoder
    from allencv_al.modules.im2vec_encoders.open_clip_vectors import (
        OpenClipEncoder as OpenClipEncoder,
    )
    from allencv_al.modules.im2vec_encoders.pooling import PoolEncoder as PoolEncoder
    from allencv_al.modules.im2vec_encoders.timm_vectors import (
        TimmVectorEncoder as TimmVectorEncoder,
    )
    from allencv_al.modules.im2vec_encoders.torchvision_vectors import (
        TorchvisionVectorEncoder as TorchvisionVectorEncoder,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "FlattenEncoder": "allencv_al.modules.im2vec_encoders.flatten",
        "Im2VecEncoder": "allencv_al.modules.im2vec_encoders.base",
        "OpenClipEncoder": "allencv_al.modules.im2vec_encoders.open_clip_vectors",
        "PoolEncoder": "allencv_al.modules.im2vec_encoders.pooling",
        "TimmVectorEncoder": "allencv_al.modules.im2vec_encoders.timm_vectors",
        "TorchvisionVectorEncoder": "allencv_al.modules.im2vec_encoders.torchvision_vectors",
        "VectorEncoder": "allencv_al.modules.im2vec_encoders.base",
    },
)
