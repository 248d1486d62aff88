"""Decoded items to the tensors of a batch, and a batch to the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allencv_al.common.errors import DataError
from allencv_al.data.instance import LABEL_NAMESPACE, Instance, Sample

if TYPE_CHECKING:
    from allencv_al.data.vocabulary import Vocabulary

Targets = Callable[[Instance, "Vocabulary"], Mapping[str, Any]]
"""Gives the entries of a batch that the label of an image makes, as numbers or arrays by name."""

# A tensor that a worker process sends travels in shared memory, at the cost of a file handle and
# about 50 us. Smaller ones are copied through the pipe: a batch with 256 lists of boxes would
# otherwise use up the 1024 handles that a process usually has.
_SHARED_FROM_BYTES = 65536

# A product rounds alike on every device; CUDA turns a division by 255 into one, the CPU does not.
_UNIT = 1 / 255


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """An image that was left out because it cannot be read.

    Args:
        id: The item's id.
        path: The file, or a placeholder for it.
        cause: Why it cannot be read.
    """

    id: str
    path: str
    cause: str

    def __str__(self) -> str:
        place = self.path if self.id in self.path else f"{self.id} ({self.path})"
        return f"{place}: {self.cause}"


@dataclass(slots=True)
class Batch:
    """Some items of a dataset as tensors on the CPU.

    `tensors` holds, under the names that `Model.forward` takes:

    - `image`: uint8 `[B, 3, H, W]`, RGB 0..255, for as long as the transforms allow it, else
      float32. Its memory may be in channels-last order; `to_device` gives the order asked for.
    - `label`: int64 `[B]`, class indices; only if every item of the batch is labeled.
    - `labels`: float32 `[B, C]`, 1 for each class that an image shows, else 0; only if every item
      has `labels`.
    - `mask`: int64 `[B, H, W]`, class index per pixel; only if every item has a mask.
    - `boxes`: a list of B float32 tensors `[n, 4]` (x_min, y_min, x_max, y_max in pixels), because
      n differs from image to image; `box_labels`: a list of B int64 tensors `[n]`; `keypoints`: a
      list of B float32 tensors `[n, 2]` (x, y) or `[n, 3]` (x, y, visibility), or `[n, K, 2]` or
      `[n, K, 3]` where each object has K of them. Each only if every item has it; an image without
      objects has tensors without rows.
    - `ignored_boxes`: a list of B float32 tensors `[m, 6]`: the corners of a box that is neither
      learned nor judged, its class index, and 1 if it is a crowd, else 0. Only if an item has some.

    Args:
        tensors: See above. Empty if no item of the batch could be read.
        ids: The ids of the items, in the order of the first dimension.
        unreadable: The items that were left out.
        index: The number of the batch in its epoch, from 0. Batches without a readable item are
            passed over, so the numbers that are seen may have gaps.
    """

    tensors: dict[str, Any]
    ids: list[str]
    unreadable: list[UnreadableImage] = field(default_factory=list)
    index: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, from where a CUDA device copies by itself."""
        pinned = _map_tensors(self.tensors, Tensor.pin_memory)
        return Batch(pinned, self.ids, self.unreadable, self.index)

    def __reduce__(self) -> tuple[Any, ...]:
        tensors = _map_tensors(self.tensors, _for_transport)
        return _from_transport, (tensors, self.ids, self.unreadable, self.index)


def collate(
    instances: Sequence[Instance],
    samples: Sequence[Sample],
    vocab: Vocabulary | None = None,
    unreadable: Sequence[UnreadableImage] = (),
    index: int = 0,
    targets: Targets | None = None,
) -> Batch:
    """Collate decoded images into one batch.

    Args:
        instances: The items.
        samples: The decoded images, after the transforms.
        vocab: Gives the class names their indices; without it there are no labels.
        unreadable: The items that were left out.
        index: The number of the batch in its epoch.
        targets: Makes entries of a label; by default `class_targets`. An entry is in the batch if
            every item has it, since a loss needs every label.

    Raises:
        DataError: The images differ in size or type, or a label is not in the vocabulary.
    """
    tensors: dict[str, Any] = {}
    if samples:
        tensors["image"] = _stack_images(instances, [sample.image for sample in samples])
        if vocab is not None:
            tensors |= TargetTable(instances, vocab, targets).shared()
        _add_places(tensors, instances, samples, vocab)
    return Batch(tensors, [instance.id for instance in instances], list(unreadable), index)


def label_indices(instances: Sequence[Instance], vocab: Vocabulary) -> list[int]:
    """Return the class index of each item, -1 for an unlabeled one.

    Raises:
        DataError: A label is not in the vocabulary; the message names the item and known labels.
    """
    known: dict[str | None, int] = {None: -1}
    for instance in instances:
        if instance.label is not None and instance.label not in known:
            known[instance.label] = _index(instance, instance.label, vocab)
    return [known[instance.label] for instance in instances]


def class_targets(
    instance: Instance, vocab: Vocabulary, names: Sequence[str] = ("label", "labels")
) -> dict[str, Any]:
    """Return `label`, the class index of an item, and `labels`, 1 for each class it shows, else 0.

    Args:
        instance: The item.
        vocab: Gives the class names their indices.
        names: The entries that are wanted.

    Raises:
        DataError: A class is not in the vocabulary; the message names the item and known classes.
    """
    found: dict[str, Any] = {}
    if instance.label is not None and "label" in names:
        found["label"] = _index(instance, instance.label, vocab)
    if instance.labels is not None and "labels" in names:
        shown = np.zeros(vocab.get_vocab_size(LABEL_NAMESPACE), np.float32)
        shown[[_index(instance, name, vocab) for name in instance.labels]] = 1
        found["labels"] = shown
    return found


class TargetTable:
    """Targets of many items, one row per item.

    Args:
        instances: The items.
        vocab: Gives the class names their indices.
        targets: Makes entries of a label; by default `class_targets`.

    Raises:
        DataError: A class is not in the vocabulary.
    """

    def __init__(
        self, instances: Sequence[Instance], vocab: Vocabulary, targets: Targets | None = None
    ) -> None:
        make = class_targets if targets is None else targets
        rows = [make(instance, vocab) for instance in instances]
        self.columns: dict[str, Tensor] = {}
        """By name, `[N, ...]`; 0 where an item has none."""
        self._known: dict[str, Tensor] = {}
        for name in dict.fromkeys(name for row in rows for name in row):
            known = np.array([name in row for row in rows])
            blank = np.zeros_like(next(row[name] for row in rows if name in row))
            column = np.stack([np.asarray(row.get(name, blank)) for row in rows])
            self.columns[name] = torch.from_numpy(column)
            self._known[name] = torch.from_numpy(known)

    def known(self, name: str) -> NDArray[np.bool_]:
        """Return which items have an entry, `[N]`; none where no item has it."""
        found: NDArray[np.bool_] = self._known[name].numpy()
        return found

    def shared(self, places: Tensor | None = None) -> dict[str, Tensor]:
        """Return the entries that all items at `places` have, by default all items, as rows."""
        found = {}
        for name, column in self.columns.items():
            known = self._known[name] if places is None else self._known[name][places]
            if bool(known.all()):
                found[name] = column if places is None else column.index_select(0, places)
        return found


def to_device(
    batch: Batch,
    device: torch.device,
    deferred: Callable[[Tensor], Tensor] | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> dict[str, Any]:
    """Return the batch's tensors on `device`, with the image as the model takes it.

    Training and prediction both come through here. The image is copied as uint8, a quarter of its
    size as float, and becomes float32 on the device: by the reader's normalization if it has one,
    else by scaling to 0..1. That is what torchvision does (`v2.ToDtype(torch.float32, scale=True)`)
    and keeps a model trainable whose config has no `normalize`; AllenCV fed it 0..255, which
    `{"type": "normalize", "mean": [0, 0, 0], "std": [1, 1, 1], "max_pixel_value": 1}` still does.
    An image that the transforms have already made float32 is left as it is.

    Args:
        batch: A batch with at least one item.
        device: Device of the tensors. The copy from pinned memory does not wait for the device.
        deferred: The reader's `deferred` normalization.
        memory_format: The order of the image's memory, `torch.channels_last` for models in it.
    """
    moved = dict(batch.tensors)  # on the CPU already
    if device.type != "cpu":
        moved = _map_tensors(moved, lambda tensor: tensor.to(device, non_blocking=True))
    image = moved["image"].contiguous(memory_format=memory_format)  # as uint8: a quarter the work
    if deferred is not None:
        image = deferred(image)
    elif image.dtype == torch.uint8:
        image = image.to(torch.float32).mul_(_UNIT)
    moved["image"] = image
    return moved


def _stack_images(instances: Sequence[Instance], images: Sequence[NDArray[Any]]) -> Tensor:
    first = images[0]
    for instance, image in zip(instances, images, strict=True):
        if image.shape != first.shape:
            raise DataError(
                f"images of different sizes cannot be in one batch: {instances[0].id} is "
                f"{_size(first)}, {instance.id} is {_size(image)} pixels (width x height) after "
                "the transforms; add a resize or a crop to the reader's augmentation "
                '(for example {"type": "resize", "height": 224, "width": 224}), or set '
                "batch_size to 1"
            )
        if image.dtype != first.dtype:
            raise DataError(
                f"images of different types cannot be in one batch: {instances[0].id} is "
                f"{first.dtype}, {instance.id} is {image.dtype} after the transforms; a transform "
                "that changes the type must do it to every image (p: 1)"
            )
    # One copy per image, 12 times faster than one that also moves the channels to the front.
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _add_places(
    tensors: dict[str, Any],
    instances: Sequence[Instance],
    samples: Sequence[Sample],
    vocab: Vocabulary | None,
) -> None:
    if any(sample.ignored is not None for sample in samples):
        parted = [_parted(*one, vocab) for one in zip(instances, samples, strict=True)]
        samples = [learned for learned, _ in parted]
        tensors["ignored_boxes"] = [_float_rows(rows, 6) for _, rows in parted]
    masks = [sample.mask for sample in samples if sample.mask is not None]
    boxes = [sample.boxes for sample in samples if sample.boxes is not None]
    names = [sample.box_labels for sample in samples if sample.box_labels is not None]
    points = [sample.keypoints for sample in samples if sample.keypoints is not None]
    if len(masks) == len(samples):
        tensors["mask"] = torch.from_numpy(np.stack(masks).astype(np.int64, copy=False))
    if len(boxes) == len(samples):
        tensors["boxes"] = [_float_rows(array, 4) for array in boxes]
    if len(names) == len(samples) and vocab is not None:
        tensors["box_labels"] = [
            torch.tensor([_index(instance, name, vocab) for name in row], dtype=torch.int64)
            for instance, row in zip(instances, names, strict=True)
        ]
    if len(points) == len(samples):
        rows = [array.shape[1:] for array in points if array.size] or [(2,)]
        shape = (*rows[0][:-1], max(row[-1] for row in rows))
        tensors["keypoints"] = [_float_rows(_widened(array, shape[-1]), *shape) for array in points]


def _parted(
    instance: Instance, sample: Sample, vocab: Vocabulary | None
) -> tuple[Sample, NDArray[np.float64]]:
    """Return a sample without its ignored boxes, and these as rows of `ignored_boxes`."""
    marks, boxes, names, points = sample.ignored, sample.boxes, sample.box_labels, sample.keypoints
    if marks is None or boxes is None:
        return sample, np.zeros((0, 6))
    if len(marks) != len(boxes):
        raise DataError(
            f"{instance.id}: a transform left {len(boxes)} boxes and the marks of {len(marks)} in "
            "`ignored`; a transform that drops boxes drops their marks, too"
        )
    rows = []
    known = {} if vocab is None else vocab.get_token_to_index_vocabulary(LABEL_NAMESPACE)
    for place in np.flatnonzero(marks):
        # A class that the model does not know finds nothing there: it has nothing to ignore
        index = known.get("" if names is None else names[place], 0 if names is None else None)
        if index is not None:
            rows.append([*boxes[place], index, marks[place] == 2])
    kept = np.flatnonzero(marks == 0)
    learned = replace(
        sample,
        boxes=boxes[kept],
        box_labels=None if names is None else [names[place] for place in kept],
        keypoints=points[kept] if points is not None and points.ndim == 3 else points,
        ignored=None,
    )
    return learned, np.array(rows, np.float64).reshape(-1, 6)


def _widened(points: NDArray[Any], columns: int) -> NDArray[Any]:
    """Return keypoints with a visibility column: those without one count as visible."""
    if points.shape[-1] == columns or not points.size:
        return points
    # 2 is visible, as COCO numbers it
    visible = np.full((*points.shape[:-1], 1), 2, points.dtype)
    return np.concatenate([points, visible], axis=-1)


def _float_rows(array: NDArray[Any], *row: int) -> Tensor:
    return torch.tensor(array, dtype=torch.float32).reshape(len(array), *row)


def _index(instance: Instance, label: str, vocab: Vocabulary) -> int:
    try:
        return vocab.get_token_index(label, LABEL_NAMESPACE)
    except KeyError:
        unknown = vocab.describe_unknown(label, LABEL_NAMESPACE)
        raise DataError(f"{instance.id}: the label {unknown}") from None


def _size(image: NDArray[Any]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _map_tensors(tensors: dict[str, Any], change: Callable[[Tensor], Any]) -> dict[str, Any]:
    return {
        name: [change(item) for item in value] if isinstance(value, list) else change(value)
        for name, value in tensors.items()
    }


def _for_transport(tensor: Tensor) -> Tensor | NDArray[Any]:
    return tensor if tensor.nbytes >= _SHARED_FROM_BYTES else tensor.numpy()


def _from_transport(
    tensors: dict[str, Any], ids: list[str], unreadable: list[UnreadableImage], index: int
) -> Batch:
    restored = {
        name: [torch.as_tensor(item) for item in value]
        if isinstance(value, list)
        else torch.as_tensor(value)
        for name, value in tensors.items()
    }
    return Batch(restored, ids, unreadable, index)
