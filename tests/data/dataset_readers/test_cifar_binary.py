from __future__ import annotations

import gzip
import lzma
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fixtures.cifar_files import NAMES, pixels, records, write_cifar10

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import check
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import CifarBinary, DatasetReader

FINE = [f"fine{i:02d}" for i in range(100)]
COARSE = [f"coarse{i:02d}" for i in range(20)]


def write_cifar100(folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    files = {"train.bin": records(5, 60, 2), "test.bin": records(3, 97, 2)}
    for name, data in files.items():
        (folder / name).write_bytes(data.tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")
    (folder / "coarse_label_names.txt").write_text("\n".join(COARSE) + "\n")
    return files


def test_a_record_becomes_an_image_of_rows_columns_and_rgb(tmp_path: Path):
    data = write_cifar10(tmp_path)["test_batch.bin"]
    dataset = CifarBinary().read(tmp_path / "test_batch.bin")
    assert [i.id for i in dataset] == [f"test_batch.bin:{n}" for n in range(3)]
    assert dataset.labels() == ["horse", "ship", "truck"]
    image = pixels(dataset[1])
    assert image.shape == (32, 32, 3) and image.dtype == np.uint8
    for row, column, color in ((0, 0, 0), (31, 31, 2), (3, 17, 1)):
        assert image[row, column, color] == data[1, 1 + 1024 * color + 32 * row + column]


def test_a_plain_file_is_mapped_and_never_copied(tmp_path: Path):
    write_cifar10(tmp_path)
    dataset = CifarBinary().read(tmp_path / "test_batch.bin")
    bases = []
    for instance in dataset:
        base = pixels(instance)
        while isinstance(base.base, np.ndarray):
            base = base.base
        bases.append(base)
        assert not pixels(instance).flags.owndata
    assert all(base.base is bases[0].base for base in bases)  # one mapping
    assert type(bases[0].base).__name__ == "mmap"


def test_loading_a_record_gives_contiguous_pixels_and_leaves_the_record_alone(tmp_path: Path):
    data = write_cifar10(tmp_path)["test_batch.bin"]
    reader = DatasetReader.from_params(
        {"type": "cifar_binary", "augmentation": [{"type": "horizontal_flip", "p": 1.0}]}
    )
    dataset = reader.read(tmp_path / "test_batch.bin")
    sample = reader.load(dataset[0], 0)
    assert (sample.image == pixels(dataset[0])[:, ::-1]).all()
    assert (tmp_path / "test_batch.bin").read_bytes() == data.tobytes()
    assert reader.image_shape() == (3, 32, 32)


@pytest.mark.parametrize("extension", [".gz", ".xz"])
def test_ids_and_pixels_do_not_depend_on_the_compression(extension: str, tmp_path: Path):
    files = write_cifar10(tmp_path / "plain")
    write_cifar10(tmp_path / "packed")
    compress = {".gz": gzip.compress, ".xz": lzma.compress}[extension]
    for name, data in files.items():
        (tmp_path / "packed" / name).unlink()
        (tmp_path / "packed" / f"{name}{extension}").write_bytes(compress(data.tobytes()))
    for path in ("", "::test", "test_batch.bin"):
        separator = "" if path.startswith("::") else "/"
        plain, packed = (
            CifarBinary().read(f"{tmp_path / kind}{separator}{path}")
            for kind in ("plain", "packed")
        )
        assert [i.id for i in plain] == [i.id for i in packed]
        assert plain.labels() == packed.labels()
        assert all((pixels(a) == pixels(b)).all() for a, b in zip(plain, packed, strict=True))
    named = CifarBinary().read(tmp_path / "packed" / f"test_batch.bin{extension}")
    assert named[0].id == "test_batch.bin:0"


def test_of_a_plain_and_a_packed_twin_one_is_read(tmp_path: Path):
    write_cifar10(tmp_path)
    (tmp_path / "test_batch.bin.xz").write_bytes(b"never opened")
    assert len(CifarBinary(split="test").read(tmp_path)) == 3


def test_cifar100_has_fine_and_coarse_labels(tmp_path: Path):
    write_cifar100(tmp_path)
    fine = CifarBinary().read(f"{tmp_path}::test")
    coarse = CifarBinary(labels="coarse").read(tmp_path / "test.bin")
    assert fine.labels() == ["fine97", "fine98", "fine99"]
    assert coarse.labels() == ["coarse17", "coarse18", "coarse19"]
    assert fine[0].metadata == {"coarse": "coarse17", "fine": "fine97"}
    assert [i.id for i in fine] == ["test.bin:0", "test.bin:1", "test.bin:2"]
    assert len(CifarBinary().read(tmp_path)) == 5


def test_cifar100_pixels_begin_behind_two_bytes(tmp_path: Path):
    data = write_cifar100(tmp_path)["test.bin"]
    image = pixels(CifarBinary().read(tmp_path / "test.bin")[2])
    assert image[0, 0].tolist() == [data[2, 2], data[2, 2 + 1024], data[2, 2 + 2048]]


def test_a_file_of_any_name_is_known_by_its_size(tmp_path: Path):
    (tmp_path / "mine.bin").write_bytes(records(3).tobytes())
    assert CifarBinary().read(tmp_path / "mine.bin").labels() == NAMES[:3]
    (tmp_path / "mine.bin").write_bytes(records(3, 0, 2).tobytes())
    assert CifarBinary().read(tmp_path / "mine.bin").labels() == ["00", "01", "02"]


def test_a_file_that_is_cut_short_is_named(tmp_path: Path):
    write_cifar10(tmp_path)
    file = tmp_path / "data_batch_2.bin"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError) as error:
        CifarBinary().read(tmp_path)
    for part in ("data_batch_2.bin", "3073", "12192", "3 records and 2973 bytes"):
        assert part in str(error.value)


def test_a_label_out_of_range_names_file_and_record(tmp_path: Path):
    data = write_cifar10(tmp_path)["test_batch.bin"]
    data[2, 0] = 212
    (tmp_path / "test_batch.bin").write_bytes(data.tobytes())
    with pytest.raises(DataError, match=r"test_batch\.bin record 2: expected .* 0 to 9, found 212"):
        CifarBinary().read(f"{tmp_path}::test")


@pytest.mark.parametrize("name", ["test_batch.bin", "test_batch.bin.gz", "test_batch.bin.xz"])
def test_an_empty_file_is_named(name: str, tmp_path: Path):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        CifarBinary().read(tmp_path / name)


@pytest.mark.parametrize("extension", [".gz", ".xz"])
def test_a_damaged_packed_file_is_named(extension: str, tmp_path: Path):
    compress = {".gz": gzip.compress, ".xz": lzma.compress}[extension]
    file = tmp_path / f"test_batch.bin{extension}"
    packed = compress(records(3).tobytes())
    for content in (packed[: len(packed) // 2], b"no archive", packed[:200] + bytes(500)):
        file.write_bytes(content)
        with pytest.raises(DataError, match="damaged or cut short"):
            CifarBinary().read(file)


def test_the_pickle_version_is_referred_to_its_reader(tmp_path: Path):
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (tmp_path / name).write_bytes(b"\x80\x02.")
    with pytest.raises(DataError, match="which the dataset reader cifar_python reads"):
        CifarBinary().read(tmp_path)


def test_coarse_labels_of_cifar10_are_refused(tmp_path: Path):
    write_cifar10(tmp_path)
    with pytest.raises(DataError, match='CIFAR-10 has no "coarse" labels'):
        CifarBinary(labels="coarse").read(tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"split": "val"}, {"classes": 20}, {"labels": "x"}, {"classes": 10, "labels": "coarse"}],
)
def test_wrong_options_are_refused_in_python_and_in_a_config(options: dict[str, object]):
    with pytest.raises(ConfigurationError):
        CifarBinary(**options)  # type: ignore[arg-type]
    assert check(DatasetReader, {"type": "cifar_binary", **options})


def test_path_fault_knows_parts_and_packed_files(tmp_path: Path):
    write_cifar10(tmp_path)
    (tmp_path / "test_batch.bin").rename(tmp_path / "test_batch.bin.xz")
    for path in (tmp_path, f"{tmp_path}::test", tmp_path / "test_batch.bin"):
        assert CifarBinary.path_fault(path) is None
    assert "absent" in (CifarBinary.path_fault(tmp_path / "absent.bin") or "")


def test_real_cifar10(shared_data: Path):
    folder = shared_data / "cifar10"
    test = CifarBinary().read(folder / "test_batch.bin")
    assert Counter(test.labels()) == dict.fromkeys(NAMES, 1000)
    assert test[17].id == "test_batch.bin:17"
    # The first images of the test set, as every paper shows them: cat, ship, ship, airplane, frog.
    assert test.labels()[:5] == ["cat", "ship", "ship", "airplane", "frog"]
    sample = test.reader.load(test[0], 0)
    assert sample.image.shape == (32, 32, 3)
    assert 90 < sample.image.mean() < 130


@pytest.mark.slow
def test_real_cifar10_training_batches(shared_data: Path):
    train = CifarBinary(split="train").read(shared_data / "cifar10")
    assert len(train) % 10000 == 0 and len(train) >= 20000
    assert train[10000].id == "data_batch_2.bin:0"
    pixels_mean = np.mean([pixels(i).mean(axis=(0, 1)) for i in train[::20]], axis=0) / 255
    # Published channel means of the training set: 0.4914, 0.4822, 0.4465.
    assert np.allclose(pixels_mean, [0.4914, 0.4822, 0.4465], atol=0.01)
