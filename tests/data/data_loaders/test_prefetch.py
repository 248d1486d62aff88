"""Batches decoded ahead in threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from allencv_al.data.dataset_readers.base import Dataset
from tests.data.data_loaders.conftest import (
    CountingReader,
    MakeLoader,
)

MakeDataset = Callable[..., Dataset]


def test_no_more_is_decoded_ahead_than_was_asked_for(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    """Memory stays bounded, however slow the model is."""
    reader = CountingReader()
    loader = make_loader(in_memory(300, reader), prefetch_factor=2)
    batches = loader.batches(0)
    for used in range(1, 4):
        next(batches)
        assert len(reader.loaded) <= 3 * (used + 2)
    batches.close()  # type: ignore[attr-defined]
    assert len(reader.loaded) <= 3 * 5


@pytest.mark.parametrize("source", ["in_memory", "on_disk"])
def test_threads_end_with_the_iteration(
    source: str, request: pytest.FixtureRequest, make_loader: MakeLoader
) -> None:
    before = threading.active_count()
    loader = make_loader(request.getfixturevalue(source)(50))
    batches = loader.batches(0)
    next(batches)
    assert threading.active_count() > before
    del batches
    assert threading.active_count() == before
    list(loader.batches(0))
    assert threading.active_count() == before
