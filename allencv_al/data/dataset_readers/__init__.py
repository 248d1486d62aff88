"""From a path to instances: the readers that a config can name, and their base class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.data.dataset_readers.base import Dataset as Dataset
    from allencv_al.data.dataset_readers.base import DatasetReader as DatasetReader
    from allencv_al.data.dataset_readers.base import ImageDatasetReader as ImageDatasetReader
    from allencv_al.data.dataset_readers.cifar_binary import CifarBinary as CifarBinary
    from allencv_al.data.dataset_readers.cifar_python import CifarPython as CifarPython
    from allencv_al.data.dataset_readers.idx import IdxReader as IdxReader
    from allencv_al.data.dataset_readers.image_classification_directory import (
        ImageClassificationDirectory as ImageClassificationDirectory,
    )
    from allencv_al.data.dataset_readers.image_files import Skipped as Skipped
    from allencv_al.data.dataset_readers.manifest import ManifestReader as ManifestReader
    from allencv_al.data.dataset_readers.objects.coco import CocoReader as CocoReader
    from allencv_al.data.dataset_readers.objects.image_annotation import (
        ImageAnnotationReader as ImageAnnotationReader,
    )
    from allencv_al.data.dataset_readers.objects.pascal_voc import (
        PascalVocReader as PascalVocReader,
    )
    from allencv_al.data.dataset_readers.objects.yolo import YoloReader as YoloReader
    from allencv_al.data.dataset_readers.paired_image import PairedImageReader as PairedImageReader

_HERE = "allencv_al.data.dataset_readers"

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "CifarBinary": f"{_HERE}.cifar_binary",
        "CifarPython": f"{_HERE}.cifar_python",
        "CocoReader": f"{_HERE}.objects.coco",
        "Dataset": f"{_HERE}.base",
        "DatasetReader": f"{_HERE}.base",
        "IdxReader": f"{_HERE}.idx",
        "ImageAnnotationReader": f"{_HERE}.objects.image_annotation",
        "ImageClassificationDirectory": f"{_HERE}.image_classification_directory",
        "ImageDatasetReader": f"{_HERE}.base",
        "ManifestReader": f"{_HERE}.manifest",
        "PairedImageReader": f"{_HERE}.paired_image",
        "PascalVocReader": f"{_HERE}.objects.pascal_voc",
        "Skipped": f"{_HERE}.image_files",
        "YoloReader": f"{_HERE}.objects.yolo",
    },
)
