"""A loader that measures gives every image once, in order, whatever training asks for."""

from __future__ import annotations

import numpy as np

from allencv_al.data.data_loaders.multiprocess import MultiprocessDataLoader
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance


class _Nothing(DatasetReader):
    def _read(self, path):  # type: ignore[no-untyped-def]
        return []


def _dataset(count: int) -> Dataset:
    pixels = np.zeros((4, 4, 3), np.uint8)
    instances = [Instance(f"{i:02d}", pixels) for i in range(count)]
    return Dataset(_Nothing(), instances, {})


def _ids(loader: MultiprocessDataLoader) -> list[str]:
    return [id for batch in loader.batches(3) for id in batch.ids]


def test_every_item_once_in_order() -> None:
    options = {"batch_size": 4, "shuffle": True, "drop_last": True, "batches_per_epoch": 1}
    dataset = _dataset(10)
    training = MultiprocessDataLoader(dataset, **options)
    measuring = MultiprocessDataLoader(dataset, **options, evaluating=True)
    assert len(_ids(training)) == 4
    assert _ids(measuring) == [f"{i:02d}" for i in range(10)]


def test_a_small_data_set_is_measured_where_drop_last_would_leave_nothing() -> None:
    loader = MultiprocessDataLoader(_dataset(3), batch_size=8, drop_last=True, evaluating=True)
    assert _ids(loader) == ["00", "01", "02"]


def test_shuffle_can_be_switched_off_later() -> None:
    loader = MultiprocessDataLoader(_dataset(20), batch_size=4)
    assert _ids(loader) != sorted(_ids(loader))
    loader.shuffle = False
    assert _ids(loader) == sorted(_ids(loader))
