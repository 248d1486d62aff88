"""Labels that cannot mean what their author meant are pointed out before training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.tasks import label_task
from allencv_al.training.datasets import (
    Datasets,
    check_labels,
    check_learnable,
    check_places,
    only_known,
    only_labeled,
    warn_about_copies,
)

SINGLE = label_task()


class _Nothing(DatasetReader):
    def _read(self, path):  # type: ignore[no-untyped-def]
        return []


def dataset(labels: Sequence[str | None]) -> Dataset:
    pixels = np.zeros((2, 2, 3), np.uint8)
    instances = [Instance(str(i), pixels, label) for i, label in enumerate(labels)]
    return Dataset(_Nothing(), instances, {})


def check(
    train: Sequence[str | None],
    validation: Sequence[str | None] | None = None,
    test: Sequence[str | None] | None = None,
) -> None:
    others = [None if labels is None else dataset(labels) for labels in (validation, test)]
    check_labels(Datasets(dataset(train), *others), SINGLE)


def test_sound_labels_pass_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    check(["cat", "dog", None], ["cat"], ["dog", "cat", None])
    assert caplog.text == ""


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="no image has a class"):
        check_learnable(Datasets(dataset([None, None]), dataset(["cat"]), None), SINGLE)
    check([None, None], ["cat"])  # a run that does not train


class _TakesBoxes:
    def forward(self, image, boxes=None, label=None):  # type: ignore[no-untyped-def]
        pass

    def forward_all(self, image, **others):  # type: ignore[no-untyped-def]
        pass


def test_images_with_boxes_need_a_model_that_takes_them() -> None:
    boxes = {"boxes": ((0.0, 0.0, 1.0, 1.0),), "box_labels": ("cat",)}
    images = [Instance(str(i), np.zeros((2, 2, 3), np.uint8), **boxes) for i in range(2)]
    data, model = Dataset(_Nothing(), images), _TakesBoxes()
    with pytest.raises(DataError, match="have box_labels, which the forward of _TakesBoxes does"):
        check_places(data, model.forward)
    check_places(data, model.forward_all)
    check_places(dataset(["cat"]), model.forward)
    # Of a batch of both, the model gets none
    check_places(Dataset(_Nothing(), [*images, *dataset(["cat"])]), model.forward)


def test_no_class_in_common_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        check(["rover", "whiskers"], ["Rover", "wiskers"])
    assert "validation_data_path" in str(caught.value)
    assert "Rover (1), wiskers (1)" in str(caught.value)
    assert 'did you mean "rover"' in str(caught.value)


def test_a_class_that_training_never_shows_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    check(["cat", "dog"], ["cat"], ["cat", "doog"])
    assert "test_data_path: classes that no training image has: doog" in caplog.text


def test_one_class_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    check(["cat", "cat"])
    assert "of one class, cat" in caplog.text


def test_a_class_for_each_image_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    check([f"IMG{number}" for number in range(24)])
    assert "24 training images are of 24 classes" in caplog.text


def test_unlabeled_images_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    datasets = Datasets(dataset(["cat", None, "dog", None]), dataset(["cat"]), dataset([None, "a"]))
    found = only_labeled(datasets, SINGLE)
    assert found.train.labels() == ["cat", "dog"]
    assert [item.id for item in found.train] == ["0", "2"]
    assert found.validation is datasets.validation
    assert found.test is not None
    assert found.test.labels() == ["a"]
    assert "2 of 4 training images have no label: left out" in caplog.text
    assert "1 of 2 test images have no label: left out" in caplog.text


def test_a_data_set_with_labels_of_another_kind_stays_whole() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    boxes = Dataset(_Nothing(), [Instance("0", pixels, boxes=()), Instance("1", pixels)], {})
    datasets = Datasets(boxes, None, None)
    assert only_labeled(datasets, SINGLE).train is boxes


def test_a_label_of_no_class_is_a_label_and_one_of_an_unknown_class_measures_nothing() -> None:
    task = label_task("multi_label")
    pixels = np.zeros((2, 2, 3), np.uint8)
    labels = [("cat",), (), None, ("cat", "owl"), ("dog",)]
    items = [Instance(str(n), pixels, labels=names) for n, names in enumerate(labels)]
    images = Dataset(_Nothing(), items)
    datasets = Datasets(images, None, None)
    check_learnable(datasets, task)
    assert [item.id for item in only_labeled(datasets, task).train] == ["0", "1", "3", "4"]
    vocabulary = Vocabulary({"labels": {"cat": 1, "dog": 1}})
    kept = only_known(images, vocabulary, "x", task)
    assert [item.id for item in kept] == ["0", "1", "2", "4"]
    boxes = [Instance("0", pixels, boxes=((0, 0, 1, 1),), box_labels=("owl",))]
    with pytest.raises(DataError, match='set its task to "multi_label"'):
        check_learnable(datasets, SINGLE)
    with pytest.raises(DataError, match=r'one class each, and the model learns .* "multi_label"'):
        check_learnable(Datasets(dataset(["cat"]), None, None), task)
    found = Dataset(_Nothing(), boxes)
    assert only_known(found, vocabulary, "x", label_task("detection")) is found


def test_a_class_that_looks_misspelt_beside_those_that_are_measured_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check(["cat", "dog", "dgo"], ["cat", "dog"])
    assert 'of the class "dgo"' in caplog.text
    assert 'did you mean "dog"?' in caplog.text


def test_images_that_measure_of_classes_the_model_does_not_know_are_left_out_with_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    vocabulary = Vocabulary({"labels": {"cat": 1, "dog": 1}})
    measures = dataset(["cat", "horse", "dog", "owl", "horse", None])
    found = only_known(measures, vocabulary, "test_data_path", SINGLE)
    assert found.labels() == ["cat", "dog", None]
    assert (
        "test_data_path: 3 of 6 images are of classes that the model does not know: "
        "horse (2), owl (1): left out"
    ) in caplog.text
    assert only_known(found, vocabulary, "x", SINGLE) is found
    with pytest.raises(DataError, match=r"x: 2 of 2 images .*: Cat \(2\); .*did you mean"):
        only_known(dataset(["Cat", "Cat"]), vocabulary, "x", SINGLE)


def pictures(prefix: str, *contents: tuple[int, str | None]) -> list[Instance]:
    """Return images by the gray that fills them, with labels."""
    return [
        Instance(f"{prefix}{place}", np.full((4, 4, 3), gray, np.uint8), label)
        for place, (gray, label) in enumerate(contents)
    ]


def test_equal_images_that_are_learned_and_measured_are_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warn_about_copies(
        {
            "train_data_path": pictures("a", (1, "cat"), (2, "dog"), (3, "cat")),
            "validation_data_path": pictures("b", (4, "cat"), (5, "dog")),
            "test_data_path": pictures("c", (2, "dog"), (5, "dog"), (6, "cat")),
        }
    )
    leaks = [record.getMessage() for record in caplog.records]
    assert len(leaks) == 2
    assert "test_data_path: 1 image is in train_data_path too" in leaks[0]
    assert "c0 is a1" in leaks[0]
    assert "1 image is in validation_data_path too" in leaks[1]
    assert "allencv-al audit" in leaks[0]


def test_equal_images_with_two_labels_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    warn_about_copies({"train_data_path": pictures("a", (1, "cat"), (1, "dog"), (1, None))})
    (record,) = caplog.records
    assert "different labels: 1 (a1 is dog, a0 is cat)" in record.getMessage()


def test_copies_of_one_label_in_one_set_are_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    warn_about_copies({"train_data_path": pictures("a", (1, "cat"), (1, "cat"), (1, None))})
    warn_about_copies({"train_data_path": [], "test_data_path": pictures("b", (1, "cat"))})
    assert not caplog.records
