"""Images to batches: decoding, transforms, readers, vocabulary and loaders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.data.data_loaders.base import DataLoader as DataLoader
    from allencv_al.data.dataset_readers.base import Dataset as Dataset
    from allencv_al.data.dataset_readers.base import DatasetReader as DatasetReader
    from allencv_al.data.image_io import load_image as load_image
    from allencv_al.data.instance import Instance as Instance
    from allencv_al.data.instance import Sample as Sample
    from allencv_al.data.transforms.base import ImageTransform as ImageTransform
    from allencv_al.data.vocabulary import Vocabulary as Vocabulary

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "DataLoader": "allencv_al.data.data_loaders.base",
        "Dataset": "allencv_al.data.dataset_readers.base",
        "DatasetReader": "allencv_al.data.dataset_readers.base",
        "ImageTransform": "allencv_al.data.transforms.base",
        "Instance": "allencv_al.data.instance",
        "Sample": "allencv_al.data.instance",
        "Vocabulary": "allencv_al.data.vocabulary",
        "load_image": "allencv_al.data.image_io",
    },
)
