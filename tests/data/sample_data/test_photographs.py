"""Crops of two photographs as class folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from allencv_al.__main__ import main
from allencv_al.data.sample_data.photographs import COUNTS, write_photographs

ORIGINALS = {"flower": "flower.jpg", "temple": "china.jpg"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs") / "data")


def places(folder: Path, name: str) -> list[tuple[int, int]]:
    """Return the top and left of each crop in its photograph, found by its pixels."""
    photograph = load_sample_image(ORIGINALS[name])
    found = []
    for file in sorted((folder / name).iterdir()):
        crop = np.asarray(Image.open(file))
        windows = np.lib.stride_tricks.sliding_window_view(photograph[:, :, 0], (8, 8))
        for top, left in np.argwhere((windows == crop[:8, :8, 0]).all(axis=(2, 3))).tolist():
            bottom, right = top + crop.shape[0], left + crop.shape[1]
            if np.array_equal(photograph[top:bottom, left:right], crop):
                found.append((top, left))
    return found


@pytest.mark.parametrize("name", ["flower", "temple"])
def test_no_pixel_is_in_both_splits(written: Path, name: str) -> None:
    train, validation = (places(written / split, name) for split in ("train", "validation"))
    assert (len(set(train)), len(set(validation))) == (COUNTS["train"], COUNTS["validation"])
    assert max(left for _, left in train) + 112 <= min(left for _, left in validation)


def test_it_is_the_same_on_every_machine(written: Path) -> None:
    assert places(written / "train", "temple")[:2] == [(104, 71), (231, 102)]


def test_the_command_says_what_a_config_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample-data", "photographs", str(tmp_path / "p")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["train_data_path", "validation_data_path"]
    assert main(["sample-data", "photographs", str(tmp_path / "p"), "--no-split"]) == 2
    assert main(["sample-data", "photographs", str(tmp_path / "p"), "--md5", "0"]) == 2
