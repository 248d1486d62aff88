"""What is labeled already: as instances with labels, and as class indices."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.common.listing import listed
from allencv_al.data.instance import LABEL_NAMESPACE, Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.selection.pool.scoring import instances_of

logger = logging.getLogger(__name__)

Labeled = Sequence[Instance] | Mapping[str, str]


def labeled_instances(labeled: Labeled, instances: Sequence[Instance]) -> list[Instance]:
    """Return what is labeled as instances with labels.

    Args:
        labeled: Instances with labels, or labels by the ids of `instances`.
        instances: The images that were given to choose from.

    Raises:
        DataError: A label is missing, an id occurs twice or is not among the images.
    """
    if not isinstance(labeled, Mapping):
        unlabeled = [instance.id for instance in labeled if instance.label is None]
        if unlabeled:
            raise DataError(
                f"labeled: expected a label for each, found none of {listed(unlabeled)}"
            )
        return list(instances_of(labeled))
    by_id = {instance.id: instance for instance in instances}
    absent = [id for id in labeled if id not in by_id]
    if absent:
        raise DataError(f"labeled: expected ids of the images, found others: {listed(absent)}")
    return [replace(by_id[id], label=label) for id, label in labeled.items()]


def class_indices(instances: Sequence[Instance], vocab: Vocabulary) -> NDArray[np.int64]:
    """Return the class index of each labeled instance, int64 `[L]`.

    A class that the model has not seen yet is no fault, because the next training will know it:
    such classes get the numbers behind the known ones.
    """
    names = vocab.get_index_to_token_vocabulary(LABEL_NAMESPACE)
    index_of = {name: index for index, name in names.items()}
    unknown = sorted({str(instance.label) for instance in instances} - set(index_of))
    if unknown:
        logger.warning("the model has no class %s; it has %s", listed(unknown), listed([*index_of]))
    index_of |= {name: len(names) + place for place, name in enumerate(unknown)}
    indices = [index_of[str(instance.label)] for instance in instances]
    return np.array(indices, dtype=np.int64)
