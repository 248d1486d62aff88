"""Models, and archives of trained ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.models.archive import Archive as Archive
    from allencv_al.models.archive import archive_model as archive_model
    from allencv_al.models.archive import load_archive as load_archive
    from allencv_al.models.basic_classifier import BasicImageClassifier as BasicImageClassifier
    from allencv_al.models.detection.detection_model import DetectionModel as DetectionModel
    from allencv_al.models.model import Model as Model
    from allencv_al.models.nearest_neighbors_classifier import (
        NearestNeighborsClassifier as NearestNeighborsClassifier,
    )
    from allencv_al.models.segmentation.segmentation_model import (
        SegmentationModel as SegmentationModel,
    )
    from allencv_al.models.zero_shot_classifier import ZeroShotClassifier as ZeroShotClassifier

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Archive": "allencv_al.models.archive",
        "BasicImageClassifier": "allencv_al.models.basic_classifier",
        "DetectionModel": "allencv_al.models.detection.detection_model",
        "Model": "allencv_al.models.model",
        "NearestNeighborsClassifier": "allencv_al.models.nearest_neighbors_classifier",
        "SegmentationModel": "allencv_al.models.segmentation.segmentation_model",
        "ZeroShotClassifier": "allencv_al.models.zero_shot_classifier",
        "archive_model": "allencv_al.models.archive",
        "load_archive": "allencv_al.models.archive",
    },
)
