"""Validation images taken from the training images, by class and group."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.id_hash import id_hashes
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import LabelTask


def stratified_parts(
    labels: Sequence[str | tuple[str, ...] | None],
    groups: Sequence[str],
    shares: Sequence[float],
    seed: int,
) -> NDArray[np.int64]:
    """Return the part of each item, so that parts have the classes in proportion.

    The items of a group stay together. Groups are placed one after the other, the largest first,
    each into the part that has least of its classes for its share. The result is a function of
    classes, names of groups and seed, whatever the order of the items.

    Args:
        labels: The class of each item, or all its classes; no class counts as one of its own.
        groups: The name of the group of each item; the id of an item that is alone.
        shares: The share of each part, with the sum 1. A class with fewer items than it takes goes
            to the part with the largest share.
        seed: Seed of the order of groups of one size.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    # No class is None, as for an item with one class
    of_items = [(label or (None,)) if isinstance(label, tuple) else (label,) for label in labels]
    known = sorted({one for item in of_items for one in item}, key=str)
    classes = {label: index for index, label in enumerate(known)}
    indices = [np.asarray([classes[one] for one in item], np.int64) for item in of_items]
    totals = np.bincount(np.concatenate(indices), minlength=len(classes)).astype(np.float64)
    names = sorted(members)
    hashes = id_hashes((f"split/{name}" for name in names), seed)
    order = sorted(range(len(names)), key=lambda i: (-len(members[names[i]]), int(hashes[i])))
    part_shares = np.asarray(shares, np.float64)
    # Filled so far, of what a part should have: of each class, and of all items
    filled = np.zeros((len(shares), len(classes)))
    sizes = np.zeros(len(shares))
    parts = np.empty(len(groups), np.int64)
    for index in order:
        places = np.asarray(members[names[index]], np.int64)
        held = np.concatenate([indices[place] for place in places])
        counts = np.bincount(held, minlength=len(classes))
        here = np.flatnonzero(counts)
        after = (filled[:, here] + counts[here]) / (part_shares[:, None] * totals[here])
        load = (sizes + len(places)) / part_shares
        # Rounded: ties must not hang on the last digit of a float
        cost = np.round(after @ counts[here] / len(places), 9)
        part = int(np.lexsort((load, cost))[0])
        parts[places] = part
        filled[part, here] += counts[here]
        sizes[part] += len(places)
    return parts


def with_validation(
    train: Dataset,
    task: LabelTask,
    reader: DatasetReader,
    fraction: float,
    fold: int | None,
    group_by: str | None,
    seed: int,
) -> tuple[Dataset, Dataset]:
    """Return the training images that stay, and those that validate.

    Args:
        train: The labeled training images.
        task: The kind of labels.
        reader: The reader of validation images.
        fraction: The share that validates.
        fold: Number of the part of that share; None for one that leaves rare classes whole.
        group_by: A regular expression with a group, found in ids; images with the same text there
            stay together. None for every image by itself, or by the column `group` of a table.
        seed: Seed of the split.

    Raises:
        DataError: One of the two would have no image, or no class in common with the other.
    """
    groups = [group_of(item, group_by) for item in train]
    if fold is None:
        chosen, shares = 1, [1 - fraction, fraction]
    else:
        whole = fold_count(fraction)
        rest = 1 - whole * fraction
        chosen, shares = fold, [fraction] * whole + ([rest] if rest > 1e-6 else [])
    # Not by the set of an image's classes: most sets are those of one image
    classes = [tuple(dict.fromkeys(task.classes_in(item))) for item in train]
    parts = stratified_parts(classes, groups, shares, seed)
    if fold is not None and not set(range(whole)).issubset(parts.tolist()):
        # Told by the first fold, not after all folds that have images
        raise DataError(
            f"expected at least an image for each of {whole} folds, found {len(train)} images in "
            f"{len(set(groups))} groups; take fewer folds"
        )
    kept = [item for item, part in zip(train, parts, strict=True) if part != chosen]
    taken = [item for item, part in zip(train, parts, strict=True) if part == chosen]
    if not kept or not taken:
        raise DataError(
            f"validation_fraction: {len(taken)} of {len(train)} images in "
            f"{len(set(groups))} groups would validate; expected some to learn from and some to "
            "validate: more images, a larger share, or smaller groups"
        )
    learned = {name for item in kept for name in task.classes_in(item)}
    if task.names_image and all(learned.isdisjoint(task.classes_in(item)) for item in taken):
        raise DataError(
            f"validation_fraction: of the {len(taken)} images that would validate, none is of a "
            "class that is learned; label more images of each class, or take fewer folds"
        )
    return (
        Dataset(train.reader, kept, train.skipped, train.unreadable),
        Dataset(reader, taken),
    )


def fold_count(fraction: float) -> int:
    """Return the number of whole parts of a share."""
    return math.floor(1 / fraction + 1e-6)


def group_of(item: Instance, group_by: str | None) -> str:
    """Return a name that images which must not be separated have in common.

    Args:
        item: The image.
        group_by: A regular expression with a group, found in ids; None for the column `group` of a
            table.
    """
    if group_by is None:
        given = str(item.metadata.get("group") or "").strip()
    else:
        found = re.search(group_by, item.id)
        # A group that may be left out of a match names no images either
        given = "" if found is None else found[1] or ""
    return f"group {given}" if given else f"id {item.id}"
