from __future__ import annotations

import errno
import logging
import os
import re
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
from allencv_al.data.transforms.flips import HorizontalFlip
from allencv_al.data.transforms.resizing import LongestMaxSize, Resize, SmallestMaxSize


class ArrayReader(DatasetReader):
    """Reads nothing, gives what it was given."""

    def __init__(self, items, **kwargs):
        super().__init__(**kwargs)
        self.items = items

    def _read(self, path):
        return self.items


def array(value: int = 7) -> np.ndarray:
    return np.full((4, 6, 3), value, dtype=np.uint8)


# --- a reader of the user's own ---


def test_a_strangers_reader_is_ten_lines(tmp_path: Path, write_image):
    """What the documentation promises, written as someone would who has only read it."""

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


# --- lazy: false ---


def test_eager_reading_holds_decoded_uint8(tmp_path: Path, write_image):
    file = write_image("cat/a.png", color=(1, 2, 3))
    dataset = ImageClassificationDirectory(lazy=False).read(tmp_path)
    file.unlink()
    image = dataset[0].image
    assert isinstance(image, np.ndarray) and image.dtype == np.uint8
    assert image.shape == (4, 6, 3) and (image == (1, 2, 3)).all()
    assert dataset[0].id == "cat/a.png" and dataset[0].label == "cat"
    assert (dataset.reader.load(dataset[0], 0).image == image).all()


def test_eager_reading_leaves_unreadable_images_out_and_lists_them(tmp_path: Path, write_image):
    for n in range(3):
        write_image(f"cat/{n}.png")
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    dataset = ImageClassificationDirectory(lazy=False, max_unreadable=0.4).read(tmp_path)
    assert [i.id for i in dataset] == ["cat/0.png", "cat/2.png"]
    assert list(dataset.unreadable) == ["cat/1.png"]
    assert "1.png" in str(dataset.unreadable["cat/1.png"])


def test_eager_reading_with_too_many_unreadable_says_how_to_go_on(tmp_path: Path, write_image):
    write_image("cat/good.png")
    for n in range(12):
        (tmp_path / "cat" / f"bad{n:02d}.jpg").write_bytes(b"bad")
    with pytest.raises(DataError) as error:
        ImageClassificationDirectory(lazy=False).read(tmp_path)
    message = str(error.value)
    assert message.startswith("12 of 13 images are unreadable")
    assert "set max_unreadable" in message and "bad09.jpg" in message
    assert "... and 2 more" in message and "bad10.jpg" not in message


def test_the_limit_itself_is_allowed(tmp_path: Path, write_image):
    for n in range(3):
        write_image(f"cat/{n}.png")
    (tmp_path / "cat" / "bad.png").write_bytes(b"")
    assert len(ImageClassificationDirectory(lazy=False, max_unreadable=0.25).read(tmp_path)) == 3


def test_eager_reading_with_raise_ends_at_the_first(tmp_path: Path, write_image):
    write_image("cat/a.png")
    (tmp_path / "cat" / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(ImageDecodeError, match=r"bad\.jpg"):
        ImageClassificationDirectory(lazy=False, on_error="raise").read(tmp_path)


# --- load ---


def test_load_decodes_every_part_of_an_instance(write_image):
    instance = Instance(
        id="a",
        image=write_image("a.png"),
        mask=np.ones((4, 6), dtype=np.uint8),
        boxes=((0, 1, 2, 3), (1, 1, 9, 9)),
        box_labels=("cat", "dog"),
        keypoints=((1, 2), (-3, 8)),
    )
    sample = ArrayReader([]).load(instance, 0)
    assert sample.image.dtype == np.uint8 and sample.image.flags.c_contiguous
    assert sample.mask is not None and sample.mask.tolist() == np.ones((4, 6)).tolist()
    assert sample.boxes is not None and sample.boxes.dtype == np.float32
    assert sample.boxes.tolist() == [[0, 1, 2, 3], [1, 1, 6, 4]]  # cut at the border
    assert sample.box_labels == ["cat", "dog"]
    assert sample.keypoints is not None and sample.keypoints.tolist() == [[1, 2], [-3, 8]]


def test_an_instance_without_boxes_differs_from_one_with_none_of_them():
    reader = ArrayReader([])
    assert reader.load(Instance("a", array()), 0).boxes is None
    empty = reader.load(Instance("a", array(), boxes=(), box_labels=(), keypoints=()), 0)
    assert empty.boxes is not None and empty.boxes.shape == (0, 4)
    assert empty.keypoints is not None and empty.keypoints.shape == (0, 2)


def test_a_box_outside_the_image_names_both(write_image):
    file = write_image("a.png")
    instance = Instance("a", file, boxes=((0, 0, 2, 2), (7, 1, 9, 3)), box_labels=("x", "y"))
    with pytest.raises(DataError) as error:
        ArrayReader([]).load(instance, 0)
    assert str(file) in str(error.value)
    assert "boxes[1] = [7.0, 1.0, 9.0, 3.0]" in str(error.value)
    assert "6x4 pixels" in str(error.value)


def test_a_mask_of_another_size_names_both(write_image):
    image, mask = write_image("a.png"), write_image("mask.png", (1, 1, 1), size=(5, 4))
    with pytest.raises(DataError) as error:
        ArrayReader([]).load(Instance("a", image, mask=mask), 0)
    for part in (str(image), str(mask), "5x4", "6x4"):
        assert part in str(error.value)


def test_max_pixels_is_passed_to_the_decoder(write_image):
    instance = Instance("a", write_image("a.png"))
    assert ArrayReader([], max_pixels=24).load(instance, 0).image.shape == (4, 6, 3)
    with pytest.raises(ImageDecodeError):
        ArrayReader([], max_pixels=23).load(instance, 0)


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


def test_every_registered_reader_is_found_built_and_documented():
    from allencv_al.common.config.signatures import signature_of

    names = set(DatasetReader.builtin)
    assert names == {
        *("cifar_binary", "cifar_python", "image_annotation"),
        "image_classification_directory",
        *("manifest", "paired_image"),
    }
    for name in names:
        reader = DatasetReader.from_params({"type": name})
        assert isinstance(reader, DatasetReader)
        assert reader.image_shape()[0] == 3
        for argument in signature_of(type(reader)).arguments.values():
            assert argument.description, f"{name}: {argument.name} is not documented"


@pytest.mark.parametrize("name", sorted(DatasetReader.builtin))
def test_every_reader_refuses_a_path_where_nothing_is(name: str, tmp_path: Path):
    reader = DatasetReader.from_params({"type": name})
    with pytest.raises(DataError, match="absent"):
        reader.read(tmp_path / "absent")
    assert type(reader).path_fault(tmp_path / "absent") is not None


# --- colors and large photographs ---

CASES = Path(__file__).parents[1] / "cases" / "images"


def test_raw_colors_reaches_the_decoder():
    instance = Instance("a", CASES / "adobe_rgb.png")
    converted = ArrayReader([]).load(instance, 0).image
    assert converted[0, 0].tolist() == [208, 57, 57]
    assert ArrayReader([], raw_colors=True).load(instance, 0).image[0, 0].tolist() == [180, 60, 60]


def large_photo(tmp_path: Path) -> Path:
    path = tmp_path / "large.jpg"
    y, x = np.mgrid[0:600, 0:800]
    Image.fromarray(np.stack([x // 4, y // 3, (x + y) // 8], 2).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    "scaling",
    [Resize(60, 50), SmallestMaxSize(60), LongestMaxSize(60)],
    ids=["resize", "smallest", "longest"],
)
def test_a_large_photograph_is_decoded_at_a_part_of_its_size(tmp_path: Path, scaling):
    instance = Instance("a", large_photo(tmp_path))
    whole = ArrayReader([], augmentation=[scaling])
    reduced = ArrayReader([], augmentation=[scaling], reduce_above=0)
    assert whole.decode(instance).image.shape == (600, 800, 3)
    assert reduced.decode(instance).image.shape == (150, 200, 3)  # 150 is at least 2 * 60
    first, second = (reader.load(instance, 0).image for reader in (whole, reduced))
    assert first.shape == second.shape
    assert np.abs(first.astype(int) - second).mean() < 2


def test_it_is_decoded_whole_where_a_part_would_not_do(tmp_path: Path):
    path = large_photo(tmp_path)
    plain = Instance("a", path)
    for augmentation in ([], [Resize(60, 60, p=0.5)], [HorizontalFlip(), Resize(60, 60)]):
        reader = ArrayReader([], augmentation=augmentation, reduce_above=0)
        assert reader.decode(plain).image.shape == (600, 800, 3)
    reader = ArrayReader([], augmentation=[Resize(60, 60)], reduce_above=0)
    boxed = Instance("a", path, boxes=((0.0, 0.0, 9.0, 9.0),))
    assert reader.decode(boxed).image.shape == (600, 800, 3)
    assert reader.decode(Instance("a", array())).image.shape == (4, 6, 3)


def test_reduce_above_is_a_number_of_pixels(tmp_path: Path):
    path = large_photo(tmp_path)
    for limit, height in ((480_000, 600), (479_999, 150)):
        reader = ArrayReader([], augmentation=[Resize(60, 60)], reduce_above=limit)
        assert reader.decode(Instance("a", path)).image.shape[0] == height
    with pytest.raises(ConfigurationError, match="reduce_above: expected int >= 0"):
        ArrayReader([], reduce_above=-1)


# --- faults of the machine ---


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE])
def test_a_fault_of_the_machine_is_not_an_unreadable_image(
    monkeypatch, write_image, number: int, lazy: bool
):
    instances = [Instance(str(index), write_image(f"{index}.png")) for index in range(3)]

    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Image, "open", fails)
    reader = ArrayReader(instances, lazy=lazy, max_unreadable=1.0)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
        for instance in reader.read("anywhere"):
            reader.load(instance, 0)
    assert str(caught.value.filename).endswith(".png")


def test_a_folder_that_the_machine_cannot_list_is_the_machines_fault(monkeypatch, tmp_path: Path):
    def fails(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files", str(tmp_path))

    monkeypatch.setattr(os, "scandir", fails)
    with pytest.raises(OSError, match="Too many open files"):
        ImageClassificationDirectory().read(tmp_path)
