"""The transforms of a reader as one module: OpenCV's pixels, for images of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Sample
from allencv_al.predictors.export_preprocessing import ExportPreprocessing

SIZES = [(64, 80), (57, 91), (20, 30), (20, 90), (32, 40), (33, 41)]
HALVES = {"type": "normalize", "mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.5]}
# Gray levels; OpenCV adds integers where it scales linearly, and rounds halves of others otherwise
LARGEST = {"nearest": 0, "cubic": 1, "area": 1, "linear": 1, "smooth": 1}


def reader_of(*augmentation: Any) -> DatasetReader:
    return DatasetReader.from_params(
        {"type": "image_classification_directory", "augmentation": list(augmentation)}
    )


def smooth_image(height: int, width: int) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 3 + c) * np.cos(columns / (4 + c)) for c in range(3)]
    return np.uint8(127 + 127 * np.stack(waves, axis=-1))


def expected(reader: DatasetReader, image: np.ndarray[Any, Any]) -> torch.Tensor:
    applied = reader.pipeline.apply(Sample(image), 0).image
    batch = torch.from_numpy(applied.copy()).permute(2, 0, 1)[None]
    return batch.float() / 255 if reader.deferred is None else reader.deferred(batch)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", LARGEST)
def test_scaling_gives_the_pixels_of_opencv(interpolation: str, size: tuple[int, int]) -> None:
    if interpolation == "area" and (size[0] < 32 or size[1] < 40):
        pytest.skip("OpenCV enlarges by area as by another interpolation")
    reader = reader_of(
        {"type": "resize", "height": 32, "width": 40, "interpolation": interpolation}
    )
    image = smooth_image(*size)
    found = ExportPreprocessing(reader)(torch.from_numpy(image)[None])
    difference = (found - expected(reader, image)).abs() * 255
    assert difference.max() <= LARGEST[interpolation] + 1e-3
    # Another rule would be off by more than the rounding
    assert difference.mean() <= 0.25


@pytest.mark.parametrize("size", [(64, 80), (57, 91), (20, 30), (24, 240), (300, 29)])
def test_a_crop_is_cut_out_of_the_middle_and_normalized(size: tuple[int, int]) -> None:
    numbers = {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.5]}
    reader = reader_of({"type": "pretrained", "height": 24, "width": 24, "resize": 28, **numbers})
    image = smooth_image(*size)
    found = ExportPreprocessing(reader)(torch.from_numpy(image)[None])
    assert found.shape == (1, 3, 24, 24)
    # One gray level is 1/255 of a deviation of .25 at most
    assert (found - expected(reader, image)).abs().max() <= 4 / 255 + 1e-4


@pytest.mark.parametrize(
    "augmentation",
    [[], [HALVES], [{"type": "bgr_normalize"}], [{"type": "center_crop", "height": 9, "width": 8}]],
)
def test_what_does_not_scale_is_exact(augmentation: list[Any]) -> None:
    reader = reader_of(*augmentation)
    image = smooth_image(17, 23)
    found = ExportPreprocessing(reader)(torch.from_numpy(np.stack([image, image[::-1].copy()])))
    assert found[:1] == pytest.approx(expected(reader, image), abs=2e-5, rel=1e-5)


@pytest.mark.parametrize(
    ("augmentation", "reason"),
    [
        ([{"type": "horizontal_flip"}], "HorizontalFlip changes images by chance"),
        ([{"type": "smallest_max_size", "max_size": 8}], "put center_crop behind"),
        ([{"type": "to_gray", "p": 1}], "ToGray"),
        ([{"type": "resize", "height": 8, "width": 8, "interpolation": "lanczos"}], "lanczos"),
        (
            [
                {"type": "resize", "height": 8, "width": 8},
                {"type": "resize", "height": 9, "width": 9},
            ],
            "at most one resize",
        ),
    ],
)
def test_other_transforms_are_refused_by_name(augmentation: list[Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"cannot be exported: .*{reason}"):
        ExportPreprocessing(reader_of(*augmentation))
