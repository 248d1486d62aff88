from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.data.dataset_readers import ImageClassificationDirectory
from allencv_al.tasks import label_task
from allencv_al.training.archive_samples import write_archive_samples

ADOBE_RGB = Path(__file__).parents[1] / "data" / "cases" / "images" / "adobe_rgb.png"


@pytest.mark.parametrize(("raw", "first"), [(False, [208, 57, 57]), (True, [180, 60, 60])])
def test_a_sample_has_the_colors_that_the_model_sees(
    tmp_path: Path, raw: bool, first: list[int]
) -> None:
    file = tmp_path / "photos" / "red" / "a.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(ADOBE_RGB.read_bytes())
    dataset = ImageClassificationDirectory(raw_colors=raw).read(tmp_path / "photos")
    write_archive_samples(tmp_path, dataset, 1, label_task())
    [sample] = list(tmp_path.rglob("00.*"))
    with Image.open(sample) as image:
        assert "icc_profile" not in image.info
        assert np.asarray(image)[0, 0].tolist() == first
