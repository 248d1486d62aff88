"""Whether the labels of the data sets make sense together, before anything is trained on them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from allencv_al.common.errors import DataError
from allencv_al.common.names import did_you_mean
from allencv_al.data.dataset_readers.dataset import Dataset

if TYPE_CHECKING:
    from allencv_al.training.experiment import Datasets

logger = logging.getLogger(__name__)

_MOST_NAMED = 5
_FEWEST_FOR_A_SUSPICION = 20


def check_labels(datasets: Datasets) -> None:
    """Raise where training or measuring can mean nothing; warn where it is likely to.

    Raises:
        DataError: No training image has a class, or a data set that measures shares no class with
            the training images.
    """
    known = _classes(datasets.train)
    if not known:
        if any(instance.mask is not None or instance.boxes for instance in datasets.train):
            return  # labels of another kind, for a model of the user's own
        raise DataError(
            "train_data_path: no image has a class, so there is nothing to learn; expected one "
            "folder for each class below it (or labels in the manifest)"
        )
    if len(known) == 1:
        logger.warning("all training images are of one class, %s: any model is right", *known)
    labeled = sum(label is not None for label in datasets.train.labels())
    if labeled >= _FEWEST_FOR_A_SUSPICION and len(known) > labeled / 2:
        logger.warning(
            "%d training images are of %d classes: is that what the reader should find?",
            labeled,
            len(known),
        )
    for name, dataset in (("validation", datasets.validation), ("test", datasets.test)):
        if dataset is not None:
            _check_measuring(name, _classes(dataset), known)


def only_labeled(datasets: Datasets) -> Datasets:
    """Return the data sets without their unlabeled images, as in a table that is half filled in.

    A data set without any class stays as it is: its labels are of another kind, if it has any.
    """
    train, validation, test = (
        dataset and _only_labeled(name, dataset)
        for name, dataset in (
            ("training", datasets.train),
            ("validation", datasets.validation),
            ("test", datasets.test),
        )
    )
    assert train is not None
    return replace(datasets, train=train, validation=validation, test=test)


def _only_labeled(name: str, dataset: Dataset) -> Dataset:
    labeled = [
        item
        for item in dataset
        if item.label is not None or item.mask is not None or item.boxes is not None
    ]
    left_out = len(dataset) - len(labeled)
    if not left_out or not _classes(dataset):
        return dataset
    logger.warning("%d of %d %s images have no label: left out", left_out, len(dataset), name)
    return Dataset(dataset.reader, labeled, dataset.skipped, dataset.unreadable)


def _check_measuring(name: str, found: set[str], known: set[str]) -> None:
    _warn_of_misspelt(name, found, known)
    unknown = sorted(found - known)
    if not unknown:
        return
    shown = ", ".join(unknown[:_MOST_NAMED])
    if len(unknown) > _MOST_NAMED:
        shown += f" and {len(unknown) - _MOST_NAMED} more"
    hint = did_you_mean(unknown[0], known)
    classes = f"{', '.join(sorted(known)[:_MOST_NAMED])}{' ...' * (len(known) > _MOST_NAMED)}"
    message = (
        f"{name}_data_path: classes that no training image has: {shown} (training images: "
        f"{classes}){hint}"
    )
    if found & known:
        logger.warning("%s", message)
    else:
        raise DataError(message)


def _warn_of_misspelt(name: str, found: set[str], known: set[str]) -> None:
    """Warn of classes to learn that nothing measures and that look like one that is measured."""
    for label in sorted(known - found):
        hint = did_you_mean(label, found)
        if hint:
            logger.warning(
                'training images are of the class "%s", and no image of %s_data_path is%s',
                label,
                name,
                hint,
            )


def _classes(dataset: Dataset) -> set[str]:
    return {label for label in dataset.labels() if label is not None}
