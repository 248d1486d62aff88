from __future__ import annotations

import gzip
import io
import logging
import lzma
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import check
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import CifarBinary, DatasetReader
from allencv_al.data.instance import Instance

NAMES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]
FINE = [f"fine{i:02d}" for i in range(100)]
COARSE = [f"coarse{i:02d}" for i in range(20)]


def records(count: int, first: int = 0, label_bytes: int = 1) -> np.ndarray:
    """Records whose labels count up and whose pixels tell plane, row, column and record."""
    rng = np.random.default_rng(first)
    data = rng.integers(0, 256, (count, label_bytes + 3072), dtype=np.uint8)
    for index in range(count):
        data[index, :label_bytes] = [(first + index) % 20, (first + index) % 100][-label_bytes:]
        if label_bytes == 1:
            data[index, 0] = (first + index) % 10
    return data


def write_cifar10(folder: Path, meta: bool = True) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"data_batch_{n}.bin": records(4, first=n) for n in (1, 2)}
    files["data_batch_10.bin"] = records(2, first=10)
    files["test_batch.bin"] = records(3, first=7)
    for name, data in files.items():
        (folder / name).write_bytes(data.tobytes())
    if meta:
        (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return files


def write_cifar100(folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    files = {"train.bin": records(5, 60, 2), "test.bin": records(3, 97, 2)}
    for name, data in files.items():
        (folder / name).write_bytes(data.tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")
    (folder / "coarse_label_names.txt").write_text("\n".join(COARSE) + "\n")
    return files


def pack(folder: Path, archive: Path) -> Path:
    mode = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2", ".tar": "w"}[archive.suffix]
    with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, arcname="cifar-10-batches-bin")
    return archive


def pixels(instance: Instance) -> np.ndarray:
    assert isinstance(instance.image, np.ndarray)
    return instance.image


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


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2", ".tar"])
def test_an_archive_is_read_in_place(suffix: str, tmp_path: Path):
    write_cifar10(tmp_path / "folder")
    archive = pack(tmp_path / "folder", tmp_path / f"cifar-10-binary{suffix}")
    before = sorted(tmp_path.rglob("*"))
    for part, count in (("train", 10), ("test", 3), ("all", 13), ("data_batch_2.bin", 4)):
        packed = CifarBinary().read(f"{archive}::{part}")
        plain = CifarBinary().read(f"{tmp_path / 'folder'}::{part}")
        assert len(packed) == count
        assert [i.id for i in packed] == [i.id for i in plain]
        assert packed.labels() == plain.labels()
        assert all((pixels(a) == pixels(b)).all() for a, b in zip(packed, plain, strict=True))
    assert sorted(tmp_path.rglob("*")) == before


def test_one_reader_serves_the_training_and_the_test_path(tmp_path: Path):
    write_cifar10(tmp_path)
    reader = CifarBinary(split="train")
    assert {i.id.split(":")[0] for i in reader.read(tmp_path)} == {
        *("data_batch_1.bin", "data_batch_2.bin", "data_batch_10.bin")
    }
    assert len(reader.read(f"{tmp_path}::test")) == 3  # the path decides
    assert len(reader.read(tmp_path / "test_batch.bin")) == 3
    assert len(CifarBinary(split="test").read(tmp_path)) == 3
    assert len(CifarBinary(split="all").read(tmp_path)) == 13


def test_batches_come_in_the_order_of_their_numbers(tmp_path: Path):
    write_cifar10(tmp_path)
    files = [i.id.split(":")[0] for i in CifarBinary(split="train").read(tmp_path)]
    assert list(dict.fromkeys(files)) == [
        *("data_batch_1.bin", "data_batch_2.bin", "data_batch_10.bin")
    ]


def test_a_folder_without_a_split_gives_the_training_batches_and_says_so(tmp_path: Path, caplog):
    write_cifar10(tmp_path)
    with caplog.at_level(logging.INFO, logger="allencv_al"):
        assert len(CifarBinary().read(tmp_path)) == 10
    assert f"the test batch is {tmp_path}::test" in caplog.text


def test_a_folder_with_only_a_test_batch_gives_that(tmp_path: Path):
    write_cifar10(tmp_path)
    for file in tmp_path.glob("data_batch_*"):
        file.unlink()
    assert len(CifarBinary().read(tmp_path)) == 3
    with pytest.raises(DataError, match=r"no such batches.*found test_batch\.bin"):
        CifarBinary(split="train").read(tmp_path)


def test_the_folder_of_the_download_can_be_given(tmp_path: Path):
    write_cifar10(tmp_path / "folder")
    (tmp_path / "data").mkdir()
    pack(tmp_path / "folder", tmp_path / "data" / "cifar-10-binary.tar.gz")
    assert len(CifarBinary().read(f"{tmp_path / 'data'}::test")) == 3
    (tmp_path / "folder").rename(tmp_path / "data" / "cifar-10-batches-bin")
    assert len(CifarBinary().read(f"{tmp_path / 'data'}::test")) == 3


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


def test_missing_names_are_the_documented_ones_and_sort_as_the_numbers(tmp_path: Path, caplog):
    write_cifar10(tmp_path, meta=False)
    with caplog.at_level(logging.INFO, logger="allencv_al"):
        labels = CifarBinary().read(tmp_path / "test_batch.bin").labels()
    assert labels == ["horse", "ship", "truck"]
    assert "no batches.meta.txt" in caplog.text
    assert sorted(NAMES) == NAMES


def test_the_meta_files_names_win(tmp_path: Path):
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta.txt").write_bytes(
        b"\xef\xbb\xbf" + b"\r\n".join(b"k%d" % i for i in range(10))
    )
    (tmp_path / "mine.bin").write_bytes(records(10).tobytes())
    assert CifarBinary().read(tmp_path / "mine.bin").labels() == [f"k{i}" for i in range(10)]


def test_a_short_meta_file_is_an_error(tmp_path: Path):
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"batches\.meta\.txt: expected 10 label names, found 2"):
        CifarBinary().read(tmp_path)


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


def test_a_damaged_archive_is_named(tmp_path: Path):
    write_cifar10(tmp_path / "folder")
    archive = pack(tmp_path / "folder", tmp_path / "cifar-10-binary.tar.gz")
    content = archive.read_bytes()
    for damaged in (content[: len(content) // 2], b"<html>404</html>", b""):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz"):
            CifarBinary().read(f"{archive}::all")


def test_links_in_an_archive_lead_nowhere(tmp_path: Path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(records(1).tobytes())
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("other.bin"), io.BytesIO())
    with pytest.raises(DataError, match=r"no such batches.*found other\.bin"):
        CifarBinary().read(f"{archive}::test")


def test_the_pickle_version_is_referred_to_its_reader(tmp_path: Path):
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (tmp_path / name).write_bytes(b"\x80\x02.")
    with pytest.raises(DataError, match="which the dataset reader cifar_python reads"):
        CifarBinary().read(tmp_path)


def test_an_unknown_part_says_what_is_there(tmp_path: Path):
    write_cifar10(tmp_path)
    with pytest.raises(DataError, match=r"no such batches.*found data_batch_1\.bin"):
        CifarBinary().read(f"{tmp_path}::validation")
    with pytest.raises(DataError, match="nothing can stand behind ::"):
        CifarBinary().read(f"{tmp_path / 'test_batch.bin'}::test")


def test_a_part_may_name_several_batches(tmp_path: Path):
    write_cifar10(tmp_path)
    found = CifarBinary().read(f"{tmp_path}::data_batch_10.bin, data_batch_1.bin.gz")
    assert Counter(i.id.partition(":")[0] for i in found) == {
        "data_batch_1.bin": 4,
        "data_batch_10.bin": 2,
    }
    with pytest.raises(DataError, match=r"no such batches: data_batch_7\.bin"):
        CifarBinary().read(f"{tmp_path}::test_batch.bin,data_batch_7.bin")


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
