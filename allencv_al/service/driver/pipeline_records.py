"""Records of a pipeline, read from getdatasetstate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.names import listed
from allencv_al.data.instance import Instance
from allencv_al.labels.label_store import UNTOLD

_ID_KEYS = ("id", "path", "file", "filename", "name")


@dataclass(frozen=True)
class Records:
    """The records of a pipeline.

    Args:
        items: The records as items, with their labels if the pipeline gives them.
        index_of: Record indices by item id.
        classes: Class names in the order of the columns of logits; empty if unknown.
    """

    items: Sequence[Instance]
    index_of: Mapping[str, int]
    classes: Sequence[str]


def read_records(state: Any, classes: Sequence[str]) -> Records:
    """Return the records of a state.

    A value of the state is a name or path, which becomes the id, or an object with `id` (or `path`,
    `file`, `filename`, `name`) and optionally `label`: class number or class name. If a name is
    missing or duplicate, all ids are record indices.

    Args:
        state: The answer of getdatasetstate: records by index, or a list.
        classes: Class names by column, if known.

    Raises:
        DataError: The state is something else, or a label is no class.
    """
    values = _by_index(state)
    names = [_name(value) for value in values.values()]
    # Names are ids if they tell all records apart; otherwise the indices are
    named = all(names) and len(set(names)) == len(names)
    ids = [str(name) if named else str(index) for index, name in zip(values, names, strict=True)]
    labels = {
        id: value["label"]
        for id, value in zip(ids, values.values(), strict=True)
        if isinstance(value, Mapping) and value.get("label") is not None
    }
    known = list(classes) or _numbered(labels)
    classes_of = {id: _class(label, known) for id, label in labels.items()}
    bad = [id for id, name in classes_of.items() if name is None]
    if bad:
        raise DataError(
            f"getdatasetstate: labels of no class of {listed(known)}; records: {listed(bad)}"
        )
    items = [
        Instance(
            id=id,
            # A relative path is relative to the pipeline's folder, which may be on another machine
            image=Path(name) if name and Path(name).is_absolute() else b"",
            label=classes_of.get(id),
        )
        for id, name in zip(ids, names, strict=True)
    ]
    return Records(items, dict(zip(ids, values, strict=True)), known)


def counted_records(count: int, classes: Sequence[str]) -> Records:
    """Return the records of a pipeline without getdatasetstate; the ids are their indices."""
    ids = [str(index) for index in range(count)]
    return Records([Instance(id, b"") for id in ids], {id: int(id) for id in ids}, classes)


def with_images(records: Records, images: Sequence[Instance]) -> Records:
    """Return the records with images of a dataset reader, and its labels for those without.

    They are joined by id, or by order if the pipeline has no names.

    Raises:
        DataError: Records and images do not correspond.
    """
    by_id = {image.id: image for image in images}
    ids = [item.id for item in records.items]
    if not set(ids) <= by_id.keys():
        named = [id for id in ids if not id.isdigit()]
        if named or len(images) != len(ids):
            missing = [id for id in ids if id not in by_id]
            raise DataError(
                f"train_data_path: expected the {len(ids)} records of the pipeline, found "
                f"{len(images)} images; missing: {listed(missing)}"
            )
        # Records without names: as many images in the reader's order must be the same ones
        order = dict(zip(ids, images, strict=True))
        items = [_joined(item, order[item.id]) for item in records.items]
        index_of = {item.id: records.index_of[id] for id, item in zip(ids, items, strict=True)}
        return Records(items, index_of, records.classes)
    return replace(records, items=[_joined(item, by_id[item.id]) for item in records.items])


def kept_by_pipeline(records: Records) -> Records:
    """Return the records with a placeholder for labels that only the pipeline knows."""
    items = [replace(item, label=UNTOLD) for item in records.items]
    return replace(records, items=items)


def _joined(item: Instance, image: Instance) -> Instance:
    return image if item.label is None else replace(image, label=item.label)


def _by_index(state: Any) -> dict[int, Any]:
    if isinstance(state, list):
        return dict(enumerate(state))
    if not isinstance(state, Mapping):
        raise DataError(f"getdatasetstate: expected records by index, found {type(state).__name__}")
    bad = [key for key in state if not str(key).isdecimal()]
    if bad:
        raise DataError(f"getdatasetstate: expected indices as keys, found {listed(bad)}")
    return dict(sorted((int(key), value) for key, value in state.items()))


def _name(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = next((value[key] for key in _ID_KEYS if value.get(key) is not None), None)
    return value if isinstance(value, str) and value else None


def _class(label: Any, known: Sequence[str]) -> str | None:
    """Return the class of a label that is its name or number; None for any other label."""
    if isinstance(label, str) and label in known:
        return label
    number = str(label)
    return known[int(number)] if number.isdecimal() and int(number) < len(known) else None


def _numbered(labels: Mapping[str, Any]) -> list[str]:
    """Return class numbers as class names.

    Raises:
        DataError: A label is not a number.
    """
    texts = {str(label) for label in labels.values()}
    if not all(text.isdecimal() for text in texts):
        odd = sorted(text for text in texts if not text.isdecimal())
        raise DataError(
            f"getdatasetstate: labels are names ({listed(odd)}), and their columns in the logits "
            'are unknown; set Pipeline(..., class_labels={0: "cat", 1: "dog"}), or '
            "active_learning.classes"
        )
    return [str(number) for number in range(max(map(int, texts), default=-1) + 1)]
