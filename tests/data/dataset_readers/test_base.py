from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import check
from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.common.user_mistakes import UserCodeError
from allencv_al.data.dataset_readers import (
    Dataset,
    DatasetReader,
    ImageClassificationDirectory,
    ImageDatasetReader,
    Skipped,
)
from allencv_al.data.instance import Instance
from tests.data.dataset_readers.conftest import ArrayReader, array

# --- a reader of the user's own ---


def test_a_strangers_reader_is_ten_lines(tmp_path: Path, write_image):
    """A reader written from the documentation alone."""

    @DatasetReader.register("photos_named_by_class", exist_ok=True)
    class PhotosNamedByClass(DatasetReader):
        def _read(self, path):
            for file in sorted(path.glob("*.jpg")):
                yield self.make_instance(file, label=file.stem.split("_")[0])

    write_image("photos/dog_2.jpg")
    write_image("photos/cat_1.jpg", size=(8, 5))
    reader = DatasetReader.from_params({"type": "photos_named_by_class"})

    dataset = reader.read(tmp_path / "photos")

    assert [instance.id for instance in dataset] == ["cat_1.jpg", "dog_2.jpg"]
    assert dataset.labels() == ["cat", "dog"]
    assert reader.load(dataset[0], seed=1).image.shape == (5, 8, 3)


def test_a_strangers_reader_with_options_takes_the_common_ones_too(tmp_path: Path, write_image):
    @DatasetReader.register("photos_with_suffix", exist_ok=True)
    class PhotosWithSuffix(DatasetReader):
        """Reads photos of one suffix.

        Args:
            suffix: Which ones.
        """

        def __init__(self, suffix: str, **kwargs):
            super().__init__(**kwargs)
            self.suffix = suffix

        def _read(self, path):
            for file in sorted(path.iterdir()):
                if file.suffix == self.suffix:
                    yield self.make_instance(file)
                else:
                    yield Skipped("other suffix", file.name)

    write_image("a.png")
    write_image("b.jpg")
    config = {
        "type": "photos_with_suffix",
        "suffix": ".png",
        "lazy": False,
        "augmentation": [{"type": "resize", "height": 2, "width": 3}],
    }
    assert check(DatasetReader, config) == []
    reader = DatasetReader.from_params(config)
    dataset = reader.read(tmp_path)
    assert dataset.skipped == {"other suffix": 1}
    assert dataset[0].label is None
    assert reader.load(dataset[0], 0).image.shape == (2, 3, 3)
    assert [str(f) for f in check(DatasetReader, {**config, "sufix": ".x"})] != []


def test_allencvs_name_of_the_base_class():
    assert ImageDatasetReader is DatasetReader


def test_text_to_instance_is_what_predictors_reach():
    class Own(ArrayReader):
        def text_to_instance(self, image, label=None):
            return self.make_instance(image, label, metadata={"seen": True})

    instance = Own([]).image_to_instance("a/b.jpg", label="cat", id="mine")
    assert (instance.id, instance.label, instance.metadata) == ("mine", "cat", {"seen": True})
    assert Own([]).image_to_instance("a/b.jpg").id == "a/b.jpg"


def test_image_to_instance_and_its_old_name_agree(write_image):
    reader = ArrayReader([])
    file = write_image("a.png")
    for method in (reader.image_to_instance, reader.text_to_instance):
        assert method(file) == Instance(id=file.as_posix(), image=file)
        assert method(file, "cat", "x") == Instance(id="x", image=file, label="cat")


def test_only_image_given_to_an_override_with_one_parameter():
    class Own(ArrayReader):
        def text_to_instance(self, img):
            return self.make_instance(img)

    assert Own([]).image_to_instance("a.jpg", id="b").id == "b"


# --- read ---


def test_lazy_reading_decodes_nothing(tmp_path: Path, monkeypatch):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "broken.jpg").write_bytes(b"not an image")
    dataset = ImageClassificationDirectory().read(tmp_path)
    assert [instance.id for instance in dataset] == ["cat/broken.jpg"]
    with pytest.raises(ImageDecodeError, match=r"cat/broken\.jpg"):
        dataset.reader.load(dataset[0], 0)


def test_ids_are_completed_so_that_they_are_the_same_on_every_machine(tmp_path: Path, write_image):
    file = write_image("set/deep/a.png")
    outside = write_image("other/b.png")
    reader = ArrayReader([])
    reader.items = [
        reader.make_instance(file),
        reader.make_instance(str(outside)),
        reader.make_instance(array()),
        reader.make_instance(array(), id="own"),
    ]
    dataset = reader.read(tmp_path / "set")
    assert [i.id for i in dataset] == ["deep/a.png", outside.as_posix(), "set:2", "own"]


def test_ids_that_occur_twice_are_listed(tmp_path: Path):
    items = [Instance(id=f"{n % 12}", image=array()) for n in range(24)]
    with pytest.raises(DataError) as error:
        ArrayReader(items).read(tmp_path)
    assert "12 problems" in str(error.value)
    assert 'the id "3" occurs 2 times' in str(error.value)
    assert "... and 2 more" in str(error.value)


def test_no_images_is_an_error_that_says_what_was_there(tmp_path: Path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").touch()
    (tmp_path / ".git").mkdir()
    with pytest.raises(DataError) as error:
        ImageClassificationDirectory().read(tmp_path)
    for part in (str(tmp_path), "1 foreign (cat/notes.txt)", "1 hidden (.git)", "for each class"):
        assert part in str(error.value)


def test_an_empty_path_is_not_the_current_folder():
    with pytest.raises(DataError, match='expected a path, found ""'):
        ImageClassificationDirectory().read("")


def test_yielding_something_else_names_what_is_expected(tmp_path: Path):
    with pytest.raises(DataError, match=r"make_instance\(image, label\).*found dict"):
        ArrayReader([{"image": 1}]).read(tmp_path)


def test_a_reader_without_read_says_what_it_needs(tmp_path: Path):
    class Own(DatasetReader):
        pass

    with pytest.raises(NotImplementedError, match=r"Own needs a method _read\(self, path\)"):
        Own().read(tmp_path)


def test_a_forgotten_yield_is_told(tmp_path: Path):
    with pytest.raises(UserCodeError, match=r"_read: .*\(is a `yield` missing\?\), found None"):
        ArrayReader(None).read(tmp_path)


def test_a_missing_file_in_a_users_reader_is_one_message(tmp_path: Path):
    class Own(ArrayReader):
        def _read(self, path):
            (path / "list.txt").read_text()
            return []

    with pytest.raises(DataError, match=r"list\.txt: No such file"):
        Own([]).read(tmp_path)


def test_names_that_are_no_utf8_become_writable_ids(tmp_path: Path):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    reader = ArrayReader([])
    reader.items = [reader.make_instance(tmp_path / name, label=name)]
    instance = reader.read(tmp_path)[0]
    assert instance.id == instance.label == "caf\\xe9.jpg"
    assert instance.image == tmp_path / name  # still the file's real name


def test_what_was_passed_over_is_told_once(tmp_path: Path, write_image, caplog):
    write_image("cat/a.png")
    for n in range(5):
        (tmp_path / "cat" / f"{n}.txt").touch()
    with caplog.at_level(logging.INFO, logger="allencv_al"):
        ImageClassificationDirectory().read(tmp_path)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "1 images, 1 of them labeled, 1 classes" in message
    assert "5 foreign (cat/0.txt, cat/1.txt, cat/2.txt, ...)" in message


def test_path_fault_needs_no_reading(tmp_path: Path):
    assert DatasetReader.path_fault(tmp_path) is None
    assert str(tmp_path / "x") in (DatasetReader.path_fault(tmp_path / "x") or "")


# --- the dataset ---


def test_dataset_is_a_sequence_and_its_slices_are_datasets(tmp_path: Path):
    items = [Instance(id=str(n), image=array(), label="ab"[n % 2]) for n in range(5)]
    dataset = ArrayReader(items).read(tmp_path)
    assert len(dataset) == 5
    assert dataset[-1].id == "4"
    assert items[2] in list(dataset)
    part = dataset[1:3]
    assert isinstance(part, Dataset)
    assert part.labels() == ["b", "a"]
    assert part.reader is dataset.reader
    with pytest.raises(IndexError):
        dataset[5]


# --- load ---


def test_load_depends_on_the_seed_only():
    config = {
        "type": "image_classification_directory",
        "augmentation": [{"type": "horizontal_flip", "p": 0.5}, {"type": "channel_shuffle"}],
    }
    reader = DatasetReader.from_params(config)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    instance = Instance("a", pixels)
    before = pixels.copy()
    first = [reader.load(instance, seed).image for seed in range(8)]
    again = [reader.load(instance, seed).image for seed in reversed(range(8))][::-1]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert len({image.tobytes() for image in first}) > 2
    assert (pixels == before).all()


def test_image_shape_and_the_deferred_normalization():
    config = {
        "type": "image_classification_directory",
        "augmentation": [{"type": "resize", "height": 8, "width": 12}, {"type": "normalize"}],
    }
    reader = DatasetReader.from_params(config)
    assert reader.image_shape() == (3, 8, 12)
    assert reader.deferred is not None
    assert reader.load(Instance("a", array()), 0).image.dtype == np.uint8
    plain = ImageClassificationDirectory()
    assert plain.image_shape() == (3, None, None)
    assert plain.deferred is None


def test_bytes_and_pil_images_can_be_loaded(write_image):
    file = write_image("a.png", color=(9, 8, 7))
    for image in (file.read_bytes(), Image.open(file), str(file)):
        sample = ArrayReader([]).load(ArrayReader([]).image_to_instance(image), 0)
        assert (sample.image == (9, 8, 7)).all()


# --- options ---


@pytest.mark.parametrize(
    ("name", "value"), [("max_unreadable", 1.5), ("max_unreadable", -0.1), ("max_pixels", 0)]
)
def test_a_wrong_limit_is_a_config_fault_and_an_error(name: str, value: float):
    with pytest.raises(ConfigurationError, match=name):
        ImageClassificationDirectory(**{name: value})
    faults = check(DatasetReader, {"type": "image_classification_directory", name: value})
    assert [fault.path for fault in faults] == [name]


def test_a_wrong_order_of_transforms_is_a_fault_at_its_place():
    config = {
        "type": "image_classification_directory",
        "augmentation": [{"type": "normalize"}, {"type": "horizontal_flip"}, {"type": "to_gray"}],
    }
    (fault,) = check(DatasetReader, config)
    assert fault.path == "augmentation.2"
    with pytest.raises(ConfigurationError):
        DatasetReader.from_params(config)
    bad = {**config, "augmentation": [{"type": "resize", "height": 0, "width": 1}]}
    (fault,) = check(DatasetReader, bad)
    assert fault.path.startswith("augmentation.0")


def test_on_error_is_checked():
    with pytest.raises(ConfigurationError, match="on_error"):
        ArrayReader([], on_error="ignore")


NEEDED = {"vectors": {"dimension": 3}}


def test_every_registered_reader_is_found_built_and_documented():
    from allencv_al.common.config.signatures import signature_of

    names = set(DatasetReader.builtin)
    assert names == {
        *("cifar_binary", "cifar_python", "coco", "cvat", "idx", "image_annotation"),
        *("image_classification_directory", "label_studio", "labelme"),
        *("manifest", "paired_image", "pascal_voc", "vectors", "yolo"),
    }
    for name in names:
        reader = DatasetReader.from_params({"type": name, **NEEDED.get(name, {})})
        assert isinstance(reader, DatasetReader)
        assert reader.image_shape()[0] == 3
        for argument in signature_of(type(reader)).arguments.values():
            assert argument.description, f"{name}: {argument.name} is not documented"


@pytest.mark.parametrize("name", sorted(DatasetReader.builtin))
def test_every_reader_refuses_a_path_where_nothing_is(name: str, tmp_path: Path):
    reader = DatasetReader.from_params({"type": name, **NEEDED.get(name, {})})
    with pytest.raises(DataError, match="absent"):
        reader.read(tmp_path / "absent")
    assert type(reader).path_fault(tmp_path / "absent") is not None


# --- faults of the machine ---


def test_a_folder_that_the_machine_cannot_list_is_the_machines_fault(monkeypatch, tmp_path: Path):
    def fails(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files", str(tmp_path))

    monkeypatch.setattr(os, "scandir", fails)
    with pytest.raises(OSError, match="Too many open files"):
        ImageClassificationDirectory().read(tmp_path)
