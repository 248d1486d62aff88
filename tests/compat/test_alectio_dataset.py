"""The images of the platform's examples, which have to be there."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from allencv_al.common.errors import ConfigurationError
from allencv_al.compat.alectio_dataset import AlectioDataset


def test_images_are_found_in_their_folders(tmp_path: Path) -> None:
    for name in ("glioma/a.png", "glioma/b.png", "none/c.png"):
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    images = AlectioDataset(token="<YOUR EXPERIMENT TOKEN", root=tmp_path, framework="pytorch")
    dataset, count, numbers = images.get_dataset("train", transforms=lambda image: image.size)
    assert count == 3 and numbers == {"glioma": 0, "none": 1}
    assert [dataset[place] for place in range(3)] == [((4, 4), 0), ((4, 4), 0), ((4, 4), 1)]
    with pytest.raises(ConfigurationError, match="test: expected images in a folder per class"):
        images.get_dataset("test")
    (tmp_path / "validation" / "none").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="they are not downloaded"):
        images.get_dataset(dataset_type="validation")
    with pytest.raises(ConfigurationError, match="expected one of train, test, validation"):
        images.get_dataset("other")
    with pytest.raises(ConfigurationError, match="framework: expected pytorch, found 'tensorflow'"):
        AlectioDataset(None, tmp_path, "tensorflow")
