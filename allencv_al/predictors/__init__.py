"""From an archive to predictions: JSON or images in, JSON or arrays out, in batches."""

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ImagePredictor": "allencv_al.predictors.image_predictor",
        "OnnxPredictor": "allencv_al.predictors.onnx_predictor",
        "Outcome": "allencv_al.predictors.outcomes",
        "Predictor": "allencv_al.predictors.predictor",
    },
)

if TYPE_CHECKING:
    from allencv_al.predictors.image_predictor import ImagePredictor as ImagePredictor
    from allencv_al.predictors.onnx_predictor import OnnxPredictor as OnnxPredictor
    from allencv_al.predictors.outcomes import Outcome as Outcome
    from allencv_al.predictors.predictor import Predictor as Predictor
