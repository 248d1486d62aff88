"""The data of a run: pool, test and validation images, checked to be disjoint."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.common.errors import DataError
from allencv_al.common.names import counted, listed
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.id_hash import id_hashes
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.labels.audit_sample import is_audit
from allencv_al.tasks.base import LabelTask
from allencv_al.training.datasets import check_labels, only_known, warn_about_copies
from allencv_al.training.unlabeled_images import (
    check_distinct,
    read_pool,
    shared_images,
    without_images_of,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopData:
    """The data sets of a run.

    Args:
        sources: The images that may be labeled: those at `train_data_path` without the held-out
            ones, and those at `pool_data_path` if there are any.
        test: The images that measure the model; None if there are none.
        validation: The images that choose the best epoch; None if there are none.
        task: The kind of labels.
        test_is_validation: Whether the two are the same images.
    """

    sources: Sequence[Dataset]
    test: Dataset | None
    validation: Dataset | None
    task: LabelTask
    test_is_validation: bool = False

    def items(self) -> list[Instance]:
        """Return all items that may be labeled."""
        return [instance for source in self.sources for instance in source]

    def known_to(self, vocabulary: Vocabulary) -> LoopData:
        """Return the data without test and validation images of classes outside the vocabulary."""
        validation, test = self.validation, self.test
        if validation is not None:
            validation = only_known(validation, vocabulary, "validation_data_path", self.task)
        if self.test_is_validation:
            test = validation
        elif test is not None:
            test = only_known(test, vocabulary, "test_data_path", self.task)
        return replace(self, validation=validation, test=test)

    def dataset_of(self, items: Sequence[Instance]) -> Dataset:
        """Return a data set of some of the items."""
        return Dataset(self.sources[0].reader, items)


def read_loop_data(experiment: ActiveLearningExperiment) -> LoopData:
    """List the images of a run; none is decoded.

    Raises:
        DataError: There are none, ids occur twice, test images are in the pool, or labels are
            missing that the annotator is to give.
    """
    settings, task = experiment.settings, experiment.task
    datasets = experiment.read()
    train, test, name_of_test = datasets.train, datasets.test, "test_data_path"
    if settings.test_fraction is not None:
        train, test = _split(train, experiment, settings.test_fraction)
        name_of_test = "active_learning.test_fraction"
    if settings.conditions is not None:
        # Before the pool is changed: unknown classes are drawn from all of it
        test = None if test is None else settings.conditions.test(test, train, task)
        train = settings.conditions.pool(train, task)
    sources = [train]
    if experiment.pool_data_path is not None:
        keeps_labels = settings.annotator.needs_known_labels
        pool = read_pool(experiment.dataset_reader, experiment.pool_data_path, keeps_labels)
        # An image that a table at train_data_path lists may lie in the folder of the pool
        sources.append(without_images_of(datasets.train, "train_data_path", pool))
        check_distinct(*sources)
    measured = test if test is not None else datasets.validation
    data = LoopData(sources, measured, datasets.validation, task, test is None)
    items = data.items()
    for name, dataset in ((name_of_test, test), ("validation_data_path", datasets.validation)):
        if dataset is not None:
            _check_apart(name, dataset, items)
    warn_about_copies(_learned_and_measured(data, settings.annotator.needs_known_labels))
    if settings.annotator.needs_known_labels:
        _check_labeled(items, task)
        check_labels(datasets, task)
    if settings.audit is None and not any(map(is_audit, items)):
        _warn_of_measuring(data)
    return data


def _learned_and_measured(data: LoopData, labels_count: bool) -> dict[str, Iterable[Instance]]:
    """Return the images by what they are for; labels that the annotator will give are left out."""
    items: Iterable[Instance] = data.items()
    if not labels_count:
        items = [replace(item, label=None) for item in items]
    validation, test = data.validation, None if data.test_is_validation else data.test
    parts = {"the pool": items, "validation_data_path": validation, "the test images": test}
    return {name: images for name, images in parts.items() if images is not None}


def _warn_of_measuring(data: LoopData) -> None:
    if data.test is None:
        logger.warning(
            "nothing to measure with: give active_learning.audit, test_data_path or "
            "active_learning.test_fraction to see what the labels bring"
        )
    elif data.test_is_validation:
        logger.warning(
            "no test data: validation_data_path measures the rounds and also chooses the best "
            "epoch, so the figures are slightly too good; give test_data_path or "
            "active_learning.test_fraction"
        )


def _split(
    dataset: Dataset, experiment: ActiveLearningExperiment, fraction: float
) -> tuple[Dataset, Dataset]:
    """Return the remaining images, and those held out of each class by the hash of the ids."""
    held_out: set[int] = set()
    by_class: dict[str, list[int]] = {}
    for place, instance in enumerate(dataset):
        text = experiment.task.text_of(instance)
        if text is not None:
            by_class.setdefault(experiment.task.stratum(text), []).append(place)
    seed = experiment.seeds[0]
    for places in by_class.values():
        # "test/" keeps the split independent of ties, which hash the bare ids
        hashes = id_hashes((f"test/{dataset[place].id}" for place in places), seed)
        order = np.argsort(hashes, kind="stable")
        held_out.update(places[place] for place in order[: round(fraction * len(places))].tolist())
    if not held_out:
        raise DataError(
            "active_learning.test_fraction: no labeled image can be held out to measure with; "
            "expected labels at train_data_path, or a larger share"
        )
    if len(held_out) == len(dataset):
        raise DataError(
            f"active_learning.test_fraction: all {len(dataset)} images would be held out to "
            "measure with, which leaves none to label; expected more images, or a smaller share"
        )
    stay = [instance for place, instance in enumerate(dataset) if place not in held_out]
    test = [instance for place, instance in enumerate(dataset) if place in held_out]
    return (
        Dataset(dataset.reader, stay, dataset.skipped, dataset.unreadable),
        Dataset(experiment.validation_dataset_reader, test),
    )


def _check_apart(name: str, dataset: Dataset, items: Iterable[Instance]) -> None:
    both = shared_images(items, dataset)
    if both:
        images = counted(len(both), "image that measures is", "images that measure are")
        raise DataError(
            f"{name}: {images} in the pool too: {listed(both)}; what measures must not be learned "
            "from"
        )


def _check_labeled(items: Sequence[Instance], task: LabelTask) -> None:
    bare = [item.id for item in items if not task.is_labeled(item)]
    if bare:
        images = counted(len(bare), "image has", "images have")
        raise DataError(
            f"active_learning.annotator: it gives the labels that the data has, and {images} none: "
            f"{listed(bare)}; expected all to be labeled, or an annotator that asks people, such "
            'as "file"'
        )
