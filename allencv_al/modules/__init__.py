"""Parts of networks: encoders, feed-forward layers, activations, initializers, regularizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.modules.activations import Activation as Activation
    from allencv_al.modules.feedforward import FeedForward as FeedForward
    from allencv_al.modules.im2im_encoders.base import Im2ImEncoder as Im2ImEncoder
    from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder as Im2VecEncoder
    from allencv_al.modules.image_decoders import ImageDecoder as ImageDecoder
    from allencv_al.modules.image_encoders.base import ImageEncoder as ImageEncoder
    from allencv_al.modules.initializer_applicator import (
        InitializerApplicator as InitializerApplicator,
    )
    from allencv_al.modules.initializers import Initializer as Initializer
    from allencv_al.modules.regularizers import Regularizer as Regularizer
    from allencv_al.modules.regularizers import RegularizerApplicator as RegularizerApplicator

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Activation": "allencv_al.modules.activations",
        "FeedForward": "allencv_al.modules.feedforward",
        "Im2ImEncoder": "allencv_al.modules.im2im_encoders.base",
        "Im2VecEncoder": "allencv_al.modules.im2vec_encoders.base",
        "ImageDecoder": "allencv_al.modules.image_decoders",
        "ImageEncoder": "allencv_al.modules.image_encoders.base",
        "Initializer": "allencv_al.modules.initializers",
        "InitializerApplicator": "allencv_al.modules.initializer_applicator",
        "Regularizer": "allencv_al.modules.regularizers",
        "RegularizerApplicator": "allencv_al.modules.regularizers",
    },
)
