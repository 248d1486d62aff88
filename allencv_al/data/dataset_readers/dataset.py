"""What a reader found: a sequence of instances that knows its reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, overload

from overrides import overrides

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.instance import Instance

if TYPE_CHECKING:
    from allencv_al.data.dataset_readers.base import DatasetReader


class Dataset(Sequence[Instance]):
    """Instances in the reader's order, with what was passed over on the way.

    A slice is a dataset of the same reader.

    Args:
        reader: Decodes and transforms the instances: `dataset.reader.load(dataset[0], seed)`.
        instances: The items; their ids are unique.
        skipped: How many things the reader passed over, by reason (`hidden`, `foreign` ...).
        unreadable: With `lazy: false` and `on_error: "skip"`, the images that could not be decoded,
            by id; they are not among the instances.
    """

    def __init__(
        self,
        reader: DatasetReader,
        instances: Sequence[Instance],
        skipped: Mapping[str, int] | None = None,
        unreadable: Mapping[str, ImageDecodeError] | None = None,
    ) -> None:
        self.reader = reader
        self.instances = instances
        self.skipped: dict[str, int] = dict(skipped or {})
        self.unreadable: dict[str, ImageDecodeError] = dict(unreadable or {})

    @overrides
    def __len__(self) -> int:
        return len(self.instances)

    @overload
    def __getitem__(self, index: int) -> Instance: ...

    @overload
    def __getitem__(self, index: slice) -> Dataset: ...

    def __getitem__(self, index: int | slice) -> Instance | Dataset:
        if isinstance(index, slice):
            return Dataset(self.reader, self.instances[index])
        return self.instances[index]

    def labels(self) -> list[str | None]:
        """Return the class name of each instance, None where it has none."""
        return [instance.label for instance in self.instances]

    def __repr__(self) -> str:
        labels = set(self.labels()) - {None}
        return f"Dataset({len(self)} images, {len(labels)} classes)"
