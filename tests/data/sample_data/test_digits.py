"""The handwritten digits as class folders."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.data.sample_data.digits import write_digits

SPLIT_SHA256 = "9ec970af4a75637f857ee41573016063705e12a8e021084c85a9e0e6b20403d3"


def tree(folder: Path) -> dict[str, bytes]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits") / "data")


def test_every_digit_is_written_once_in_stratified_class_folders(written: Path):
    names = list(tree(written))
    assert len(names) == 1797
    assert len({Path(name).name for name in names}) == 1797
    counts = Counter(name.split("/")[0] for name in names)
    assert {part: counts[part] for part in ("validation", "test")} == {
        "validation": counts["test"],
        "test": counts["test"],
    }
    assert 0.14 < counts["test"] / 1797 < 0.16
    from sklearn.datasets import load_digits

    whole = Counter(load_digits().target.tolist())
    for part in ("train", "validation", "test"):
        classes = Counter(int(name.split("/")[1]) for name in names if name.startswith(part))
        share = counts[part] / 1797
        assert set(classes) == set(range(10))
        assert all(abs(classes[digit] - whole[digit] * share) < 1.5 for digit in range(10))


def test_the_pictures_are_the_digits(written: Path):
    from sklearn.datasets import load_digits

    digits_data = load_digits()
    for name, content in list(tree(written).items())[::37]:
        number = int(re.findall(r"digit_(\d+)\.png", name)[0])
        image = Image.open(written / name)
        assert (image.mode, image.size) == ("L", (8, 8))
        assert content.startswith(b"\x89PNG")
        assert name.split("/")[1] == str(digits_data.target[number])
        assert (np.asarray(image) == np.rint(digits_data.images[number] * 255 / 16)).all()


def test_the_split_never_changes(written: Path):
    """A change of the split changes every accuracy that was ever reported on it."""
    names = "\n".join(tree(written))
    assert hashlib.sha256(names.encode()).hexdigest() == SPLIT_SHA256


def test_without_a_split_all_digits_lie_in_one_folder(tmp_path: Path, written: Path, capsys):
    assert main(["sample-data", "digits", str(tmp_path / "d"), "--no-split"]) == 0
    assert f"train_data_path = {tmp_path / 'd' / 'all'}" in capsys.readouterr().out
    names = {name.split("/", 1)[1] for name in tree(written)}
    assert {name.split("/", 1)[1] for name in tree(tmp_path / "d")} == names
    assert main(["sample-data", "digits", str(tmp_path / "d"), "--no-split"]) == 0  # left as it is
    assert main(["sample-data", "cifar10", str(tmp_path / "c"), "--no-split"]) == 2
