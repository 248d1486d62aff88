"""What may be labeled and what measures: apart, the same for a seed, and hidden until asked for."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.learners.experiment_learner import ExperimentLearner
from allencv_al.active_learning.loop_data import LoopData, read_loop_data
from allencv_al.common import Params
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.base import Dataset

MakeConfig = Callable[..., dict[str, Any]]
MakeDigits = Callable[..., Path]


def read(config: dict[str, Any]) -> LoopData:
    return read_loop_data(ActiveLearningExperiment.from_checked(Params(config)))


def ids_of(dataset: Dataset | None) -> list[str]:
    assert dataset is not None
    return [item.id for item in dataset]


def test_a_share_of_each_class_is_held_out(linear_config: MakeConfig) -> None:
    data = read(linear_config(test_fraction=0.25))
    assert Counter(id.partition("/")[0] for id in ids_of(data.test)) == {
        "one": 5,
        "two": 5,
        "zero": 5,
    }
    pool = [item.id for item in data.items()]
    assert len(pool) == 45
    assert not set(pool) & set(ids_of(data.test))
    assert data.validation is None and not data.test_is_validation


def test_what_is_held_out_depends_on_the_seed_alone(linear_config: MakeConfig) -> None:
    chosen = [ids_of(read(linear_config(_random_seed=seed)).test) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1]
    assert set(chosen[0]) != set(chosen[2])


def test_neither_the_order_nor_the_place_of_the_images_changes_it(
    linear_config: MakeConfig, digits: Path, tmp_path: Path
) -> None:
    rows = [f"{path.relative_to(digits)},{path.parent.name}" for path in digits.rglob("*.png")]
    np.random.default_rng(0).shuffle(rows)
    shutil.copytree(digits, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "rows.csv").write_text("\n".join(["path,label", *rows]))
    shuffled = linear_config(
        tmp_path / "elsewhere" / "rows.csv", _dataset_reader={"type": "manifest"}
    )
    assert set(ids_of(read(shuffled).test)) == set(ids_of(read(linear_config()).test))


def test_test_images_are_read_as_images_that_measure(linear_config: MakeConfig) -> None:
    resized = {
        "type": "image_classification_directory",
        "augmentation": [{"type": "resize", "height": 8, "width": 8}],
    }
    data = read(linear_config(_validation_dataset_reader=resized))
    assert data.test is not None
    assert len(data.test.reader.augmentation) == 1 and len(data.sources[0].reader.augmentation) == 0


def test_a_share_that_leaves_nothing_is_refused(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    data = make_digits(tmp_path / "few", per_class=2)
    with pytest.raises(DataError, match="test_fraction: all 6 images would be held out"):
        read(linear_config(data, test_fraction=0.9))
    with pytest.raises(DataError, match="test_fraction: no labeled image can be held out"):
        read(linear_config(data, test_fraction=0.1))


def test_without_test_data_validation_data_measure_and_it_says_so(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path, caplog: Any
) -> None:
    held_out = make_digits(tmp_path / "held_out", per_class=2, first=20)
    data = read(linear_config(test_fraction=None, _validation_data_path=str(held_out)))
    assert data.test is data.validation and data.test_is_validation
    assert "the figures are slightly too good" in caplog.text
    data = read(linear_config(test_fraction=None))
    assert data.test is None
    assert "nothing to measure with" in caplog.text


# --- what measures is not learned from ------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_data_path", "validation_data_path"])
def test_images_that_measure_must_not_be_in_the_pool(
    linear_config: MakeConfig, digits: Path, name: str
) -> None:
    config = linear_config(test_fraction=None, **{f"_{name}": str(digits)})
    with pytest.raises(DataError, match=f"{name}: 60 images that measure are in the pool too: one"):
        read(config)


def test_not_even_under_other_names(
    linear_config: MakeConfig, digits: Path, make_digits: MakeDigits, tmp_path: Path
) -> None:
    """A folder that is a link, a link among files, a path with `..` in it."""
    test = make_digits(tmp_path / "test", per_class=1, first=20)
    file = next((digits / "two").glob("*.png"))
    (test / "two" / "renamed.png").symlink_to(file)
    config = linear_config(test_fraction=None, _test_data_path=str(test))
    message = "test_data_path: 1 image that measures is in the pool too: two/renamed.png;"
    with pytest.raises(DataError, match=re.escape(message)):
        read(config)
    (tmp_path / "link").symlink_to(digits, target_is_directory=True)
    for path in (tmp_path / "link", digits / ".." / digits.name):
        with pytest.raises(DataError, match="60 images that measure are in the pool"):
            read(linear_config(test_fraction=None, _test_data_path=str(path)))


def test_what_is_held_out_must_not_be_in_the_pool_under_another_name(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    data = make_digits(tmp_path / "linked")
    for file in list((data / "two").iterdir()):
        (data / "two" / f"link_{file.name}").symlink_to(file)
    with pytest.raises(DataError, match=r"active_learning\.test_fraction: \d+ images that measure"):
        read(linear_config(data))


# --- two sources ----------------------------------------------------------------------------------


def test_unlabeled_images_join_the_pool_and_their_folders_tell_nothing(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    more = make_digits(tmp_path / "more", per_class=3, first=20)
    data = read(linear_config(_pool_data_path=str(more), annotator="file"))
    assert [len(source) for source in data.sources] == [36, 9]
    assert {item.label for item in data.sources[1]} == {None}
    assert None not in {item.label for item in data.sources[0]}
    data = read(linear_config(_pool_data_path=str(more)))  # ground_truth
    assert {item.label for item in data.sources[1]} == {"one", "two", "zero"}


def test_an_id_means_one_image(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    train = make_digits(tmp_path / "a", per_class=3)
    more = make_digits(tmp_path / "b", per_class=1)
    message = "pool_data_path: 3 ids are at train_data_path too: one/001.png, "
    with pytest.raises(DataError, match=re.escape(message)):
        read(linear_config(train, _pool_data_path=str(more), test_fraction=None))


def test_images_with_labels_are_left_out_of_the_folder_that_holds_all(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path, caplog: Any
) -> None:
    """Under the same id (a table that `select` wrote) and under another one (a subfolder)."""
    photos = tmp_path / "photos"
    labeled = make_digits(photos / "labeled", per_class=2)
    make_digits(photos / "others", per_class=2, first=5)
    others = sorted(str(file.relative_to(photos)) for file in photos.glob("others/*/*.png"))
    settings: dict[str, Any] = {"_pool_data_path": str(photos), "annotator": "file"}
    config = linear_config(labeled, **settings, test_fraction=None)
    with caplog.at_level("INFO"):
        assert sorted(item.id for item in read(config).sources[1]) == others
    assert "pool_data_path: left out 6 images that are at train_data_path too" in caplog.text
    rows = [
        f"{file},{file.parent.name},{file.relative_to(photos)}" for file in labeled.rglob("*.png")
    ]
    table = tmp_path / "to_label.csv"
    table.write_text("\n".join(["path,label,id", *rows]))
    config = linear_config(table, **settings, _dataset_reader={"type": "manifest"})
    config["active_learning"]["test_fraction"] = 0.5
    data = read(config)
    assert sorted(item.id for item in data.sources[1]) == others  # none of those held out either
    assert data.test is not None and len(data.test) == 3


def test_what_gives_the_labels_of_the_data_needs_them(
    linear_config: MakeConfig, digits: Path, tmp_path: Path
) -> None:
    files = sorted(digits.rglob("*.png"))
    rows = [
        "path,label",
        *(f"{file},{file.parent.name if n else ''}" for n, file in enumerate(files)),
    ]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    config = linear_config(tmp_path / "rows.csv", _dataset_reader={"type": "manifest"})
    message = r"active_learning\.annotator: .* 1 image has none: .*one/001\.png; expected all to be"
    with pytest.raises(DataError, match=message):
        read(config)
    config["active_learning"]["annotator"] = "file"
    assert [item.label for item in read(config).items()].count(None) == 1


def test_a_path_that_is_no_folder_of_images_is_named(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: found no images"):
        read(linear_config(_pool_data_path=str(tmp_path / "empty")))


def test_test_images_of_other_classes_measure_nothing(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path, caplog: Any
) -> None:
    test = make_digits(tmp_path / "test", per_class=1, first=20)
    config = linear_config(test_fraction=None, _test_data_path=str(test))
    (test / "zero").rename(test / "Zero")
    read(config)
    assert "test_data_path: classes that no training image has: Zero" in caplog.text
    experiment = ActiveLearningExperiment.from_checked(Params(config))
    learner = ExperimentLearner(experiment, tmp_path / "cache")
    assert "Zero" not in learner.class_names()
    assert "1 of 3 images are of classes that the model does not know: Zero (1)" in caplog.text
    for name in ("one", "two"):
        (test / name).rename(test / name.upper())
    with pytest.raises(DataError, match="test_data_path: classes that no training image has: ONE"):
        read(config)


def test_a_folder_of_images_is_a_pool_whatever_the_reader(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    photos = make_digits(tmp_path / "photos")
    table = tmp_path / "labeled.csv"
    [first, *_] = sorted(photos.rglob("*.png"))
    table.write_text(f"path,label,id\n{first},zero,labeled\n")
    pool = tmp_path / "pool"
    pool.mkdir()
    for number, file in enumerate(sorted(photos.rglob("*.png"))[1:4]):
        shutil.copy(file, pool / f"{number}.png")
    config = linear_config(table, _pool_data_path=str(pool), test_fraction=None, annotator="file")
    config["dataset_reader"] = {**config["dataset_reader"], "type": "manifest"}
    data = read(config)
    assert [(item.id, item.label) for item in data.items()] == [
        ("labeled", "zero"),
        ("0.png", None),
        ("1.png", None),
        ("2.png", None),
    ]


def test_a_copy_of_a_pool_image_among_those_that_measure_is_a_warning(
    linear_config: MakeConfig,
    digits: Path,
    make_digits: MakeDigits,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    test = make_digits(tmp_path / "test", per_class=1, first=20)
    file = next((digits / "two").glob("*.png"))
    (test / "two" / "copy.png").write_bytes(file.read_bytes())
    read(linear_config(test_fraction=None, _test_data_path=str(test)))
    assert "the test images: 1 image is in the pool too" in caplog.text
    assert f"two/copy.png is two/{file.name}" in caplog.text
