"""Images as instances with distinct ids, and labeled images as instances and class indices."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.names import listed
from allencv_al.data.image_io import ImageInput
from allencv_al.data.instance import LABEL_NAMESPACE, Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.predictors.predictor import Predictor
from allencv_al.tasks.base import LabelTask

logger = logging.getLogger(__name__)

Labeled = Sequence[Instance] | Mapping[str, str]

_NAMELESS = "image"


def instances_of(
    images: Iterable[ImageInput | Instance], predictor: Predictor | None = None
) -> list[Instance] | Iterator[Instance]:
    """Return images as instances with distinct ids, undecoded; a list for a sequence.

    Args:
        images: Paths, arrays, PIL images, bytes or instances.
        predictor: Makes the instances; without one they must be instances.

    Raises:
        ConfigurationError: The argument is one image or a folder.
        DataError: Ids occur twice.
    """
    if isinstance(images, str | bytes | Path | Mapping):
        raise ConfigurationError(
            f"images: expected a sequence of them, found one {type(images).__name__}; a dataset "
            "reader's read(folder) gives those of a folder"
        )
    # A generator may be longer than memory: its ids are checked one by one, as they come
    if not isinstance(images, Sequence):
        return _distinct(images, predictor)
    instances = [_instance(place, image, predictor) for place, image in enumerate(images)]
    twice = [id for id, count in Counter(item.id for item in instances).items() if count > 1]
    if twice:
        raise DataError(_twice(twice))
    return instances


def _distinct(
    images: Iterable[ImageInput | Instance], predictor: Predictor | None
) -> Iterator[Instance]:
    seen: set[str] = set()
    for place, image in enumerate(images):
        instance = _instance(place, image, predictor)
        if instance.id in seen:
            raise DataError(_twice([instance.id]))
        seen.add(instance.id)
        yield instance


def _instance(place: int, image: ImageInput | Instance, predictor: Predictor | None) -> Instance:
    if isinstance(image, Instance):
        return image
    if predictor is None:
        raise DataError(f"images: expected instances, found {type(image).__name__}")
    instance = predictor.to_instance(image)
    # Arrays and bytes have no name of their own; the place tells them apart
    return replace(instance, id=f"{_NAMELESS}:{place}") if instance.id == _NAMELESS else instance


def _twice(ids: Sequence[str]) -> str:
    return f"images: duplicate ids: {listed(ids)}"


def labeled_instances(
    labeled: Labeled, instances: Sequence[Instance], task: LabelTask
) -> list[Instance]:
    """Return the labeled images as instances with labels.

    Args:
        labeled: Instances with labels, or labels by the ids of `instances`.
        instances: The images that were given to choose from.
        task: The kind of labels.

    Raises:
        DataError: A label is missing, an id occurs twice or is not among the images.
    """
    if not isinstance(labeled, Mapping):
        unlabeled = [instance.id for instance in labeled if not task.is_labeled(instance)]
        if unlabeled:
            raise DataError(
                f"labeled: expected a label for each, found none of {listed(unlabeled)}"
            )
        return list(instances_of(labeled))
    by_id = {instance.id: instance for instance in instances}
    absent = [id for id in labeled if id not in by_id]
    if absent:
        raise DataError(f"labeled: expected ids of the images, found others: {listed(absent)}")
    return [task.labeled(by_id[id], label) for id, label in labeled.items()]


def class_indices(
    instances: Sequence[Instance], vocab: Vocabulary, task: LabelTask
) -> NDArray[np.int64]:
    """Return the class index of each labeled instance, int64 `[L]`; -1 where it has not one class.

    A class that is new to the model is no error, because the next training will know it: new
    classes get the numbers after the known ones.
    """
    names = vocab.get_index_to_token_vocabulary(LABEL_NAMESPACE)
    index_of = {name: index for index, name in names.items()}
    classes = [task.classes_in(instance) for instance in instances]
    unknown = sorted({name for found in classes for name in found} - set(index_of))
    if unknown:
        logger.warning("the model has no class %s; it has %s", listed(unknown), listed([*index_of]))
    index_of |= {name: len(names) + place for place, name in enumerate(unknown)}
    # Of several classes none is "the" one; strategies that need a class skip -1
    indices = [index_of[found[0]] if len(found) == 1 else -1 for found in classes]
    return np.array(indices, dtype=np.int64)


def class_counts(labels: Iterable[Sequence[str]], class_names: Sequence[str]) -> NDArray[np.int64]:
    """Return how often each class occurs in each label, `[L, C]`; other classes do not count.

    Args:
        labels: The class names in each label.
        class_names: The names of the classes, in the order of the columns.
    """
    rows = list(labels)
    places = {name: place for place, name in enumerate(class_names)}
    counts = np.zeros((len(rows), len(class_names)), np.int64)
    for row, names in zip(counts, rows, strict=True):
        for name in names:
            if name in places:
                row[places[name]] += 1
    return counts
