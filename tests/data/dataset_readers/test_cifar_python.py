from __future__ import annotations

import os
import pickle
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.cifar_pickles import batch, python2_pickle

from allencv_al.common.config.config_check import check
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import CifarBinary, CifarPython, DatasetReader
from allencv_al.data.dataset_readers.cifar_python import holds_python_batches

NAMES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]


def write_batches(folder: Path, dump: Any = python2_pickle) -> dict[str, dict[str, Any]]:
    """Write a small CIFAR-10 for Python, and return what its batches hold."""
    folder.mkdir(parents=True, exist_ok=True)
    batches = {f"data_batch_{n}": batch(4, n) for n in (1, 2, 10)} | {"test_batch": batch(3, 7)}
    for name, content in batches.items():
        (folder / name).write_bytes(dump(content))
    meta = {"num_cases_per_batch": 4, "label_names": NAMES, "num_vis": 3072}
    (folder / "batches.meta").write_bytes(dump(meta))
    return batches


def python3_pickle(value: Any) -> bytes:
    """Return what Python 3 writes for Python 2 to read."""
    return pickle.dumps(value, protocol=2)


def later_pickle(value: Any) -> bytes:
    return pickle.dumps(value, protocol=4)


every_writer = pytest.mark.parametrize("dump", [python2_pickle, python3_pickle, later_pickle])


@every_writer
def test_a_record_becomes_an_image_of_rows_columns_and_rgb(tmp_path: Path, dump: Any) -> None:
    data = write_batches(tmp_path, dump)["test_batch"]["data"]
    dataset = CifarPython().read(f"{tmp_path}::test")
    assert [instance.id for instance in dataset] == [f"test_batch:{n}" for n in range(3)]
    assert dataset.labels() == ["horse", "ship", "truck"]
    image = dataset[1].image
    assert isinstance(image, np.ndarray)
    assert image.shape == (32, 32, 3) and image.dtype == np.uint8
    for row, column, color in ((0, 0, 0), (31, 31, 2), (3, 17, 1)):
        assert image[row, column, color] == data[1, 1024 * color + 32 * row + column]


def test_folder_archive_and_single_file_give_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_batches(folder)
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    by_path = [
        [(i.id, i.label, np.asarray(i.image).tobytes()) for i in CifarPython().read(path)]
        for path in (f"{folder}::test", f"{archive}::test", folder / "test_batch")
    ]
    assert by_path[0] == by_path[1] == by_path[2]
    assert [i.id for i in CifarPython().read(tmp_path)][:1] == ["data_batch_1:0"]


def test_parts_are_splits_or_names(tmp_path: Path) -> None:
    write_batches(tmp_path)

    def counts(path: str, **options: Any) -> dict[str, int]:
        found = CifarPython(**options).read(path)
        return Counter(instance.id.partition(":")[0] for instance in found)

    train = {"data_batch_1": 4, "data_batch_2": 4, "data_batch_10": 4}
    assert counts(str(tmp_path)) == counts(f"{tmp_path}::train") == train
    assert counts(f"{tmp_path}::all") == {**train, "test_batch": 3}
    assert counts(str(tmp_path), split="test") == {"test_batch": 3}
    two = f"{tmp_path}::data_batch_1,data_batch_10"
    assert counts(two) == {"data_batch_1": 4, "data_batch_10": 4}
    with pytest.raises(DataError, match=r"no such batches: data_batch_3; .*found data_batch_1"):
        counts(f"{tmp_path}::data_batch_1,data_batch_3")
    with pytest.raises(DataError, match="nothing can stand behind ::"):
        counts(f"{tmp_path / 'test_batch'}::test")


def test_without_training_batches_the_test_batch_is_read(tmp_path: Path) -> None:
    (tmp_path / "test_batch").write_bytes(python2_pickle(batch(2)))
    assert CifarPython().read(tmp_path).labels() == ["airplane", "automobile"]


def test_cifar_100_has_two_labels(tmp_path: Path) -> None:
    content = batch(3)
    content.pop("labels")
    content |= {"fine_labels": [99, 0, 4], "coarse_labels": [19, 0, 2]}
    (tmp_path / "test").write_bytes(python2_pickle(content))
    meta = {
        "fine_label_names": [f"fine{n:02d}" for n in range(100)],
        "coarse_label_names": [f"coarse{n:02d}" for n in range(20)],
    }
    (tmp_path / "meta").write_bytes(python2_pickle(meta))
    fine = CifarPython().read(tmp_path)
    assert fine.labels() == ["fine99", "fine00", "fine04"]
    assert fine[0].metadata == {"coarse": "coarse19", "fine": "fine99"}
    assert CifarPython(labels="coarse").read(tmp_path).labels()[0] == "coarse19"


def test_it_equals_the_binary_reader(tmp_path: Path) -> None:
    batches = write_batches(tmp_path / "py")
    (tmp_path / "bin").mkdir()
    for name, content in batches.items():
        labels = np.array(content["labels"], dtype=np.uint8)[:, None]
        records = np.hstack([labels, content["data"]])
        (tmp_path / "bin" / f"{name}.bin").write_bytes(records.tobytes())
    python = CifarPython().read(f"{tmp_path / 'py'}::all")
    binary = CifarBinary().read(f"{tmp_path / 'bin'}::all")
    assert python.labels() == binary.labels()
    for ours, theirs in zip(python, binary, strict=True):
        assert ours.id == theirs.id.replace(".bin", "")
        assert np.array_equal(np.asarray(ours.image), np.asarray(theirs.image))


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "harm"
    for content in (
        Hostile(target),
        {"data": Hostile(target)},
        {**batch(2), "labels": [Hostile(target)]},
    ):
        (tmp_path / "test_batch").write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(DataError, match="nothing of it was run"):
            CifarPython().read(tmp_path)
    assert not target.exists()
    pickle.loads(pickle.dumps(Hostile(target), protocol=protocol))
    assert target.exists(), "the attack itself works"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [1]}, r"expected a list of 2 labels, found 1"),
        ({"labels": [1, 10]}, r"record 1: expected a label from 0 to 9, found 10"),
        ({"labels": [1, "x"]}, r"record 1: expected a label from 0 to 9, found str"),
        ({"data": np.zeros((2, 100), np.uint8)}, r"data of n x 3072 bytes, found \(2, 100\)"),
        ({"data": b"abc"}, r"data of n x 3072 bytes, found str"),
        ({"extra": 1}, r"expected only the keys .*found \['extra'\]"),
    ],
)
def test_a_batch_of_another_layout_is_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "test_batch").write_bytes(python2_pickle({**batch(2), **changes}))
    with pytest.raises(DataError, match=rf"^test_batch.*{message}"):
        CifarPython().read(tmp_path)


def test_meta_names_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    write_batches(tmp_path)
    (tmp_path / "batches.meta").write_bytes(python2_pickle({"label_names": NAMES[:3]}))
    with pytest.raises(DataError, match="expected 10 label names, found 3"):
        CifarPython().read(tmp_path)


def test_the_layout_is_known_by_names(tmp_path: Path) -> None:
    write_batches(tmp_path / "cifar-10-batches-py")
    assert holds_python_batches(tmp_path)
    assert holds_python_batches(tmp_path / "cifar-10-batches-py")
    assert holds_python_batches(tmp_path / "cifar-10-batches-py" / "test_batch")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "test_batch.bin").write_bytes(b"")
    assert not holds_python_batches(tmp_path / "bin")


def test_faults_of_a_config_are_found_without_reading() -> None:
    faults = check(DatasetReader, {"type": "cifar_python", "split": "valid", "labels": "x"})
    assert [fault.path for fault in faults] == ["split", "labels"]
    assert "found none" in str(CifarPython.path_fault("/absent/cifar::train"))
