"""`ImagePredictor`: predictions for images given by path, or by their pixels in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overrides import overrides

from allencv_al.data.instance import Instance
from allencv_al.predictors.json_images import image_of_request
from allencv_al.predictors.predictor import Predictor


@Predictor.register("default_image")
class ImagePredictor(Predictor):
    """Predict for images given by path or by their pixels.

    A JSON request is `{"image_path": path}`; or `{"image": numbers, "image_shape": [H, W, C]}` with
    a flat list of integers from 0 to 255; or `{"image": lists in lists}`. For a classifier, the
    answer is `{"logits": [...], "probs": [...], "prediction": index, "class": name}`.

    Args:
        model: The trained model.
        dataset_reader: Decodes and transforms the images.
        num_threads: Threads that decode; by default one per processor, 16 at most.
    """

    @overrides
    def _json_to_instance(self, request: Mapping[str, Any]) -> Instance:
        image = image_of_request(request, self.dataset_reader.max_pixels)
        return self.dataset_reader.image_to_instance(image)
