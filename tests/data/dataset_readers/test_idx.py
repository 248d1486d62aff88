from __future__ import annotations

import errno
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from fixtures.cifar_files import pixels

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader, IdxReader

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def idx(values: np.ndarray) -> bytes:
    head = np.array([0x0800 + values.ndim, *values.shape], ">u4")
    return head.tobytes() + values.astype(np.uint8).tobytes()


def write(folder: Path, part: str = "train", labels: list[int] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.array(labels or [7, 0, 12])))


def test_an_image_has_three_equal_channels_that_share_one_memory(tmp_path: Path):
    write(tmp_path)
    dataset = IdxReader().read(tmp_path)
    assert [item.id for item in dataset] == [f"train-images-idx3-ubyte:{n}" for n in range(3)]
    assert dataset.labels() == ["7", "0", "12"]
    assert (pixels(dataset[1]) == IMAGES[1][..., None]).all()
    assert pixels(dataset[1]).shape == (4, 5, 3) and not pixels(dataset[1]).flags.owndata
    assert IdxReader().load(dataset[1], 0).image.shape == (4, 5, 3)


def test_a_path_names_a_part(tmp_path: Path):
    write(tmp_path, "train")
    write(tmp_path, "t10k", [1, 2, 3])
    assert IdxReader().read(tmp_path).labels() == ["7", "0", "12"]
    assert IdxReader().read(f"{tmp_path}::test").labels() == ["1", "2", "3"]
    assert IdxReader(split="test").read(tmp_path).labels() == ["1", "2", "3"]
    assert len(IdxReader().read(f"{tmp_path}::all")) == 6
    file = tmp_path / "t10k-images-idx3-ubyte"
    assert IdxReader().read(file).labels() == ["1", "2", "3"]
    for path, message in (
        (f"{tmp_path}::t10k", "expected train, test or all"),
        (f"{file}::test", "it is one file"),
    ):
        with pytest.raises(DataError, match=message):
            IdxReader().read(path)


@pytest.mark.parametrize(("extension", "packed"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packing_changes_neither_ids_nor_pixels(extension: str, packed, tmp_path: Path):
    write(tmp_path)
    plain = IdxReader().read(tmp_path)
    for file in list(tmp_path.iterdir()):
        file.with_name(file.name + extension).write_bytes(packed(file.read_bytes()))
        file.unlink()
    found = IdxReader().read(tmp_path)
    assert [(item.id, item.label) for item in found] == [(item.id, item.label) for item in plain]
    assert (pixels(found[2]) == IMAGES[2][..., None]).all()


def test_labels_have_names(tmp_path: Path):
    write(tmp_path, labels=[1, 0, 1])
    reader = DatasetReader.from_params({"type": "idx", "label_names": ["shirt", "shoe"]})
    assert reader.read(tmp_path).labels() == ["shoe", "shirt", "shoe"]
    write(tmp_path, labels=[1, 0, 2])
    with pytest.raises(DataError, match=r"has the label 2, and label_names .* only 0 to 1"):
        reader.read(tmp_path)


def test_images_without_a_file_of_labels_have_none(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert IdxReader().read(tmp_path).labels() == [None] * 3


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("images", idx(IMAGES)[:-1], "expected 3 x 4 x 5 bytes behind its head, found 59"),
        ("images", idx(IMAGES[0]), "begins with 0 0 8 3.*found 0 0 8 2"),
        ("images", b"\0\0", "found 0 0$"),
        ("images", b"", "it is empty"),
        ("labels", idx(np.zeros(2)), "a label for each of the 3 images .* found 2"),
        ("labels", b"\x1f\x8b not packed", "begins with 0 0 8 1.*found 31 139"),
    ],
)
def test_a_file_that_is_damaged_is_named(part: str, content: bytes, message: str, tmp_path: Path):
    write(tmp_path)
    dimensions = {"images": 3, "labels": 1}[part]
    file = tmp_path / f"train-{part}-idx{dimensions}-ubyte"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        IdxReader().read(tmp_path)
    assert str(file) in str(caught.value)


def test_a_folder_of_something_else_is_told_apart(tmp_path: Path):
    (tmp_path / "train.csv").touch()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte .* found train\.csv"):
        IdxReader().read(tmp_path)


def test_mnist_is_read(shared_data: Path):
    dataset = IdxReader().read(shared_data / "mnist_test")
    assert len(dataset) == 10_000
    assert "".join(str(item.label) for item in dataset[:10]) == "7210414959"
    counts = [dataset.labels().count(str(digit)) for digit in range(10)]
    assert counts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert pixels(dataset[0]).shape == (28, 28, 3)


def test_images_without_pixels_are_refused(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:, :0]))
    with pytest.raises(DataError, match="expected images with pixels, found 3 x 0 x 5"):
        IdxReader().read(tmp_path)


def test_a_broken_disk_is_not_called_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    monkeypatch.setattr(gzip, "open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        IdxReader().read(tmp_path)
