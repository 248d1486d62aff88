"""From the decoded image to what the model sees."""

from allencv_al.data.transforms.base import ImageTransform, Normalization
from allencv_al.data.transforms.transform_pipeline import TransformPipeline

__all__ = ["ImageTransform", "Normalization", "TransformPipeline"]
