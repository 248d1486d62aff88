"""The data sets of an experiment, and the checks of their labels and files before training."""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from allencv_al.common.errors import DataError
from allencv_al.common.names import counted, did_you_mean, listed
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import LABEL_NAMESPACE, Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.labels.audit_sample import copies_of_images, equal_images, is_audit
from allencv_al.tasks.base import LabelTask

logger = logging.getLogger(__name__)

_MOST_NAMED = 5
_FIND_COPIES = "allencv-al audit lists all, and nearly equal ones"
_FEWEST_FOR_A_SUSPICION = 20  # labeled images; a few may well all differ


Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Datasets:
    """The data sets of an experiment; None where the config names no path.

    Args:
        train: The images to learn from.
        validation: The images that choose the best epoch.
        test: The images that measure the result.
        audit: Training images that a table marks as an audit sample: they measure, too.
        unlabeled: Images of which a model may learn what images look like.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    audit: Dataset | None = None
    unlabeled: Dataset | None = None

    def for_samples(self) -> Dataset | None:
        """Return the data set for sample images: not the training images."""
        return self.validation if self.validation is not None else self.test

    def present(self, names: Sequence[Split] = SPLITS) -> list[Dataset]:
        """Return the data sets that are not None, in the order train, validation, test."""
        found = [getattr(self, name) for name in SPLITS if name in names]
        return [dataset for dataset in found if dataset is not None]


def check_labels(datasets: Datasets, task: LabelTask) -> None:
    """Raise where the labels make evaluation meaningless; warn where they may make training so.

    Args:
        datasets: The data sets.
        task: The kind of labels.

    Raises:
        DataError: A data set that measures shares no class with the training images.
    """
    known = set(_class_counts(datasets.train, task))
    if not known:  # `check_learnable` judges that, once it is known who learns
        return
    if len(known) == 1 and task.names_image and _is_one_label(datasets.train, task):
        logger.warning("all training images are of one class, %s: any model is right", *known)
    labeled = sum(map(task.is_labeled, datasets.train))
    # A class for every other image: folders of dates or persons, say, were taken for classes
    if labeled >= _FEWEST_FOR_A_SUSPICION and len(known) > labeled / 2:
        logger.warning(
            "%d training images are of %d classes: is that what the reader should find?",
            labeled,
            len(known),
        )
    for name, dataset in (("validation", datasets.validation), ("test", datasets.test)):
        if dataset is not None:
            _check_measuring(name, _class_counts(dataset, task), known)


def check_learnable(datasets: Datasets, task: LabelTask) -> None:
    """Raise where no training image has a label.

    Args:
        datasets: The data sets, with the audited images apart.
        task: The kind of labels.

    Raises:
        DataError: None has; the message says what would be right.
    """
    if any(map(task.is_labeled, datasets.train)):
        return
    if any(item.labels is not None for item in datasets.train):
        raise DataError(
            "train_data_path: its images may have several classes each, and the model learns "
            f'labels of the kind "{task.name()}"; set its task to "multi_label"'
        )
    if any(item.label is not None for item in datasets.train):
        raise DataError(
            "train_data_path: its images have one class each, and the model learns labels of the "
            f'kind "{task.name()}"; expected a dataset reader that gives those, or a table with '
            "their column (labels for several classes)"
        )
    # Of another kind than the task's: for a model of the user's own that names no task
    if any(item.is_labeled for item in datasets.train):
        return
    if datasets.audit is not None:
        raise DataError(
            f"train_data_path: all {len(datasets.audit)} labeled images are of the audit sample, "
            "which only measures; label other images to learn from"
        )
    raise DataError(
        "train_data_path: no image has a class, so there is nothing to learn; expected one "
        "folder for each class below it (or labels in the manifest), or the trainer no_op and the "
        "names of the classes in vocabulary.tokens_to_add"
    )


def check_places(dataset: Dataset, forward: Callable[..., object]) -> None:
    """Raise where the images have masks, boxes or keypoints that a model does not take.

    Args:
        dataset: The training images.
        forward: The model's method that gets them by name.

    Raises:
        DataError: It names what the model does not take.
    """
    taken = inspect.signature(forward).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken):
        return
    known = {parameter.name for parameter in taken}
    # A batch has what every image has
    others = [
        name
        for name in ("mask", "boxes", "box_labels", "keypoints")
        if name not in known and all(getattr(one, name) is not None for one in dataset)
    ]
    if "ignored_boxes" not in known and any(one.ignored for one in dataset):
        others.append("ignored_boxes")
    if others:
        model = getattr(forward, "__self__", forward)
        raise DataError(
            f"train_data_path: its images have {' and '.join(others)}, which the forward of "
            f"{type(model).__name__} does not take; expected a dataset reader that gives one class "
            "per image, or a model for them"
        )


def without_audit(datasets: Datasets, reader: DatasetReader, task: LabelTask) -> Datasets:
    """Return the data sets with the audited images apart: in `audit`, not where models learn.

    Byte-equal copies of audited images are in neither.

    Args:
        datasets: The data sets.
        reader: The reader of images that measure.
        task: The kind of labels.
    """
    marked = [item for item in datasets.train if is_audit(item)]
    if not marked:
        return datasets
    audited = [item for item in marked if task.is_labeled(item)]
    copies = copies_of_images(datasets.train, {item.id for item in marked})
    if copies:
        logger.warning(
            "train_data_path: %d images are byte-equal to audited ones: not learned (%s)",
            *(len(copies), listed([f"{copy} to {of}" for copy, of in copies.items()], _MOST_NAMED)),
        )
    train = _unaudited(datasets.train, copies)
    # Validation chooses the best epoch, and so would make the audit too good
    validation = datasets.validation and _unaudited(datasets.validation)
    audit = Dataset(reader, audited) if audited else None
    return replace(datasets, train=train, validation=validation, audit=audit)


def _unaudited(dataset: Dataset, copies: Collection[str] = ()) -> Dataset:
    kept = [item for item in dataset if not is_audit(item) and item.id not in copies]
    if len(kept) == len(dataset):
        return dataset
    return Dataset(dataset.reader, kept, dataset.skipped, dataset.unreadable)


def only_labeled(datasets: Datasets, task: LabelTask) -> Datasets:
    """Return the data sets without their unlabeled images (of a table that is half filled in).

    A data set without any label of the task is returned unchanged: it has labels for a model of the
    user's own, or none.

    Args:
        datasets: The data sets.
        task: The kind of labels.
    """
    train, validation, test = (
        # An empty data set is falsy, and has nothing to leave out either
        dataset and _only_labeled(name, dataset, task)
        for name, dataset in (
            ("training", datasets.train),
            ("validation", datasets.validation),
            ("test", datasets.test),
        )
    )
    assert train is not None
    return replace(datasets, train=train, validation=validation, test=test)


def _only_labeled(name: str, dataset: Dataset, task: LabelTask) -> Dataset:
    labeled = [item for item in dataset if task.is_labeled(item)]
    left_out = len(dataset) - len(labeled)
    if not left_out or not labeled:
        return dataset
    logger.warning("%d of %d %s images have no label: left out", left_out, len(dataset), name)
    return Dataset(dataset.reader, labeled, dataset.skipped, dataset.unreadable)


def only_known(dataset: Dataset, vocabulary: Vocabulary, place: str, task: LabelTask) -> Dataset:
    """Return an evaluation set without the images of classes that the model does not know.

    Every prediction for them would be wrong, and they have no loss. Training, `evaluate` and the
    active learning loop leave them out alike, with a warning that counts them. Nothing is left out
    where the classes are those of places in an image, whose other places measure.

    Args:
        dataset: The images.
        vocabulary: The classes that the model knows.
        place: The name of the images in messages.
        task: The kind of labels.

    Raises:
        DataError: No labeled image is left.
    """
    counts = _class_counts(dataset, task) if task.names_image else Counter[str]()
    unknown = {label: n for label, n in sorted(counts.items()) if not _knows(vocabulary, label)}
    if not unknown:
        return dataset
    kept = [item for item in dataset if unknown.keys().isdisjoint(task.classes_in(item))]
    named = [f"{label} ({n})" for label, n in unknown.items()]
    message = (
        f"{place}: {len(dataset) - len(kept)} of {len(dataset)} images are of classes that the "
        f"model does not know: {listed(named, _MOST_NAMED)}"
    )
    # Nothing would be left to measure with
    if not any(map(task.is_labeled, kept)):
        hint = vocabulary.describe_unknown(next(iter(unknown)), LABEL_NAMESPACE)
        raise DataError(f"{message}; the label {hint}")
    logger.warning("%s: left out", message)
    return Dataset(dataset.reader, kept, dataset.skipped, dataset.unreadable)


def texts_of(dataset: Iterable[Instance], task: LabelTask) -> dict[str, str]:
    """Return the text of the label of each labeled image, by id."""
    texts = ((item.id, task.text_of(item)) for item in dataset)
    return {id: text for id, text in texts if text is not None}


def check_files(datasets: Mapping[str, Dataset | None]) -> None:
    """Raise where more image files are absent than the reader allows; warn of fewer.

    Args:
        datasets: By the key of the config that names them.

    Raises:
        DataError: Training would fail because of them.
    """
    for key, dataset in datasets.items():
        if dataset is None:
            continue
        absent = [
            f"{instance.id} ({instance.image})"
            for instance in dataset
            if isinstance(instance.image, str | Path) and not Path(instance.image).exists()
        ]
        if not absent:
            continue
        message = (
            f"{key}: {len(absent)} of {len(dataset)} images do not exist: "
            f"{listed(absent, _MOST_NAMED)}"
        )
        reader = dataset.reader
        if reader.on_error == "raise" or len(absent) > reader.max_unreadable * len(dataset):
            raise DataError(
                f"{message}; correct the paths, or set max_unreadable (now "
                f"{reader.max_unreadable:g}) of the dataset reader higher to leave them out"
            )
        logger.warning("%s: they will be left out", message)


def warn_about_copies(parts: Mapping[str, Iterable[Instance]]) -> None:
    """Warn about equal images in several data sets, and about equal ones with different labels.

    Args:
        parts: The images by the key of the config that names them, those to learn from first.
    """
    places = [(name, item) for name, items in parts.items() for item in items]
    leaks: dict[tuple[str, str], list[str]] = {}
    contrary = []
    for group in equal_images([item for _, item in places]):
        (learned, original), *others = [places[place] for place in group]
        for name, item in others:
            if name != learned:
                leaks.setdefault((name, learned), []).append(f"{item.id} is {original.id}")
            if None not in (item.label, original.label) and item.label != original.label:
                contrary.append(f"{item.id} is {item.label}, {original.id} is {original.label}")
    for (name, learned), ids in leaks.items():
        logger.warning(
            "%s: %s in %s too, so figures will be too good: %s; %s",
            *(name, counted(len(ids), "image is", "images are"), learned),
            *(listed(ids, _MOST_NAMED), _FIND_COPIES),
        )
    if contrary:
        logger.warning(
            "equal images with different labels: %d (%s); %s",
            *(len(contrary), "; ".join(contrary[:_MOST_NAMED]), _FIND_COPIES),
        )


def _knows(vocabulary: Vocabulary, label: str) -> bool:
    try:
        vocabulary.get_token_index(label, LABEL_NAMESPACE)
    except KeyError:
        return False
    return True


def _check_measuring(name: str, counts: Counter[str], known: set[str]) -> None:
    found = set(counts)
    _warn_of_misspelt(name, found, known)
    unknown = sorted(found - known)
    if not unknown:
        return
    shown = listed([f"{label} ({counts[label]})" for label in unknown], _MOST_NAMED)
    hint = did_you_mean(unknown[0], known)
    classes = f"{', '.join(sorted(known)[:_MOST_NAMED])}{' ...' * (len(known) > _MOST_NAMED)}"
    message = (
        f"{name}_data_path: classes that no training image has: {shown} (training images: "
        f"{classes}){hint}"
    )
    # Some classes are new: it may be meant. If all are, the paths or the spelling must be wrong
    if found & known:
        logger.warning("%s", message)
    else:
        raise DataError(message)


def _warn_of_misspelt(name: str, found: set[str], known: set[str]) -> None:
    """Warn of training classes absent from evaluation whose name resembles a class there."""
    for label in sorted(known - found):
        hint = did_you_mean(label, found)
        if hint:
            logger.warning(
                'training images are of the class "%s", and no image of %s_data_path is%s',
                label,
                name,
                hint,
            )


def _is_one_label(dataset: Dataset, task: LabelTask) -> bool:
    return len({text for item in dataset if (text := task.text_of(item)) is not None}) == 1


def _class_counts(dataset: Dataset, task: LabelTask) -> Counter[str]:
    """Return the number of images that show each class."""
    return Counter(name for item in dataset for name in set(task.classes_in(item)))
